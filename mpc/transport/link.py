"""One connection of a mesh: its socket, its TLS channel, its state, and the word with which a peer ends a session."""

from __future__ import annotations

import contextlib
import json
import re
import socket

from ledger.documents import canonical
from mpc.errors import (
    DataRefused,
    DeadlinePassed,
    DealerLost,
    GateInconsistent,
    MpcError,
    PeerLost,
    PeerSilent,
    ProtocolBroken,
    SessionMismatch,
    Stopped,
)
from mpc.transport.channel import Channel

_CODE = re.compile(r"[a-z]+(\.[a-z_]+)+\Z")
_TOLD = {kind.code: kind for kind in (DataRefused, DeadlinePassed, DealerLost, GateInconsistent, PeerLost, PeerSilent,
                                      ProtocolBroken, SessionMismatch)}


def reason(error: MpcError) -> bytes:
    """What the peers are told: a code and a seat, no text."""
    return canonical({"code": error.code, "about_seat": error.about_seat})


def told(seat: int, body: bytes, *, seats: int) -> MpcError:
    """A peer ended the session: its code, if it looks like one, and whom it names."""
    code, about = "session.protocol", seat
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = json.loads(body)
        if isinstance(said["code"], str) and len(said["code"]) <= 64 and _CODE.match(said["code"]):
            code = said["code"]
        if isinstance(said["about_seat"], int) and 0 <= said["about_seat"] <= seats:
            about = said["about_seat"]
    return _TOLD.get(code, Stopped)("a peer ended the session", code=code, about_seat=about)


class Link:
    """One connection and its state; touched by the I/O thread, `out` also under the channel's lock."""

    def __init__(self, sock: socket.socket, channel: Channel, seat: int | None, now: float) -> None:
        self.sock, self.channel, self.seat = sock, channel, seat
        self.out = bytearray()
        self.heard = self.spoken = now
        self.connecting = seat is not None
        self.watched = 0
        self.finished = self.closed = False

    def flush(self) -> None:
        """Write what the socket takes. The caller holds the channel's lock."""
        self.out += self.channel.pending()
        if self.closed:
            self.out.clear()
        while self.out and not self.connecting:
            try:
                sent = self.sock.send(memoryview(self.out)[: 1 << 18])
            except (BlockingIOError, InterruptedError):
                return
            del self.out[:sent]
