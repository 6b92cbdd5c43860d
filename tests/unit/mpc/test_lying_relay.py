"""A relay that lies: whatever it does to frames, a party gets the bytes that its peer sent, or an end with a name.

Each lie has its own end, at every seat, and none of them gets a hospital blamed for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from mpc.errors import MpcError
from mpc.transport.memory import MemoryRelay, Routed
from mpc.transport.mesh import Mesh
from mpc.transport.window import ACK, DATA, FRAME, GONE, HEAD
from tests.unit.mpc.test_links import SEATS, Net

SIZES = (5, 0, 3 * FRAME, 40_000)
Tamper = Callable[[int, int, bytes], Iterable[Routed]]


def text(source: int, target: int, number: int) -> bytes:
    return bytes([source, target, number]) * (SIZES[number] // 3 + 1) if SIZES[number] else b""


def talk(net: Net) -> dict[int, object]:
    """Everybody links, sends to everybody and reads from everybody; a wrong byte is an AssertionError, not an end."""
    net.build()
    wrong: list[tuple[int, int]] = []

    def one(seat: int) -> str:
        mesh = net.meshes[seat]
        others = [other for other in range(SEATS) if other != seat]
        mesh.link()
        for number in range(len(SIZES)):
            for other in others:
                mesh.send(other, b"T", text(seat, other, number))
            for other in others:
                if mesh.recv(other, b"T") != text(other, seat, number):
                    wrong.append((seat, other))
        mesh.close(grace=5.0)
        return "right"

    found = net.each(one)
    assert wrong == []
    return found


def ends(found: dict[int, object]) -> set[tuple[str, int | None]]:
    """How it ended at everybody, and who was named; nobody may have got to the end."""
    assert all(isinstance(one, MpcError) for one in found.values()), found
    return {(one.code, one.about_seat) for one in found.values() if isinstance(one, MpcError)}


NOBODY = {("relay.tampered", None)}
SPOILT = {("relay.tampered", None), ("session.mismatch", None)}  # a handshake in which somebody else had a hand


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    made.every(silence=2.0, patience=8.0)
    yield made
    for mesh in made.meshes:
        mesh.close(grace=0.1)


class Counting:
    """Hands frames on; `lie` may act on every data frame between seats 0 and 1, of which it is told the number."""

    def __init__(self, lie: Callable[[int, bytes], list[bytes]]) -> None:
        self.lie, self.count = lie, 0

    def __call__(self, source: int, target: int, frame: bytes) -> list[Routed]:
        if {source, target} != {0, 1} or frame[1] != DATA:
            return [(target, frame)]
        self.count += 1
        return [(target, one) for one in self.lie(self.count, frame)]


def renumbered(frame: bytes, number: int) -> bytes:
    seat, type, _, acknowledged = HEAD.unpack_from(frame)
    return HEAD.pack(seat, type, number, acknowledged) + frame[HEAD.size:]


def number_of(frame: bytes) -> int:
    return int(HEAD.unpack_from(frame)[2])


def reordering() -> Callable[[int, bytes], list[bytes]]:
    kept: dict[int, list[bytes]] = {0: [], 1: []}

    def lie(number: int, frame: bytes) -> list[bytes]:
        if number == 1:  # of a new session
            kept.update({0: [], 1: []})
        waiting = kept[frame[0]]
        waiting.append(frame)
        if len(waiting) < 3:
            return []
        found, waiting[:] = waiting[::-1], []
        return found

    return lie


BORNE = {
    "as it is": lambda number, frame: [frame],
    "everything twice": lambda number, frame: [frame, frame],
    "one in nine lost": lambda number, frame: [frame] if number % 9 else [],
    "threes in reverse": reordering(),
    "he has left, it says": lambda number, frame: [HEAD.pack(frame[0], GONE, 0, 0), frame],
}


@pytest.mark.parametrize("name", BORNE)
def test_what_a_network_may_do_is_borne(net: Net, name: str) -> None:
    net.relay.tamper = Counting(BORNE[name])
    assert set(talk(net).values()) == {"right"}


def flipped(frame: bytes, at: int) -> bytes:
    place = HEAD.size + at % max(1, len(frame) - HEAD.size)
    return frame[:place] + bytes([frame[place] ^ 1]) + frame[place + 1 :]


# in more frames than one: a single one may happen to be a repetition, which nobody reads
CAUGHT: dict[str, Callable[[int, bytes], list[bytes]]] = {
    "a bit, in the handshake": lambda number, frame: [flipped(frame, 70) if 2 <= number < 7 else frame],
    "a bit, later": lambda number, frame: [flipped(frame, 70) if number >= 14 else frame],
    "cut short": lambda number, frame: [frame[:-3] if number >= 14 else frame],
    "one frame cut short, and nothing after it": lambda number, frame: [frame[:-3] if number == 14 else frame],
    "something of its own": lambda number, frame: [frame[: HEAD.size] + bytes(500) if number >= 14 else frame],
    "an old frame under a new number": lambda number, frame: (
        [frame, renumbered(frame, number_of(frame) + 1)] if number >= 14 else [frame]),
    "nothing": lambda number, frame: [],
    "nothing from now on": lambda number, frame: [frame] if number < 14 else [],
    "it has acknowledged all": lambda number, frame: [HEAD.pack(frame[0], ACK, 0, 1 << 40), frame],
    "its frames are longer": lambda number, frame: [frame + bytes(FRAME)],
    "no frames": lambda number, frame: [frame[:5]],
}


@pytest.mark.parametrize("name", CAUGHT)
def test_a_lie_ends_the_session_at_everybody_by_name(net: Net, name: str) -> None:
    """With relay.tampered, whatever it was."""
    net.relay.tamper = Counting(CAUGHT[name])
    assert ends(talk(net)) == NOBODY


def test_signs_of_life_of_the_relays_own_keep_no_session_alive(net: Net) -> None:
    """Nothing that one says reaches the other any more; but for that, it seems to be there."""
    net.build()
    assert set(net.link().values()) == {None}

    def lie(source: int, target: int, frame: bytes) -> list[Routed]:
        return [(target, HEAD.pack(source, ACK, 0, 0) if {source, target} == {0, 1} else frame)]

    net.relay.tamper = lie
    assert ends(net.each(lambda seat: net.meshes[seat].recv((seat + 1) % SEATS, b"T"))) == NOBODY


@pytest.mark.parametrize(("number", "at"), [(1, 5), (1, 45), (1, 200), (2, 100), (3, 30)])
def test_a_bit_flipped_in_the_handshake_gets_nobody_blamed(net: Net, number: int, at: int) -> None:
    net.relay.tamper = Counting(lambda count, frame: [flipped(frame, at) if count == number else frame])
    assert ends(talk(net)) <= SPOILT


@pytest.mark.parametrize(("number", "alert"), [(1, 42), (2, 46), (3, 48), (1, 116)])
def test_an_alert_of_the_relays_own_gets_nobody_blamed(net: Net, number: int, alert: int) -> None:
    """In clear, as TLS allows before there are keys: your certificate is bad, unknown, of no authority, required."""
    def lie(count: int, frame: bytes) -> list[bytes]:
        return [frame[: HEAD.size] + bytes([21, 3, 3, 0, 2, 2, alert])] if count == number else [frame]

    net.relay.tamper = Counting(lie)
    assert ends(talk(net)) <= SPOILT


def test_two_seats_exchanged_are_noticed(net: Net) -> None:
    """The relay plays seat 1 to the dealer and the dealer to seat 1, each with the other's frames."""
    mixed = {1: 3, 3: 1}

    def lie(source: int, target: int, frame: bytes) -> list[Routed]:
        if source in mixed and target not in mixed:
            return [(target, bytes([mixed[source]]) + frame[1:])]
        if target in mixed and source not in mixed:
            return [(mixed[target], frame)]
        return [(target, frame)]

    net.relay.tamper = lie
    assert ends(talk(net)) <= SPOILT


