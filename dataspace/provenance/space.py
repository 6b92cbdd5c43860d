"""The space this portal serves: its trust file, the operator's keys, and the door to its chain.

The chain's door is opened when it is first needed; importing this file imports no chain client.
"""

from __future__ import annotations

import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from dataspace.errors import Unavailable
from ledger.errors import VerificationError
from ledger.keys import EthKey
from ledger.profiles import refuse_development as refuse_development_chain
from ledger.trust import Trust, load_trust

if TYPE_CHECKING:
    from ledger.chain import Chain


@lru_cache(maxsize=4)
def _trust(path: str, fingerprint: str, changed: int) -> Trust:
    return load_trust(path, fingerprint=fingerprint)


def trust() -> Trust:
    """The trust file, read again when the file changes."""
    path = settings.XINGLIN_TRUST
    if not path or not Path(path).is_file():
        raise Unavailable("this portal has no trust file yet", code="space.not_founded")
    return _trust(path, settings.XINGLIN_FINGERPRINT, Path(path).stat().st_mtime_ns)


def refuse_development() -> None:
    """In production: a space on the embedded development chain is refused before anything is served."""
    path = Path(settings.XINGLIN_TRUST)
    if settings.PRODUCTION and path.is_file():
        try:
            refuse_development_chain(trust().chain.profile)
        except VerificationError as trouble:
            raise ImproperlyConfigured(trouble.message) from trouble


def regulator_id() -> UUID:
    return UUID(trust().regulator.participant)


def _secret(path: str) -> str:
    file = Path(path)
    if not path or not file.is_file():
        raise Unavailable("the operator's key file is missing", code="space.no_key")
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise Unavailable("the operator's key file can be read by others", code="space.open_key")
    return file.read_text().strip()


def log_key() -> Ed25519PrivateKey:
    """The key that signs checkpoints: it can append to the log and nothing else."""
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(_secret(settings.XINGLIN_LOG_KEY_FILE)))


def chain_key() -> EthKey:
    """The operator's account: it may anchor, and relay what others signed."""
    return EthKey(_secret(settings.XINGLIN_CHAIN_KEY_FILE).removeprefix("0x"))


@lru_cache(maxsize=4)
def _chain(path: str, fingerprint: str, changed: int) -> Chain:
    from ledger.chain import Chain

    return Chain.from_trust(_trust(path, fingerprint, changed), production=settings.PRODUCTION)


def chain() -> Chain:
    """The chain that the trust file names."""
    trust()
    path = settings.XINGLIN_TRUST
    return _chain(path, settings.XINGLIN_FINGERPRINT, Path(path).stat().st_mtime_ns)
