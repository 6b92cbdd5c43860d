"""What lets a party into the relay: a token for its seat, in the room of this attempt's session.

The portal's relay key signs admissions and nothing else. A token is metadata: it opens no link, for links are sealed by
keys of the parties' verdicts, and it is of use to nobody but who holds the key of this seat's.
"""

from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone

from ledger.documents import from_b64
from ledger.errors import DocumentError
from marketplace.jobs.models import JobParty, Verdict
from marketplace.jobs.services.answer import session_of
from mpc.token import Claims, holder_of, mint

LEEWAY = 60  # seconds after the job's deadline in which its last frames may still pass
LONGEST = timedelta(days=1)  # no node gives a session more


def admission(seat: JobParty) -> dict[str, Any] | None:
    """Where the relay is and the token for this seat; nothing when this portal has no relay, or this seat's
    verdict no key that could show who bears the token."""
    holder = _holder(seat) if settings.XINGLIN_RELAY_KEY_FILE else ""
    if not holder:
        return None
    job = seat.job
    claims = Claims(
        room=session_of(job), job=sha256(str(job.pk).encode()).hexdigest(), seat=seat.seat, seats=job.parties.count(),
        expires=int(min(job.deadline, timezone.now() + LONGEST).timestamp()) + LEEWAY,
        bytes=settings.XINGLIN_RELAY_BYTES, holder=holder,
    )  # fmt: skip
    return {"url": settings.XINGLIN_RELAY, "token": mint(_key(settings.XINGLIN_RELAY_KEY_FILE), claims)}


def _holder(seat: JobParty) -> str:
    """The key of the leaf in this seat's own verdict; empty when there is none."""
    told = Verdict.objects.filter(
        job=seat.job, attempt=seat.job.attempt, participant_id=seat.participant_id, decision="accept"
    ).first()
    try:
        return holder_of(from_b64(told.document["document"]["session"]["certificate"])) if told else ""
    except DocumentError:
        return ""


@lru_cache(maxsize=4)
def _key(file: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(Path(file).read_text().strip()))
