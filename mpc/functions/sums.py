"""The protocol that describe and crosstab share: exact totals, each behind the gate.

Party i holds an integer vector v_i: counts of cells, then the sums attached to them. [x] is x held in shares.
1. Each party turns its vector into its share of the total, [v] = share of Σ v_i over Z_2^256: no message.
2. Each party shares its own counts, [n_i] modulo 2^64; the low words of [v] are shares of n modulo 2^64.
3. Opened to the parties: Σ[n_i] - [n], one number a cell, which must be 0 everywhere, else the job ends.
4. Gate: for every party i and cell, [n] - [n_i] >= k inside MPC; the AND over all i is opened to the parties.
   No single comparison and no count is opened to anybody.
5. Shares of cells that pass leave for the consumer, sealed; the others are replaced by zeros.
Reveals: to each party one bit a cell; to the consumer the same bits and the totals of the cells that pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpc.disclosure import Pattern, withhold
from mpc.errors import RangeExceeded
from mpc.functions.plan import Plan

if TYPE_CHECKING:
    from mpc.engines.base import Engine


@dataclass(frozen=True)
class Outcome:
    """What one party may seal: the pattern and its shares of what passed, zeros elsewhere."""

    pattern: Pattern
    shares: tuple[int, ...]


def run(engine: Engine, plan: Plan, values: Sequence[int], floor: int) -> Outcome:
    if len(values) != plan.width or engine.parties != plan.parties:
        raise RangeExceeded("the values are not those of the plan")
    counts = list(values[: len(plan.cells)])
    if any(not 0 <= count <= plan.rows_max for count in counts):
        raise RangeExceeded("a party holds more rows than its record declares")
    shares = engine.share_total(values)
    pattern = engine.gate(shares[: len(plan.cells)], counts, floor)
    return Outcome(pattern, tuple(withhold(shares, pattern, plan.spans)))
