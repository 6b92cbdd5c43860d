"""States of a scenario. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    DRAFT = "draft"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    APPROVED = "approved"
    REJECTED = "rejected"
    CLOSED = "closed"


class Move(StrEnum):
    DRAFT = "drafted"
    SUBMIT = "submitted"
    RETURN = "returned"
    APPROVE = "approved"
    REJECT = "rejected"
    CLOSE = "closed"


INITIAL = State.DRAFT
BEGIN = Move.DRAFT
MOVES = MappingProxyType(
    {
        (State.DRAFT, Move.SUBMIT): State.SUBMITTED,
        (State.RETURNED, Move.SUBMIT): State.SUBMITTED,
        (State.SUBMITTED, Move.RETURN): State.RETURNED,
        (State.SUBMITTED, Move.APPROVE): State.APPROVED,
        (State.SUBMITTED, Move.REJECT): State.REJECTED,
        (State.DRAFT, Move.CLOSE): State.CLOSED,
        (State.SUBMITTED, Move.CLOSE): State.CLOSED,
        (State.RETURNED, Move.CLOSE): State.CLOSED,
        (State.APPROVED, Move.CLOSE): State.CLOSED,
    }
)
