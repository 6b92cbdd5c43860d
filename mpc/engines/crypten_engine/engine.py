"""CrypTen as one party's engine for one session: the gate, over shares that our own sharing made.

What is opened to the parties passes `_open`, which writes down what it was: per cell the difference of own counts and
total, and the AND of all comparisons that the cell needs. Every number that is compared is a sum of shares with public
factors, so all of them are made without a message and compared at once. A process computes one session and ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from mpc.disclosure import SHARE_OF_TWO, Gate, Pattern
from mpc.engines.crypten_engine import kernel
from mpc.engines.crypten_engine.communicator import MeshCommunicator
from mpc.engines.crypten_engine.dealing import DealtProvider, deal, quota
from mpc.engines.crypten_engine.kernel import ArithmeticSharedTensor, BinarySharedTensor, to_binary
from mpc.errors import EngineUnfit, GateInconsistent
from mpc.sharing import Integers, Limbs, PairKeys, Words, low_words, share_own, share_total
from mpc.transport.mesh import Mesh

PARTIES_ALL = "parties"


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


def _tensor(shares: Words) -> torch.Tensor:
    return torch.from_numpy(shares.view(np.int64))


def _all_of(bits: Any, groups: Sequence[Sequence[int]]) -> Any:
    """For each group of places the AND of the bits there, by halves, all groups at once; nothing is opened."""
    places = [list(group) for group in groups]
    while any(len(group) > 1 for group in places):
        left = [place for group in places for place in group[0 : len(group) // 2 * 2 : 2]]
        right = [place for group in places for place in group[1::2]]
        both, at, width = bits[torch.tensor(left)] & bits[torch.tensor(right)], 0, bits.size(0)
        for group in places:
            half = len(group) // 2
            group[:] = [*range(width + at, width + at + half), *group[2 * half :]]
            at += half
        bits = BinarySharedTensor.cat([bits, both])
    return bits[torch.tensor([group[0] for group in places])]


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

    def share_total(self, values: Integers) -> Limbs:
        return share_total(values, self._keys)

    def gate(self, gate: Gate, count_shares: Limbs, own: Integers, floor: int) -> Pattern:
        total, cells = _tensor(low_words(count_shares)), len(count_shares)
        each = _tensor(share_own(own, self._keys, self._parties))
        difference = self._open("own counts minus total", ArithmeticSharedTensor.from_shares(
            each[:, :cells].sum(dim=0) - total, precision=0))
        if bool(difference.any()):
            raise GateInconsistent("own counts and the total disagree")
        margins, conditions = self._margins(gate, each[:, cells:], floor)
        compared = to_binary(ArithmeticSharedTensor.from_shares(margins, precision=0))
        held = _all_of(((compared >> 63) & 1) ^ 1, conditions)
        pattern = self._open("gate", _all_of(held, gate.needs))
        if not bool(((pattern == 0) | (pattern == 1)).all()):
            raise GateInconsistent("the gate did not open to bits")
        return tuple(bool(bit) for bit in pattern.tolist())

    def _margins(self, gate: Gate, each: torch.Tensor, floor: int) -> tuple[torch.Tensor, list[range]]:
        """This party's shares of all numbers that must not be negative, condition by condition, and which of them each
        condition asks for: of a count the others' sum less the floor for every party left out; of a triple, nine tenths
        of the others' sum less each pair that may be their largest."""
        others = each.sum(dim=0).unsqueeze(0) - each
        counts = others[:, : gate.counts] - (floor if self.seat == 0 else 0)
        sums, first, second = (each[:, gate.counts + at :: 3] for at in range(3))
        part, whole = SHARE_OF_TWO
        pairs = []
        for left in range(self._parties):
            rest = [seat for seat in range(self._parties) if seat != left]
            most = part * (sums.sum(dim=0) - sums[left])
            pairs += [most - whole * (first[seat] + second[seat]) for seat in rest]
            pairs += [most - whole * (first[one] + first[other]) for one, other in combinations(rest, 2)]
        tops = torch.stack(pairs)
        found = torch.cat([counts.T.reshape(-1), tops.T.reshape(-1)])
        start, high, wide = counts.numel(), self._parties, len(pairs)
        return found, [*(range(at * high, (at + 1) * high) for at in range(gate.counts)),
                       *(range(start + at * wide, start + (at + 1) * wide) for at in range(gate.tops))]

    def _open(self, what: str, shared: Any) -> torch.Tensor:
        """The one place where a number of the gate becomes known to the parties."""
        self.openings.append(Opened(what, PARTIES_ALL, int(shared.share.numel())))
        opened: torch.Tensor = shared.reveal()
        return opened

    def finish(self) -> None:
        self._provider.finish()


def serve_dealer(mesh: Mesh, keys: Sequence[bytes], *, gate: Gate, check: Callable[[], None]) -> int:
    """The dealer's whole part of one session."""
    kernel.check_patches()
    streams = [kernel.Keystream(key) for key in keys]
    return deal(mesh, streams, limit=quota(len(keys), gate), check=check)
