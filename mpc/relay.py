"""The relay: rooms of seats, one outbound WebSocket a party, frames passed on unread. `python -m mpc.relay`.

Sees ciphertext, seat numbers and sizes; holds no key but the public one that admits, writes nothing to disk. A frame
for a seat that is not there is dropped: the sender's window keeps it, so a relay that is started anew loses no job. Who
may come in is decided before the upgrade, from a token; a stranger costs no state. Run by the operator, or by any
participant in front of its own network: it is the same program, and it is trusted for nothing but being there.

    byte 0    the receiver's seat; the relay puts the sender's in its place
    byte 1    type; the relay itself sends only GONE (a seat has left), a hint
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http
import json
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from mpc.errors import RelayRefused
from mpc.token import AUDIENCE, Claims, read
from mpc.transport.window import FRAME, GONE, HEAD
from mpc.transport.window import WINDOW as WINDOW_BYTES

MALFORMED, SUPERSEDED, IDLE, EXPIRED, WINDOW, QUOTA = 1003, 4001, 4002, 4003, 4008, 4009
QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)


@dataclass(frozen=True)
class Limits:
    """What one relay allows. A seat dials `dials` times at once, then as often as `dial_seconds` allow.

    `pair`: what may wait from one seat for another. An honest sender keeps a window, and sends it again when it dials
    anew: four of them. `memory`: what may wait at this relay altogether; beyond it frames are dropped, like those for a
    seat that is not there, and sent again later.
    """

    pair: int = 4 * WINDOW_BYTES
    memory: int = 1 << 30
    rooms: int = 1000
    remembered: int = 50_000
    dials: int = 30
    dial_seconds: float = 1.0
    idle: float = 60.0
    ping: float = 10.0
    look: float = 1.0


@dataclass
class Seat:
    """One connection, and what waits to be delivered to it."""

    socket: ServerConnection
    claims: Claims
    heard: float
    queue: deque[bytes] = field(default_factory=deque)
    queued: Counter[int] = field(default_factory=Counter)  # bytes, by the seat that they are from
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: bytes) -> None:
        self.queue.append(frame)
        self.queued[frame[0]] += len(frame)
        self.ready.set()

    def took(self, frame: bytes) -> None:
        self.queued[frame[0]] -= len(frame)


@dataclass
class Job:
    """What all sessions of a job have sent so far (kept until its tokens are over)."""

    expires: int
    used: int = 0


@dataclass
class Room:
    """One session: its job, and its seats now."""

    expires: int
    job: Job
    seats: dict[int, Seat] = field(default_factory=dict)
    dials: dict[int, tuple[float, float]] = field(default_factory=dict)  # seat: allowance, when it was counted


class _Eager(ServerConnection):
    """Acknowledges TCP segments at once: through proxies without TCP_NODELAY every round would cost 40 ms."""

    claims: Claims

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)


class Relay:
    """Admission and delivery."""

    def __init__(self, key: bytes, *, audience: str = AUDIENCE, limits: Limits | None = None,
                 clock: Callable[[], float] = time.time) -> None:
        self._key, self._audience = Ed25519PublicKey.from_public_bytes(key), audience
        self._limits, self._clock = limits or Limits(), clock
        self.rooms: dict[str, Room] = {}
        self.jobs: dict[str, Job] = {}
        self.waiting = 0  # bytes in all queues
        self.frames = self.bytes = self.refused = 0

    def serve(self, host: str, port: int) -> AbstractAsyncContextManager[Server]:
        """The server, as a context manager."""
        return serve(
            self._serve, host, port, process_request=self._admit, compression=None, max_size=FRAME + HEAD.size,
            max_queue=16, write_limit=1 << 18, open_timeout=5, ping_interval=self._limits.ping,
            ping_timeout=self._limits.ping, close_timeout=1, server_header=None, create_connection=_Eager)

    # Before the upgrade.

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        header = request.headers.get("Authorization", "")
        try:
            claims = read(header.removeprefix("Bearer "), self._key, now=self._clock(), audience=self._audience)
        except RelayRefused as error:
            self.refused += 1
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, f"{error.text}\n")
        room = self.rooms.get(claims.room)
        if room is None and not self._make_room():
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        room = self._room(claims)
        if not self._may_dial(room, claims.seat):
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "too many connections\n")
        if room.job.used > claims.bytes:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "the job's bytes are used up\n")
        connection.claims = claims  # type: ignore[attr-defined]
        return None

    def _room(self, claims: Claims) -> Room:
        """The room of these claims, in its job's account; a room stays with the job that it was opened for."""
        room = self.rooms.get(claims.room)
        if room is None:
            room = self.rooms[claims.room] = Room(
                claims.expires, self.jobs.setdefault(claims.job, Job(claims.expires)))
        room.expires = max(room.expires, claims.expires)
        room.job.expires = max(room.job.expires, claims.expires)
        return room

    def _make_room(self) -> bool:
        """Forget rooms that are over; of those that only wait, the first to be over gives way."""
        if len(self.rooms) >= self._limits.remembered:
            self._forget()
        if len(self.rooms) >= self._limits.remembered:
            waiting = [name for name, room in self.rooms.items() if not room.seats]
            if not waiting:
                return False
            del self.rooms[min(waiting, key=lambda name: self.rooms[name].expires)]
        return sum(1 for room in self.rooms.values() if room.seats) < self._limits.rooms

    def _forget(self) -> None:
        now = self._clock()
        for name in [name for name, room in self.rooms.items() if not room.seats and room.expires <= now]:
            del self.rooms[name]
        for name in [name for name, job in self.jobs.items() if job.expires <= now]:
            del self.jobs[name]
        if len(self.jobs) > 2 * self._limits.remembered:
            del self.jobs[min(self.jobs, key=lambda name: self.jobs[name].expires)]

    def _may_dial(self, room: Room, seat: int) -> bool:
        now, limits = time.monotonic(), self._limits
        allowance, counted = room.dials.get(seat, (float(limits.dials), now))
        allowance = min(float(limits.dials), allowance + (now - counted) / limits.dial_seconds)
        room.dials[seat] = (max(0.0, allowance - 1), now)
        return allowance >= 1

    # After it.

    async def _serve(self, connection: ServerConnection) -> None:
        claims: Claims = connection.claims  # type: ignore[attr-defined]
        room = self._room(claims)
        if before := room.seats.get(claims.seat):  # who dials again wins over a connection that may be half dead
            _end(before.socket, SUPERSEDED, "superseded")
        seat = room.seats[claims.seat] = Seat(connection, claims, time.monotonic())
        sender = asyncio.ensure_future(self._deliver(seat))
        try:
            async for frame in connection:
                if code := self._pass(room, seat, frame):
                    await connection.close(code)
                    return
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            self.waiting -= seat.queued.total()
            seat.queued.clear()
            if room.seats.get(claims.seat) is seat:
                del room.seats[claims.seat]
                gone = HEAD.pack(claims.seat, GONE, 0, 0)
                for other in room.seats.values():
                    self._put(other, gone)

    def _pass(self, room: Room, seat: Seat, frame: bytes | str) -> int:
        """Hand the frame on; a close code when the sender is to go."""
        if not isinstance(frame, bytes) or len(frame) < HEAD.size or frame[1] == GONE:
            return MALFORMED
        seat.heard = time.monotonic()
        self.frames += 1
        self.bytes += len(frame)
        room.job.used += len(frame)
        if room.job.used > seat.claims.bytes:
            return QUOTA
        target = room.seats.get(frame[0])
        if target is None or target is seat:
            return 0
        if target.queued[seat.claims.seat] + len(frame) > self._limits.pair:
            return WINDOW
        if self.waiting + len(frame) <= self._limits.memory:
            self._put(target, bytes([seat.claims.seat]) + frame[1:])
        return 0

    def _put(self, target: Seat, frame: bytes) -> None:
        target.put(frame)
        self.waiting += len(frame)

    async def _deliver(self, seat: Seat) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                while not seat.queue:
                    seat.ready.clear()
                    await seat.ready.wait()
                frame = seat.queue.popleft()
                await seat.socket.send(frame)
                if seat.queued:  # it may have left meanwhile: then all of it is settled
                    seat.took(frame)
                    self.waiting -= len(frame)

    async def tend(self) -> None:
        """For ever: end what is over or idle."""
        while True:
            await asyncio.sleep(self._limits.look)
            now, idle = self._clock(), time.monotonic() - self._limits.idle
            for room in self.rooms.values():
                for seat in room.seats.values():
                    if seat.claims.expires <= now:
                        _end(seat.socket, EXPIRED, "the token is over")
                    elif seat.heard < idle:
                        _end(seat.socket, IDLE, "idle")
            self._forget()


