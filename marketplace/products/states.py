"""States of a data product. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    DRAFT = "draft"
    IN_REVIEW = "in_review"
    LISTED = "listed"
    DELISTED = "delisted"


class Move(StrEnum):
    DRAFT = "drafted"
    SUBMIT = "submitted"
    RETURN = "returned"
    LIST = "listed"
    DELIST = "delisted"


INITIAL = State.DRAFT
BEGIN = Move.DRAFT
MOVES = MappingProxyType(
    {
        (State.DRAFT, Move.SUBMIT): State.IN_REVIEW,
        (State.IN_REVIEW, Move.RETURN): State.DRAFT,
        (State.IN_REVIEW, Move.LIST): State.LISTED,
        (State.LISTED, Move.DELIST): State.DELISTED,
        (State.DELISTED, Move.LIST): State.LISTED,
    }
)
