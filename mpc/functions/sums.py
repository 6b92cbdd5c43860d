"""The protocol that describe and crosstab share: exact totals, each behind the gate.

Party i holds an integer vector v_i: counts of cells, then the sums attached to them; and numbers g_i that only the gate
compares (`mpc.disclosure`): persons in every node of the tree, persons without and with a value of each column, and for
each group's sums their total and two largest contributions. [x] is x held in shares.
1. Each party turns its vector into its share of the total, [v] = share of Σ v_i over Z_2^256, or as many of its lower
   words as the plan proves to be enough: no message.
2. Each party shares its own counts and the gate's numbers, [n_i] and [g_i] modulo 2^64; the low words of [v] are shares
   of n modulo 2^64.
3. Opened to the parties: Σ[n_i] - [n], one number a cell, which must be 0 everywhere, else the job ends.
4. Gate: for every party i, from [g_j] of all others j, each count less the floor and each 9/10 of a total less any two
   that may be its largest is compared with 0 inside MPC. The AND of all that a cell needs, its bit, stays shared.
   No single comparison, no node's bit and no count is opened to anybody.
5. Inside MPC every total is multiplied by its cell's bit. Shares of bits and products leave for the consumer, sealed.
Which comparisons are made, how many messages pass and how long they are follows from the plan alone.
Reveals: to each party nothing but that all own counts add up; to the consumer one bit a cell, and the totals of the
cells that pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpc.disclosure import Chosen
from mpc.errors import RangeExceeded
from mpc.functions.plan import Counted, Plan, check_counted

if TYPE_CHECKING:
    from mpc.engines.base import Engine


def run(engine: Engine, plan: Plan, counted: Counted, floor: int) -> Chosen:
    if engine.parties != plan.parties:
        raise RangeExceeded("the values are not those of the plan")
    check_counted(plan, counted)
    shares = engine.share_total(counted.values, plan.limbs)
    return engine.gate(plan.gate, shares, (*counted.values[: len(plan.cells)], *counted.numbers), floor)
