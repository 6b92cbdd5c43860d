"""CrypTen's engine for one session of one party: the gate, over shares that our own sharing made.

Every number that is compared is a sum of shares with public factors, so all of them are made without a message and
compared at once (`comparison`). Whether every comparison that a cell needs holds (`conjunction`) stays shared, and so
do the totals of cells that open, zeros for the others (`choice`). What is opened passes `Computation.open_to`, which
writes down what it was: to the parties, per cell, the difference of own counts and total. CrypTen itself takes no part
in the gate: its conversion of sums into bits and its dealer are replaced by our own. A process computes one session and
ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from mpc.disclosure import CONSUMER, DIFFERENCE, GATE, PARTIES_ALL, SHARE_OF_TWO, TOTALS, Chosen, Gate, Told
from mpc.engines.crypten_engine import choice, comparison, conjunction, kernel
from mpc.engines.crypten_engine.computation import Computation
from mpc.engines.crypten_engine.dealing import Numbers, Piece, deal
from mpc.errors import EngineUnfit, GateInconsistent
from mpc.sharing import Integers, Limbs, PairKeys, low_words, share_own, share_total
from mpc.transport.mesh import Mesh


def self_check() -> None:
    kernel.self_check()


def versions() -> dict[str, str]:
    return kernel.versions()


def conditions(gate: Gate, parties: int) -> list[range]:
    """Which of the numbers that are compared each condition of the gate asks for, in the order of `_margins`."""
    wide = parties * parties * (parties - 1) // 2
    start = gate.counts * parties
    return [*(range(at * parties, (at + 1) * parties) for at in range(gate.counts)),
            *(range(start + at * wide, start + (at + 1) * wide) for at in range(gate.tops))]


def gate_script(gate: Gate, parties: int) -> list[Piece]:
    """Everything that the dealer deals for this gate, from the plan alone."""
    compared = gate.comparisons(parties)
    parts = conditions(gate, parties)
    return [*comparison.script(compared), *conjunction.script(parts, gate.needs),
            *choice.script(gate.spans, gate.limbs)]


class CryptenEngine:
    """Takes the keys of the pairs of parties, and the key shared with the dealer."""

    def __init__(self, mesh: Mesh, parties: int, keys: PairKeys, dealer_key: bytes, gate: Gate) -> None:
        kernel.begin_session()
        self._keys = keys
        self._of = Computation(mesh, parties, dealer_key, gate_script(gate, parties))
        self._gate = gate

    @property
    def seat(self) -> int:
        return self._of.seat

    @property
    def parties(self) -> int:
        return self._of.parties

    @property
    def rounds(self) -> int:
        return self._of.rounds

    @property
    def told(self) -> tuple[Told, ...]:
        return tuple(self._of.told)

    def share_total(self, values: Integers, limbs: int) -> Limbs:
        return share_total(values, self._keys, wide=limbs)

    def gate(self, gate: Gate, shares: Limbs, own: Integers, floor: int) -> Chosen:
        if gate != self._gate:
            raise EngineUnfit("another gate than the one that is dealt for")
        of, cells = self._of, len(gate.needs)
        each = share_own(own, self._keys, self.parties)
        difference = of.open_to(PARTIES_ALL, DIFFERENCE,
                                each[:, :cells].sum(axis=0, dtype=np.uint64) - low_words(shares[:cells]))
        if difference.any():
            raise GateInconsistent("own counts and the total disagree")
        fails = comparison.negative(of, self._margins(gate, each[:, cells:], floor))
        open_cells = conjunction.none_of(of, fails, conditions(gate, self.parties), gate.needs)
        kept, masked = choice.chosen(of, open_cells, shares.T, gate.spans)
        self._keys.hide(kept, label="chosen")  # or the dealer could see through it, see `choice`
        bits, totals = of.open_to(CONSUMER, GATE, kept[:, :cells]), of.open_to(CONSUMER, TOTALS, kept[:, cells:])
        return Chosen(np.concatenate([bits.T, totals.T]), masked)

    def _margins(self, gate: Gate, each: Numbers, floor: int) -> Numbers:
        """This party's shares of all numbers that must not be negative, condition by condition: of a count the others'
        sum less the floor for every party left out; of a triple, nine tenths of the others' sum less each pair that may
        be their largest."""
        others = each.sum(axis=0, dtype=np.uint64) - each
        counts = others[:, : gate.counts] - np.uint64(floor if self.seat == 0 else 0)
        sums, first, second = (each[:, gate.counts + at :: 3] for at in range(3))
        part, whole = (np.uint64(one) for one in SHARE_OF_TWO)
        pairs = []
        for left in range(self.parties):
            rest = [seat for seat in range(self.parties) if seat != left]
            most = part * (sums.sum(axis=0, dtype=np.uint64) - sums[left])
            pairs += [most - whole * (first[seat] + second[seat]) for seat in rest]
            pairs += [most - whole * (first[one] + first[other]) for one, other in combinations(rest, 2)]
        return np.concatenate([counts.T.reshape(-1), np.stack(pairs).T.reshape(-1)])

    def finish(self) -> None:
        self._of.finish()
        kernel.end_session()


def serve_dealer(mesh: Mesh, keys: Sequence[bytes], *, gate: Gate, check: Callable[[], None]) -> int:
    """The dealer's whole part of one session."""
    kernel.begin_session()
    pieces = deal(mesh, [kernel.Keystream(key) for key in keys], gate_script(gate, len(keys)), check=check)
    kernel.end_session()
    return pieces
