"""Posts bytes over kept connections, with the standard library alone. Knows nothing of what it carries.

A read of the chain costs a fraction of a millisecond, so what lies beneath it must cost less: no client object, no
proxy of the environment, no redirect, an answer of limited size.
"""

from __future__ import annotations

import http.client
import socket
from base64 import b64encode
from collections import defaultdict, deque
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

LARGEST_ANSWER = 32 << 20
CONNECT_WITHIN = 3.0
KEPT = 16  # connections of one endpoint that wait for their next use


class PostFailed(Exception):
    """No whole answer came; whether the other side acted is not known."""


class Poster:
    """Connections by URL; may be used by several threads."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: defaultdict[str, deque[http.client.HTTPConnection]] = defaultdict(lambda: deque(maxlen=KEPT))

    def post(self, url: str, body: bytes) -> tuple[int, bytes]:
        """Status and body. A kept connection that the other side closed meanwhile is replaced, once."""
        try:
            kept = self._idle[url].pop()
        except IndexError:
            return self._over(self._connect(url), url, body)
        try:
            return self._over(kept, url, body)
        except (http.client.RemoteDisconnected, ConnectionError, http.client.CannotSendRequest):
            return self._over(self._connect(url), url, body)

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PostFailed("an endpoint begins with http:// or https://")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=CONNECT_WITHIN)
        connection.connect()
        connection.sock.settimeout(self._timeout)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _over(self, connection: http.client.HTTPConnection, url: str, body: bytes) -> tuple[int, bytes]:
        parts = urlsplit(url)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, body, _headers(parts.username, parts.password))
            answer = connection.getresponse()
            found = answer.read(LARGEST_ANSWER + 1)
            if len(found) > LARGEST_ANSWER:
                raise PostFailed("the answer is too large")
        except BaseException:
            connection.close()
            raise
        if not answer.will_close:
            self._idle[url].append(connection)
        else:
            connection.close()
        return answer.status, found


def _headers(user: str | None, password: str | None) -> Mapping[str, str]:
    headers = {"Content-Type": "application/json"}
    if user is not None:
        name = b64encode(f"{unquote(user)}:{unquote(password or '')}".encode()).decode()
        headers["Authorization"] = f"Basic {name}"
    return headers


FAILURES = (PostFailed, OSError, http.client.HTTPException, ValueError)
