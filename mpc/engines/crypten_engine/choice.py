"""Totals of the cells that open, and zeros for all others, while no party learns which is which. One round.

[x] is x shared by addition modulo 2^(64 L), the ring of the totals; <b> is b shared by xor. In come <b_c>, whether cell
c opens, and [t_j] for every number j that opens with it. The dealer gives <r_c> and [r_c] for uniform bits r_c, and
[a_j] and [r_c a_j] for a_j uniform in the ring (kind "choice" of `dealing`).
1. Opened to the parties: v_c = b_c ^ r_c, and d_j = t_j - a_j.
2. Without a message: [r_c t_j] = [r_c a_j] + d_j [r_c]; and since b = v + (1 - 2 v) r,
   [b_c t_j] = [t_j] - [r_c t_j] where v_c is 1, and [r_c t_j] where it is 0. With 1 for t_j this is [b_c].
3. Each party adds its share of a fresh zero, from the keystreams of the pairs: it may now seal [b_c] and [b_c t_j].
Exact: no step fails by chance. Which messages pass, and how long they are, follows from the plan alone.

What anybody learns (all run this; any n - 1 parties together):
- A party: v_c and d_j, uniform whatever b and t are, since r_c and a_j are. So what it knows when it lets go does not
  depend on which cells open, and neither does how long its work takes.
- The consumer, also with parties: b_c and b_c t_j. The shares of the parties that are not with it are uniform but for
  their sum, as those of [r_c a_j] are.
- The dealer: nothing; v and d pass between the parties. Together with the consumer: the same as the consumer. Without
  step 3 it would learn d_j, and so what was withheld, from shares that it dealt itself and could see through; nor may
  anything leave the parties by which a guess at d_j could be tried (`disclosure.seen_by`).

A multiplication of a bit by numbers, after Beaver (CRYPTO 1991), with one mask for the bit and one for each number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mpc.engines.crypten_engine.dealing import Field, Numbers, Piece, choice
from mpc.sharing import put_columns, take_columns, times

if TYPE_CHECKING:
    from mpc.engines.crypten_engine.computation import Computation

Spans = Sequence[Sequence[int]]


def script(spans: Spans, limbs: int) -> list[Piece]:
    """What `chosen` takes, for the numbers that open with each cell."""
    return [choice(len(run), len(run[0]), limbs) for run in _runs(spans)]


def _runs(spans: Spans) -> list[list[Sequence[int]]]:
    """Neighbouring cells that open equally many numbers."""
    return [list(run) for _, run in groupby(spans, key=len)]


def chosen(of: Computation, bits: Numbers, totals: Numbers, spans: Spans) -> tuple[Numbers, bytes]:
    """Steps 1 and 2. `bits` are shares by xor, 0 or 1, one a cell; `totals` shares of the numbers, a row a limb, a
    column each. Returns shares of all b_c and then of all b_c t_j, in the same form, and what was opened."""
    runs, (limbs, width) = _runs(spans), totals.shape
    r, a = np.empty(len(spans), dtype=np.uint8), np.empty_like(totals)
    wide, products = np.empty((limbs, len(spans)), dtype=np.uint64), np.empty_like(totals)
    cell_of, at = np.empty(width, dtype=np.intp), 0
    for run in runs:
        cells, columns = slice(at, at + len(run)), np.concatenate(run)
        at += len(run)
        packed, a[:, columns], wide[:, cells], products[:, columns] = of.take(choice(len(run), len(run[0]), limbs))
        r[cells] = np.unpackbits(packed, count=len(run))
        cell_of[columns] = np.repeat(np.arange(cells.start, cells.stop), len(run[0]))
    hidden = totals.copy()
    take_columns(hidden, a)
    v, d = of.exchange_all(
        [(Field(bits.shape, np.uint8, xor=True), bits ^ r), (Field(hidden.shape, wide=True), hidden)])
    put_columns(products, times(d, np.ascontiguousarray(wide[:, cell_of])))
    ones = np.zeros_like(wide)
    ones[0] = of.seat == 0
    by_r = np.concatenate([wide, products], axis=1)
    rest = np.concatenate([ones, totals], axis=1)
    take_columns(rest, by_r)
    flipped = (v & np.uint8(1)).astype(bool)
    found: Numbers = np.where(np.concatenate([flipped, flipped[cell_of]]), rest, by_r)
    return found, v.tobytes() + d.tobytes()
