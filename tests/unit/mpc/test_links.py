"""Links between threads of one process, through a relay in memory: they come up, carry messages, and end by name."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import public_hex
from mpc.errors import DealerLost, MpcError, PeerLost, ProtocolBroken, RelayLost, SessionMismatch, Stopped, Tampered
from mpc.transport.identity import Place, SessionIdentity, binding, check_leaf
from mpc.transport.link import told
from mpc.transport.memory import MemoryRelay, Routed
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Peer, Setting
from mpc.transport.window import FRAME
from mpc.wire import SILENCE

SESSION = "ab" * 32
JOB = "cd" * 32
SEATS = 4


def identity(seat: int, *, now: datetime | None = None, lifetime: timedelta = timedelta(hours=1)) -> SessionIdentity:
    return SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place(JOB, 1, seat), now=now or datetime.now(UTC),
                                 lifetime=lifetime)


class Net:
    """Three parties and a dealer, each with its mesh."""

    def __init__(self) -> None:
        self.identities = [identity(seat) for seat in range(SEATS)]
        self.peers = {seat: Peer(seat, self.identities[seat].certificate) for seat in range(SEATS)}
        self.settings = [Setting(SESSION, seat, SEATS - 1, "plan", 10 + seat, time.monotonic() + 30, 5.0, 5.0)
                         for seat in range(SEATS)]
        self.relay = MemoryRelay()
        self.meshes: list[Mesh] = []

    def every(self, **changes: float) -> None:
        self.settings = [replace(setting, **changes) for setting in self.settings]  # type: ignore[arg-type]

    def build(self) -> None:
        self.meshes = [
            Mesh(self.settings[seat], self.identities[seat],
                 {other: peer for other, peer in self.peers.items() if other != seat}, self.relay.carrier(seat))
            for seat in range(SEATS)]

    def each(self, act: Callable[[int], object], seats: tuple[int, ...] = tuple(range(SEATS))) -> dict[int, object]:
        """Do it at every seat at once; what it returned, or the error that it met."""
        found: dict[int, object] = {}

        def one(seat: int) -> None:
            try:
                found[seat] = act(seat)
            except MpcError as error:
                found[seat] = error
                self.meshes[seat].close(grace=1.0)

        threads = [threading.Thread(target=one, args=(seat,)) for seat in seats]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found

    def link(self, seats: tuple[int, ...] = tuple(range(SEATS))) -> dict[int, object]:
        return self.each(lambda seat: self.meshes[seat].link(), seats)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    for mesh in made.meshes:
        mesh.close(grace=0.2)


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


def test_everybody_leaves_at_once_when_all_is_said(net: Net) -> None:
    net.build()
    net.link()
    net.meshes[0].send(1, b"T", bytes(5_000_000))

    def leave(seat: int) -> int:
        got = len(net.meshes[1].recv(0, b"T")) if seat == 1 else 0
        net.meshes[seat].close(grace=20)
        return got

    begun = time.monotonic()
    assert net.each(leave) == {0: 0, 1: 5_000_000, 2: 0, 3: 0}
    assert time.monotonic() - begun < 10
    assert [mesh._thread.is_alive() for mesh in net.meshes] == [False] * SEATS
    with pytest.raises(PeerLost):
        net.meshes[1].recv(0, b"T")


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


def test_who_gives_a_reason_is_never_taken_for_lost(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long this end takes to read it: who waits for that peer must not see that it left before why."""
    def slow(*args: Any, **named: Any) -> MpcError:
        time.sleep(0.2)
        return told(*args, **named)

    monkeypatch.setattr("mpc.transport.mesh.told", slow)
    net.build()
    assert set(net.link().values()) == {None}
    net.meshes[1].fail(Tampered("a lie"))
    for error in net.each(lambda seat: net.meshes[seat].recv(1, b"T"), (0, 2, 3)).values():
        assert isinstance(error, Tampered) and error.about_seat is None


def test_the_reason_reaches_a_peer_in_the_middle_of_a_message(net: Net) -> None:
    """Who fails while it speaks says why behind that message, and drops what it had not begun."""
    net.build()
    net.link()
    begun: set[int] = set()
    queued = threading.Event()

    def tamper(source: int, target: int, frame: bytes) -> list[Routed]:
        if source == 0 and len(frame) > FRAME // 2:
            assert queued.wait(20)
            begun.add(target)
            if len(begun) == 3:
                net.meshes[0].fail(Tampered("a lie"))
        return [(target, frame)]

    net.relay.tamper = tamper

    def speak() -> None:
        with suppress(Tampered):
            for other in (1, 2, 3):
                net.meshes[0].send(other, b"T", bytes(4_000_000))
                net.meshes[0].send(other, b"T", b"not begun")
            queued.set()
            net.meshes[0].recv(1, b"T")
        net.meshes[0].close(grace=20)

    def listen(seat: int) -> None:
        while True:
            assert net.meshes[seat].recv(0, b"T") != b"not begun"

    found = net.each(lambda seat: listen(seat) if seat else speak())
    assert all(isinstance(found[seat], Tampered) for seat in (1, 2, 3)), found


def test_a_dealer_that_goes_without_a_word_is_lost(net: Net) -> None:
    net.every(silence=1.0)
    net.build()
    net.link()
    net.meshes[3]._call(net.meshes[3]._leave)
    net.meshes[3]._closing = True
    with pytest.raises(DealerLost):
        net.meshes[0].recv(1, b"T")


