"""What carries the frames of one seat: a WebSocket to a relay, dialled from here, through a proxy if there is one.

Knows nothing of what the frames mean. A connection that breaks is `Broken`; a relay that will not have us is
`RelayRefused`. The outer TLS of a `wss` address protects the token and the traffic's shape on the way to the relay; the
computation does not rest on it.
"""

from __future__ import annotations

import asyncio
import http
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    WebSocketException,
)

from mpc.errors import ProxyRefused, RelayRefused
from mpc.token import NONCE, prove
from mpc.transport.window import FRAME, HEAD

REFUSED = {4003: "the token is over", 4008: "more was sent than the window allows", 4009: "the job's bytes are used up",
           4010: "the token is another's"}
LATER = (http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.BAD_GATEWAY, http.HTTPStatus.SERVICE_UNAVAILABLE,
         http.HTTPStatus.GATEWAY_TIMEOUT)
QUICKACK = getattr(socket, "TCP_QUICKACK", socket.TCP_NODELAY)
PING = 10.0
ASKED = 5.0  # seconds in which the relay asks who we are


class Broken(Exception):
    """The connection is gone, or there is none to be had now."""


class Connection(Protocol):
    """Whole frames, in both directions."""

    async def send(self, frame: bytes) -> None: ...

    async def receive(self) -> bytes: ...


class Carrier(Protocol):
    """A way to the relay."""

    def connect(self) -> AbstractAsyncContextManager[Connection]: ...


@dataclass(frozen=True)
class Relay:
    """Where the relay is, how it lets us in (the token, and the leaf's key, DER, that it names), and the HTTP CONNECT
    proxy on the way, if any."""

    url: str
    token: str = field(repr=False)
    proxy: str | None = field(default=None, repr=False)  # with its password, if it asks for one
    key: bytes = field(default=b"", repr=False)


class _Eager(ClientConnection):
    """Acknowledges TCP segments at once: behind a proxy without TCP_NODELAY every round would cost 40 ms."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, QUICKACK, 1)


class _Dial(connect):
    """Dials the address that it was given, and no other: what answers there has no say in where this machine goes."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _Socket:
    """A WebSocket as a connection."""

    def __init__(self, raw: ClientConnection) -> None:
        self._raw = raw

    async def send(self, frame: bytes) -> None:
        try:
            await self._raw.send(frame)
        except ConnectionClosed as trouble:
            raise _end(trouble) from trouble

    async def receive(self) -> bytes:
        try:
            frame = await self._raw.recv()
        except ConnectionClosed as trouble:
            raise _end(trouble) from trouble
        if not isinstance(frame, bytes):
            raise Broken("text")
        return frame


def _end(trouble: ConnectionClosed) -> Exception:
    code = trouble.rcvd.code if trouble.rcvd else 0
    return RelayRefused(f"the relay: {REFUSED[code]}") if code in REFUSED else Broken("closed")


class WebSocketCarrier:
    """Dials the relay."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Connection]:
        """One connection, or `Broken`, or `RelayRefused`, or `ProxyRefused`."""
        relay = self._relay
        try:
            raw = await _Dial(
                relay.url, additional_headers={"Authorization": f"Bearer {relay.token}"}, user_agent_header=None,
                compression=None, max_size=FRAME + HEAD.size, max_queue=64, write_limit=1 << 20, open_timeout=5,
                close_timeout=1, ping_interval=PING, ping_timeout=PING, proxy=relay.proxy,
                create_connection=_Eager if relay.proxy else ClientConnection)
        except InvalidStatus as trouble:
            status = trouble.response.status_code
            if status in LATER:
                raise Broken(str(status)) from trouble
            raise RelayRefused(f"the relay answers {status}") from trouble
        except InvalidProxyStatus as trouble:
            status = trouble.response.status_code
            if status in LATER:
                raise Broken(f"proxy {status}") from trouble
            raise ProxyRefused(f"the proxy answers {status}") from trouble
        except (InvalidURI, InvalidProxy) as trouble:
            raise RelayRefused("the relay's or the proxy's address is malformed") from trouble
        except ssl.SSLCertVerificationError as trouble:
            raise RelayRefused("the relay's certificate is not one that this machine trusts") from trouble
        except (OSError, WebSocketException, EOFError) as trouble:
            raise Broken(type(trouble).__name__) from trouble
        try:
            await self._answer(raw)
            yield _Socket(raw)
        finally:
            await raw.close()

    async def _answer(self, raw: ClientConnection) -> None:
        """The relay asks whether we hold the key that the token names."""
        try:
            async with asyncio.timeout(ASKED):
                nonce = await raw.recv()
                if not isinstance(nonce, bytes) or len(nonce) != NONCE:
                    raise RelayRefused("what answers there is no relay")
                await raw.send(self._proof(nonce))
        except ConnectionClosed as trouble:
            raise _end(trouble) from trouble
        except TimeoutError as trouble:
            raise Broken("silent") from trouble

    def _proof(self, nonce: bytes) -> bytes:
        key = load_der_private_key(self._relay.key, password=None) if self._relay.key else None
        return prove(self._relay.token, nonce, key) if isinstance(key, Ed25519PrivateKey) else b""
