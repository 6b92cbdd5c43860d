"""Admission to a relay: a short text signed by the portal's relay key, for one seat until a time.

Made by the portal, read by the relay alone; to a node it is opaque. Whoever steals one can disturb a job, never read or
change it: what passes the relay is sealed end to end by keys that neither portal nor relay holds. Pure: the key and
`now` come in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.documents import canonical, from_b64, load_json, to_b64
from ledger.errors import LedgerError
from mpc.errors import RelayRefused

AUDIENCE = "xinglin-relay"
CONTEXT = b"xinglin/relay-token/v1."
MAX_SEATS = 17  # sixteen parties and the dealer
MAX_LENGTH = 1024
_NAME = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Claims:
    """What a token says: one seat of one room until a time (seconds since 1970), and what all rooms of the job (one an
    attempt) may send together."""

    room: str
    job: str
    seat: int
    seats: int
    expires: int
    bytes: int
    audience: str = AUDIENCE


def mint(key: Ed25519PrivateKey, claims: Claims) -> str:
    """A token that says so."""
    body = to_b64(canonical({
        "audience": claims.audience, "room": claims.room, "job": claims.job, "seat": claims.seat,
        "seats": claims.seats, "expires": claims.expires, "bytes": claims.bytes,
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
            isinstance(one, str) and _NAME.match(one) for one in (claims.room, claims.job)):
        raise RelayRefused("the token is malformed")
    if claims.audience != audience or not 0 <= claims.seat < claims.seats <= MAX_SEATS or claims.bytes < 0:
        raise RelayRefused("the token is for another relay, or for no seat")
    if claims.expires <= now:
        raise RelayRefused("the token is over")
    return claims
