"""A wire between a party and its relay: it delays what passes, is cut, or goes dead without a word. One a party."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque


class SlowWire:
    """A TCP forwarder on loopback, in a thread of its own; `delay` is one way, in seconds."""

    def __init__(self, port: int, *, delay: float = 0.0) -> None:
        self._target, self.delay, self.port = port, delay, 0
        self._dead: set[asyncio.StreamWriter] = set()
        self._open: set[asyncio.StreamWriter] = set()
        self.dials = 0
        self._severed = False
        self._loop = asyncio.new_event_loop()
        up = threading.Event()
        threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(up)), daemon=True).start()
        if not up.wait(20):
            raise TimeoutError("the wire does not start")

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def _serve(self, up: threading.Event) -> None:
        self._over = asyncio.Event()
        async with await asyncio.start_server(self._one, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            up.set()
            await self._over.wait()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dials += 1
        if self._severed:
            writer.close()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, back}
        await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        self._open -= {writer, back}

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        more = asyncio.Event()

        async def send() -> None:
            while True:
                while not waiting:
                    more.clear()
                    await more.wait()
                due, data = waiting.popleft()
                if (left := due - self._loop.time()) > 0:
                    await asyncio.sleep(left)
                if target not in self._dead:
                    target.write(data)
                    await target.drain()

        sending = asyncio.ensure_future(send())
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                waiting.append((self._loop.time() + self.delay, data))
                more.set()
        sending.cancel()
        if target not in self._dead:
            target.close()

    def _call(self, act: object) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(act)  # type: ignore[arg-type]

    def cut(self) -> None:
        """End every connection; the next one is carried again."""
        self._call(lambda: [writer.transport.abort() for writer in list(self._open)])

    def die(self) -> None:
        """From now on nothing passes on the connections that are open, and nobody is told; new ones work."""
        self._call(lambda: self._dead.update(self._open))

    def sever(self) -> None:
        """End every connection, and carry none any more."""
        self._severed = True
        self.cut()

    def end(self) -> None:
        self.cut()
        self._call(self._over.set)
