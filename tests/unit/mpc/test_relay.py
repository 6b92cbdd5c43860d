"""The relay itself, on loopback: who is let in, what is passed on, and what ends a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import canonical, to_b64
from mpc import relay as program
from mpc.errors import RelayRefused
from mpc.token import CONTEXT, Claims, mint, read
from mpc.transport.carrier import Broken, Connection, Relay, WebSocketCarrier
from mpc.transport.window import ACK, DATA, FRAME, GONE, HEAD
from tests.simulators.relay_at_hand import BEARER, RelayAtHand
from tests.unit.mpc.relay_meetings import frame, meet

ROOM = "ab" * 32
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def open_relay() -> Iterator[RelayAtHand]:
    made = RelayAtHand()
    yield made
    made.stop()


@asynccontextmanager
async def dialled(at: RelayAtHand, seat: int, token: str = "", *, room: str = "", job: str = "",
                  **claims: int) -> AsyncIterator[Connection]:
    token = token or at.token(seat, 4, room=room or str(id(at)), job=job, **claims)
    async with WebSocketCarrier(Relay(at.url, token, key=BEARER)).connect() as connection:
        yield connection


def test_it_works(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        zero = await stack.enter_async_context(dialled(open_relay, 0, room="works"))
        one = await stack.enter_async_context(dialled(open_relay, 1, room="works"))
        other = await stack.enter_async_context(dialled(open_relay, 1, room="another"))
        await zero.send(frame(1, b"sealed"))
        assert await one.receive() == HEAD.pack(0, DATA, 7, 3) + b"sealed"
        await zero.send(frame(3, b"nobody sits there"))
        await zero.send(frame(1, b"next"))
        assert (await one.receive())[HEAD.size:] == b"next"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await other.receive()

    meet(act)


def test_who_leaves_is_reported_by_the_relay_alone(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        zero = await stack.enter_async_context(dialled(open_relay, 0, room="leaves"))
        async with dialled(open_relay, 1, room="leaves") as one:
            await one.send(frame(0))
            await zero.receive()
        assert (await zero.receive())[:2] == bytes([1, GONE])
        async with dialled(open_relay, 1, room="leaves") as one:
            await one.send(frame(0, type=GONE))
            with pytest.raises(Broken):
                await one.receive()

    meet(act)


@pytest.mark.parametrize("junk", [b"", bytes(HEAD.size - 1), bytes(FRAME + HEAD.size + 1)])
def test_what_is_no_frame_ends_the_connection(open_relay: RelayAtHand, junk: bytes) -> None:
    async def act(stack: AsyncExitStack) -> None:
        one = await stack.enter_async_context(dialled(open_relay, 1, room="junk"))
        await one.send(junk)
        with pytest.raises(Broken):
            await one.receive()

    meet(act)


def claims(**changed: object) -> Claims:
    return Claims(**{"room": ROOM, "job": "cd" * 32, "seat": 1, "seats": 4, "expires": NOW + 9, "bytes": 5,
                     "holder": "ef" * 32, **changed})  # type: ignore[arg-type]


def test_a_token_says_what_was_put_into_it() -> None:
    key = Ed25519PrivateKey.generate()
    assert read(mint(key, claims()), key.public_key(), now=NOW) == claims()


@pytest.mark.parametrize("changed", [
    {"expires": NOW}, {"seat": 4}, {"seat": -1}, {"seat": True}, {"seats": 18}, {"room": "ab"}, {"bytes": -1},
    {"audience": "another"}, {"expires": "never"}, {"room": 5}, {"job": "x"},
    {"holder": ""}, {"holder": "x"}, {"holder": None},
])
def test_a_token_that_says_something_else_is_refused(changed: dict[str, object]) -> None:
    key = Ed25519PrivateKey.generate()
    body = to_b64(canonical(vars(claims(**changed))))
    with pytest.raises(RelayRefused):
        read(f"{body}.{to_b64(key.sign(CONTEXT + body.encode()))}", key.public_key(), now=NOW)


def test_no_token_is_made_for_just_anybody() -> None:
    with pytest.raises(RelayRefused):
        mint(Ed25519PrivateKey.generate(), claims(holder=""))


def test_a_token_of_another_key_or_form_is_refused() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    good = mint(key, claims())
    body, signature = good.split(".")
    surplus = to_b64(canonical({"room": ROOM, "admin": True}))
    forms = [mint(other, claims()), "", ".", "a.b", good + "." + good, body, f"{body}.{signature[:-4]}", "x" * 5000,
             f"{surplus}.{to_b64(key.sign(CONTEXT + surplus.encode()))}", f"{body}.{to_b64(key.sign(body.encode()))}"]
    for form in forms:
        with pytest.raises(RelayRefused):
            read(form, key.public_key(), now=NOW)


def test_a_stranger_gets_401_and_costs_no_room(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        rooms = len(open_relay.relay.rooms)
        stranger = mint(Ed25519PrivateKey.generate(), claims())
        for token in ("nonsense", stranger, mint(open_relay.key, claims(expires=9))):
            with pytest.raises(RelayRefused, match="401"):
                await stack.enter_async_context(dialled(open_relay, 0, token))
        assert len(open_relay.relay.rooms) == rooms

    meet(act)


def test_the_bytes_of_a_job_are_counted_over_all_its_connections(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        for seat in (0, 1, 2):
            async with dialled(open_relay, seat, room="bytes", most=100_000) as one:
                await one.send(frame(3, bytes(30_000)))
                await one.send(frame(seat))
        one = await stack.enter_async_context(dialled(open_relay, 0, room="bytes", most=100_000))
        await one.send(frame(3, bytes(30_000)))
        with pytest.raises(RelayRefused, match="used up"):
            await one.receive()
        with pytest.raises(RelayRefused, match="403"):
            await stack.enter_async_context(dialled(open_relay, 1, room="bytes", most=100_000))

    meet(act)


def test_a_second_session_of_a_job_gets_no_quota_of_its_own(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        async with dialled(open_relay, 0, room="first attempt", job="one", most=50_000) as one:
            await one.send(frame(3, bytes(30_000)))
            await one.send(frame(0))
        again = await stack.enter_async_context(dialled(open_relay, 0, room="second", job="one", most=50_000))
        await again.send(frame(3, bytes(30_000)))
        with pytest.raises(RelayRefused, match="used up"):
            await again.receive()
        other = await stack.enter_async_context(dialled(open_relay, 0, room="third", job="two", most=50_000))
        await other.send(frame(3, bytes(30_000)))
        await other.send(frame(1))

    meet(act)


def test_what_one_seat_piles_up_costs_no_other_its_place(limited: Callable[..., RelayAtHand]) -> None:
    """Beyond what the relay may hold altogether, frames are dropped: their senders have them still."""
    at = limited(pair=1 << 19, memory=1 << 30)

    async def act(stack: AsyncExitStack) -> None:
        await stack.enter_async_context(dialled(at, 1))
        zero, two = [await stack.enter_async_context(dialled(at, seat)) for seat in (0, 2)]
        with pytest.raises(RelayRefused, match="window"):
            for _ in range(4000):
                await zero.send(frame(1, bytes(FRAME)))
            await zero.receive()
        await two.send(frame(1, bytes(FRAME)))
        while (await two.receive())[:2] != bytes([0, GONE]):
            pass
        await two.send(frame(1, bytes(FRAME)))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await two.receive()

    meet(act)


def test_the_relay_holds_only_so_much_altogether(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(memory=1 << 18)

    async def act(stack: AsyncExitStack) -> None:
        one = await stack.enter_async_context(dialled(at, 1))
        zero = await stack.enter_async_context(dialled(at, 0))
        for _ in range(200):
            await zero.send(frame(1, bytes(FRAME)))
            assert at.relay.waiting <= 1 << 18
        with pytest.raises(TimeoutError):
            while True:
                async with asyncio.timeout(0.5):
                    await one.receive()
        assert at.relay.waiting == 0

    meet(act)


def test_a_token_that_ends_ends_its_connection(limited: Callable[..., RelayAtHand]) -> None:
    async def act(stack: AsyncExitStack) -> None:
        one = await stack.enter_async_context(dialled(limited(look=0.05), 0, seconds=2))
        with pytest.raises(RelayRefused, match="over"):
            await one.receive()

    meet(act)


def test_a_seat_that_says_nothing_is_let_go(limited: Callable[..., RelayAtHand]) -> None:
    async def act(stack: AsyncExitStack) -> None:
        one = await stack.enter_async_context(dialled(limited(look=0.05, idle=0.3), 0))
        with pytest.raises(Broken):
            await one.receive()

    meet(act)


def test_who_dials_too_often_waits(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(dials=2, dial_seconds=600)

    async def act(stack: AsyncExitStack) -> None:
        for _ in range(2):
            async with dialled(at, 0):
                pass
        with pytest.raises(Broken, match="429"):
            await stack.enter_async_context(dialled(at, 0))
        await stack.enter_async_context(dialled(at, 1))

    meet(act)


def test_a_full_house_sends_newcomers_away(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(rooms=1)

    async def act(stack: AsyncExitStack) -> None:
        await stack.enter_async_context(dialled(at, 0, room="first"))
        with pytest.raises(Broken, match="503"):
            await stack.enter_async_context(dialled(at, 0, room="second"))
        await stack.enter_async_context(dialled(at, 1, room="first"))

    meet(act)


def test_who_fills_a_queue_that_is_not_read_is_sent_away(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(pair=1 << 20)

    async def act(stack: AsyncExitStack) -> None:
        await stack.enter_async_context(dialled(at, 1))
        zero = await stack.enter_async_context(dialled(at, 0))
        with pytest.raises(RelayRefused, match="window"):
            for _ in range(4000):
                await zero.send(frame(1, bytes(FRAME)))
            await zero.receive()

    meet(act)


def test_who_dials_again_takes_the_seat(open_relay: RelayAtHand) -> None:
    async def act(stack: AsyncExitStack) -> None:
        old = await stack.enter_async_context(dialled(open_relay, 0, room="again"))
        new = await stack.enter_async_context(dialled(open_relay, 0, room="again"))
        with pytest.raises(Broken):
            await old.receive()
        one = await stack.enter_async_context(dialled(open_relay, 1, room="again"))
        await one.send(frame(0, type=ACK))
        assert (await new.receive())[0] == 1

    meet(act)


def test_it_forgets_what_is_over(limited: Callable[..., RelayAtHand]) -> None:
    at = limited(look=0.05)

    async def act(stack: AsyncExitStack) -> None:
        async with dialled(at, 0, seconds=2):
            assert len(at.relay.rooms) == 1
        while at.relay.rooms:
            await asyncio.sleep(0.05)

    meet(act)


def test_it_says_that_it_is_well(open_relay: RelayAtHand) -> None:
    async def act(_: AsyncExitStack) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", open_relay.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await reader.read(100)
        writer.close()

    meet(act)


def test_a_key_that_is_none_is_refused_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--listen", "127.0.0.1:0", "--key", "no key"]) == 2
    assert "--key" in capsys.readouterr().err
