"""Links between threads of one process: they come up, carry messages, and end by name."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mpc.errors import DealerLost, MpcError, PeerLost, ProtocolBroken, SessionMismatch, Stopped
from mpc.transport.identity import SessionIdentity, address_of, binding, listen
from mpc.transport.mesh import Mesh, Peer, Setting

SESSION = "ab" * 32
SEATS = 4


class Net:
    """Three parties and a dealer, each with its mesh."""

    def __init__(self) -> None:
        self.identities = [SessionIdentity.fresh(now=datetime.now(UTC)) for _ in range(SEATS)]
        self.listeners = [listen() for _ in range(SEATS)]
        self.peers = {seat: Peer(seat, address_of(self.listeners[seat]), self.identities[seat].certificate)
                      for seat in range(SEATS)}
        self.settings = [Setting(SESSION, seat, SEATS - 1, "plan", 10 + seat, time.monotonic() + 30, 5.0, 5.0)
                         for seat in range(SEATS)]
        self.meshes: list[Mesh] = []

    def build(self) -> None:
        self.meshes = [
            Mesh(self.settings[seat], self.identities[seat],
                 {other: peer for other, peer in self.peers.items() if other != seat}, self.listeners[seat])
            for seat in range(SEATS)]

    def link(self, seats: tuple[int, ...] = tuple(range(SEATS))) -> dict[int, MpcError | None]:
        found: dict[int, MpcError | None] = {}

        def one(seat: int) -> None:
            try:
                self.meshes[seat].link()
                found[seat] = None
            except MpcError as error:
                found[seat] = error
                self.meshes[seat].close()

        threads = [threading.Thread(target=one, args=(seat,)) for seat in seats]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    for mesh in made.meshes:
        mesh.close(grace=0.5)
    for server in made.listeners:
        server.close()


def test_it_works(net: Net) -> None:
    net.build()
    assert set(net.link().values()) == {None}
    assert net.meshes[0].floors == {0: 10, 1: 11, 2: 12, 3: 13}
    large = bytes(range(256)) * 40_000
    net.meshes[0].send(2, b"T", large)
    net.meshes[0].send(2, b"T", b"")
    net.meshes[2].send(0, b"Q", b"x")
    assert net.meshes[2].recv(0, b"T") == large
    assert net.meshes[2].recv(0, b"T", limit=0) == b""
    assert net.meshes[0].recv(2, b"Q", limit=1) == b"x"


def test_a_peer_that_is_done_is_no_failure(net: Net) -> None:
    net.build()
    net.link()
    net.meshes[1].send(0, b"T", b"last")
    net.meshes[1].close()
    assert net.meshes[0].recv(1, b"T") == b"last"
    net.meshes[2].send(0, b"T", b"still here")
    assert net.meshes[0].recv(2, b"T") == b"still here"
    with pytest.raises(PeerLost):
        net.meshes[0].recv(1, b"T")


def test_another_message_than_expected_is_refused(net: Net) -> None:
    net.build()
    net.link()
    net.meshes[1].send(0, b"T", b"12345678")
    with pytest.raises(ProtocolBroken):
        net.meshes[0].recv(1, b"Q")
    net.meshes[1].send(0, b"T", b"12345678")
    with pytest.raises(ProtocolBroken):
        net.meshes[0].recv(1, b"T", limit=16)


def test_the_reason_reaches_every_peer(net: Net) -> None:
    net.build()
    net.link()
    net.meshes[3].fail(Stopped("stop", code="grant.revoked"))
    for seat in range(3):
        with pytest.raises(Stopped) as stopped:
            net.meshes[seat].recv(3, b"T")
        assert (stopped.value.code, stopped.value.about_seat) == ("grant.revoked", 3)


def test_a_dealer_that_goes_without_a_word_is_lost(net: Net) -> None:
    net.build()
    net.link()
    for link in net.meshes[3]._links.values():
        link.sock.shutdown(socket.SHUT_RDWR)
    with pytest.raises(DealerLost):
        net.meshes[0].recv(1, b"T")


@pytest.mark.parametrize("lie", [{"session": "cd" * 32}, {"agreement": "another plan"}])
def test_who_means_something_else_never_gets_through(net: Net, lie: dict[str, str]) -> None:
    net.settings[1] = replace(net.settings[1], **lie)  # type: ignore[arg-type]
    net.build()
    found = net.link()
    assert all(isinstance(error, SessionMismatch) for error in found.values()), found


def test_another_certificate_never_gets_through(net: Net) -> None:
    net.identities[1] = SessionIdentity.fresh(now=datetime.now(UTC))
    net.build()
    found = net.link()
    assert isinstance(found[1], SessionMismatch)
    assert all(error is not None for error in found.values())


def test_an_expired_certificate_never_gets_through(net: Net) -> None:
    old = SessionIdentity.fresh(now=datetime.now(UTC) - timedelta(days=9), lifetime=timedelta(days=1))
    net.identities[1] = old
    net.peers[1] = replace(net.peers[1], certificate=old.certificate)
    net.build()
    assert isinstance(net.link()[0], MpcError)


def test_strangers_change_nothing(net: Net) -> None:
    net.build()
    callers = [socket.create_connection(net.listeners[0].getsockname()) for _ in range(5)]
    callers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
    assert set(net.link().values()) == {None}
    for caller in callers:
        caller.close()


def test_a_peer_that_never_comes_is_named(net: Net) -> None:
    net.settings = [replace(setting, patience=1.0) for setting in net.settings]
    net.build()
    found = net.link((0, 1, 3))
    assert all(error is not None and error.about_seat == 2 for error in found.values())


def test_bindings_differ_by_session_and_pair() -> None:
    assert binding(SESSION, 0, 1) == binding(SESSION, 1, 0)
    assert len({binding(SESSION, 0, 1), binding(SESSION, 0, 2), binding("cd" * 32, 0, 1)}) == 3