@pytest.fixture
def other(net: Net) -> Iterator[Net]:
    """Another job of the same people with the same keys: another session."""
    made = Net()
    made.identities, made.peers = net.identities, net.peers
    made.settings = [replace(one, session="ef" * 32) for one in net.settings]
    yield made
    for mesh in made.meshes:
        mesh.close(grace=0.1)


def cross(net: Net, other: Net) -> None:
    """From now on seat 0 of one job and seat 0 of the other get each other's frames."""
    def crossed(there: MemoryRelay) -> Tamper:
        def lie(source: int, target: int, frame: bytes) -> list[Routed]:
            if target != 0:
                return [(target, frame)]
            if 0 in there._seats:
                there._seats[0].deliver(frame)
            return []
        return lie

    net.relay.tamper, other.relay.tamper = crossed(other.relay), crossed(net.relay)


def both(net: Net, other: Net, act: Callable[[Mesh], object]) -> list[MpcError]:
    """Every seat of both jobs does it at once and stays; how it ended at each."""
    found: list[MpcError] = []

    def one(mesh: Mesh) -> None:
        try:
            act(mesh)
        except MpcError as error:
            found.append(error)

    threads = [threading.Thread(target=one, args=(mesh,)) for mesh in (*net.meshes, *other.meshes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return found


def test_two_jobs_cross_wired_never_meet(net: Net, other: Net) -> None:
    """Whom nothing reaches any more, because the others have noticed and ended, may only say that."""
    for one in (net, other):
        one.every(patience=2.0)
    cross(net, other)
    net.build()
    other.build()
    found = both(net, other, Mesh.link)
    assert len(found) == 2 * SEATS
    assert {error.code for error in found} <= {"relay.tampered", "session.mismatch", "session.peer_silent"}


def test_two_jobs_cross_wired_in_the_middle_end_as_tampered_with(net: Net, other: Net) -> None:
    """Whom nobody answers any more, because the others have ended, may say that nobody is heard."""
    net.build()
    other.build()
    assert both(net, other, Mesh.link) == []
    cross(net, other)

    def act(mesh: Mesh) -> None:
        if mesh.seat:
            mesh.send(0, b"T", b"to another job")
        mesh.recv(0 if mesh.seat else 1, b"T")

    found = both(net, other, act)
    assert len(found) == 2 * SEATS
    told = {(error.code, error.about_seat) for error in found}
    assert ("relay.tampered", None) in told and told <= NOBODY | {("relay.lost", None)}


def test_the_relay_sees_no_byte_of_what_is_said(net: Net) -> None:
    """What every frame carries, hello and reasons too, against all that was said in plain words."""
    seen: list[bytes] = []

    def listen(source: int, target: int, frame: bytes) -> list[Routed]:
        seen.append(frame[HEAD.size:])
        return [(target, frame)]

    net.relay.tamper = listen
    assert set(talk(net).values()) == {"right"}
    words = [net.settings[0].session.encode(), b"agreement", b"plan", b"floor"]
    words += [text(source, target, 2)[:24] for source in range(SEATS) for target in range(SEATS) if source != target]
    heard = b"".join(seen)
    assert len(heard) > 3 * FRAME
    assert [word for word in words if word in heard] == []


def test_a_connection_cut_again_and_again_carries_the_session_to_its_end(net: Net) -> None:
    net.every(silence=8.0)  # a busy machine must not turn a cut into silence
    seen = 0

    def lie(source: int, target: int, frame: bytes) -> list[Routed]:
        nonlocal seen
        seen += 1
        if seen % 60 == 0 and source in net.relay._seats:
            net.relay._seats[source].end()
        return [(target, frame)]

    net.relay.tamper = lie
    assert set(talk(net).values()) == {"right"}
    assert sum(mesh.dials for mesh in net.meshes) > SEATS
