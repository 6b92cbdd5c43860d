"""Links for the engine's benchmark: plain sockets, as the engines beside it have, or those of a job.

`Wires` is the benchmark's own and bare: one TCP connection a pair. `shipped` is what a session runs on: the mesh of
`mpc.transport`, TLS 1.3 with both certificates pinned, by WebSocket through the true relay, whose process is part of
the case (`relay_role`). Its keys and tokens are made by whoever starts the case.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ledger.documents import public_hex
from mpc import relay, token
from mpc.transport.carrier import Relay, WebSocketCarrier
from mpc.transport.identity import Place, SessionIdentity
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Peer, Setting
from tests.bench.parties import Party

SESSION = "ab" * 32


class Wires:
    """What the engine asks of a mesh, over one TCP connection for each pair; a thread for each writes."""

    def __init__(self, party: Party, count: int, *, dealer: int) -> None:
        self.seat, self.dealer, self.floors = party.seat, dealer, {}
        self._ends: dict[int, socket.socket] = {}
        self._queues: dict[int, queue.SimpleQueue[list[bytes]]] = {}
        self._join(party.ports, count)
        for seat, end in self._ends.items():
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._queues[seat] = queue.SimpleQueue()
            threading.Thread(target=self._write, args=(end, self._queues[seat]), daemon=True).start()

    def _join(self, ports: Sequence[int], count: int) -> None:
        with socket.create_server(("127.0.0.1", ports[self.seat])) as server:
            for other in range(self.seat):
                self._ends[other] = _connected(ports[other])
                self._ends[other].sendall(bytes([self.seat]))
            for _ in range(self.seat + 1, count):
                end, _ = server.accept()
                self._ends[end.recv(1)[0]] = end

    @staticmethod
    def _write(end: socket.socket, frames: queue.SimpleQueue[list[bytes]]) -> None:
        while True:
            for part in frames.get():
                end.sendall(part)

    def send(self, seat: int, tag: bytes, body: bytes) -> None:
        self._queues[seat].put([tag + len(body).to_bytes(8, "big"), body])

    def recv(self, seat: int, tag: bytes, *, limit: int | None = None) -> bytes:
        head = self._read(seat, 9)
        size = int.from_bytes(head[1:], "big")
        if head[:1] != tag or (limit is not None and size != limit):
            raise ValueError("another frame was due")
        return cast(bytes, self._read(seat, size))

    def _read(self, seat: int, size: int) -> bytearray:
        body = bytearray(size)
        view = memoryview(body)
        while view:
            view = view[self._ends[seat].recv_into(view) :]
        return body

    def close(self) -> None:
        for end in self._ends.values():
            end.close()


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def keys_for(seats: int) -> dict[str, Any]:
    """What the seats of a shipped case are given: their identities, their tokens, the relay's public key."""
    key, until = Ed25519PrivateKey.generate(), int(time.time()) + 3600
    own = [SessionIdentity.fresh(key, Place(SESSION, 1, seat), now=datetime.now(UTC)) for seat in range(seats)]
    claims = [token.Claims(SESSION, SESSION, seat, seats, until, 1 << 40, holder=_holder(one))
              for seat, one in enumerate(own)]
    return {"identities": own, "tokens": [token.mint(key, one) for one in claims],
            "relay": key.public_key().public_bytes_raw()}


def _holder(identity: SessionIdentity) -> str:
    """The public half of a leaf's key."""
    return public_hex(cast(Ed25519PrivateKey, load_der_private_key(identity.private_key, password=None)))


def links(party: Party, count: int, *, dealer: int) -> Wires | Mesh:
    """Of the kind that the case asks for, up."""
    if "relay" not in party.given:
        return Wires(party, count, dealer=dealer)
    identities = party.given["identities"]
    setting = Setting(SESSION, party.seat, dealer, "bench", 1, time.monotonic() + 3600, silence=60, patience=120)
    mesh = Mesh(setting, identities[party.seat],
                {seat: Peer(seat, identities[seat].certificate) for seat in range(count) if seat != party.seat},
                WebSocketCarrier(Relay(f"ws://127.0.0.1:{party.ports[-1]}", party.given["tokens"][party.seat],
                                       key=identities[party.seat].private_key)))
    mesh.link()
    return mesh


def relay_role(party: Party) -> None:
    """The relay, in a process beside the parties. It has no repetitions of its own, only their barriers."""
    async def serve() -> None:
        async with relay.Relay(party.given["relay"]).serve("127.0.0.1", party.ports[-1]):
            await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    party.measure(lambda: None, party.given["repetitions"])
    party.wait()
