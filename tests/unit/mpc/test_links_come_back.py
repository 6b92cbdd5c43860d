"""Who leaves may come back, and nobody is named for what the way did: links that flap, swallow, crawl, stand still."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterator

import pytest

from mpc.errors import DeadlinePassed, MpcError, Stopped
from mpc.transport import memory
from mpc.transport.carrier import Broken
from mpc.transport.memory import MemoryRelay, Routed
from mpc.transport.window import ACK, DATA, FRAME, Frame
from tests.unit.mpc.test_links import SEATS, Net

OTHERS = (0, 2, 3)  # than seat 1


class Gate(MemoryRelay):
    """Lets nobody come (back) whose seat is `shut` out."""

    shut: Collection[int] = ()

    def come(self, seat: int, joined: memory._Seat) -> None:
        if seat in self.shut:
            raise Broken("shut")
        super().come(seat, joined)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    made.relay = Gate()
    yield made
    made.relay.shut = ()
    for mesh in made.meshes:
        mesh.close(grace=0.1)


def linked(net: Net, **changes: float) -> Gate:
    """All links are up."""
    net.every(**changes)
    net.build()
    assert set(net.link().values()) == {None}
    assert isinstance(net.relay, Gate)
    return net.relay


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def said(found: dict[int, object]) -> dict[int, object]:
    """Codes and names in place of errors."""
    return {seat: (one.code, one.about_seat) if isinstance(one, MpcError) else one for seat, one in found.items()}


def away(net: Net, seat: int, relay: Gate) -> None:
    """The connection of this seat breaks, and all others have seen it leave."""
    relay.shut = (seat,)
    relay.cut(seat)
    until(lambda: all(mesh._links[seat].gone for mesh in net.meshes if mesh.seat != seat))


def test_an_outage_of_our_own_is_not_held_against_who_left_before_it(net: Net) -> None:
    """As when a TLS terminator is started anew: first one connection breaks, then all, and all for longer than a peer
    may be away."""
    relay = linked(net, silence=10.0, patience=20.0)
    away(net, 1, relay)
    relay.shut = range(SEATS)
    relay.cut()
    until(lambda: all(time.monotonic() - (mesh._links[1].gone or 0) > 2 * mesh.setting.grace
                      for mesh in net.meshes if mesh.seat != 1))
    relay.shut = (1,)
    until(lambda: all(net.meshes[seat]._connected for seat in OTHERS))
    looked = {seat: net.meshes[seat]._turned for seat in OTHERS}
    until(lambda: all(net.meshes[seat]._turned > before for seat, before in looked.items()))
    assert [net.meshes[seat].failure for seat in OTHERS] == [None] * len(OTHERS)
    relay.shut = ()


def test_a_last_message_waits_for_a_peer_that_dials_again(net: Net) -> None:
    """Who said all it had to say stays for who left just now: else one had sealed, and the other called it lost."""
    relay = linked(net, silence=20.0)
    away(net, 2, relay)
    net.meshes[0].send(2, b"T", b"last")
    leaving = threading.Thread(target=net.meshes[0].close)
    leaving.start()
    until(lambda: net.meshes[0]._ending)
    time.sleep(0.2)  # time enough to leave
    relay.shut = ()
    assert net.meshes[2].recv(0, b"T") == b"last"
    leaving.join(30)
    assert not leaving.is_alive()


def test_a_reason_waits_for_a_peer_that_dials_again(net: Net) -> None:
    relay = linked(net, silence=20.0)
    away(net, 2, relay)
    net.meshes[1].fail(Stopped("stop", code="grant.revoked"))

    def act(seat: int) -> object:
        if seat == 1:
            return net.meshes[1].close()
        if seat == 2:
            time.sleep(0.2)
            relay.shut = ()
        return net.meshes[seat].recv(0 if seat else 2, b"T")

    assert said(net.each(act)) == {1: None} | dict.fromkeys(OTHERS, ("grant.revoked", 1))


def test_a_relay_that_swallows_everything_gets_nobody_named(net: Net) -> None:
    relay = linked(net, silence=1.0)
    relay.tamper = lambda *_: ()
    found = said(net.each(lambda seat: net.meshes[seat].recv((seat + 1) % SEATS, b"T")))
    assert found == dict.fromkeys(range(SEATS), ("relay.lost", None))


def test_one_peer_that_alone_is_not_heard_is_named(net: Net) -> None:
    relay = linked(net, silence=1.0)
    relay.tamper = lambda source, target, frame: () if 1 in (source, target) else [(target, frame)]
    found = set(said(net.each(lambda seat: net.meshes[seat].recv(1, b"T"), OTHERS)).values())
    assert found <= {("session.peer_silent", 1), ("session.peer_lost", 1)}


@pytest.mark.parametrize("number", [1, 2])
def test_a_handshake_cut_short_gets_nobody_named(net: Net, number: int) -> None:
    """Signs of life come from both ends, and no TLS session."""
    net.every(silence=3.0, patience=5.0)
    seen = 0

    def lie(source: int, target: int, frame: bytes) -> list[Routed]:
        nonlocal seen
        if {source, target} == {0, 1} and frame[1] == DATA:
            seen += 1
            frame = frame[:-3] if seen == number else frame
        return [(target, frame)]

    net.relay.tamper = lie
    net.build()
    found = said(net.each(lambda seat: (net.meshes[seat].link(), net.meshes[seat].recv((seat + 1) % SEATS, b"T"))))
    assert found == dict.fromkeys(range(SEATS), ("relay.tampered", None))


def test_a_reason_arrives_over_a_slow_line(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 Mbit/s, and 6 MB on their way: longer than `close` waits for a peer that says nothing at all."""
    linked(net, silence=10.0)
    honest, begun = memory._Seat.send, set()

    async def slow(self: memory._Seat, frame: bytes) -> None:
        await honest(self, frame)
        if self._seat == 0:
            if len(frame) > FRAME // 2:
                begun.add(frame[0])
            await asyncio.sleep(len(frame) / 1_250_000)

    monkeypatch.setattr(memory._Seat, "send", slow)

    def speak() -> None:
        for other in range(1, SEATS):
            net.meshes[0].send(other, b"T", bytes(2_000_000))
        until(lambda: len(begun) == SEATS - 1)
        net.meshes[0].fail(Stopped("stop", code="grant.revoked"))
        net.meshes[0].close()

    def listen(seat: int) -> None:
        while True:
            net.meshes[seat].recv(0, b"T")

    found = said(net.each(lambda seat: listen(seat) if seat else speak()))
    assert found == {0: None} | dict.fromkeys(range(1, SEATS), ("grant.revoked", 0))


