"""The true relay, WebSockets and all, with a hand in what it passes on: each room's frames go by that room's lie."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from mpc.relay import Room, Seat
from mpc.transport.memory import Tamper, honest
from mpc.transport.window import HEAD
from tests.simulators.relay_at_hand import RelayAtHand


class LyingRelay(RelayAtHand):
    """`lies` maps a room's name to its lie, which acts as it does on the relay in memory; other rooms are honest."""

    def __init__(self) -> None:
        self.lies: dict[str, Tamper] = {}
        super().__init__()

    def start(self) -> None:
        super().start()
        self._honest: Callable[[Room, Seat, bytes | str], int] = self.relay._pass
        self.relay._pass = self._lie  # type: ignore[method-assign]

    def about(self, room: str, lie: Tamper) -> None:
        """From now on this room is lied to."""
        self.lies[sha256(room.encode()).hexdigest()] = lie

    def _lie(self, room: Room, seat: Seat, frame: bytes | str) -> int:
        if not isinstance(frame, bytes) or len(frame) < HEAD.size:
            return self._honest(room, seat, frame)
        source = seat.claims.seat
        for target, data in self.lies.get(seat.claims.room, honest)(source, frame[0], bytes([source]) + frame[1:]):
            if target in room.seats:
                self.relay._put(room.seats[target], data)
        return 0
