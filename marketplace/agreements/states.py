"""States of an agreement. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    OFFERED = "offered"
    SIGNED = "signed"
    ENDED = "ended"


class Move(StrEnum):
    OFFER = "offered"
    SIGN = "signed"
    END = "ended"


INITIAL = State.OFFERED
BEGIN = Move.OFFER
MOVES = MappingProxyType(
    {
        (State.OFFERED, Move.SIGN): State.SIGNED,
        (State.OFFERED, Move.END): State.ENDED,
        (State.SIGNED, Move.END): State.ENDED,
    }
)
