"""A party that lies about itself, with its true certificate: everybody names it, and nobody who was in its way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest

from ledger.documents import canonical
from mpc.errors import DeadlinePassed, MpcError, ProtocolBroken
from mpc.transport.channel import ABORT, HELLO
from mpc.transport.link import Link, told
from mpc.transport.mesh import Mesh
from tests.fuzz.link_words import shaken
from tests.unit.mpc.test_links import SEATS, Net

LIAR = 1
JUNK = {
    "a list": b"[]", "a bottomless list": b"[" * 2000, "nothing": b"", "a number": b"5", "null": b"null",
    "an empty object": b"{}", "a floor that is none": b'{"floor": true}', "two floors": b'{"floor": 1, "floor": 2}',
    "no UTF-8": b"\xff\xfe", "an endless one": b'{"floor": 1, "x": "' + b"x" * 5000 + b'"}',
}


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    for mesh in made.meshes:
        mesh.close(grace=0.1)


def named(found: dict[int, object]) -> set[tuple[str, int | None]]:
    """What the others say, each of them."""
    errors = [found[seat] for seat in range(SEATS) if seat != LIAR]
    assert all(isinstance(error, MpcError) for error in errors), found
    return {(error.code, error.about_seat) for error in errors if isinstance(error, MpcError)}


def begins(net: Net, seat: int) -> None:
    """Links, and waits for a message: who was linked before the lie came to light hears of it then."""
    net.meshes[seat].link()
    net.meshes[seat].recv(2 if seat == 0 else 0, b"T")


def greets_with(mesh: Mesh, body: bytes) -> Callable[[Link], None]:
    honest = mesh._greet
    return lambda link: link.channel.send(HELLO, body) if link.seat == 0 else honest(link)


@pytest.mark.parametrize("junk", JUNK)
def test_a_hello_that_is_none_is_held_against_its_sender(net: Net, junk: str) -> None:
    net.build()
    net.meshes[LIAR]._greet = greets_with(net.meshes[LIAR], JUNK[junk])  # type: ignore[method-assign, assignment]
    assert named(net.each(partial(begins, net))) == {("session.protocol", LIAR)}


def test_an_error_that_nobody_foresaw_is_held_against_whose_bytes_set_it_off(
        net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Mesh._greeted

    def stumble(self: Mesh, seat: int, body: bytes) -> None:
        if (self.seat, seat) == (0, LIAR):
            raise KeyError("x")
        honest(self, seat, body)

    monkeypatch.setattr(Mesh, "_greeted", stumble)
    net.build()
    assert named(net.each(partial(begins, net))) == {("session.protocol", LIAR)}


@pytest.mark.parametrize("junk", ["a list", "a bottomless list", "nothing", "an endless one"])
def test_a_last_word_that_is_none_is_held_against_its_sender(net: Net, junk: str) -> None:
    net.build()
    net.link()
    liar = net.meshes[LIAR]
    liar._call(liar._links[0].channel.only, ABORT, JUNK[junk])
    liar._call(liar._wake.set)
    assert named(net.each(lambda seat: net.meshes[seat].recv(2 if seat == 0 else 0, b"T"), (0, 2, 3))) == {
        ("session.protocol", LIAR)}


@pytest.mark.parametrize(("said", "code", "about"), [
    ({"code": "grant.revoked", "about_seat": None}, "grant.revoked", 1),
    ({"code": "grant.revoked", "about_seat": 2}, "grant.revoked", 2),
    ({"code": "session.peer_lost", "about_seat": True}, "session.peer_lost", 1),
    ({"code": "session.peer_lost", "about_seat": 9}, "session.peer_lost", 1),
    ({"code": "relay.lost", "about_seat": None}, "relay.lost", None),
    ({"code": "session.deadline", "about_seat": None}, "session.deadline", None),
    ({"code": "session.mismatch", "about_seat": None}, "session.mismatch", None),
    ({"code": "session.mismatch", "about_seat": 2}, "session.mismatch", 2),
    ({"code": "NOT A CODE", "about_seat": 2}, "session.protocol", 2), ({}, "session.protocol", 1),
    ({"code": ["x"], "about_seat": [2]}, "session.protocol", 1),
])
def test_whom_a_last_word_names(said: dict[str, object], code: str, about: int | None) -> None:
    error = told(LIAR, canonical(said), seats=SEATS - 1)
    assert (error.code, error.about_seat) == (code, about)


def test_time_that_runs_out_is_held_against_who_is_waited_for(net: Net) -> None:
    """Seat 1 computes and computes; 0 and the dealer wait for it, 2 waits for 0. Nobody names who told it first."""
    waits = {0: 1, 2: 0, 3: 1}
    net.settings = [replace(one, deadline=time.monotonic() + 8.0) for one in net.settings]
    net.build()
    assert set(net.link().values()) == {None}
    found = net.each(lambda seat: net.meshes[seat].recv(waits[seat], b"T"), tuple(waits))
    assert {seat: (error.code, error.about_seat) for seat, error in found.items() if isinstance(error, MpcError)} == {
        seat: ("session.deadline", awaited) for seat, awaited in waits.items()}
    late = net.meshes[1].failure
    assert isinstance(late, DeadlinePassed) and late.about_seat is None


def test_who_is_told_that_time_ran_out_names_whom_it_waits_for_itself(net: Net) -> None:
    net.build()
    net.link()
    waiting = threading.Thread(target=lambda: net.each(lambda seat: net.meshes[seat].recv(2, b"T"), (0,)))
    waiting.start()
    end = time.monotonic() + 20
    while net.meshes[0]._awaited is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    net.meshes[3].fail(DeadlinePassed("late"))
    waiting.join(60)
    assert not waiting.is_alive()
    failure = net.meshes[0].failure
    assert failure is not None and (failure.code, failure.about_seat) == ("session.deadline", 2)


def header(kind: bytes, length: int) -> bytes:
    return kind + length.to_bytes(8, "big")


HEADS = {
    "data before its hello": header(b"T", 1 << 28), "a hello of many bytes": header(b"H", 1 << 27),
    "a reason of many bytes": header(b"X", 4097), "a goodbye of many bytes": header(b"F", 1 << 28),
    "a sign of life that says something": header(b"L", 1),
    "too many bytes": header(b"H", 0) + header(b"T", (1 << 28) + 1), "endless": b"\xff" * 9,
}


@pytest.mark.parametrize("head", HEADS)
def test_a_header_alone_takes_no_memory_and_ends_the_session(head: str) -> None:
    server, client = shaken()
    client._tls.write(HEADS[head])
    server.feed(client._outgoing.read())
    with pytest.raises(ProtocolBroken):
        server.messages()
    assert not server._body


def test_memory_is_taken_as_the_bytes_of_a_long_message_arrive() -> None:
    server, client = shaken()
    text = bytes(range(256)) * (5 << 12)
    client.send(HELLO, b"{}")
    client.send(b"T", text)
    found = []
    while data := client.take(1 << 16):
        server.feed(data)
        found += server.messages()
        assert len(server._body or b"") <= max(1 << 20, 2 * server._got)
    assert found == [(HELLO, b"{}"), (b"T", text)] and not server.assembling


def test_who_announces_too_much_before_its_hello_is_named_by_everybody(net: Net) -> None:
    net.build()
    liar = net.meshes[LIAR]
    honest = liar._greet

    def greet(link: Link) -> None:
        if link.seat == 0:
            link.channel._queue.append((header(b"T", 1 << 28), True))
        else:
            honest(link)

    liar._greet = greet  # type: ignore[method-assign]
    assert named(net.each(partial(begins, net))) == {("session.protocol", LIAR)}


def test_memory_that_runs_out_in_a_peers_message_is_held_against_that_peer(
        net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.build()
    net.link()
    channel = net.meshes[0]._links[LIAR].channel

    def begin(kind: bytes, length: int) -> None:
        raise MemoryError

    monkeypatch.setattr(channel, "_begin", begin)
    net.meshes[LIAR].send(0, b"T", bytes(100))
    assert named(net.each(lambda seat: net.meshes[seat].recv(2 if seat == 0 else 0, b"T"), (0, 2, 3))) == {
        ("worker.out_of_memory", LIAR)}
