"""What lets a party into the relay: a token for its seat, in the room of this attempt's session.

The portal's relay key signs admissions and nothing else. A token is metadata: it opens no link, for links are sealed by
keys of the parties' verdicts.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from marketplace.jobs.models import JobParty
from marketplace.jobs.services.answer import session_of
from mpc.token import Claims, mint

LEEWAY = 60  # seconds after the job's deadline in which its last frames may still pass


def admission(seat: JobParty) -> dict[str, Any] | None:
    """Where the relay is and the token for this seat; nothing when this portal has no relay."""
    if not settings.XINGLIN_RELAY_KEY_FILE:
        return None
    job = seat.job
    claims = Claims(
        room=session_of(job), job=sha256(str(job.pk).encode()).hexdigest(), seat=seat.seat, seats=job.parties.count(),
        expires=int(job.deadline.timestamp()) + LEEWAY, bytes=settings.XINGLIN_RELAY_BYTES,
    )  # fmt: skip
    return {"url": settings.XINGLIN_RELAY, "token": mint(_key(settings.XINGLIN_RELAY_KEY_FILE), claims)}


@lru_cache(maxsize=4)
def _key(file: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(Path(file).read_text().strip()))
