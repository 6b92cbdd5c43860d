"""One TLS connection as a stream of typed messages; bytes in, messages out. Knows no socket and no clock.

    message   kind, 1 byte | length, 8 bytes | body

Thread-safe by its own lock: TLS objects may not be read and written at once.
"""

from __future__ import annotations

import ssl
import threading

from mpc.errors import ProtocolBroken

HEADER = 9
LIMIT = 1 << 28
CHUNK = 1 << 16
PIECE = 1 << 20

Message = tuple[bytes, bytes]


class Closed(Exception):
    """The other end closed the TLS stream, or refused our certificate; `clean` if it said so."""


class Channel:
    """TLS over two memory buffers."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._plain = bytearray()
        self.up = False
        self.lock = threading.Lock()

    @property
    def certificate(self) -> bytes | None:
        return self._tls.getpeercert(binary_form=True)

    @property
    def name(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def shake(self) -> bool:
        """One step of the handshake; True once it is done on this side."""
        with self.lock:
            try:
                self._tls.do_handshake()
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return False
            except ssl.SSLError as trouble:
                raise Closed(str(trouble.reason or trouble)) from trouble
            self.up = True
            return True

    def fed(self, data: bytes) -> list[Message]:
        """Take bytes from the wire; the messages that they complete."""
        with self.lock:
            self._incoming.write(data)
            if not self.up:
                return []
            try:
                while piece := self._tls.read(CHUNK):
                    self._plain += piece
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except ssl.SSLError as trouble:
                raise Closed(str(trouble.reason or trouble)) from trouble
            else:
                raise Closed("closed by the other end")
            return self._messages()

    def _messages(self) -> list[Message]:
        found = []
        while len(self._plain) >= HEADER:
            length = int.from_bytes(self._plain[1:HEADER], "big")
            if length > LIMIT:
                raise ProtocolBroken("a message is too long")
            if len(self._plain) < HEADER + length:
                break
            found.append((bytes(self._plain[:1]), bytes(self._plain[HEADER : HEADER + length])))
            del self._plain[: HEADER + length]
        return found

    def wrap(self, kind: bytes, body: bytes) -> None:
        """Encrypt one message into the outgoing buffer. The caller holds `lock`."""
        whole = kind + len(body).to_bytes(8, "big") + body
        for at in range(0, len(whole), PIECE):
            self._tls.write(whole[at : at + PIECE])

    def pending(self) -> bytes:
        """Bytes for the wire. The caller holds `lock`."""
        return self._outgoing.read()