def test_who_only_listens_over_a_slow_line_is_heard(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its signs of life do not wait for acknowledgements, which come behind the bulk. 16 Mbit/s, by turns."""
    linked(net, silence=2.0, deadline=time.monotonic() + 300)
    honest = memory._Seat.receive
    waiting: dict[int, list[bytes]] = {}

    async def slow(self: memory._Seat) -> bytes:
        if self._seat:
            return await honest(self)
        while not (waiting and self._queue.empty()):
            frame = await honest(self)
            waiting.setdefault(frame[0], []).append(frame)
        source = next(iter(waiting))
        first, *rest = waiting.pop(source)
        if rest:
            waiting[source] = rest
        await asyncio.sleep(len(first) / 2_000_000)
        return first

    monkeypatch.setattr(memory._Seat, "receive", slow)

    def act(seat: int) -> object:
        if seat == 3:
            net.meshes[3].send(0, b"T", bytes(14_000_000))
        elif seat == 0:
            assert len(net.meshes[0].recv(3, b"T")) == 14_000_000
            for other in (1, 2, 3):
                net.meshes[0].send(other, b"N", b"read")
        return net.meshes[seat].recv(0, b"N") if seat else None

    assert said(net.each(act)) == {0: None} | dict.fromkeys((1, 2, 3), b"read")


def test_who_dials_late_is_no_liar(net: Net) -> None:
    """Heard for a moment when patience ends, its handshake has had no time."""
    net.every(silence=10.0, patience=30.0, deadline=time.monotonic() + 300)
    net.build()
    mesh, now = net.meshes[0], time.monotonic()
    mesh._connected, mesh.dials = True, 1
    mesh.floors = dict.fromkeys((0, 2, 3), 10)
    mesh._links[1].took(Frame(1, ACK, 0, 0, memoryview(b"")), now + 30.8)
    mesh._turned = now + 30.8
    with pytest.raises(MpcError) as late:
        mesh._look_at_the_clock(now + 31.0)
    assert (late.value.code, late.value.about_seat) == ("session.peer_silent", 1)


def test_one_frame_after_a_peer_left_gets_it_not_named(net: Net) -> None:
    """Somebody else must be heard while it stays away, not just a moment after it left: the way may be dead by then."""
    net.every(silence=10.0)
    net.build()
    mesh, now = net.meshes[0], time.monotonic()
    mesh._connected, mesh.dials, mesh.floors = True, 1, dict.fromkeys(range(SEATS), 10)
    mesh._links[1].left(now + 0.1)
    mesh._links[2].heard = now + 0.2
    for tenth in range(50):
        mesh._look_at_the_clock(now + tenth / 10)
    mesh._links[2].heard = now + 5.0
    with pytest.raises(MpcError) as lost:
        mesh._look_at_the_clock(now + 5.0)
    assert (lost.value.code, lost.value.about_seat) == ("session.peer_lost", 1)


@pytest.mark.parametrize("stood", [4.0, 7.0])
def test_the_time_for_which_this_end_stood_still_is_nobodys(net: Net, stood: float) -> None:
    net.every(silence=10.0)
    net.build()
    mesh, now = net.meshes[0], time.monotonic()
    mesh.floors, mesh._connected, mesh.dials, mesh._turned = dict.fromkeys(range(SEATS), 10), True, 1, now
    mesh._links[1].gone = now + 0.1
    mesh._look_at_the_clock(now + stood)
    mesh._look_at_the_clock(now + stood + 0.1)
    with pytest.raises(MpcError) as lost:
        for tenth in range(40):
            mesh._links[2].heard = now + stood + 0.2 + tenth / 10
            mesh._look_at_the_clock(mesh._links[2].heard)
    assert (lost.value.code, lost.value.about_seat) == ("session.peer_lost", 1)


def test_who_says_too_early_that_time_ran_out_is_named_itself(net: Net) -> None:
    """Else one hospital, or a clock that is wrong, could have any other blamed."""
    linked(net, deadline=time.monotonic() + 600)
    waiting = threading.Thread(target=lambda: net.each(lambda seat: net.meshes[seat].recv(2, b"T"), (0,)))
    waiting.start()
    until(lambda: net.meshes[0]._awaited == 2)
    net.meshes[1].fail(DeadlinePassed("late"))
    waiting.join(30)
    failure = net.meshes[0].failure
    assert failure is not None and (failure.code, failure.about_seat) == ("session.deadline", 1)


def test_links_that_ended_in_this_end_name_nobody(net: Net) -> None:
    linked(net)
    mesh = net.meshes[0]
    assert mesh._running is not None
    mesh._call(mesh._running.cancel)
    until(lambda: not mesh._thread.is_alive())
    with pytest.raises(MpcError) as over:
        mesh.recv(1, b"T")
    assert over.value.about_seat is None
