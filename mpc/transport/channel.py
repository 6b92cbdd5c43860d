"""One TLS 1.3 session between two seats as a stream of typed messages. Bytes in, bytes out; no socket, no clock.

    message   kind, 1 byte | length, 8 bytes | body

What a header announces is checked before anything is kept for it, and memory is taken as the bytes arrive.
One thread only. What is queued is encrypted when the window has room for it, so a slow peer costs plain memory once,
not twice; `waiting` says how much that is.
"""

from __future__ import annotations

import ssl
from collections import deque

from mpc.errors import MpcError, ProtocolBroken, SessionMismatch, Tampered

HEADER = 9
LIMIT = 1 << 28
HELLO, ABORT, FINISH, LIFE = b"H", b"X", b"F", b"L"
SPOKEN = 4096  # bytes of a hello, or of a reason
MOST = {HELLO: SPOKEN, ABORT: SPOKEN, FINISH: SPOKEN, LIFE: 0}  # of any other kind LIMIT, and none before the hello
PIECE = 1 << 20
SMALL = 4096
OVERHEAD = 1024  # of TLS records, in one frame

Message = tuple[bytes, bytes]


class Channel:
    """TLS over two memory buffers."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._queue: deque[tuple[bytes, bool]] = deque()  # bytes, and whether a message ends with them
        self._offset = 0
        self._inside = False
        self._head, self._got = bytearray(HEADER), 0
        self._kind = b""
        self._body: bytearray | None = None
        self._length = 0  # of the whole body
        self._greeted = False  # the peer's hello has come, or begun to
        self.waiting = 0
        self.up = self.dead = False

    @property
    def certificate(self) -> bytes | None:
        return self._tls.getpeercert(binary_form=True)

    @property
    def name(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def shake(self) -> bool:
        """One step of the handshake; True once it is done on this side."""
        try:
            self._tls.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except ssl.SSLError as trouble:
            raise self._meaning(trouble) from trouble
        self.up = True
        return True

    def feed(self, data: bytes | memoryview) -> None:
        """Bytes of the other end, in order."""
        self._incoming.write(data)

    def messages(self) -> list[Message]:
        """The messages that have arrived whole. Call it only when the handshake is done."""
        found: list[Message] = []
        try:
            while not self.dead and self._read():
                if self._body is not None and self._got == self._length:
                    found.append((self._kind, bytes(self._body)))
                    self._body, self._got = None, 0
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return found
        except ssl.SSLError as trouble:
            raise self._meaning(trouble) from trouble
        if self.dead:
            return found
        raise ProtocolBroken("a peer closed its side")

    def _read(self) -> int:
        """Read on, into the header or into the body; how much it was (0: the TLS stream is closed)."""
        if self._body is None:
            got = int(self._tls.read(HEADER - self._got, memoryview(self._head)[self._got:]))
            self._got += got
            if self._got == HEADER:
                self._begin(bytes(self._head[:1]), int.from_bytes(self._head[1:], "big"))
            return got
        if self._got == len(self._body):
            self._body.extend(bytes(min(self._length - self._got, self._got)))
        got = int(self._tls.read(len(self._body) - self._got, memoryview(self._body)[self._got:]))
        self._got += got
        return got

    def _begin(self, kind: bytes, length: int) -> None:
        """A header says what comes."""
        if kind not in MOST and not self._greeted:
            raise ProtocolBroken("a peer spoke before its hello")
        if length > MOST.get(kind, LIMIT):
            raise ProtocolBroken("a message is too long")
        self._greeted = self._greeted or kind == HELLO
        self._kind, self._length, self._body, self._got = kind, length, bytearray(min(length, PIECE)), 0

    @property
    def assembling(self) -> bool:
        """A message of the peer's has begun and is not done."""
        return self._body is not None or self._got == HEADER

    def _meaning(self, trouble: ssl.SSLError) -> MpcError:
        """After such an error nothing more can be read or written here, only the alert may still leave.

        It names nobody: until the handshake is done, a relay that puts its own bytes in is not told from a peer.
        """
        self.dead = True
        reason = str(trouble.reason or trouble)
        if isinstance(trouble, ssl.SSLCertVerificationError):
            return SessionMismatch("a peer is not who it should be")
        if "ALERT" in reason and ("CERT" in reason or "UNKNOWN_CA" in reason):
            return SessionMismatch("a peer does not accept us")
        return Tampered("what arrived is not what a peer sent")

    def send(self, kind: bytes, body: bytes) -> None:
        """Queue one message; it may be queued before the handshake is done."""
        head = kind + len(body).to_bytes(8, "big")
        self.waiting += HEADER + len(body)
        if len(body) <= SMALL:
            self._queue.append((head + body, True))
        else:
            self._queue.extend(((head, False), (body, True)))

    def only(self, kind: bytes, body: bytes) -> None:
        """Drop what is queued and send this instead; a message that has begun is ended first."""
        begun: deque[tuple[bytes, bool]] = deque()
        while self._inside and not (begun and begun[-1][1]):
            begun.append(self._queue.popleft())
        self._queue = begun
        self.waiting = sum(len(data) for data, _ in begun)
        self.send(kind, body)

    def take(self, limit: int) -> bytes:
        """Ciphertext for the wire, at most `limit` bytes; empty when there is nothing to send now."""
        room = limit - OVERHEAD
        while self.up and not self.dead and self._queue and room > 0 and self._outgoing.pending < limit:
            data, ends = self._queue[0]
            written = self._tls.write(memoryview(data)[self._offset : self._offset + room])
            self._offset += written
            room -= written
            self._inside = True
            if self._offset == len(data):
                self._queue.popleft()
                self.waiting -= len(data)
                self._offset, self._inside = 0, not ends
        return self._outgoing.read(limit)

    @property
    def idle(self) -> bool:
        """Nothing is queued, and nothing encrypted waits."""
        return (self.dead or not self._queue) and not self._outgoing.pending
