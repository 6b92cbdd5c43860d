"""The relay: rooms of seats, one outbound WebSocket a party, frames passed on unread. `python -m mpc.relay`.

Sees ciphertext, seat numbers and sizes; holds no key but the public one that admits, writes nothing to disk. A frame
for a seat that is not there is dropped: the sender's window keeps it, so a relay that is started anew loses no job. Who
may come in is decided before the upgrade, from a token, and right after it by a question that only the token's holder
can answer; a stranger costs a place at the door for a moment. Run by the operator, or by any participant in front of
its own network: it is the same program, and it is trusted for nothing but being there.

    byte 0    the receiver's seat; the relay puts the sender's in its place
    byte 1    type; the relay itself sends only GONE (a seat has left), a hint
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http
import json
import resource
import secrets
import signal
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from mpc.crowd import Allowance, Doorway
from mpc.errors import RelayRefused
from mpc.token import AUDIENCE, NONCE, Claims, is_held, read
from mpc.transport.window import FRAME, GONE, HEAD
from mpc.transport.window import WINDOW as WINDOW_BYTES

MALFORMED, SUPERSEDED, IDLE, EXPIRED, OFTEN, WINDOW, QUOTA, NOT_HELD = 1003, 4001, 4002, 4003, 4004, 4008, 4009, 4010
OVERHEAD = 128  # bytes that a frame costs besides its own
TINY = 1024
FILES = 64  # files that the process itself has open, with room to spare
QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)


@dataclass(frozen=True)
class Limits:
    """What one relay allows. A seat dials `dials` times at once, then as often as `dial_seconds` allow.

    `pair`: what may wait from one seat for another. An honest sender keeps a window, and sends it again when it dials
    anew: four of them. `memory`: what may wait at this relay altogether. One job may take a `share`th of what is free
    of it, so that whoever comes later always finds something; beyond it frames are dropped, like those for a seat that
    is not there, and sent again later. `tiny`: frames under a kilobyte that a seat may send in a second; who sends more
    is read more slowly. `door`, `door_each`: who may stand at the door, and from one address.
    """

    pair: int = 4 * WINDOW_BYTES
    memory: int = 1 << 30
    share: int = 8
    tiny: float = 5000.0
    door: int = 512
    door_each: int = 32
    answer: float = 5.0
    seats: int = 8192
    rooms: int = 1000
    remembered: int = 50_000
    dials: int = 30
    dial_seconds: float = 1.0
    idle: float = 60.0
    ping: float = 10.0
    look: float = 1.0


@dataclass
class Job:
    """What all sessions of a job have sent so far (kept until its tokens are over), and what of it waits here."""

    expires: int
    used: int = 0
    waiting: int = 0


@dataclass
class Seat:
    """One connection, and what waits to be delivered to it: from every other seat in order, one frame of each in turn,
    so that no seat's signs of life wait behind another's bulk."""

    socket: ServerConnection
    claims: Claims
    job: Job
    pace: Allowance
    heard: float
    queues: dict[int, deque[bytes]] = field(default_factory=dict)  # by the seat that they are from, next turn first
    queued: Counter[int] = field(default_factory=Counter)  # bytes, by the same
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, frame: bytes) -> None:
        self.queues.setdefault(frame[0], deque()).append(frame)
        self.queued[frame[0]] += _cost(frame)
        self.ready.set()

    def take(self) -> bytes:
        """The next frame; there is one."""
        source = next(iter(self.queues))
        waiting = self.queues.pop(source)
        frame = waiting.popleft()
        if waiting:
            self.queues[source] = waiting  # the others come first
        return frame

    def took(self, frame: bytes) -> None:
        self.queued[frame[0]] -= _cost(frame)


def _cost(frame: bytes) -> int:
    return len(frame) + OVERHEAD


@dataclass
class Room:
    """One session: its job, and its seats now."""

    expires: int
    job: Job
    seats: dict[int, Seat] = field(default_factory=dict)
    dials: dict[int, Allowance] = field(default_factory=dict)


class _Guest(ServerConnection):
    """Stands at the door until it has shown that it may come in. Acknowledges TCP segments at once: through proxies
    without TCP_NODELAY every round would cost 40 ms."""

    door: Doorway[_Guest]
    claims: Claims
    token: str

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if leaves := self.door.came(self, str(peer[0]) if peer else ""):
            leaves.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.door.left(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)


class Relay:
    """Admission and delivery."""

    def __init__(self, key: bytes, *, audience: str = AUDIENCE, limits: Limits | None = None,
                 crowds: Collection[str] = ("127.0.0.1", "::1"), clock: Callable[[], float] = time.time) -> None:
        self._key, self._audience = Ed25519PublicKey.from_public_bytes(key), audience
        self._limits, self._clock = limits or Limits(), clock
        self.door: Doorway[_Guest] = Doorway(self._limits.door, self._limits.door_each, crowds)
        self.rooms: dict[str, Room] = {}
        self.jobs: dict[str, Job] = {}
        self.waiting = 0  # bytes in all queues
        self.seated = 0
        self.frames = self.bytes = self.refused = 0

    def serve(self, host: str, port: int) -> AbstractAsyncContextManager[Server]:
        """The server, as a context manager."""
        class Guest(_Guest):
            door = self.door

        return serve(
            self._serve, host, port, process_request=self._admit, compression=None, max_size=FRAME + HEAD.size,
            max_queue=16, write_limit=1 << 18, open_timeout=5, ping_interval=self._limits.ping,
            ping_timeout=self._limits.ping, close_timeout=1, server_header=None, create_connection=Guest)

    # Before the upgrade.

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        guest = cast(_Guest, connection)
        guest.token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = read(guest.token, self._key, now=self._clock(), audience=self._audience)
        except RelayRefused as error:
            self.refused += 1
            return connection.respond(http.HTTPStatus.UNAUTHORIZED, f"{error.text}\n")
        room = self.rooms.get(claims.room)
        if (room is None and not self._make_room()) or self.seated >= self._limits.seats:
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        room = self._room(claims)
        if not self._dials(room, claims.seat).has(time.monotonic()):
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, "too many connections\n")
        if room.job.used > claims.bytes:
            return connection.respond(http.HTTPStatus.FORBIDDEN, "the job's bytes are used up\n")
        guest.claims = claims
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

    def _dials(self, room: Room, seat: int) -> Allowance:
        limits = self._limits
        return room.dials.setdefault(seat, Allowance.full(limits.dials, 1 / limits.dial_seconds, time.monotonic()))

    # After it.

    async def _serve(self, connection: ServerConnection) -> None:
        guest = cast(_Guest, connection)
        if not await self._is_holder(guest):
            self.refused += 1
            await guest.close(NOT_HELD)
            return
        self.door.left(guest)
        claims, now = guest.claims, time.monotonic()
        room = self._room(claims)
        if self._dials(room, claims.seat).take(now):  # counted here: who stole a token costs its holder no dial
            await guest.close(OFTEN)
            return
        await self._seated(room, Seat(guest, claims, room.job, Allowance.full(
            2 * self._limits.tiny, self._limits.tiny, now), now))

    async def _is_holder(self, guest: _Guest) -> bool:
        nonce = secrets.token_bytes(NONCE)
        try:
            async with asyncio.timeout(self._limits.answer):
                await guest.send(nonce)
                proof = await guest.recv()
        except (TimeoutError, ConnectionClosed):
            return False
        return isinstance(proof, bytes) and is_held(guest.claims, guest.token, nonce, proof)

    async def _seated(self, room: Room, seat: Seat) -> None:
        connection, claims = seat.socket, seat.claims
        if before := room.seats.get(claims.seat):  # who dials again wins over a connection that may be half dead
            _end(before.socket, SUPERSEDED, "superseded")
        room.seats[claims.seat] = seat
        self.seated += 1
        sender = asyncio.ensure_future(self._deliver(seat))
        try:
            async for frame in connection:
                if code := self._pass(room, seat, frame):
                    await connection.close(code)
                    return
                if len(frame) < TINY and (wait := seat.pace.take(time.monotonic())):
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(connection.wait_closed(), wait)
        except ConnectionClosed:
            pass
        finally:
            sender.cancel()
            self.seated -= 1
            self._settle(seat, seat.queued.total())
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
        if target.queued[seat.claims.seat] + _cost(frame) > self._limits.pair:
            return WINDOW
        if (seat.job.waiting + _cost(frame)) * self._limits.share <= self._limits.memory - self.waiting:
            self._put(target, bytes([seat.claims.seat]) + frame[1:])
        return 0

    def _put(self, target: Seat, frame: bytes) -> None:
        target.put(frame)
        self._settle(target, -_cost(frame))

    def _settle(self, target: Seat, size: int) -> None:
        """So many bytes fewer wait for this seat."""
        self.waiting -= size
        target.job.waiting -= size

    async def _deliver(self, seat: Seat) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                while not seat.queues:
                    seat.ready.clear()
                    await seat.ready.wait()
                frame = seat.take()
                await seat.socket.send(frame)
                if seat.queued:  # it may have left meanwhile: then all of it is settled
                    seat.took(frame)
                    self._settle(seat, _cost(frame))

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


def _files(wanted: int) -> int:
    """Raise the number of open files as far as this process may; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mpc.relay", description=__doc__.partition("\n")[0])
    parser.add_argument("--listen", required=True, metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--key", required=True, metavar="HEX", help="the public key under which tokens are made")
    parser.add_argument("--audience", default=AUDIENCE, help="the name under which tokens know this relay")
    parser.add_argument("--idle", type=float, default=Limits.idle, help="seconds without a frame that end a connection")
    parser.add_argument("--terminator", action="append", default=["127.0.0.1", "::1"], metavar="ADDRESS",
                        help="where a TLS terminator connects from: many guests share that address")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parse(arguments)
    host, _, port = given.listen.rpartition(":")
    spare = Limits.door + FILES
    limits = replace(Limits(), idle=given.idle, seats=min(Limits.seats, _files(Limits.seats + spare) - spare))
    try:
        relay = Relay(bytes.fromhex(given.key), audience=given.audience, limits=limits, crowds=given.terminator)
    except ValueError:
        sys.stderr.write("relay: --key is not an Ed25519 public key in hex\n")
        return 2

    def started(server: Server) -> None:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stdout.write(json.dumps({"listening": f"{host}:{port}", "seats": limits.seats}) + "\n")
        sys.stdout.flush()

    asyncio.run(run(relay, host, int(port), started=started))
    return 0


if __name__ == "__main__":
    sys.exit(main())
