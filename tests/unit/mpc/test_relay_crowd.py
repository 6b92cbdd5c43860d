"""Many at one relay: no job starves another, no stranger keeps the door, a token that was only read seats nobody."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mpc import relay as program
from mpc.crowd import Allowance, Doorway
from mpc.errors import RelayRefused
from mpc.relay import OVERHEAD, Job, Limits, Room, Seat
from mpc.token import Claims, holder_of
from mpc.transport.carrier import Broken, Carrier, Connection, Relay, WebSocketCarrier
from mpc.transport.identity import Place, SessionIdentity
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Peer, Setting
from mpc.transport.window import ACK, FRAME, HEAD, WINDOW
from tests.simulators.relay_at_hand import BEARER, RelayAtHand
from tests.unit.mpc.relay_meetings import frame, meet


def identity(seat: int) -> SessionIdentity:
    return SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place("cd" * 32, 1, seat), now=datetime.now(UTC))


def dialled(at: RelayAtHand, seat: int, *, key: bytes = BEARER, **token: Any) -> Any:
    token = {"room": "room", **token}
    return WebSocketCarrier(Relay(at.url, at.token(seat, 4, **token), key=key)).connect()


@pytest.mark.parametrize("payload", [b"", bytes(FRAME)])
def test_jobs_that_take_all_they_can_leave_something_for_the_next(payload: bytes) -> None:
    """Twenty jobs of two seats that conspire: one sends, the other reads nothing. What they may hold counts by job, and
    what a frame costs besides its bytes counts too."""
    limits = Limits(memory=1 << 24)
    relay = program.Relay(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), limits=limits)

    def room(name: str) -> tuple[Room, list[Seat]]:
        made = Room(1, Job(1))
        for seat in (0, 1):
            made.seats[seat] = Seat(SimpleNamespace(), Claims(name, name, seat, 2, 1, 1 << 40, name),  # type: ignore[arg-type]
                                    made.job, Allowance.full(1, 1, 0.0), 0.0)
        return made, list(made.seats.values())

    for number in range(20):
        hoard, seats = room(str(number))
        for sender in (0, 1):
            for _ in range((1 << 24) // (len(payload) + OVERHEAD)):
                before = relay.waiting
                assert relay._pass(hoard, seats[sender], frame(1 - sender, payload)) == 0
                if relay.waiting == before:
                    break
        assert hoard.job.waiting <= limits.memory // 9
    assert relay.waiting < limits.memory
    honest, seats = room("honest")
    assert relay._pass(honest, seats[0], frame(1, payload)) == 0
    assert len(seats[1].queues[0]) == 1


def test_who_sends_nothing_but_tiny_frames_is_read_at_a_pace(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(tiny=1.0)

    async def act(stack: AsyncExitStack) -> None:
        one, zero, two = [await stack.enter_async_context(dialled(at, seat)) for seat in (1, 0, 2)]
        for _ in range(50):
            await zero.send(frame(1, type=ACK))
        await two.send(frame(1, bytes(FRAME)))
        seen: list[int] = []
        while not seen or seen[-1] != 2:
            seen.append((await one.receive())[0])
        assert len(seen) < 50

    meet(act)


def test_an_allowance_is_used_up_and_comes_back() -> None:
    one = Allowance.full(2, 0.5, 100.0)
    assert [one.take(100.0), one.take(100.0), one.take(100.0)] == [0.0, 0.0, 2.0]
    assert not one.has(101.0)
    assert one.has(104.0) and one.take(200.0) == 0.0 and one.left == 1.0


def test_who_has_stood_longest_at_the_door_gives_way() -> None:
    door: Doorway[str] = Doorway(4, 2, ["terminator"])
    assert [door.came(who, "a") for who in ("a1", "a2", "a3")] == [None, None, "a1"]
    assert [door.came(who, "terminator") for who in ("t1", "t2", "t3")] == [None, None, "a2"]
    door.left("a3")
    door.left("a3")
    door.left("nobody")
    assert len(door) == 3 and door.came("b1", "b") is None and door.came("b2", "b") == "t1"


def test_strangers_that_say_nothing_keep_nobody_out(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(door=3)

    async def act(stack: AsyncExitStack) -> None:
        strangers = [await asyncio.open_connection("127.0.0.1", at.port) for _ in range(8)]
        for reader, _ in strangers[:5]:
            assert await reader.read(1) == b""
        zero, one = [await stack.enter_async_context(dialled(at, seat)) for seat in (0, 1)]
        await zero.send(frame(1))
        assert (await one.receive())[0] == 0
        for _, writer in strangers:
            writer.close()

    meet(act)


def test_no_more_are_seated_than_there_are_files_for(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(seats=1)

    async def act(stack: AsyncExitStack) -> None:
        async with dialled(at, 0):
            with pytest.raises(Broken, match="503"):
                await stack.enter_async_context(dialled(at, 1))
        while at.relay.seated:
            await asyncio.sleep(0.01)
        await stack.enter_async_context(dialled(at, 1))

    meet(act)


def test_it_opens_as_many_files_as_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: asked.append(limits))
    for soft, hard, found in ((1024, 4096, 4096), (1024, 1 << 20, 9000), (20_000, 30_000, 20_000),
                              (1024, resource.RLIM_INFINITY, 9000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, both=(soft, hard): both)
        assert program._files(9000) == found
    assert asked == [(4096, 4096), (9000, 1 << 20), (9000, resource.RLIM_INFINITY)]


def test_a_token_is_of_use_to_its_holder_alone(limited: Callable[..., RelayAtHand]) -> None:
    """Who reads one on the way (a clear ws, a proxy that opens TLS) neither takes the seat nor uses up its dials."""
    at, own, thief = limited(dials=2, dial_seconds=600), identity(0), identity(0)
    token: dict[str, Any] = {"holder": holder_of(own.certificate)}

    async def act(stack: AsyncExitStack) -> None:
        one = await stack.enter_async_context(dialled(at, 1))
        zero = await stack.enter_async_context(dialled(at, 0, key=own.private_key, **token))
        for key in (b"", thief.private_key, thief.private_key):
            async with dialled(at, 0, key=key, **token) as stolen:
                with pytest.raises(RelayRefused, match="another"):
                    await stolen.receive()
        await zero.send(frame(1, b"still here"))
        assert (await one.receive())[HEAD.size:] == b"still here"
        await stack.enter_async_context(dialled(at, 0, key=own.private_key, **token))

    meet(act)


class Slow:
    """A carrier whose owner reads only while `open` is set, and whose connection can be broken from outside."""

    def __init__(self, inner: Carrier) -> None:
        self.inner, self.open = inner, threading.Event()
        self.open.set()
        self.raw: Any = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        async with self.inner.connect() as connection:
            self.raw, self._loop = connection._raw, asyncio.get_running_loop()  # type: ignore[attr-defined]
            self._connection = connection
            yield self

    async def send(self, frame: bytes) -> None:
        await self._connection.send(frame)

    async def receive(self) -> bytes:
        while not self.open.is_set():
            await asyncio.sleep(0.01)
        return await self._connection.receive()

    def cut(self) -> None:
        self._loop.call_soon_threadsafe(self.raw.transport.abort)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_honest_sender_whose_connection_drops_before_a_slow_reader_is_not_thrown_out(
        limited: Callable[..., RelayAtHand]) -> None:
    at, names = limited(), [identity(seat) for seat in (0, 1)]
    carriers = [Slow(WebSocketCarrier(Relay(at.url, at.token(seat, 2), key=BEARER))) for seat in (0, 1)]
    meshes = [Mesh(Setting("ab" * 32, seat, 1, "plan", 10, time.monotonic() + 120, 60.0, 60.0), names[seat],
                   {1 - seat: Peer(1 - seat, names[1 - seat].certificate)}, carriers[seat]) for seat in (0, 1)]
    sender, reader = meshes
    linking = [threading.Thread(target=mesh.link) for mesh in meshes]
    for thread in linking:
        thread.start()
    for thread in linking:
        thread.join(60)
        assert not thread.is_alive()
    carriers[1].open.clear()
    piece = bytes(1 << 20)
    for _ in range(24):
        sender.send(1, b"T", piece)
    until(lambda: sender._links[1].window.inflight > WINDOW - 2 * FRAME)
    for dials in range(2, 8):
        carriers[0].cut()
        until(lambda dials=dials: sender.dials == dials)  # type: ignore[misc]
        frames = at.relay.frames
        for mesh in meshes:  # signs of life, in both directions
            link = next(iter(mesh._links.values()))
            mesh._call(link.window.pulse)
            mesh._call(mesh._wake.set)
        until(lambda frames=frames: at.relay.frames >= frames + 2)  # type: ignore[misc]
        time.sleep(0.05)  # so that a sender that sends everything again would have begun
    carriers[1].open.set()
    assert all(reader.recv(0, b"T") == piece for _ in range(24))
    assert (sender.failure, reader.failure) == (None, None)
    for mesh in meshes:
        mesh.close(grace=0.2)
