"""CrypTen as one party's engine for one session: the gate, over shares that our own sharing made.

What is opened to the parties passes `_open`, which writes down what it was: per cell the difference of own counts and
total, and the AND of all comparisons. A process computes one session and ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mpc.disclosure import Pattern
from mpc.engines.crypten_engine import kernel
from mpc.engines.crypten_engine.communicator import MeshCommunicator
from mpc.engines.crypten_engine.dealing import DealtProvider, deal, quota
from mpc.engines.crypten_engine.kernel import ArithmeticSharedTensor, BinarySharedTensor, to_binary
from mpc.errors import EngineUnfit, GateInconsistent
from mpc.sharing import PairKeys, low_words, share_own, share_total
from mpc.transport.mesh import Mesh

PARTIES_ALL = "parties"
HALF, WORD = 1 << 63, 1 << 64


@dataclass(frozen=True)
class Opened:
    """One opening inside the computation: what, to whom, how many numbers. Never the numbers."""

    what: str
    to: str
    count: int


def self_check() -> None:
    kernel.self_check()


def versions() -> dict[str, str]:
    return kernel.versions()


def _tensor(values: Sequence[int]) -> torch.Tensor:
    return torch.tensor([value - WORD if value >= HALF else value for value in values], dtype=torch.int64)


class CryptenEngine:
    """Takes the keys of the pairs of parties, and the key shared with the dealer."""

    def __init__(self, mesh: Mesh, parties: int, keys: PairKeys, dealer_key: bytes) -> None:
        if kernel.is_initialized():
            raise EngineUnfit("one session a process")
        self._mesh, self._parties, self._keys = mesh, parties, keys
        self.openings: list[Opened] = []
        seat = mesh.seat
        before, after = (seat - 1) % parties, (seat + 1) % parties
        kernel.crypten.generators["prev"][kernel.CPU] = kernel.Keystream(keys.derive(before, f"ring|{before}>{seat}"))
        kernel.crypten.generators["next"][kernel.CPU] = kernel.Keystream(keys.derive(after, f"ring|{seat}>{after}"))
        kernel.crypten.generators["local"][kernel.CPU] = kernel.Keystream(secrets.token_bytes(32))
        kernel.Slots.communicator = MeshCommunicator(mesh, parties)
        self._provider = kernel.Slots.provider = DealtProvider(mesh, kernel.Keystream(dealer_key))
        kernel.check_patches()
        kernel.check_session()

    @property
    def seat(self) -> int:
        return self._mesh.seat

    @property
    def parties(self) -> int:
        return self._parties

    @property
    def rounds(self) -> int:
        return int(kernel.Slots.communicator.rounds)

    def share_total(self, values: Sequence[int]) -> list[int]:
        return share_total(values, self._keys)

    def gate(self, count_shares: Sequence[int], own: Sequence[int], floor: int) -> Pattern:
        total = _tensor(low_words(count_shares))
        each = torch.stack([_tensor(row) for row in share_own(own, self._keys, self._parties)])
        difference = self._open("own counts minus total", ArithmeticSharedTensor.from_shares(
            each.sum(dim=0) - total, precision=0))
        if bool(difference.any()):
            raise GateInconsistent("own counts and the total disagree")
        others = total.unsqueeze(0) - each
        if self.seat == 0:
            others = others - floor
        margins = to_binary(ArithmeticSharedTensor.from_shares(others, precision=0))
        enough = ((margins >> 63) & 1) ^ 1
        pattern = self._open("gate", self._all(enough))
        if not bool(((pattern == 0) | (pattern == 1)).all()):
            raise GateInconsistent("the gate did not open to bits")
        return tuple(bool(bit) for bit in pattern.tolist())

    def _all(self, bits: Any) -> Any:
        """AND over the first dimension, by halves; nothing on the way is opened."""
        rows = [bits[index] for index in range(self._parties)]
        while len(rows) > 1:
            half = len(rows) // 2
            left, right = (BinarySharedTensor.stack(part) for part in (rows[:half], rows[half : 2 * half]))
            both = left & right
            rows = [both[index] for index in range(half)] + rows[2 * half :]
        return rows[0]

    def _open(self, what: str, shared: Any) -> torch.Tensor:
        """The one place where a number of the gate becomes known to the parties."""
        self.openings.append(Opened(what, PARTIES_ALL, int(shared.share.numel())))
        opened: torch.Tensor = shared.reveal()
        return opened

    def finish(self) -> None:
        self._provider.finish()


def serve_dealer(mesh: Mesh, keys: Sequence[bytes], *, cells: int, check: Callable[[], None]) -> int:
    """The dealer's whole part of one session."""
    kernel.check_patches()
    streams = [kernel.Keystream(key) for key in keys]
    return deal(mesh, streams, limit=quota(len(keys), cells), check=check)
