"""What one job will count: its cells and the sums attached to each. Fixed by public facts, before any row is read.

A vector of values holds first every cell's count, then every cell's moments in order of cells. The cells are first the
leaves of `tree`, the tree of the gate (`mpc.disclosure`), then the missing values of each column used. `columns` are
those used, then all identifiers of any hospital's dictionary: each tells persons apart by its own (`read_by`), and
where it has none, a row is a person. With a `filter` (`mpc.filters`) only the rows that it holds for are there at all;
`filtered` are the columns that it looks at, none of which is used.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ledger.documents import canonical
from mpc.disclosure import Gate, Pattern, Tree, gate_of, leaves, passes
from mpc.encoding import Grid, check_count_fit, decimal
from mpc.errors import NotOpenable, ParametersInvalid, RangeExceeded
from mpc.filters import Expression, columns_of, holds, validate_filter
from mpc.spec import IDENTIFIER

if TYPE_CHECKING:
    import pandas as pd

    from mpc.engines.budget import Product, Use

Columns = Sequence[Mapping[str, Any]]
MISSING = "missing"
PERSON = "\0person"
MAX_COMPARISONS = 1 << 20
Combination = tuple[str | None, ...]


@dataclass(frozen=True)
class Cell:
    """A count that opens or stays closed as one, with the sums that open with it."""

    label: tuple[str | None, ...]
    moments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counted:
    """What one hospital counted: the vector that may be opened in part, and the numbers that only the gate compares."""

    values: tuple[int, ...]
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Group:
    """What is summed over the complete rows of one combination of codes: number, sums, and for each column and power
    the persons' contributions: their sum and the two largest."""

    number: int = 0
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)
    tops: dict[tuple[str, int], list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tally:
    """One reading of the rows: of every combination met, and how many rows lack and have each column."""

    groups: Mapping[Combination, Group]
    lacking: Mapping[str, int]
    having: Mapping[str, int]


@dataclass(frozen=True)
class Plan:
    """The agreed shape of a computation."""

    function: str
    parameters: Mapping[str, Any]
    columns: tuple[Mapping[str, Any], ...]
    parties: int
    rows_max: int
    cells: tuple[Cell, ...]
    tree: Tree
    filter: Expression | None = None
    filtered: tuple[Mapping[str, Any], ...] = ()
    products: tuple[Product, ...] = ()  # of shared numbers; none of today's functions has any
    uses: tuple[Use, ...] = ()

    @property
    def used(self) -> Columns:
        """The columns that the job is about."""
        return [one for one in self.columns if one["kind"] != IDENTIFIER]

    def read_by(self, identifiers: Collection[str] | None) -> Columns:
        """The columns that a hospital reads whose dictionary has these identifiers (None: all of them)."""
        return [one for one in (*self.columns, *self.filtered)
                if one["kind"] != IDENTIFIER or identifiers is None or one["name"] in identifiers]

    @property
    def powers(self) -> tuple[int, ...]:
        """Of which sums two persons may not hold most. Where a row is a person squares will do: they are held by two if
        magnitudes are. Persons with several rows are compared by both."""
        return (1, 2) if len(self.columns) > len(self.used) else (2,)

    @cached_property
    def gate(self) -> Gate:
        """What is compared before anything opens."""
        groups = len(leaves(self.tree))
        tops = len(self.cells[0].moments) // 2 * len(self.powers)
        return gate_of(self.tree, missing=len(self.cells) - groups, tops=tops, moments=len(self.cells[0].moments),
                       limbs=self.limbs)

    @property
    def width(self) -> int:
        return len(self.cells) + sum(len(cell.moments) for cell in self.cells)

    @cached_property
    def limbs(self) -> int:
        """How many words of the ring the shares of totals need, by dictionary and record: one, unless sums of squares
        can be large. Counts always fit one."""
        if not self.cells[0].moments:
            return 1
        bits = [Grid.of(one).bits(self.rows_max) for one in self.used if one["kind"] == "number"]
        return -(-max(bits) // 64)

    @property
    def spans(self) -> tuple[tuple[int, ...], ...]:
        """For each cell the indices of the values that open with it, its count first."""
        return self.gate.spans

    def digest(self) -> str:
        """Equal for two parties exactly if they mean the same computation."""
        used = [{key: column.get(key) for key in ("name", "kind", "min", "max", "step", "codes")}
                for column in (*self.columns, *self.filtered)]
        return sha256(canonical({
            "type": "plan", "version": 1, "function": self.function, "parameters": dict(self.parameters),
            "columns": used, "filter": self.filter, "parties": self.parties, "rows_max": str(self.rows_max),
            "cells": len(self.cells), "width": self.width, "compared": self.gate.width,
        })).hexdigest()


def _grids(of: Plan) -> list[Grid]:
    """Of the columns that are summed up, in order; the moments of a cell are a sum and a sum of squares of each."""
    return [Grid.of(column(of.columns, moment.partition(":")[2])) for moment in of.cells[0].moments[::2]]


def _impossible(of: Plan, pattern: Pattern, values: Sequence[int]) -> str:
    """What no rows can have that dictionary and record allow: a word for it, or none. Only of cells that pass."""
    grids, complete, lacking = _grids(of), 0, 0
    for cell, passed, span in zip(of.cells, pattern, of.spans, strict=True):
        if not passed:
            continue
        number, *moments = (values[at] for at in span)
        if not 0 <= number <= of.rows_max:
            return "a number of rows"
        if cell.label[0] == MISSING and len(cell.label) == 2:
            lacking = max(lacking, number)
            continue
        complete += number
        sums = zip(grids, moments[::2], moments[1::2], strict=True)
        if not all(grid.allows(number, total, squares) for grid, total, squares in sums):
            return "a sum or a sum of squares"
    return "a number of rows" if complete + lacking > of.rows_max else ""


def check_counted(of: Plan, counted: Counted) -> None:
    """A party's own figures are such as rows can have, before anything is made of them."""
    numbers, counts = counted.numbers, of.gate.counts
    if (len(counted.values), len(numbers)) != (of.width, of.gate.width):
        raise RangeExceeded("the values are not those of the plan")
    wrong = _impossible(of, (True,) * len(of.cells), counted.values)
    if wrong or not all(0 <= one <= of.rows_max for one in numbers[:counts]):
        raise RangeExceeded(f"a party holds {wrong or 'a number of persons'} that no rows can have")
    units = [(-(-grid.reach // grid.coarse(of.rows_max))) ** power for grid in _grids(of) for power in of.powers]
    for at, start in enumerate(range(counts, len(numbers), 3)):
        total, first, second = numbers[start : start + 3]
        most = counted.values[at // len(units)] * units[at % len(units)]
        if not (0 <= second <= first and first + second <= most and 0 <= total <= most):
            raise RangeExceeded("a party holds contributions that no rows can have")


def check_opened(of: Plan, pattern: Pattern, totals: Sequence[int]) -> None:
    """For whoever opens: totals are such as rows can have. Else a party's figures were not counted but made up, and
    nobody can tell whose; the other totals are worth nothing either."""
    wrong = _impossible(of, pattern, totals)
    if wrong:
        raise NotOpenable(f"a party's figures are impossible: {wrong} was opened that no rows can have",
                          code="result.impossible")


def column(columns: Columns, name: str) -> Mapping[str, Any]:
    for one in columns:
        if one["name"] == name:
            return one
    raise ParametersInvalid(f"no column {name} in the dictionary")


def with_filter(of: Plan, given: object, columns: Columns) -> Plan:
    """The same plan over the rows that a filter holds for, checked against the dictionary."""
    tabulated = frozenset(str(one["name"]) for one in of.used)
    found = validate_filter(given, columns, tabulated=tabulated)
    names = columns_of(found)
    return replace(of, filter=found, filtered=tuple(one for one in columns if one["name"] in names))


def with_identifiers(used: Columns, columns: Columns) -> tuple[Mapping[str, Any], ...]:
    """The columns to read: those used, and what tells persons apart."""
    return (*used, *(one for one in columns if one["kind"] == IDENTIFIER))


def check_gate(of: Plan) -> Plan:
    """The gate of this plan is not larger than a worker can compare."""
    if of.gate.comparisons(of.parties) > MAX_COMPARISONS or sum(map(len, of.gate.needs)) > 4 * MAX_COMPARISONS:
        raise ParametersInvalid("so many cells and columns are too much for one gate")
    return of


def codes(one: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(one["codes"] or ())
    if not found or len(set(found)) != len(found) or "" in found:
        raise ParametersInvalid(f"column {one['name']} declares no distinct codes")
    return found


def only(frame: pd.DataFrame, columns: Columns, given: Expression | None) -> pd.DataFrame:
    """For the oracles: the rows that a filter holds for."""
    if given is None:
        return frame
    numbers = {one["name"] for one in columns if one["kind"] == "number"}
    codes_of = {one["name"]: one["codes"] for one in columns if one["kind"] == "category"}

    def value(name: str, text: object) -> object:
        if not isinstance(text, str) or (name in codes_of and text not in codes_of[name]):
            return None
        return decimal(text) if name in numbers else text

    def cell(at: int) -> Callable[[str], object]:
        return lambda name: value(name, frame[name].iloc[at])

    return frame.iloc[[at for at in range(len(frame)) if holds(given, cell(at), value)]]


def listed(frame: pd.DataFrame, columns: Columns, names: Sequence[str]) -> pd.DataFrame:
    """For the oracles: codes that the dictionary does not list count as missing; each row is marked with its person."""
    kept = frame[list(names)].copy()
    for name in names:
        one = column(columns, name)
        if one["kind"] == "category":
            kept[name] = kept[name].where(kept[name].isin(one["codes"]))
    distinct = {one["name"]: frame[one["name"]].nunique() for one in columns if one["kind"] == IDENTIFIER}
    person = min(distinct, key=lambda name: distinct[name], default=None)
    kept[PERSON] = frame.index if person is None or distinct[person] == len(frame) else frame[person]
    return kept


def people(frames: Sequence[pd.DataFrame]) -> int:
    """For the oracles: distinct persons in these parts of one hospital's rows."""
    return len({person for frame in frames for person in frame[PERSON].dropna()})


def plain_missing(frames: Sequence[pd.DataFrame], names: Sequence[str], floor: int) -> dict[str, int | None]:
    """For the oracles: each column's number of missing values, if persons on both sides reach the floor, and those whom
    the table is of."""
    found: dict[str, int | None] = {}
    whole = [people([frame.dropna(subset=list(names))]) for frame in frames]
    for name in names:
        sides = [[people([frame[frame[name].isna() == lacks]]) for frame in frames] for lacks in (True, False)]
        opened = all(passes(sum(side), side, floor) for side in [whole, *sides])
        found[name] = sum(int(frame[name].isna().sum()) for frame in frames) if opened else None
    return found


def check_fit(columns: Columns, rows_max: int) -> None:
    """The static range check: whatever the rows hold, nothing overflows."""
    check_count_fit(rows_max)
    for one in columns:
        if one["kind"] == "number":
            Grid.of(one).check_fit(rows_max)
