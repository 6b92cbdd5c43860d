"""A relay in memory, for tests: every seat's frames pass `tamper`, which may do to them what a lying relay could."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from mpc.transport.carrier import Broken, Connection
from mpc.transport.window import GONE, HEAD

Routed = tuple[int, bytes]
Tamper = Callable[[int, int, bytes], Iterable[Routed]]


def honest(source: int, target: int, frame: bytes) -> Iterable[Routed]:
    """Deliver it as it is."""
    return [(target, frame)]


class MemoryRelay:
    """One room. `tamper(source, target, frame)` says what is delivered to whom; the frame names its sender."""

    def __init__(self, tamper: Tamper = honest) -> None:
        self.tamper = tamper
        self.up = True
        self._seats: dict[int, _Seat] = {}
        self._lock = threading.Lock()

    def carrier(self, seat: int) -> MemoryCarrier:
        """The way of this seat to the relay."""
        return MemoryCarrier(self, seat)

    def cut(self, *seats: int, up: bool = True) -> None:
        """Break these connections (all, if none is named); with `up` false nobody may come back for now."""
        with self._lock:
            self.up = up
            hit = [one for number, one in self._seats.items() if not seats or number in seats]
        for one in hit:
            one.end()

    def come(self, seat: int, joined: _Seat) -> None:
        with self._lock:
            if not self.up:
                raise Broken("down")
            before, self._seats[seat] = self._seats.get(seat), joined
        if before is not None:
            before.end()

    def leave(self, seat: int, left: _Seat) -> None:
        with self._lock:
            if self._seats.get(seat) is not left:
                return
            del self._seats[seat]
            others = list(self._seats.values())
        for one in others:
            one.deliver(HEAD.pack(seat, GONE, 0, 0))

    def route(self, seat: int, frame: bytes) -> None:
        with self._lock:
            for target, data in self.tamper(seat, frame[0], bytes([seat]) + frame[1:]):
                if target in self._seats:
                    self._seats[target].deliver(data)


class _Seat:
    """One connection; lives on the loop of the mesh that dialled."""

    def __init__(self, relay: MemoryRelay, seat: int) -> None:
        self._relay, self._seat = relay, seat
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._ended = False

    def deliver(self, frame: bytes | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, frame)
        except RuntimeError:  # that mesh is over
            self._ended = True

    def end(self) -> None:
        self._ended = True
        self.deliver(None)

    async def send(self, frame: bytes) -> None:
        if self._ended:
            raise Broken("cut")
        self._relay.route(self._seat, frame)
        await asyncio.sleep(0)

    async def receive(self) -> bytes:
        frame = await self._queue.get()
        if frame is None or self._ended:
            raise Broken("cut")
        return frame


class MemoryCarrier:
    """Dials the relay in memory."""

    def __init__(self, relay: MemoryRelay, seat: int) -> None:
        self._relay, self._seat = relay, seat

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """One connection, or `Broken`."""
        joined = _Seat(self._relay, self._seat)
        self._relay.come(self._seat, joined)
        try:
            yield joined
        finally:
            self._relay.leave(self._seat, joined)
