"""The true relay on loopback, in a thread of the test's process; it can be stopped and started again on its port."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mpc.relay import Limits, Relay
from mpc.token import Claims, mint

_BEARER = Ed25519PrivateKey.generate()
BEARER = _BEARER.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


class RelayAtHand:
    """Tokens are made by `token`, as a portal would; who names no holder gets `BEARER`'s, and dials with its key."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.key, self.limits, self.port = Ed25519PrivateKey.generate(), limits, 0
        self.relay: Relay
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.relay = Relay(self.key.public_key().public_bytes_raw(), limits=self.limits)
        up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(up)), daemon=True)
        self._thread.start()
        if not up.wait(20):
            raise TimeoutError("the relay does not start")

    async def _serve(self, up: threading.Event) -> None:
        async with self.relay.serve("127.0.0.1", self.port) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            tending = asyncio.ensure_future(self.relay.tend())
            up.set()
            await self._over.wait()
            tending.cancel()

    def stop(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)

    def token(self, seat: int, seats: int, *, room: str = "room", job: str = "", seconds: int = 600,
              most: int = 1 << 34, holder: str = "") -> str:
        names = [sha256(one.encode()).hexdigest() for one in (room, job or room)]
        holder = holder or _BEARER.public_key().public_bytes_raw().hex()
        claims = Claims(*names, seat, seats, int(time.time()) + seconds, most, holder)
        return mint(self.key, claims)
