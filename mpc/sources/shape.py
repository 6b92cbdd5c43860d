"""From a table as its hospital keeps it to the columns that a job knows: whole grid steps, listed codes, persons.

A number becomes how many grid steps it is, a category its code, an identifier its text; what is missing, or is not what
the dictionary says, becomes missing, and `off` tells how many cells are not what the dictionary says. The rule for a
number is that of `mpc.encoding`: the decimal that the cell shows, exactly. Pure: makes selections, runs none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpc.encoding import Grid
from mpc.errors import RangeExceeded
from mpc.filters import Expression, constants
from mpc.sources.terms import Select, Term, among, bound, call, column, every, only_if, present, some

INTEGER, DOUBLE, BOOLEAN, TEXT = "integer", "double", "boolean", "text"
EXACT = 1 << 53
SHORT = 46_341
RAW = "raw_"


@dataclass(frozen=True)
class Scale:
    """A grid in whole units: a cell is `unit` * 10^-places, and `size` units make a step."""

    grid: Grid
    places: int
    size: int

    @classmethod
    def of(cls, one: Mapping[str, Any]) -> Scale:
        grid = Grid.of(one)
        places = next((count for count in range(19) if (grid.step * 10**count).denominator == 1), 19)
        size = int(grid.step * 10**places)
        if places == 19 or (grid.reach + 1) * size >= EXACT:
            raise RangeExceeded(f"column {grid.column}: so fine a grid over such bounds is not counted exactly")
        return cls(grid, places, size)

    def units(self, name: str, kind: str, *, checked: bool) -> Term:
        """The cell in units where it can be one, else missing; of a `checked` column every cell can."""
        raw, ten = column(name), bound(10**self.places)
        low, high = self.grid.low * self.size, self.grid.high * self.size
        whole = "whole" if max(abs(low), abs(high)) >= SHORT else "short"  # the square of a short one is short enough
        if checked and kind in (INTEGER, DOUBLE):
            cell = call("whole", raw) if kind == INTEGER else raw  # its own type may be too narrow for its units
            scaled = call("times", cell, ten) if self.places else raw
            return call(whole, scaled if kind == INTEGER else call("round", scaled))
        if kind == INTEGER:
            inside = call("between", raw, bound(-(-low // 10**self.places)), bound(high // 10**self.places))
            return only_if(inside, call("whole", raw) if self.places == 0 else call("times", call("whole", raw), ten))
        if kind == DOUBLE:
            # numbers that 53 bits hold exactly, their ratio rounded once: equal exactly if the decimals are
            reach = max(abs(low), abs(high)) // 10**self.places + 1
            near = call("whole", call("round", call("times", raw, ten)))
            inside = call("between", raw, bound(-reach), bound(reach))
            return only_if(inside, only_if(call("same_ratio", raw, near, ten), near))
        digits = len(str(max(abs(low), abs(high)) // 10**self.places))
        fraction = rf"(\.[0-9]{{1,{self.places}}}0*)?" if self.places else r"(\.0+)?"
        form = call("matches", call("text", raw), bound(rf"^-?0{{0,20}}[0-9]{{1,{digits}}}{fraction}$"))
        return only_if(form, Term("decimal", (call("text", raw), self.places)))

    def steps(self, units: Term, *, checked: bool) -> Term:
        """Units as steps where they lie on the grid and within its bounds."""
        if checked:
            return units if self.size == 1 else call("quotient", units, bound(self.size))
        inside = call("between", units, bound(self.grid.low * self.size), bound(self.grid.high * self.size))
        if self.size == 1:
            return only_if(inside, units)
        on_grid = call("eq", call("modulo", units, bound(self.size)), bound(0))
        return only_if(call("and", inside, on_grid), call("quotient", units, bound(self.size)))


def _filled(name: str, kind: str) -> Term:
    """The cell is not empty."""
    return present(name) if kind != TEXT else call("filled", call("text", column(name)))


def text_of(name: str, kind: str) -> Term:
    """The cell as text, a boolean as True or False."""
    return call("truth", column(name)) if kind == BOOLEAN else call("text", column(name))


def normal(columns: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], given: Expression | None, *,
           unlisted_as_missing: bool, registered: bool) -> tuple[Select, frozenset[str]]:
    """The job's rows, and the names of the columns with a second one, `raw_NAME`, filled wherever the cell is.
    What was `registered` was checked cell by cell then, and what is asked now is compared with that snapshot."""
    first: dict[str, Term] = {}
    second: dict[str, Term] = {}
    doubtful: set[str] = set()
    for one in columns:
        name, kind = str(one["name"]), kinds[str(one["name"])]
        filled = only_if(_filled(name, kind), bound(1))
        if one["kind"] == "number":
            scale = Scale.of(one)
            checked = registered and kind in (INTEGER, DOUBLE)
            first[name] = scale.units(name, kind, checked=checked)
            second[name] = scale.steps(column(name), checked=checked)
        elif one["kind"] == "category":
            first[name] = only_if(_filled(name, kind), text_of(name, kind))
            second[name] = only_if(among(name, list(one["codes"] or ())), column(name))
        else:
            first[name], second[name] = only_if(_filled(name, kind), text_of(name, kind)), column(name)
        if not registered and (one["kind"] == "number" or (one["kind"] == "category" and not unlisted_as_missing)):
            first[RAW + name], second[RAW + name] = filled, column(RAW + name)
            doubtful.add(name)
    base = Select(Select(None, first), second)
    if given is not None:
        scales = {str(one["name"]): Grid.of(one) for one in columns if one["kind"] == "number"}
        base = Select(base, {name: column(name) for name in second}, where=condition(given, scales))
    return base, frozenset(doubtful)


def condition(given: Expression, grids: Mapping[str, Grid]) -> Term:
    """A filter as a term that is true or false and never missing."""
    op = given["op"]
    if op in ("and", "or"):
        parts = [condition(part, grids) for part in given["of"]]
        return (every(parts) or parts[0]) if op == "and" else some(parts)
    if op == "not":
        return call("not", condition(given["of"], grids))
    name = given["column"]
    if op == "missing":
        return call("not", present(name))
    values = [grids[name].encode(one) if name in grids else str(one) for one in constants(given)]
    if op == "in":
        test = among(name, values)
    elif op == "between":
        test = call("between", column(name), *map(bound, values))
    else:
        test = call(op, column(name), bound(values[0]))
    return call("and", present(name), test)


def combination(names: Sequence[str], wanted: Sequence[tuple[str | None, ...]]) -> Term:
    """The columns hold one of these combinations of codes."""
    sides = [list(dict.fromkeys(one[at] or "" for one in wanted)) for at in range(len(names))]
    product = 1
    for side in sides:
        product *= len(side)
    if product == len(wanted):
        return every([among(name, side) for name, side in zip(names, sides, strict=True)]) or bound(1)
    return some([every([call("eq", column(name), bound(value or "")) for name, value in zip(names, one, strict=True)])
                 or bound(1) for one in wanted])


