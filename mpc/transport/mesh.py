"""The links of one session: a TLS 1.3 session with every peer, all inside one connection to a relay.

The lower seat of a pair is the server. A link is up once the peer's hello, the first message, named the same session
and the same computation. Then `send` never blocks and `recv` waits for one peer's next message. A connection that
breaks is dialled again, and nothing is lost by it: the windows send again what was not acknowledged. Whatever goes
wrong first becomes `failure`: every later call raises it, and the peers are told its code. Signs of life run beside any
computation, so a peer that is silent for `silence` seconds is frozen, not busy. What the relay says by itself (a peer
has left) starts a timer, and never decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping

from ledger.documents import canonical
from mpc.errors import (
    DeadlinePassed,
    DealerLost,
    MpcError,
    PeerLost,
    PeerSilent,
    ProtocolBroken,
    ProxyRefused,
    RelayLost,
    RelayRefused,
    SessionMismatch,
    Tampered,
)
from mpc.transport.carrier import Broken, Carrier, Connection
from mpc.transport.channel import ABORT, FINISH, HELLO, LIFE, LIMIT, Channel
from mpc.transport.identity import SessionIdentity, binding, context_for
from mpc.transport.link import Link, reason, spoken, told
from mpc.transport.setting import Peer, Setting
from mpc.transport.window import GONE, WINDOW, Frame

RETRY, RETRY_MOST = 0.1, 1.0
SKEW = 60.0  # seconds by which a peer's clock may be ahead before it is named for it
UNREAD = 1 << 28
WAITING = 1 << 29


class Mesh:
    """All links of one seat."""

    def __init__(self, setting: Setting, identity: SessionIdentity, peers: Mapping[int, Peer],
                 carrier: Carrier) -> None:
        self.setting = setting
        self.seat, self.dealer = setting.seat, setting.dealer
        self.floors: dict[int, int] = {setting.seat: setting.floor}
        self.failure: MpcError | None = None
        self.sent = self.received = self.wire = self.dials = 0
        self._carrier = carrier
        self._started = self._turned = self._news_at = time.monotonic()
        self._links: dict[int, Link] = {}
        for peer in peers.values():
            name, server = binding(setting.session, self.seat, peer.seat), self.seat < peer.seat
            channel = Channel(context_for(identity, peer.certificate, name, server=server), server=server)
            self._links[peer.seat] = Link(peer.seat, channel, peer.certificate, name, self._started)
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[None] | None = None
        self._awaited: int | None = None  # whose message the computation waits for
        self._closing = self._ending = self._connected = False
        self._down_since = self._started
        self._thread = threading.Thread(target=self._main, name="links", daemon=True)

    # What the computation calls.

    def link(self) -> None:
        """Start the links, and wait until every peer's hello has come."""
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _, told: self.fail(MpcError(f"links: {told['message']}")))
        self._wake, self._drop, self._quiet = asyncio.Event(), asyncio.Event(), threading.Event()
        self._thread.start()
        with self._news:
            while self.failure is None and len(self.floors) <= len(self._links):
                self._news.wait(0.5)
        self.check()

    def check(self) -> None:
        """Raise if the session has failed."""
        if self.failure is not None:
            raise self.failure

    def send(self, seat: int, kind: bytes, body: bytes) -> None:
        """Queue a message; what is `bytes` already is not copied."""
        self.check()
        self._call(self._queue, self._links[seat], kind, bytes(body))
        self.sent += len(body)

    def recv(self, seat: int, kind: bytes, *, limit: int | None = None) -> bytes:
        """The peer's next message, which must be of that kind (and of that length, if one is given)."""
        link = self._links[seat]
        with self._news:
            self._awaited = seat
            while self.failure is None and not link.inbox:
                if link.finished:
                    raise self._lost(seat, silent=False)
                if not self._thread.is_alive():
                    raise MpcError("links: over")
                self._news.wait(0.5)
            self._awaited = None
            self.check()
            found, body = link.inbox.popleft()
            link.read += len(body)
        if link.window.withheld:
            self._call(self._reconsider, link)
        if found != kind or (limit is not None and len(body) != limit):
            raise ProtocolBroken("a peer sent another message than the protocol has here", about_seat=seat)
        self.received += len(body)
        return body

    def fail(self, error: MpcError) -> None:
        """End the session for this reason, and tell the peers its code; the first reason stands."""
        with self._news:
            if self.failure is not None or self._closing:
                return
            self.failure = error
            self._news.notify_all()
        self._call(self._tell)

    def close(self, *, grace: float | None = None) -> None:
        """Say goodbye (after success), let the last bytes arrive, and end: `grace` seconds after the last of them that
        did (by default three signs of life), and that much after `silence` at the latest."""
        grace = max(2.0, 3 * self.setting.pulse) if grace is None else grace
        if self._thread.is_alive():
            end = time.monotonic() + self.setting.silence
            before = {seat: link.window.confirmed for seat, link in self._links.items()}
            self._call(self._goodbye)
            while not self._quiet.wait(grace) and time.monotonic() < end:
                after = self._on_their_way()
                if all(confirmed == before[seat] for seat, confirmed in after.items()):
                    break
                before |= after
        self._closing = True
        self._call(self._leave)
        if self._thread.is_alive():
            self._thread.join(grace)

    # What the I/O thread does.

    def _call(self, act: object, *arguments: object) -> None:
        """Have the I/O thread do this; nothing, when it has not begun or is over."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(act, *arguments)  # type: ignore[arg-type]

    def _main(self) -> None:
        if self._loop is None:
            return
        try:
            self._loop.run_until_complete(self._run())
        except asyncio.CancelledError:
            self._closing = True
        except Exception as trouble:  # an I/O thread that dies silently would leave its party waiting
            self.fail(MpcError(f"links: {type(trouble).__name__}"))
        finally:
            self._quiet.set()
            self._loop.close()

    async def _run(self) -> None:
        self._running = asyncio.current_task()
        for link in self._links.values():
            link.shake()  # the client's first word waits in its window until the peer is there
        tending, wait = asyncio.ensure_future(self._tend()), RETRY
        try:
            while not self._closing:
                try:
                    async with self._carrier.connect() as connection:
                        wait = RETRY
                        await self._session(connection)
                except Broken:
                    pass
                except MpcError as error:
                    self.fail(error)
                    return
                if self._connected:
                    self._connected, self._down_since = False, time.monotonic()
                if not self._closing:
                    await asyncio.sleep(wait)
                    wait = min(2 * wait, RETRY_MOST)
        finally:
            tending.cancel()

    async def _session(self, connection: Connection) -> None:
        """One connection, until it breaks or we leave."""
        now = time.monotonic()
        self.dials += 1
        self._connected, self._news_at = True, now
        self._drop.clear()
        for link in self._links.values():
            link.heard = max(link.heard, now - self.setting.silence / 2)  # it may have to dial again, too
            link.spoke, link.gone = now, link.gone and now
            link.window.hello()
        tasks = [asyncio.ensure_future(act) for act in (
            self._read(connection), self._write(connection), self._drop.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, connection: Connection) -> None:
        while True:
            self._arrived(await connection.receive())

    async def _write(self, connection: Connection) -> None:
        while True:
            self._wake.clear()
            busy = True
            while busy:
                busy = False
                for link in self._links.values():
                    frame = link.next()
                    if frame is not None:
                        busy = True
                        self.wire += len(frame)
                        await connection.send(frame)
            self._look_whether_over()
            await self._wake.wait()

    def _queue(self, link: Link, kind: bytes, body: bytes) -> None:
        if self.failure is not None:
            return
        link.channel.send(kind, body)
        if sum(one.channel.waiting for one in self._links.values()) > WAITING:
            self.fail(ProtocolBroken("more waits to be sent than may wait"))
        self._wake.set()

    def _tell(self) -> None:
        """The session has failed: every peer that is up hears why; the others when they come."""
        for link in self._links.values():
            if link.channel.up and self.failure is not None:
                link.channel.only(ABORT, reason(self.failure))
        self._wake.set()

    def _goodbye(self) -> None:
        self._ending = True
        if self.failure is None:
            for link in self._links.values():
                link.channel.send(FINISH, b"")
        self._wake.set()
        self._look_whether_over()

    def _on_their_way(self) -> dict[int, int]:
        """The seats that our last bytes have not reached yet, each with the number of frames that it has confirmed."""
        left_before = time.monotonic() - self.setting.grace  # who left just now may come back for them
        return {seat: link.window.confirmed for seat, link in self._links.items() if not link.over(left_before)}

    def _look_whether_over(self) -> None:
        if self._ending and isinstance(self.failure, RelayLost | RelayRefused | ProxyRefused):
            self._quiet.set()  # nobody can be told
        elif self._ending and not (any(link.window.control for link in self._links.values()) or self._on_their_way()):
            self._quiet.set()

    def _leave(self) -> None:
        self._drop.set()
        if not self._connected and self._running is not None:
            self._running.cancel()  # it dials, or waits to dial again

    def _reconsider(self, link: Link) -> None:
        """The reader has caught up (or is behind): tell the other end by what we acknowledge."""
        behind = link.unread > UNREAD
        if link.window.withheld and not behind:
            link.window.withheld = False
            link.window.pulse()
            self._wake.set()
        link.window.withheld = behind

    def _arrived(self, data: bytes) -> None:
        now = self._news_at = time.monotonic()
        seat = link = None
        try:
            frame = Frame.read(data)
            seat = frame.seat
            link = self._links.get(frame.seat)
            if link is None:
                raise Tampered("a frame from no seat of this session")
            if frame.type == GONE:
                link.left(now)
            elif link.took(frame, now):
                self._advance(link)
        except ProtocolBroken as error:
            error.about_seat = seat if error.about_seat is None else error.about_seat
            self.fail(error)
        except MpcError as error:
            self.fail(error)
        except MemoryError:
            whose = seat if link is not None and link.channel.assembling else None
            self.fail(MpcError("no memory left", code="worker.out_of_memory", about_seat=whose))
        except Exception as trouble:  # whatever a peer's bytes set off, it is that peer's, and the others hear of it
            self.fail(ProtocolBroken(f"a peer's bytes: {type(trouble).__name__}", about_seat=seat))
        self._wake.set()

    def _advance(self, link: Link) -> None:
        if not link.channel.up:
            if not link.shake():
                return
            self._greet(link)
        for kind, body in link.channel.messages():
            self._message(link, kind, body)
        link.spoke = self._news_at

    def _greet(self, link: Link) -> None:
        if self.failure is not None:
            link.channel.only(ABORT, reason(self.failure))
        else:
            link.channel.send(HELLO, canonical({
                "session": self.setting.session, "seat": self.seat, "to": link.seat,
                "agreement": self.setting.agreement, "floor": self.setting.floor}))

    def _message(self, link: Link, kind: bytes, body: bytes) -> None:
        seat = link.seat
        if kind in (ABORT, FINISH):
            link.window.pulse()  # at once: it leaves when this is acknowledged
            with self._news:
                if kind == ABORT:  # first why, then that nothing more comes: who waits for it would call it lost
                    why = told(seat, body, seats=self.dealer)
                    self.fail(self._late(seat) if isinstance(why, DeadlinePassed) else why)
                link.finished = True
                self._news.notify_all()
        elif kind == HELLO:
            self._greeted(seat, body)
        elif kind == LIFE:
            pass
        elif seat not in self.floors:
            raise ProtocolBroken("a peer spoke before its hello", about_seat=seat)
        elif self.failure is None:
            with self._news:
                link.inbox.append((kind, body))
                link.arrived += len(body)
                self._news.notify_all()
            if link.unread > UNREAD + LIMIT + 2 * WINDOW:
                raise ProtocolBroken("a peer sends more than is read", about_seat=seat)
            self._reconsider(link)

    def _greeted(self, seat: int, body: bytes) -> None:
        expected = {"session": self.setting.session, "seat": seat, "to": self.seat, "agreement": self.setting.agreement}
        said = spoken(seat, body)
        floor = said.pop("floor", None)
        if type(floor) is not int:
            raise ProtocolBroken("a hello is malformed", about_seat=seat)
        if said != expected or seat in self.floors:
            raise SessionMismatch("a peer means another session or another computation", about_seat=seat)
        with self._news:
            self.floors[seat] = floor
            self._news.notify_all()

    def _lost(self, seat: int, *, silent: bool) -> MpcError:
        if seat == self.dealer:
            return DealerLost("the dealer is silent" if silent else "the dealer is gone", about_seat=seat)
        return (PeerSilent("a peer is silent", about_seat=seat) if silent
                else PeerLost("a peer is gone", about_seat=seat))

    def _late(self, teller: int | None = None) -> MpcError:
        """Time ran out: names the seat that is waited for here, whoever told it, and nobody when this end is behind.
        But who tells it while there is time by this clock is named itself."""
        absent = [seat for seat in self._links if seat not in self.floors]
        awaited = self._awaited
        awaited = None if awaited is None or self._links[awaited].inbox else awaited
        early = teller is not None and time.monotonic() < self.setting.deadline - SKEW
        return DeadlinePassed("the deadline has passed", about_seat=teller if early else min(absent, default=awaited))

    async def _tend(self) -> None:
        """Signs of life, and what time alone brings."""
        while True:
            await asyncio.sleep(self.setting.pulse)
            if self._connected:
                for link in self._links.values():
                    if not link.finished:
                        self._reconsider(link)
                        link.window.pulse()
                        if link.resting and self.failure is None and not self._ending:
                            link.channel.send(LIFE, b"")  # what was cut off the last bytes comes to light by the next
            self._wake.set()
            try:
                if self.failure is None and not self._ending:
                    self._look_at_the_clock(time.monotonic())
            except MpcError as error:
                self.fail(error)

    def _look_at_the_clock(self, now: float) -> None:
        setting, last = self.setting, self._turned
        self._turned = now
        if now > setting.deadline:
            raise self._late()
        if now - last > setting.grace:  # we ourselves were stopped: first hear what has come since
            for link in self._links.values():
                link.heard, link.spoke, link.gone = now, now, link.gone and now
            self._news_at = self._down_since = now
            return
        if not self._connected:
            if now - self._down_since > (setting.relay_grace if self.dials else setting.patience):
                raise RelayLost("the relay cannot be reached")
            return
        absent = [seat for seat in self._links if seat not in self.floors]
        if absent and now - self._started > setting.patience:
            awaited = self._links[min(absent)]
            if awaited.mute and now - awaited.spoke > setting.empty and now - awaited.heard < setting.silence:
                raise Tampered("a handshake does not end, whatever comes")
            raise self._lost(awaited.seat, silent=awaited.ever)
        live = [link for seat, link in self._links.items() if not link.finished and seat not in absent]
        newest = max((link.heard for link in live), default=now)
        for link in live:  # a peer is named only if another is heard while it is not: else it may be the way
            if link.gone is not None and now - link.gone > setting.grace and (
                    now - newest < 2 * setting.pulse or len(live) == 1):
                raise self._lost(link.seat, silent=False)
            if now - link.heard > setting.silence:
                if len(live) > 1 and newest < link.heard + 3 * setting.pulse:
                    raise RelayLost("nobody at all is heard through the relay")
                raise self._lost(link.seat, silent=True)
            if link.window.withheld:
                link.spoke = now  # it waits for us
            if now - link.spoke > setting.empty:
                raise Tampered("frames come, and nothing that the peer says")
        if len(absent) < len(self._links) and now - self._news_at > setting.silence / 2:
            self._drop.set()  # nobody at all is heard: this connection may be dead without having said so
