"""Count, mean, variance and standard deviation of number columns, for all rows or for each code of one category.

n of a group counts the rows that are complete in every column asked (and in `by`); its moments are, for each column,
S1 = Σk and S2 = Σk² over grid steps k. Each column's number of missing values, over all rows, is a cell of its own.
The gate's tree halves the codes of `by` in the dictionary's order. A group is also closed by one column's dominance: a
person's contribution is Σ⌈|k|/c⌉² over that person's rows, c being the column's coarser grid (`Grid.coarse`), and
Σ⌈|k|/c⌉ as well where persons may have several rows. It is compared with the sum of ⌊|k|/c⌋² (and ⌊|k|/c⌋) of all
persons: so whatever c is, no group opens that two persons dominate.
Variance is that of a sample, (n*S2 - S1²) / (n*(n-1)) in integers, times step²; it needs n >= 2.
The protocol, and what is revealed to whom, stand in `sums.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import isqrt
from typing import TYPE_CHECKING, Any

from mpc.disclosure import Node, Pattern, balanced, dominated, nodes, open_leaves, passes
from mpc.encoding import Grid, decimal
from mpc.errors import ParametersInvalid
from mpc.functions.plan import (
    MISSING,
    PERSON,
    Cell,
    Columns,
    Counted,
    Group,
    Plan,
    check_fit,
    check_gate,
    codes,
    column,
    listed,
    people,
    plain_missing,
    with_identifiers,
)

if TYPE_CHECKING:
    import pandas as pd

    from mpc.functions.rows import Rows

KEY = "describe@1"
NOBODY = Group()


def _asked(parameters: Mapping[str, Any]) -> tuple[list[str], str | None]:
    return list(parameters["columns"]), parameters["by"]


def plan(parameters: Mapping[str, Any], columns: Columns, parties: int, rows_max_total: int) -> Plan:
    """One cell for each group, then one for each column's missing values."""
    names, by = _asked(parameters)
    if not names or len(set(names)) != len(names):
        raise ParametersInvalid("columns: each name once, one at least")
    used = [column(columns, name) for name in names]
    if any(one["kind"] != "number" for one in used):
        raise ParametersInvalid("only number columns can be described")
    moments = tuple(f"{kind}:{name}" for name in names for kind in ("s1", "s2"))
    groups: tuple[str | None, ...] = (None,)
    if by is not None:
        grouping = column(columns, by)
        groups, used = codes(grouping), [*used, grouping]
    check_fit(used, rows_max_total)
    cells = [Cell((group,), moments) for group in groups]
    cells += [Cell((MISSING, str(one["name"]))) for one in used]
    return check_gate(Plan(KEY, dict(parameters), with_identifiers(used, columns), parties, rows_max_total,
                           tuple(cells), balanced(range(len(groups)))))


def local(rows: Rows, of: Plan) -> Counted:
    """What this hospital counts; checks every value of the columns on the way."""
    names, by = _asked(of.parameters)
    groups = [cell.label[0] for cell in of.cells if len(cell.label) == 1]
    split = [by] if by is not None else []
    used = [str(one["name"]) for one in of.used]
    tally = rows.tally(split, names, powers=of.powers, rows_max=of.rows_max)
    met = [tally.groups.get((group,) if by is not None else (), NOBODY) for group in groups]
    values = [group.number for group in met] + [tally.lacking[name] for name in used]
    for group in met:
        for name in names:
            values += group.sums.get(name, (0, 0))
    combinations = [(group,) if by is not None else () for group in groups]
    strong = rows.persons(tally, split, [[combinations[at] for at in node] for node in nodes(of.tree)],
                          complete_in=[*split, *names])
    largest = [number for group in met for name in names for power in of.powers
               for number in group.tops.get((name, power), (0, 0, 0))]
    return Counted(tuple(values), (*strong, *rows.sides(tally, used), *largest))


