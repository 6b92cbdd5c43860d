"""Frames of one pair through a relay that may lose, repeat or reorder them: numbered, acknowledged, sent again.

    frame   seat 1 | type 1 | number 8 | acknowledged 8 | payload        (at most FRAME bytes of payload)

The relay turns the first byte from the receiver's seat into the sender's and looks at nothing else. A HELLO's number
says which connection of its sender's it opens; the REWIND that answers it repeats that number, one that asks for a gap
has 0. Who is asked for a gap stops, says a MARK with the next such number and sends again when a REWIND repeats it: the
mark comes after all that was sent before, so of that nothing waits at the relay then.

A pure state machine: frames and bytes come in, frames and bytes go out; no clock, no socket. What it delivers, in order
and once, is what the other end put in, unless somebody forged a frame: that is for TLS above to find out.
Nothing here is authenticated, so a frame can make this end send again or give up, never take other bytes for true.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from mpc.errors import Tampered

HEAD = struct.Struct("!BBQQ")
DATA, ACK, HELLO, REWIND, GONE, MARK = range(1, 7)
FRAME = 1 << 16
WINDOW = 8 << 20
EVERY = 16  # frames received before an acknowledgement is sent on its own
VAIN = 20  # requests to send again, without anything acknowledged in between, before we say that frames vanish
STALE = 8  # requests for what was acknowledged before


@dataclass(frozen=True)
class Frame:
    """One frame, read."""

    seat: int
    type: int
    number: int
    acknowledged: int
    payload: memoryview

    @classmethod
    def read(cls, data: bytes) -> Frame:
        if len(data) < HEAD.size:
            raise Tampered("a frame is too short")
        seat, type, number, acknowledged = HEAD.unpack_from(data)
        return cls(seat, type, number, acknowledged, memoryview(data)[HEAD.size:])


class Window:
    """One end of one pair."""

    def __init__(self, seat: int, *, window: int = WINDOW) -> None:
        self._seat, self._window = seat, window
        self._sent: deque[bytes] = deque()
        self._base = self._cursor = 0  # the first frame not acknowledged; the next to be sent (again)
        self._inflight = 0
        self._due = 0  # the next number that may be delivered
        self._told = 0  # what we acknowledged last
        self._gap = False
        self._vain = self._stale = 0
        self._asked = self._met = 0  # the number of our last hello or mark, and of the other end's newest hello
        self._held = 0  # HELLO or MARK, while ours is not answered: what was sent before may still be on its way
        self.withheld = False  # the reader is behind: acknowledge nothing more, so that the other end stops
        self.control: dict[int, int] = {}  # number by type: of each only the newest waits, the oldest said first

    @property
    def settled(self) -> bool:
        """Everything put in has been acknowledged."""
        return not self._sent

    @property
    def confirmed(self) -> int:
        """How many frames have been acknowledged so far."""
        return self._base

    @property
    def room(self) -> int:
        """How many bytes may be put in now."""
        return max(0, self._window - self._inflight)

    @property
    def inflight(self) -> int:
        """Bytes kept to be sent again."""
        return self._inflight

    def put(self, data: bytes) -> None:
        """The next bytes for the other end, at most FRAME of them."""
        self._sent.append(data)
        self._inflight += len(data)

    def next(self) -> bytes | None:
        """The next frame to send, if there is one."""
        if self.control:
            type = next(iter(self.control))
            return HEAD.pack(self._seat, type, self.control.pop(type), self._acknowledged())
        if self._held or self._cursor == self._base + len(self._sent):
            return None
        data, number = self._sent[self._cursor - self._base], self._cursor
        self._cursor += 1
        return HEAD.pack(self._seat, DATA, number, self._acknowledged()) + data

    def hello(self) -> None:
        """A new connection: everything not acknowledged is sent again, and the other end asked to do the same.

        Not before the other end has read this hello, or said one itself: the frames of the old connection may still
        wait at the relay for a slow reader, and what is sent again at each dial would pile up there behind them.
        """
        self.control.clear()
        self._gap = False
        self._hold(HELLO)

    def pulse(self) -> None:
        """A sign of life that also tells how far we have sent and received; what may be lost is said again."""
        if self._held:
            self._say(self._held, self._asked)
        else:
            self._say(ACK, self._cursor)

    def take(self, frame: Frame) -> memoryview | None:
        """What the frame delivers, if it is the next one; raises when the other end (or the relay) lies."""
        self._acknowledge(frame)
        if frame.type == DATA:
            return self._data(frame)
        if frame.type == HELLO:
            if frame.number > self._met:  # once for each of its connections, however often it says so
                self._met = frame.number
                self._again(frame)
            self._say(REWIND, frame.number)
        elif frame.type == REWIND:
            if self._held and frame.number == self._asked:
                self._again(frame)
            elif not self._held and frame.number == 0:
                self._missed(frame)
        elif frame.type == MARK:
            self._say(REWIND, frame.number)
        elif frame.type == ACK:
            if frame.number > self._due:  # it has sent more than arrived: the last frames are lost
                self._say(REWIND, 0)
        else:
            raise Tampered("a frame of no known type")
        return None

    def _data(self, frame: Frame) -> memoryview | None:
        if frame.number < self._due:
            return None
        if frame.number > self._due:
            if not self._gap:
                self._gap = True
                self._say(REWIND, 0)
            return None
        if len(frame.payload) > FRAME:
            raise Tampered("a frame is too long")
        self._due += 1
        self._gap = False
        if self._due - self._told >= EVERY and not self.withheld:
            self._say(ACK, self._cursor)
        return frame.payload

    def _again(self, frame: Frame) -> None:
        self._count(frame)
        self._held = 0
        self._cursor = self._base

    def _missed(self, frame: Frame) -> None:
        """A gap is asked for: by each frame that was behind it. Sent again once they have all been read, not at each:
        before a slow reader the relay would hold a window for every one of them."""
        self._count(frame)
        if self._cursor > self._base:
            self._hold(MARK)

    def _hold(self, type: int) -> None:
        self._cursor = self._base
        self._asked += 1
        self._held = type
        self._say(type, self._asked)

    def _acknowledge(self, frame: Frame) -> None:
        if frame.acknowledged > self._base + len(self._sent):
            raise Tampered("a frame acknowledges what was never sent")
        if frame.acknowledged > self._base:
            self._vain = self._stale = 0
        while self._base < frame.acknowledged:
            self._inflight -= len(self._sent.popleft())
            self._base += 1
        self._cursor = max(self._cursor, self._base)

    def _count(self, frame: Frame) -> None:
        """Requests to send again that lead nowhere: what was acknowledged to us did not arrive, or nothing arrives."""
        if frame.acknowledged < self._base and frame.type == REWIND:
            self._stale += 1
        elif self._sent and self._cursor > self._base:
            self._vain += 1
        if self._stale > STALE or self._vain > VAIN:
            raise Tampered("frames keep vanishing on the way")

    def _acknowledged(self) -> int:
        if not self.withheld:
            self._told = self._due
        return self._told

    def _say(self, type: int, number: int) -> None:
        self.control.pop(type, None)
        self.control[type] = number
