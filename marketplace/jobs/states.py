"""States of a job. A move's value is the event it leaves behind.

queued (portal) -> offered (parties answer) -> ready (session may form) -> running -> released -> settled,
or refused, failed, cancelled, expired. An attempt that lost somebody on the way is offered once more (RETRY).
A job of parties that are not online together goes another way: queued (portal) -> collecting (hospitals, until the
order's own time) -> closing (portal and the dealer's office) -> released -> settled. It is tried once, and once its
set of contributors is chosen nobody cancels it. The dealer's office may refuse that set and name who stands in the way:
then another is chosen without them, if enough remain.
"""

from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    QUEUED = "queued"
    OFFERED = "offered"
    READY = "ready"
    RUNNING = "running"
    COLLECTING = "collecting"
    CLOSING = "closing"
    RELEASED = "released"
    SETTLED = "settled"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Move(StrEnum):
    ORDER = "ordered"
    OFFER = "offered"
    ACCEPT = "accepted"
    START = "started"
    INVITE = "invited"
    CLOSE = "closed"
    RELEASE = "released"
    SETTLE = "settled"
    RETRY = "retried"
    REFUSE = "refused"
    FAIL = "failed"
    CANCEL = "cancelled"
    EXPIRE = "expired"


INITIAL = State.QUEUED
BEGIN = Move.ORDER
OPEN = (State.QUEUED, State.OFFERED, State.READY, State.RUNNING, State.COLLECTING, State.CLOSING)
MOVES = MappingProxyType(
    {
        (State.QUEUED, Move.OFFER): State.OFFERED,
        (State.OFFERED, Move.ACCEPT): State.READY,
        (State.READY, Move.START): State.RUNNING,
        (State.READY, Move.RELEASE): State.RELEASED,
        (State.RUNNING, Move.RELEASE): State.RELEASED,
        (State.QUEUED, Move.INVITE): State.COLLECTING,
        (State.COLLECTING, Move.CLOSE): State.CLOSING,
        (State.CLOSING, Move.CLOSE): State.CLOSING,
        (State.CLOSING, Move.RELEASE): State.RELEASED,
        (State.RELEASED, Move.SETTLE): State.SETTLED,
        **{(state, Move.RETRY): State.OFFERED for state in (State.OFFERED, State.READY, State.RUNNING)},
        (State.OFFERED, Move.REFUSE): State.REFUSED,
        (State.READY, Move.REFUSE): State.REFUSED,
        (State.COLLECTING, Move.REFUSE): State.REFUSED,
        **{(state, Move.FAIL): State.FAILED for state in OPEN},
        **{(state, Move.CANCEL): State.CANCELLED for state in OPEN if state != State.CLOSING},
        **{(state, Move.EXPIRE): State.EXPIRED for state in OPEN},
    }
)