_ENDING: set[asyncio.Future[None]] = set()


def _end(connection: ServerConnection, code: int, reason: str) -> None:
    task = asyncio.ensure_future(connection.close(code, reason))
    _ENDING.add(task)
    task.add_done_callback(_ENDING.discard)


async def run(relay: Relay, host: str, port: int, *, started: Callable[[Server], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    async with relay.serve(host, port) as server:
        tending = asyncio.ensure_future(relay.tend())
        started(server)
        await over.wait()
        tending.cancel()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mpc.relay", description=__doc__.partition("\n")[0])
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--key", required=True, metavar="HEX", help="the public key under which tokens are made")
    parser.add_argument("--audience", default=AUDIENCE, help="the name under which tokens know this relay")
    parser.add_argument("--idle", type=float, default=Limits.idle, help="seconds without a frame that end a connection")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parse(arguments)
    host, _, port = given.listen.rpartition(":")
    try:
        relay = Relay(bytes.fromhex(given.key), audience=given.audience, limits=replace(Limits(), idle=given.idle))
    except ValueError:
        sys.stderr.write("relay: --key is not an Ed25519 public key in hex\n")
        return 2

    def started(server: Server) -> None:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stdout.write(json.dumps({"listening": f"{host}:{port}"}) + "\n")
        sys.stdout.flush()

    asyncio.run(run(relay, host, int(port), started=started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
