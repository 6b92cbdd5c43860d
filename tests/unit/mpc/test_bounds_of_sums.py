"""What a buyer with one hospital's rows can work out about cells that hold sums, from rows that lack values, of persons
with several rows, beside an earlier table of the same grant.

For every withheld cell of groups or codes and every number below the floor the other world is built that the proof in
docs/adr/0006-splits.md builds, row by row, and nothing that the attacker holds tells it from the true one. Claimed is
nothing of a number of missing values that stays closed, of a table of a single cell that dominance alone closes, and of
sums over few values: those are its exceptions, and are not attacked here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.disclosure import Node, Tree, dominated, leaves, nodes, passes
from mpc.functions.plan import Plan
from mpc.functions.registry import function

FLOORS = st.integers(2, 4)


@dataclass(frozen=True)
class Row:
    """One of a hospital; a column that it lacks is None, and so is a person without a name."""

    person: str | None
    ward: str | None = None
    cost: int | None = None
    year: str | None = None
    grade: str | None = None


Hospital = tuple[Row, ...]


def column(name: str, codes: Sequence[str] = (), *, most: int | None = None) -> dict[str, Any]:
    low, step = (None, None) if most is None else ("0", "1")
    return {"name": name, "kind": "category" if codes else "identifier" if most is None else "number", "unit": None,
            "min": low, "max": most and str(most), "step": step, "codes": list(codes) or None}


@dataclass(frozen=True)
class Table:
    """A plan, and what it reads of a row."""

    plan: Plan
    keys: tuple[str, ...]
    sums: tuple[str, ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(str(one["name"]) for one in self.plan.used)

    @cached_property
    def cells(self) -> list[tuple[str, ...]]:
        """The codes of each cell, in order."""
        codes = {str(one["name"]): one["codes"] for one in self.plan.used}
        return list(product(*(codes[key] for key in self.keys)))

    def place(self, row: Row) -> int | None:
        """The cell that the row is in."""
        if any(getattr(row, name) is None for name in self.columns):
            return None
        return self.cells.index(tuple(getattr(row, key) for key in self.keys))

    def put(self, row: Row, cell: int | None) -> Row:
        """The row in this cell, or complete for none; its number stays as it was."""
        if cell is None:
            return replace(row, **dict.fromkeys(self.columns))
        given = dict(zip(self.keys, self.cells[cell], strict=True))
        return replace(row, **given, **{name: getattr(row, name) or 0 for name in self.sums})  # type: ignore[arg-type]

    def persons(self, rows: Hospital, node: Node) -> int:
        return len({row.person for row in rows if self.place(row) in node and row.person})

    def contributions(self, rows: Hospital, cell: int, name: str, power: int) -> list[int]:
        of: dict[str | None, int] = {}
        for row in rows:
            if self.place(row) == cell:
                of[row.person] = of.get(row.person, 0) + getattr(row, name) ** power
        return sorted(of.values(), reverse=True)

    def numbers(self, rows: Hospital) -> list[int]:
        """What this hospital brings to the gate."""
        found = [self.persons(rows, node) for node in nodes(self.plan.tree)]
        for name in self.columns:
            for lacks in (True, False):
                found.append(len({row.person for row in rows if (getattr(row, name) is None) == lacks and row.person}))
        for cell, name, power in product(range(len(self.cells)), self.sums, self.plan.powers):
            of = self.contributions(rows, cell, name, power)
            found += [sum(of), *[*of, 0, 0][:2]]
        return found

    def shown(self, hospitals: Sequence[Hospital], floor: int) -> tuple[tuple[bool, ...], list[int]]:
        """The pattern, and all that opens."""
        pattern = self.plan.gate.decide([self.numbers(rows) for rows in hospitals], floor)
        rows, opened = [row for one in hospitals for row in one], []
        for cell, passed in zip([*range(len(self.cells)), *self.columns], pattern, strict=True):
            if passed and isinstance(cell, str):
                opened.append(sum(getattr(row, cell) is None for row in rows))
            elif passed:
                inside = [row for row in rows if self.place(row) == cell]
                opened += [len(inside), *(sum(getattr(row, name) ** power for row in inside)
                                          for name in self.sums for power in (1, 2))]
        return pattern, opened

    def strong(self, hospitals: Sequence[Hospital], node: Tree, floor: int) -> bool:
        own = [self.persons(rows, leaves(node)) for rows in hospitals]
        return passes(sum(own), own, floor) and not (isinstance(node, int) and any(
            dominated([self.contributions(rows, node, name, power) for rows in hospitals])
            for name in self.sums for power in self.plan.powers))


def world(table: Table, hospitals: Sequence[Hospital], *, attacker: int, cell: int, number: int,
          floor: int) -> list[Hospital] | None:
    """The same for all that is seen, but the others' `cell` holds so many rows; None where nothing is claimed."""
    node, inside = table.plan.tree, table.cells
    apart: int | None = None
    root = [table.persons(rows, leaves(node)) for rows in hospitals]
    if passes(sum(root), root, floor):
        if isinstance(node, int):
            return None  # a table of a single cell, closed by dominance alone
        while all(table.strong(hospitals, half, floor) for half in node):
            node = next(half for half in node if cell in leaves(half))
            assert isinstance(node, tuple), "a cell that opens was asked for"
        apart = next(leaves(half)[0] for half in node if cell not in leaves(half))
    assert cell < len(inside)
    found, left = [], number
    for seat, rows in enumerate(hospitals):
        made = []
        for row in rows:
            if seat == attacker or (apart is not None and table.place(row) not in leaves(node)):
                made.append(row)
            else:
                made.append(table.put(row, cell if left else apart))
                left -= left > 0
        found.append(tuple(made))
    other = (attacker + 1) % len(hospitals)
    found[other] += tuple(table.put(Row(f"new {at}"), cell) for at in range(left))
    return found


