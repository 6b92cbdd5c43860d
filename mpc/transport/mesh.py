"""The links of one session: mutual TLS 1.3 to every peer, one thread of I/O, heartbeats, and a named end.

The higher seat dials the lower one (the dealer sits highest, and dials all). A link is up once the peer's hello named
the same session and the same computation. Then `send` never blocks and `recv` waits for one peer's next message.
Whatever goes wrong first becomes `failure`: every later call raises it, and the peers are told its code. Heartbeats run
beside any computation, so a peer that is silent for `silence` seconds is frozen, not busy.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from ledger.documents import canonical
from mpc.errors import DeadlinePassed, DealerLost, MpcError, PeerLost, PeerSilent, ProtocolBroken, SessionMismatch
from mpc.transport.channel import CHUNK, Channel, Closed
from mpc.transport.identity import SessionIdentity, binding, client_context, server_context
from mpc.transport.link import Link, reason, told

HELLO, PULSE, ABORT, FINISH = b"H", b"P", b"X", b"F"
RETRY = 0.1
STRANGERS, STRANGER_SECONDS = 64, 5.0
UNREAD = 1 << 28


@dataclass(frozen=True)
class Peer:
    """Another seat: where it listens, and the certificate that it must show."""

    seat: int
    address: str
    certificate: bytes


@dataclass(frozen=True)
class Setting:
    """What this end knows of the session. `deadline` is on the monotonic clock."""

    session: str
    seat: int
    dealer: int
    agreement: str
    floor: int
    deadline: float
    silence: float = 10.0
    patience: float = 30.0


class Mesh:
    """All links of one seat."""

    def __init__(self, setting: Setting, identity: SessionIdentity, peers: Mapping[int, Peer],
                 listener: socket.socket) -> None:
        self.setting = setting
        self.seat, self.dealer = setting.seat, setting.dealer
        self.floors: dict[int, int] = {setting.seat: setting.floor}
        self.failure: MpcError | None = None
        self.sent = self.received = 0
        self._identity, self._peers, self._listener = identity, dict(peers), listener
        self._links: dict[int, Link] = {}
        self._strangers: set[Link] = set()
        self._inbox: dict[int, deque[tuple[bytes, bytes]]] = {seat: deque() for seat in peers}
        self._unread = dict.fromkeys(peers, 0)
        self._news = threading.Condition()
        self._retry: dict[int, float] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._failing = threading.Lock()
        self._closing = threading.Event()
        self._started = self._turned = time.monotonic()
        above = [peer for peer in self._peers.values() if peer.seat > self.seat]
        self._server = server_context(
            identity, [peer.certificate for peer in above],
            [binding(setting.session, self.seat, peer.seat) for peer in above]) if above else None
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)

    # What the computation calls.

    def link(self) -> None:
        """Start the links, and wait until every peer's hello has come."""
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._retry = {seat: 0.0 for seat in self._peers if seat < self.seat}
        self._thread.start()
        with self._news:
            while self.failure is None and len(self.floors) <= len(self._peers):
                self._news.wait(0.5)
        self.check()

    def check(self) -> None:
        """Raise if the session has failed."""
        if self.failure is not None:
            raise self.failure

    def send(self, seat: int, kind: bytes, body: bytes) -> None:
        self.check()
        link = self._links[seat]
        with link.channel.lock:
            link.channel.wrap(kind, body)
            link.spoken = time.monotonic()
            with contextlib.suppress(OSError):  # the I/O thread meets the same trouble, and names it
                link.flush()
            rest = bool(link.out)
        self.sent += len(body)
        if rest:
            self._wake()

    def recv(self, seat: int, kind: bytes, *, limit: int | None = None) -> bytes:
        """The peer's next message, which must be of that kind (and of that length, if one is given)."""
        with self._news:
            while self.failure is None and not self._inbox[seat]:
                if self._links[seat].finished:
                    raise self._lost(seat, silent=False)
                self._news.wait(0.5)
            self.check()
            found, body = self._inbox[seat].popleft()
            self._unread[seat] -= len(body)
        if found != kind or (limit is not None and len(body) != limit):
            raise ProtocolBroken("a peer sent another message than the protocol has here", about_seat=seat)
        self.received += len(body)
        return body

    def fail(self, error: MpcError) -> None:
        """End the session for this reason, and tell the peers its code; the first reason stands."""
        with self._failing:
            with self._news:
                if self.failure is not None or self._closing.is_set():
                    return
                self.failure = error
                self._news.notify_all()
            for link in list(self._links.values()):
                if link.channel.up:
                    with contextlib.suppress(OSError, ValueError), link.channel.lock:
                        link.channel.wrap(ABORT, reason(error))
                        link.flush()
        self._wake()

    def _untold(self) -> bool:
        """After a failure: is there a peer that could still come and be told why?"""
        if self.failure is None:
            return False
        links = [self._links.get(seat) for seat in self._peers]
        return any(link is None or not (link.closed or link.channel.up) for link in links)

    def close(self, *, grace: float = 2.0) -> None:
        """Say goodbye (after success), let the last bytes leave, and close; wrong or right, it ends within `grace`."""
        if self.failure is None:
            for seat in list(self._links):
                with contextlib.suppress(MpcError):
                    self.send(seat, FINISH, b"")
        with self._failing:  # another thread may be telling the peers why
            end = time.monotonic() + grace
        while self._thread.is_alive() and time.monotonic() < end and (
                self._untold() or any(link.out for link in list(self._links.values()))):
            self._wake()
            with self._news:
                self._news.wait(0.05)
        self._closing.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(grace)
        for link in [*self._links.values(), *self._strangers]:
            link.sock.close()
        for sock in (self._listener, self._wake_in, self._wake_out):
            sock.close()
        self._selector.close()

    # What the I/O thread does.

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_out.send(b"w")

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                self._turn()
            except MpcError as error:
                self.fail(error)
            except Exception as trouble:  # an I/O thread that dies silently would leave its party waiting
                self.fail(MpcError(f"links: {type(trouble).__name__}"))

    def _turn(self) -> None:
        self._dial()
        for link in [*self._links.values(), *self._strangers]:
            self._watch(link)
        wait = 0.05 if self._retry else 0.5
        for key, events in self._selector.select(min(wait, self.setting.silence / 5)):
            if key.fileobj is self._wake_in:
                with contextlib.suppress(BlockingIOError):
                    self._wake_in.recv(4096)
            elif key.fileobj is self._listener:
                self._accept()
            else:
                self._serve(key.data, events)
        if self.failure is None:
            self._look_at_the_clock()

    def _watch(self, link: Link) -> None:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.out or link.connecting else 0)
        if link.sock.fileno() < 0 or link.watched == wanted:
            return
        if link.watched:
            self._selector.modify(link.sock, wanted, link)
        else:
            self._selector.register(link.sock, wanted, link)
        link.watched = wanted

    def _dial(self) -> None:
        now = time.monotonic()
        for seat, when in list(self._retry.items()):
            if when > now:
                continue
            del self._retry[seat]
            peer = self._peers[seat]
            host, _, port = peer.address.rpartition(":")
            sock = socket.socket()
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            name = binding(self.setting.session, self.seat, seat)
            channel = Channel(client_context(self._identity, peer.certificate, name), server=False)
            sock.connect_ex((host, int(port)))
            self._links[seat] = Link(sock, channel, seat, now)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            if self._server is None or len(self._strangers) >= STRANGERS:
                sock.close()
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._strangers.add(Link(sock, Channel(self._server, server=True), None, time.monotonic()))

    def _serve(self, link: Link, events: int) -> None:
        try:
            if link.connecting:
                if link.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise ConnectionRefusedError
                link.connecting = False
                self._shake(link)
            if events & selectors.EVENT_READ:
                self._read(link)
            with link.channel.lock:
                link.flush()
        except (OSError, Closed) as trouble:
            self._broken(link, trouble)

    def _read(self, link: Link) -> None:
        try:
            data = link.sock.recv(CHUNK * 4)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise Closed("closed by the other end")
        link.heard = time.monotonic()
        messages = link.channel.fed(data)
        if not link.channel.up:
            messages = self._shake(link)
        for kind, body in messages:
            self._arrived(link, kind, body)

    def _shake(self, link: Link) -> list[tuple[bytes, bytes]]:
        if not link.channel.shake():
            return []
        certificate = link.channel.certificate
        if link.seat is None:
            seats = [peer.seat for peer in self._peers.values() if peer.certificate == certificate]
            if len(seats) != 1 or seats[0] < self.seat or seats[0] in self._links:
                raise Closed("not one of the session")
            link.seat = seats[0]
            self._strangers.discard(link)
            self._links[link.seat] = link
        if link.channel.name != binding(self.setting.session, self.seat, link.seat) or (
                certificate != self._peers[link.seat].certificate):
            raise SessionMismatch("a peer is in another session", about_seat=link.seat)
        kind, body = HELLO, canonical({"session": self.setting.session, "seat": self.seat, "to": link.seat,
                                       "agreement": self.setting.agreement, "floor": self.setting.floor})
        if self.failure is not None:
            kind, body = ABORT, reason(self.failure)
        with link.channel.lock:
            link.channel.wrap(kind, body)
            link.flush()
        return link.channel.fed(b"")

    def _arrived(self, link: Link, kind: bytes, body: bytes) -> None:
        seat = link.seat
        if seat is None or self._links.get(seat) is not link:
            raise Closed("not one of the session")
        if kind == HELLO:
            self._greeted(seat, body)
        elif kind == ABORT:
            raise told(seat, body, seats=self.dealer)
        elif seat not in self.floors:
            raise ProtocolBroken("a peer spoke before its hello", about_seat=seat)
        elif kind == FINISH:
            with self._news:
                link.finished = True
                self._news.notify_all()
        elif kind != PULSE:
            with self._news:
                self._inbox[seat].append((kind, body))
                self._unread[seat] += len(body)
                if self._unread[seat] > UNREAD:
                    raise ProtocolBroken("a peer sends more than is read", about_seat=seat)
                self._news.notify_all()

    def _greeted(self, seat: int, body: bytes) -> None:
        expected = {"session": self.setting.session, "seat": seat, "to": self.seat, "agreement": self.setting.agreement}
        try:
            said = json.loads(body)
            floor = said.pop("floor")
        except (ValueError, KeyError, AttributeError) as trouble:
            raise ProtocolBroken("a hello is malformed", about_seat=seat) from trouble
        if said != expected or not isinstance(floor, int) or isinstance(floor, bool) or seat in self.floors:
            raise SessionMismatch("a peer means another session or another computation", about_seat=seat)
        with self._news:
            self.floors[seat] = floor
            self._news.notify_all()

    def _broken(self, link: Link, trouble: Exception) -> None:
        if link.watched:
            self._selector.unregister(link.sock)
            link.watched = 0
        with contextlib.suppress(OSError), link.channel.lock:  # the alert, that the other end may know why
            link.flush()
        link.closed = True
        link.sock.close()
        seat = link.seat
        if seat is None:
            self._strangers.discard(link)
            return
        link.out.clear()
        if link.finished or self.failure is not None:
            return
        if seat not in self.floors and isinstance(trouble, OSError):
            del self._links[seat]
            if seat < self.seat:
                self._retry[seat] = time.monotonic() + RETRY
            return
        if seat not in self.floors and "closed" not in str(trouble):
            raise SessionMismatch("a peer does not accept us, or is not who it should be", about_seat=seat)
        raise self._lost(seat, silent=False)

    def _lost(self, seat: int, *, silent: bool) -> MpcError:
        if seat == self.dealer:
            return DealerLost("the dealer is silent" if silent else "the dealer is gone", about_seat=seat)
        return (PeerSilent("a peer is silent", about_seat=seat) if silent
                else PeerLost("a peer is gone", about_seat=seat))

    def _look_at_the_clock(self) -> None:
        now, last = time.monotonic(), self._turned
        self._turned = now
        if now > self.setting.deadline:
            raise DeadlinePassed("the deadline has passed")
        if now - last > self.setting.silence / 2:  # we ourselves were stopped: first hear what has come since
            for link in self._links.values():
                link.heard = now
            return
        for link in [one for one in self._strangers if now - one.spoken > STRANGER_SECONDS]:
            self._broken(link, Closed("too slow"))
        absent = [seat for seat in self._peers if seat not in self.floors]
        if absent and now - self._started > self.setting.patience:
            raise self._lost(min(absent), silent=min(absent) in self._links)
        for seat, link in list(self._links.items()):
            if link.finished or seat not in self.floors:
                continue
            if now - link.heard > self.setting.silence:
                raise self._lost(seat, silent=True)
            if now - link.spoken > self.setting.silence / 5:
                with link.channel.lock:
                    link.channel.wrap(PULSE, b"")
                    link.spoken = now
                    with contextlib.suppress(OSError):
                        link.flush()