def _root(value: Fraction) -> float:
    """The nearest float: 63 bits of the root at least, then one that tells whether anything follows, rounded once."""
    above, below = value.numerator, value.denominator
    shift = max(0, 64 - (above.bit_length() - below.bit_length()) // 2)
    scaled, rest = divmod(above << 2 * shift, below)
    root = isqrt(scaled)
    follows = rest != 0 or root * root != scaled
    return float(Fraction(2 * root + follows, 1 << (shift + 1)))


def _figures(n: int, s1: int, s2: int, step: Fraction) -> dict[str, float | None]:
    if n < 1:
        return {"mean": None, "sd": None, "variance": None}
    mean = float(Fraction(s1, n) * step)
    if n < 2:
        return {"mean": mean, "sd": None, "variance": None}
    variance = Fraction(n * s2 - s1 * s1, n * (n - 1)) * step * step
    return {"mean": mean, "sd": _root(variance), "variance": float(variance)}


def finish(opened: Sequence[int], pattern: Pattern, of: Plan) -> dict[str, Any]:
    """Rows for people: exact integers in, float64 out with one rounding; what was withheld is None."""
    names, _ = _asked(of.parameters)
    rows, lacking = [], {}
    for cell, passed, span in zip(of.cells, pattern, of.spans, strict=True):
        if cell.label[0] == MISSING and len(cell.label) == 2:
            lacking[str(cell.label[1])] = opened[span[0]] if passed else None
            continue
        row: dict[str, Any] = {"by": cell.label[0], "n": opened[span[0]] if passed else None}
        for at, name in enumerate(names):
            step = Grid.of(column(of.columns, name)).step
            s1, s2 = opened[span[1 + 2 * at]], opened[span[2 + 2 * at]]
            row[name] = (_figures(opened[span[0]], s1, s2, step) if passed
                         else {"mean": None, "sd": None, "variance": None})
        rows.append(row)
    return {"function": KEY, "rows": rows, "missing": lacking, "withheld": pattern.count(False)}


def plain(
    frames: Sequence[pd.DataFrame], parameters: Mapping[str, Any], columns: Columns, floor: int, *, rows_max: int = 1,
) -> dict[str, Any]:
    """The oracle: one frame of text a hospital, pooled in the clear, the same rule of what stays closed. Tests only."""
    names, by = _asked(parameters)
    keep = [*names, *([by] if by is not None else [])]
    frames = [listed(frame, columns, keep) for frame in frames]
    whole = [frame.dropna(subset=keep) for frame in frames]
    groups: list[str | None] = list(column(columns, by)["codes"]) if by is not None else [None]
    parts = [[frame if group is None else frame[frame[by] == group] for frame in whole] for group in groups]

    def strong(node: Node) -> bool:
        own = [people([parts[at][seat] for at in node]) for seat in range(len(frames))]
        return passes(sum(own), own, floor) and (len(node) > 1 or not any(
            dominated([_plain_contributions(part, column(columns, name), rows_max, power) for part in parts[node[0]]],
                      [_plain_total(part, column(columns, name), rows_max, power) for part in parts[node[0]]])
            for name in names for power in (1, 2)))

    opened, rows = open_leaves(balanced(range(len(groups))), strong), []
    for at, group in enumerate(groups):
        row: dict[str, Any] = {"by": group, "n": sum(map(len, parts[at])) if at in opened else None}
        for name in names:
            values = [decimal(text) or Fraction(0) for part in parts[at] for text in part[name]] if at in opened else []
            row[name] = _plain_figures(values)
        rows.append(row)
    lacking = plain_missing(frames, keep, floor)
    closed = len(groups) - len(opened) + sum(value is None for value in lacking.values())
    return {"function": KEY, "rows": rows, "missing": lacking, "withheld": closed}


def _plain_contributions(part: pd.DataFrame, of: Mapping[str, Any], rows_max: int, power: int) -> list[int]:
    """One number a person, on the coarser grid."""
    grid, sums = Grid.of(of), dict[object, int]()
    for person, text in zip(part[PERSON].fillna(""), part[of["name"]], strict=True):
        sums[person] = sums.get(person, 0) + grid.contribution(grid.encode(text), grid.coarse(rows_max), power)
    return list(sums.values())


def _plain_total(part: pd.DataFrame, of: Mapping[str, Any], rows_max: int, power: int) -> int:
    """What they are compared with."""
    grid = Grid.of(of)
    return sum(grid.counted(grid.encode(text), grid.coarse(rows_max), power) for text in part[of["name"]])


def _plain_figures(values: Sequence[Fraction]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "sd": None, "variance": None}
    mean = sum(values, Fraction(0)) / len(values)
    if len(values) < 2:
        return {"mean": float(mean), "sd": None, "variance": None}
    variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1)
    return {"mean": float(mean), "sd": _root(variance), "variance": float(variance)}
