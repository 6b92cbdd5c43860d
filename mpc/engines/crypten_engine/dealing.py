"""Correlated randomness: what the dealer makes, what a party asks for. Only AND triples, only for the agreed plan.

Party i and the dealer share a keystream (from their exchange keys and the session). For a triple of one shape:
1. Each party draws its shares of a and b, and all but party 0 their share of c, from its keystream.
2. Party 0 asks the dealer, naming the shape.
3. The dealer draws the same numbers, and sends party 0 the c-share that makes c = a & b.
The dealer learns shapes and rounds; it never sees a message between parties.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import torch

from ledger.documents import canonical
from mpc.disclosure import Gate
from mpc.engines.crypten_engine.communicator import TENSOR, from_bytes, to_bytes
from mpc.engines.crypten_engine.kernel import BinarySharedTensor, Keystream
from mpc.errors import EngineUnfit, ProtocolBroken
from mpc.transport.mesh import Mesh

REQUEST = b"Q"
BINARY, END = "binary", "end"
DIMENSIONS = 6


def quota(parties: int, gate: Gate) -> int:
    """How many elements of triples this gate can need at most, with a little room: an addition of 64-bit numbers takes
    13, parties - 1 additions make one number from its shares, and each AND of two bits takes one."""
    compared = gate.comparisons(parties)
    return 13 * (parties - 1) * compared + compared + sum(map(len, gate.needs)) + 1024


class DealtProvider:
    """A party's side."""

    def __init__(self, mesh: Mesh, stream: Keystream) -> None:
        self._mesh, self._stream = mesh, stream

    def generate_binary_triple(self, size0: torch.Size, size1: torch.Size, device: Any = None) -> tuple[Any, Any, Any]:
        if size0 != size1:
            raise EngineUnfit("both factors have one shape")
        a, b = self._stream.int64(size0), self._stream.int64(size1)
        if self._mesh.seat == 0:
            body = canonical({"kind": BINARY, "shape": list(size0)})
            self._mesh.send(self._mesh.dealer, REQUEST, body)
            answer = self._mesh.recv(self._mesh.dealer, TENSOR, limit=8 * math.prod(size0))
            c = from_bytes(answer, size0)
        else:
            c = self._stream.int64(size0)
        return tuple(BinarySharedTensor.from_shares(share) for share in (a, b, c))

    def finish(self) -> None:
        if self._mesh.seat == 0:
            self._mesh.send(self._mesh.dealer, REQUEST, canonical({"kind": END, "shape": []}))

    def __getattr__(self, name: str) -> Any:
        raise EngineUnfit(f"the dealer does not deal {name}")


def _asked(body: bytes) -> tuple[str, tuple[int, ...]]:
    try:
        request = json.loads(body)
        kind, shape = request["kind"], request["shape"]
        good = set(request) == {"kind", "shape"} and kind in (BINARY, END) and len(shape) <= DIMENSIONS
        good = good and all(type(part) is int and 0 < part < 2**31 for part in shape)
    except (ValueError, KeyError, TypeError) as trouble:
        raise ProtocolBroken("a request to the dealer is malformed", about_seat=0) from trouble
    if not good:
        raise ProtocolBroken("the dealer was asked for what is not on its list", about_seat=0)
    return kind, tuple(shape)


def deal(mesh: Mesh, streams: list[Keystream], *, limit: int, check: Callable[[], None]) -> int:
    """Serve one session until party 0 ends it; `check` is asked at each round and may raise. Returns the rounds."""
    left, rounds = limit, 0
    while True:
        kind, shape = _asked(mesh.recv(0, REQUEST))
        check()
        if kind == END:
            return rounds
        left -= math.prod(shape)
        if left < 0:
            raise ProtocolBroken("the dealer was asked for more than the plan can need", about_seat=0)
        mesh.send(0, TENSOR, to_bytes(_binary(streams, shape)))
        rounds += 1


def _binary(streams: list[Keystream], shape: tuple[int, ...]) -> torch.Tensor:
    a, b = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    rest = torch.zeros(shape, dtype=torch.int64)
    for seat, stream in enumerate(streams):
        a ^= stream.int64(shape)
        b ^= stream.int64(shape)
        if seat:
            rest ^= stream.int64(shape)
    return (a & b) ^ rest