WHO = column("who")
WARDS, YEARS, GRADES = "abcdef", ["2024", "2025", "2026"], ["0", "1"]
ROW = st.builds(Row, st.sampled_from([None, *"pqrstuvw"]), st.sampled_from([None, "a", *WARDS[:2], *WARDS]),
                st.sampled_from([None, 1, 1, 2, 3, 90]), st.sampled_from([None, *YEARS]),
                st.sampled_from([None, *GRADES, *GRADES]))


def tables(parties: int, wards: int) -> tuple[Table, Table]:
    """Sums of a cost by ward, and an earlier table of the same rows over other columns."""
    columns = [WHO, column("ward", WARDS[:wards]), column("cost", most=100), column("year", YEARS), column(
        "grade", GRADES)]
    return (Table(function("describe@1").plan({"columns": ["cost"], "by": "ward"}, columns, parties, 1000), ("ward",),
                  ("cost",)),
            Table(function("crosstab@1").plan({"rows": "year", "columns": "grade"}, columns, parties, 1000),
                  ("year", "grade"), ()))


def check(hospitals: list[Hospital], *, wards: int, attacker: int, floor: int) -> int:
    """How many other worlds were built, none of which can be told from this one."""
    both, built = tables(len(hospitals), wards), 0
    seen = [table.shown(hospitals, floor) for table in both]
    for table, (pattern, _) in zip(both, seen, strict=True):
        for cell, number in product(range(len(table.cells)), range(floor)):
            other = None if pattern[cell] else world(table, hospitals, attacker=attacker, cell=cell, number=number,
                                                     floor=floor)
            if other is None:
                continue
            built += 1
            assert other[attacker] == hospitals[attacker]
            assert number == sum(
                table.place(row) == cell for seat, rows in enumerate(other) if seat != attacker for row in rows)
            assert [one.shown(other, floor) for one in both] == seen
    return built


def test_it_works() -> None:
    """Ward b is one patient's bill: it and its neighbour stay closed, c and d open, and both tables' missing values."""
    usual = [Row(f"p{at}", ward, 1, year, grade)
             for at, (ward, year, grade) in enumerate(product("abcd" * 2, YEARS, GRADES))]
    lacking = [replace(row, person=f"l{at}", ward=None) for at, row in enumerate(usual[:6])]
    hospitals = [(*usual, *lacking)] * 2 + [(*usual, *lacking, Row("rich", "b", 90, "2024", "0"))]
    pattern, _ = tables(3, 4)[0].shown(hospitals, 4)
    assert pattern == (False, False, True, True, False, True)
    assert check(hospitals, wards=4, attacker=0, floor=4) == 8


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_withheld_cell_may_hold_any_number_of_rows_below_the_floor(data: st.DataObject) -> None:
    parties, wards = data.draw(st.integers(3, 4)), data.draw(st.sampled_from([1, 2, 3, 6]))
    drawn = [data.draw(st.lists(ROW, max_size=16)) for _ in range(parties)]
    hospitals = [tuple(replace(row, ward=row.ward if row.ward in [*WARDS[:wards]] else None) for row in rows)
                 for rows in drawn]
    check(hospitals, wards=wards, attacker=data.draw(st.integers(0, parties - 1)), floor=data.draw(FLOORS))
