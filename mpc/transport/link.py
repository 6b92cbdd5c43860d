"""One peer of a session: its window, its TLS channel, what has arrived from it, and the word with which it ends.

Touched by the I/O thread alone, but for `inbox` and `read`, which belong to whoever takes messages (under the mesh's
lock, and written there alone). No clock: `now` comes in.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

from ledger.documents import canonical, load_json
from ledger.errors import LedgerError
from mpc.errors import (
    DataRefused,
    DeadlinePassed,
    DealerLost,
    GateInconsistent,
    MpcError,
    PeerLost,
    PeerSilent,
    ProtocolBroken,
    ProxyRefused,
    RelayLost,
    RelayRefused,
    SessionMismatch,
    Stopped,
    Tampered,
)
from mpc.transport.channel import SPOKEN, Channel, Message
from mpc.transport.window import FRAME, Frame, Window

NOBODYS = (DeadlinePassed.code, SessionMismatch.code)
_CODE = re.compile(r"[a-z]+(\.[a-z_]+)+\Z")
_TOLD = {kind.code: kind for kind in (DataRefused, DeadlinePassed, DealerLost, GateInconsistent, PeerLost, PeerSilent,
                                      ProtocolBroken, ProxyRefused, RelayLost, RelayRefused, SessionMismatch, Tampered)}


def reason(error: MpcError) -> bytes:
    """What the peers are told: a code and a seat, no text."""
    return canonical({"code": error.code, "about_seat": error.about_seat})


def spoken(seat: int, body: bytes) -> dict[str, Any]:
    """What a peer says about itself or the session: one small JSON object, or a breach of the protocol by that peer."""
    try:
        found = load_json(body) if len(body) <= SPOKEN else None
    except LedgerError:
        found = None
    if not isinstance(found, dict):
        raise ProtocolBroken("what a peer says is malformed", about_seat=seat)
    return found


def told(seat: int, body: bytes, *, seats: int) -> MpcError:
    """A peer ended the session: its code, if it looks like one, and whom it names.

    Who names nobody means itself, but for what may be nobody's fault: the way to the relay, a handshake that somebody
    on the way may have spoilt, time that ran out.
    """
    try:
        said = spoken(seat, body)
    except ProtocolBroken as broken:
        return broken
    code, about = said.get("code"), said.get("about_seat")
    if not isinstance(code, str) or len(code) > 64 or not _CODE.match(code):
        code = ProtocolBroken.code
    if type(about) is not int or not 0 <= about <= seats:
        about = None if code in NOBODYS or code.startswith(("relay.", "proxy.")) else seat
    return _TOLD.get(code, Stopped)("a peer ended the session", code=code, about_seat=about)


class Link:
    """One peer and its state."""

    def __init__(self, seat: int, channel: Channel, certificate: bytes, name: str, now: float) -> None:
        self.seat, self.channel, self.window = seat, channel, Window(seat)
        self._certificate, self._name = certificate, name
        self.heard = self.spoke = now  # when a frame came, which anybody may have made; when the peer's own bytes did
        self.ever = False  # it has been heard at all
        self.gone: float | None = None  # since when the relay says that it left; a hint
        self.finished = False  # it said goodbye, or why it failed: nothing more is expected from it
        self.inbox: deque[Message] = deque()
        self.arrived = self.read = 0

    @property
    def unread(self) -> int:
        """Bytes that wait in the inbox; each of the two sums has one writer."""
        return self.arrived - self.read

    def over(self, left_before: float) -> bool:
        """Nothing of ours is still on its way to a peer that wants it, and that did not leave so long ago."""
        gone = self.gone
        if self.finished or (gone is not None and gone < left_before):
            return True
        return (self.channel.up or self.channel.dead) and self.channel.idle and self.window.settled

    @property
    def mute(self) -> bool:
        """Its frames have come since `spoke`, and make no TLS session."""
        return self.ever and not self.channel.up

    @property
    def resting(self) -> bool:
        """The link is up, and nothing waits to be sent. What was sent need not have been acknowledged: the peer's
        acknowledgements may wait behind its own bulk."""
        return self.channel.up and not self.channel.dead and self.channel.idle

    def next(self) -> bytes | None:
        """The next frame for this peer."""
        found = self.window.next()
        if found is None and self.window.room and (data := self.channel.take(FRAME)):
            self.window.put(data)
            found = self.window.next()
        return found

    def left(self, now: float) -> None:
        """The relay says that it left."""
        if self.gone is None and not self.finished:
            self.gone = now

    def took(self, frame: Frame, now: float) -> bool:
        """Take a frame; true when it brought bytes for the channel."""
        if not self.ever:
            self.spoke = now
        self.heard, self.ever, self.gone = now, True, None
        data = self.window.take(frame)
        if data is None:
            return False
        self.channel.feed(data)
        return True

    def shake(self) -> bool:
        """One step of the handshake; true when it has just ended, with the pinned certificate and in this session."""
        if self.channel.up or self.channel.dead or not self.channel.shake():
            return False
        if self.channel.name != self._name or self.channel.certificate != self._certificate:
            # nobody is named: the relay may have brought two together that are no pair
            raise SessionMismatch("a peer is in another session")
        return True
