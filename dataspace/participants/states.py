"""States of a participant, and the moves between them. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    APPLIED = "applied"
    ADMITTED = "admitted"
    SUSPENDED = "suspended"


class Move(StrEnum):
    APPLY = "applied"
    ADMIT = "admitted"
    SUSPEND = "suspended"
    RESTORE = "restored"


INITIAL = State.APPLIED
BEGIN = Move.APPLY
MOVES = MappingProxyType(
    {
        (State.APPLIED, Move.ADMIT): State.ADMITTED,
        (State.ADMITTED, Move.SUSPEND): State.SUSPENDED,
        (State.SUSPENDED, Move.RESTORE): State.ADMITTED,
    }
)
