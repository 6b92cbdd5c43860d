"""Posts bytes over kept connections: as much HTTP/1.1 as that takes, on a plain socket. Knows nothing of what it sends.

A read of the chain takes an endpoint a fraction of a millisecond, so what lies above it must not cost more than that:
the general clients spend longer on headers. No redirect, an answer of limited size, and no proxy but the one that the
caller names for an address: through it goes a tunnel (CONNECT), so it sees the address and, of an https one, no more.
"""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import SplitResult, unquote, urlsplit

LARGEST_ANSWER = 32 << 20
LONGEST_LINE = 8192
MOST_HEADERS = 100
CONNECT_WITHIN = 3.0
KEPT = 16  # connections of one endpoint that wait for their next use


class PostFailed(Exception):
    """No whole answer came; whether the other side acted is not known."""


class _Closed(PostFailed):
    """The other side closed a kept connection before it said anything."""


class Poster:
    """Connections by URL; may be used by several threads."""

    def __init__(self, timeout: float, *, proxy: Callable[[str], str | None] | None = None) -> None:
        self._timeout, self._proxy = timeout, proxy
        self._idle: defaultdict[str, deque[_Connection]] = defaultdict(lambda: deque(maxlen=KEPT))

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Status and body. A kept connection that the other side closed meanwhile is replaced, once."""
        try:
            kept = self._idle[url].pop()
        except IndexError:
            return self._over(self._dial(url), url, body)
        if not kept.quiet():
            kept.close()
            return self._over(self._dial(url), url, body)
        try:
            return self._over(kept, url, body)
        except (_Closed, ConnectionError):
            return self._over(self._dial(url), url, body)

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _dial(self, url: str) -> _Connection:
        return _Connection(url, self._timeout, self._proxy(url) if self._proxy else None)

    def _over(self, connection: _Connection, url: str, body: bytes) -> tuple[int, bytes]:
        try:
            answer = connection.post(_head(url), body)
        except BaseException:
            connection.close()
            raise
        if connection.kept:
            self._idle[url].append(connection)
        else:
            connection.close()
        return answer


class _Connection:
    """One socket, one request at a time."""

    def __init__(self, url: str, timeout: float, proxy: str | None = None) -> None:
        parts = _parts(url)
        tls = parts.scheme == "https"
        host, port = str(parts.hostname), parts.port or (443 if tls else 80)
        self._socket = _tunnel(proxy, host, port, timeout) if proxy else socket.create_connection(
            (host, port), CONNECT_WITHIN)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self._socket = ssl.create_default_context().wrap_socket(self._socket, server_hostname=host)
            self._socket.settimeout(timeout)
        except BaseException:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")
        self._timeout = timeout
        self.kept = True

    def quiet(self) -> bool:
        """Whether nothing came unasked: a second answer to the last request must not pass for one to the next."""
        try:
            self._socket.settimeout(0)
            return not self._file.peek(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        finally:
            self._socket.settimeout(self._timeout)

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def post(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        self._socket.sendall(head + b"%d\r\n\r\n" % len(body) + body)
        status = 100
        while status == 100:
            version, status = self._status()
            headers = self._headers()
        self.kept = version == b"HTTP/1.1" and headers.get(b"connection", b"").lower() != b"close"
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return status, self._chunks()
        if b"content-length" in headers:
            return status, self._exactly(_number(headers[b"content-length"], 10))
        if status == 204:
            return status, b""
        self.kept = False
        found = self._file.read(LARGEST_ANSWER + 1)
        if len(found) > LARGEST_ANSWER:
            raise PostFailed("the answer is too large")
        return status, found

    def _line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise PostFailed("the answer ends in the middle, or is no HTTP")
        return line.rstrip(b"\r\n")

    def _status(self) -> tuple[bytes, int]:
        first = self._file.readline(LONGEST_LINE)
        if not first:
            raise _Closed("the other side closed the connection")
        fields = first.split(None, 2)
        if len(fields) < 2 or not fields[0].startswith(b"HTTP/1."):
            raise PostFailed("the answer is no HTTP")
        return fields[0], _number(fields[1], 10)

    def _headers(self) -> dict[bytes, bytes]:
        headers: dict[bytes, bytes] = {}
        for _ in range(MOST_HEADERS):
            line = self._line()
            if not line:
                return headers
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        raise PostFailed("the answer has too many headers")

    def _exactly(self, length: int) -> bytes:
        if length > LARGEST_ANSWER:
            raise PostFailed("the answer is too large")
        found = self._file.read(length)
        if len(found) != length:
            raise PostFailed("the answer ends in the middle")
        return found

    def _chunks(self) -> bytes:
        found = b""
        while length := _number(self._line().split(b";")[0], 16):
            found += self._exactly(length)
            self._line()
            if len(found) > LARGEST_ANSWER:
                raise PostFailed("the answer is too large")
        self._headers()  # trailers, or the empty line
        return found


def _tunnel(proxy: str, host: str, port: int, timeout: float) -> socket.socket:
    """A connection to the host through an HTTP proxy, whose address carries its user and password if it has them."""
    at = _parts(proxy)
    if at.scheme != "http":
        raise PostFailed("a proxy on the way to the chain begins with http://")
    aim = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {aim} HTTP/1.1", f"Host: {aim}"]
    if at.username is not None:
        lines.append(f"Proxy-Authorization: {_basic(at)}")
    line = socket.create_connection((str(at.hostname), at.port or 80), CONNECT_WITHIN)
    try:
        line.settimeout(timeout)
        line.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # byte by byte: what follows is no longer the proxy's
            got = line.recv(1)
            if not got or len(head) > LONGEST_LINE:
                raise PostFailed("the proxy gives no answer")
            head += got
        status = head.split(None, 2)[1:2]
        if not head.startswith(b"HTTP/1.") or not status or not status[0].startswith(b"2"):
            raise PostFailed(f"the proxy answers {status[0][:3].decode('ascii', 'replace') if status else 'no HTTP'}")
    except BaseException:
        line.close()
        raise
    return line


def _basic(parts: SplitResult) -> str:
    return "Basic " + b64encode(f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()).decode()


def _number(digits: bytes, base: int) -> int:
    try:
        return int(digits.decode("ascii"), base)
    except ValueError as trouble:
        raise PostFailed("the answer has no number where one belongs") from trouble


@lru_cache(maxsize=64)
def _parts(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PostFailed("an endpoint begins with http:// or https://")
    return parts


@lru_cache(maxsize=64)
def _head(url: str) -> bytes:
    """All of the request but the length and the body."""
    parts = _parts(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc.rpartition('@')[2]}", "Content-Type: application/json"]
    if parts.username is not None:
        lines.append(f"Authorization: {_basic(parts)}")
    if any(mark in line for line in lines for mark in "\r\n"):
        raise PostFailed("the endpoint's address is no URL")
    return "\r\n".join([*lines, "Content-Length: "]).encode("ascii", "strict")


FAILURES = (PostFailed, OSError, ValueError)
