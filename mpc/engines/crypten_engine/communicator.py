"""CrypTen's communicator over our links: opening by exchange of shares, and nothing else.

Every value that CrypTen opens passes `all_reduce`; whatever else its communicator could do is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed import ReduceOp

from mpc.errors import EngineUnfit
from mpc.transport.mesh import Mesh

TENSOR = b"T"


def to_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().numpy().tobytes()


def from_bytes(body: bytes, shape: torch.Size) -> torch.Tensor:
    return torch.frombuffer(bytearray(body), dtype=torch.int64).reshape(shape) if body else torch.zeros(
        shape, dtype=torch.int64)


class MeshCommunicator:
    """The parties of one session; the dealer is not among them."""

    def __init__(self, mesh: Mesh, parties: int) -> None:
        self._mesh, self._parties = mesh, parties
        self.rounds = 0

    def get_world_size(self) -> int:
        return self._parties

    def get_rank(self) -> int:
        return self._mesh.seat

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """Open: every party sends its share to every other and adds (or xors) all of them."""
        tensors = list(input) if batched else [input]
        self.rounds += 1
        body = b"".join(to_bytes(tensor) for tensor in tensors)
        others = [seat for seat in range(self._parties) if seat != self._mesh.seat]
        for seat in others:
            self._mesh.send(seat, TENSOR, body)
        results = [tensor.clone() for tensor in tensors]
        for seat in others:
            theirs, at = self._mesh.recv(seat, TENSOR, limit=len(body)), 0
            for result in results:
                size = 8 * result.numel()
                share = from_bytes(theirs[at : at + size], result.size())
                at += size
                if op == ReduceOp.BXOR:
                    result.bitwise_xor_(share)
                elif op == ReduceOp.SUM:
                    result.add_(share)
                else:
                    raise EngineUnfit("no such reduction")
        return results if batched else results[0]

    def __getattr__(self, name: str) -> Any:
        raise EngineUnfit(f"the communicator does not do {name}")
