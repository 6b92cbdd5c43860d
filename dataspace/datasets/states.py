"""States of a dataset. A move's value is the event it leaves behind."""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    REGISTERED = "registered"
    WITHDRAWN = "withdrawn"


class Move(StrEnum):
    REGISTER = "registered"
    RENEW = "renewed"
    WITHDRAW = "withdrawn"


INITIAL = State.REGISTERED
BEGIN = Move.REGISTER
MOVES = MappingProxyType(
    {
        (State.REGISTERED, Move.RENEW): State.REGISTERED,
        (State.REGISTERED, Move.WITHDRAW): State.WITHDRAWN,
    }
)
