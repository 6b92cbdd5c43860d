"""Admission to a relay: a short text signed by the portal's relay key, for one seat until a time.

Made by the portal, read by the relay alone; to a node it is opaque. Whoever steals one can disturb a job, never read or
change it: what passes the relay is sealed end to end by keys that neither portal nor relay holds. And whoever only
reads one cannot use it: the token names the key of its holder's leaf, and the relay asks for a signature under that key
at each dial. Pure: keys and `now` come in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.documents import canonical, from_b64, load_json, to_b64
from ledger.errors import LedgerError
from mpc.errors import RelayRefused

AUDIENCE = "xinglin-relay"
CONTEXT = b"xinglin/relay-token/v1."
HOLDER = b"xinglin/relay-holder/v1."
NONCE = 32
MAX_SEATS = 17  # sixteen parties and the dealer
MAX_LENGTH = 1024
_NAME = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Claims:
    """What a token says: one seat of one room until a time (seconds since 1970), and what all rooms of the job (one an
    attempt) may send together. `holder`: the public key (hex) that its bearer must hold."""

    room: str
    job: str
    seat: int
    seats: int
    expires: int
    bytes: int
    holder: str
    audience: str = AUDIENCE


def mint(key: Ed25519PrivateKey, claims: Claims) -> str:
    """A token that says so; there is none for just anybody."""
    if not _NAME.match(claims.holder):
        raise RelayRefused("a token needs the key of its holder")
    body = to_b64(canonical({
        "audience": claims.audience, "room": claims.room, "job": claims.job, "seat": claims.seat,
        "seats": claims.seats, "expires": claims.expires, "bytes": claims.bytes, "holder": claims.holder,
    }))
    return f"{body}.{to_b64(key.sign(CONTEXT + body.encode()))}"


def read(token: str, key: Ed25519PublicKey, *, now: float, audience: str = AUDIENCE) -> Claims:
    """What the token says; raises `RelayRefused` for one of another key, another relay, or over."""
    try:
        if len(token) > MAX_LENGTH:
            raise ValueError("too long")
        body, signature = token.split(".")
        key.verify(from_b64(signature), CONTEXT + body.encode("ascii"))
        claims = Claims(**load_json(from_b64(body)))
    except (ValueError, TypeError, LedgerError, InvalidSignature) as trouble:
        raise RelayRefused("the token is not one of the portal's") from trouble
    numbers = (claims.seat, claims.seats, claims.expires, claims.bytes)
    if any(type(one) is not int for one in numbers) or not all(
            isinstance(one, str) and _NAME.match(one) for one in (claims.room, claims.job, claims.holder)):
        raise RelayRefused("the token is malformed")
    if claims.audience != audience or not 0 <= claims.seat < claims.seats <= MAX_SEATS or claims.bytes < 0:
        raise RelayRefused("the token is for another relay, or for no seat")
    if claims.expires <= now:
        raise RelayRefused("the token is over")
    return claims


def holder_of(certificate: bytes) -> str:
    """The key of a leaf (DER), as a token names it; empty when this is no such leaf."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return ""
    return key.public_bytes_raw().hex() if isinstance(key, Ed25519PublicKey) else ""


def prove(token: str, nonce: bytes, key: Ed25519PrivateKey) -> bytes:
    """The answer to a relay's question: that we hold the key which this token names."""
    return key.sign(_asked(token, nonce))


def is_held(claims: Claims, token: str, nonce: bytes, proof: bytes) -> bool:
    """Whether the bearer's answer shows that it is the token's holder."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(claims.holder)).verify(proof, _asked(token, nonce))
    except (ValueError, InvalidSignature):
        return False
    return True


def _asked(token: str, nonce: bytes) -> bytes:
    return HOLDER + nonce + sha256(token.encode()).digest()
