"""States of a grant. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    SUBMITTED = "submitted"
    CONSENTED = "consented"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"


class Move(StrEnum):
    APPROVE = "approved"
    CONSENT = "consented"
    REGISTER = "registered"
    REVOKE = "revoked"
    EXPIRE = "expired"
    EXHAUST = "exhausted"
    SUSPEND = "suspended"
    LIFT = "suspension_lifted"
    RESUME = "resumed"
    CANCEL = "cancelled"
    TAKE_BACK = "consent_taken_back"


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
        (State.ACTIVE, Move.SUSPEND): State.SUSPENDED,
        (State.SUSPENDED, Move.SUSPEND): State.SUSPENDED,
        (State.SUSPENDED, Move.LIFT): State.SUSPENDED,
        (State.SUSPENDED, Move.RESUME): State.ACTIVE,
        (State.SUSPENDED, Move.REVOKE): State.REVOKED,
        (State.SUSPENDED, Move.EXPIRE): State.EXPIRED,
        (State.SUBMITTED, Move.CANCEL): State.CANCELLED,
        (State.CONSENTED, Move.CANCEL): State.CANCELLED,
        (State.CONSENTED, Move.TAKE_BACK): State.SUBMITTED,
    }
)
