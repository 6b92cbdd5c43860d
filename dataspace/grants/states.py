"""States of a grant. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    SUBMITTED = "submitted"
    CONSENTED = "consented"
    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"


class Move(StrEnum):
    APPROVE = "approved"
    CONSENT = "consented"
    REGISTER = "registered"
    REVOKE = "revoked"
    EXPIRE = "expired"
    EXHAUST = "exhausted"


INITIAL = State.SUBMITTED
BEGIN = Move.APPROVE
MOVES = MappingProxyType(
    {
        (State.SUBMITTED, Move.CONSENT): State.CONSENTED,
        (State.CONSENTED, Move.REGISTER): State.ACTIVE,
        (State.SUBMITTED, Move.REVOKE): State.REVOKED,
        (State.CONSENTED, Move.REVOKE): State.REVOKED,
        (State.ACTIVE, Move.REVOKE): State.REVOKED,
        (State.EXHAUSTED, Move.REVOKE): State.REVOKED,
        (State.SUBMITTED, Move.EXPIRE): State.EXPIRED,
        (State.CONSENTED, Move.EXPIRE): State.EXPIRED,
        (State.ACTIVE, Move.EXPIRE): State.EXPIRED,
        (State.ACTIVE, Move.EXHAUST): State.EXHAUSTED,
    }
)
