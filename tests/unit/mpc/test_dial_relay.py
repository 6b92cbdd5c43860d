"""What answers at the relay's address has no say in where a hospital's worker dials."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from mpc.errors import RelayRefused
from mpc.transport.carrier import Relay, WebSocketCarrier


@pytest.fixture
def inner() -> Iterator[socket.socket]:
    """A machine inside the hospital, which nobody may reach."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.setblocking(False)
        yield one


async def dial(relay: Relay) -> None:
    async with WebSocketCarrier(relay).connect():
        pass


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_followed_nowhere(inner: socket.socket, status: int, proxied: bool) -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if proxied:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there = f"ws://127.0.0.1:{inner.getsockname()[1]}/"
        writer.write(f"HTTP/1.1 {status} Elsewhere\r\nLocation: {there}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async def act() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            relay = (Relay("ws://relay.example", "t", f"http://{at}") if proxied else Relay(f"ws://{at}", "t"))
            with pytest.raises(RelayRefused, match=str(status)):
                await dial(relay)

    asyncio.run(act())
    assert [head.split(b" ", 1)[0] for head in heads] == ([b"CONNECT", b"GET"] if proxied else [b"GET"])
    with pytest.raises(BlockingIOError):
        inner.accept()


@pytest.mark.parametrize("first", [b"", b"x" * 31, "text", b"x" * 4000])
def test_what_asks_no_relays_question_is_no_relay(first: bytes | str) -> None:
    async def greet(connection: ServerConnection) -> None:
        await connection.send(first)
        await connection.wait_closed()

    async def act() -> None:
        async with serve(greet, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            with pytest.raises(RelayRefused):
                await dial(Relay(f"ws://127.0.0.1:{port}", "t"))

    asyncio.run(act())