def test_the_handshake_alone_tells_sessions_apart(net: Net) -> None:
    """Seat 1 shakes hands for another session, and says hello for this one."""
    net.settings[1] = replace(net.settings[1], session="cd" * 32)
    net.build()
    net.meshes[1].setting = replace(net.meshes[1].setting, session=SESSION)
    found = net.link()
    assert all(isinstance(error, SessionMismatch) for error in found.values()), found


@pytest.mark.parametrize("lie", [{"session": "cd" * 32}, {"agreement": "another plan"}])
def test_the_hello_alone_tells_sessions_apart(net: Net, lie: dict[str, str]) -> None:
    """Seat 1 shakes hands for this session, and says hello for another one."""
    net.build()
    net.meshes[1].setting = replace(net.meshes[1].setting, **lie)  # type: ignore[arg-type]
    found = net.link()
    assert all(isinstance(error, SessionMismatch) for error in found.values()), found


def test_another_certificate_never_gets_through(net: Net) -> None:
    net.identities[1] = identity(1)
    net.build()
    found = net.link()
    assert isinstance(found[1], SessionMismatch)
    assert all(error is not None for error in found.values())


@pytest.mark.parametrize(("ahead", "works"), [(-4, True), (4, True), (6, False), (-90, False)])
def test_a_clock_that_is_off_by_minutes_is_borne_and_no_more(net: Net, ahead: int, works: bool) -> None:
    made = datetime.now(UTC) + timedelta(minutes=ahead)
    net.identities[1] = identity(1, now=made)
    net.peers[1] = replace(net.peers[1], certificate=net.identities[1].certificate)
    net.build()
    found = net.link()
    assert (found[0] is None) == works
    assert works or all(isinstance(error, SessionMismatch) for error in found.values()), found


def test_who_left_is_named_within_five_seconds() -> None:
    """By the defaults of an order: the time to come back, and until somebody looks."""
    setting = Setting("ab" * 32, 0, 3, "one", 10, 0.0, SILENCE)
    assert setting.grace + setting.pulse < 5


def test_a_peer_that_never_comes_is_named(net: Net) -> None:
    net.every(patience=1.0)
    net.build()
    found = net.link((0, 1, 3))
    assert all(isinstance(error, MpcError) and error.about_seat == 2 for error in found.values())


def test_a_relay_that_is_not_there_is_named(net: Net) -> None:
    net.every(patience=0.5)
    net.relay.up = False
    net.build()
    assert all(isinstance(error, RelayLost) for error in net.link().values())


def test_a_relay_that_comes_back_loses_nothing(net: Net) -> None:
    net.build()
    net.link()
    net.meshes[0].send(1, b"T", bytes(3_000_000))
    net.relay.cut(up=False)
    net.meshes[0].send(1, b"T", b"while it was away")
    net.relay.up = True
    assert net.meshes[1].recv(0, b"T") == bytes(3_000_000)
    assert net.meshes[1].recv(0, b"T") == b"while it was away"


def test_a_relay_that_is_gone_for_good_is_named(net: Net) -> None:
    net.every(silence=0.5)
    net.build()
    net.link()
    net.relay.cut(up=False)
    assert all(isinstance(error, RelayLost) for error in net.each(lambda seat: net.meshes[seat].recv(
        (seat + 1) % SEATS, b"T")).values())


def test_more_than_a_reader_takes_waits_at_the_sender(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.transport.mesh.UNREAD", 1 << 20)
    net.build()
    net.link()
    piece = bytes(1 << 20)
    for _ in range(30):
        net.meshes[0].send(1, b"T", piece)
    end = time.monotonic() + 20
    while not net.meshes[1]._links[0].window.withheld:
        assert time.monotonic() < end
        time.sleep(0.01)
    net.meshes[0].send(2, b"T", b"past it")
    assert net.meshes[2].recv(0, b"T") == b"past it"
    assert net.meshes[1]._links[0].unread < 12 << 20
    assert all(net.meshes[1].recv(0, b"T") == piece for _ in range(30))


def test_what_waits_to_be_sent_is_bounded(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.transport.mesh.WAITING", 1 << 24)
    net.build()
    net.link()
    net.relay.tamper = lambda *_: ()
    with pytest.raises(ProtocolBroken):
        for _ in range(1000):
            net.meshes[0].send(1, b"T", bytes(1 << 20))
            time.sleep(0.001)


def test_a_leaf_is_good_for_one_seat_of_one_attempt_under_one_key() -> None:
    key, place = Ed25519PrivateKey.generate(), Place(JOB, 1, 2)
    leaf = SessionIdentity.fresh(key, place, now=datetime.now(UTC)).certificate
    check_leaf(leaf, public_hex(key), place)
    others = [replace(place, seat=1), replace(place, attempt=2), replace(place, job_hash="ef" * 32)]
    for other in others:
        with pytest.raises(SessionMismatch):
            check_leaf(leaf, public_hex(key), other)
    for bad in (b"", leaf[:-1], leaf[:40] + bytes([leaf[40] ^ 1]) + leaf[41:]):
        with pytest.raises(SessionMismatch):
            check_leaf(bad, public_hex(key), place)
    with pytest.raises(SessionMismatch):
        check_leaf(leaf, public_hex(Ed25519PrivateKey.generate()), place)


def test_bindings_differ_by_session_and_pair() -> None:
    assert binding(SESSION, 0, 1) == binding(SESSION, 1, 0)
    assert len({binding(SESSION, 0, 1), binding(SESSION, 0, 2), binding("cd" * 32, 0, 1)}) == 3
