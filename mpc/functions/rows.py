"""A hospital's own rows as a job knows them: exact aggregates, asked of the file or database that keeps them.

Opens one source, once, for one job, and asks it only for counts, sums and largest contributions: no row is ever held
here. Everything it says about a problem names a column, never a value. Persons are told apart by the identifier column
that is read (of several, by the one with the fewest distinct values, so that nobody counts twice); where none is read,
or no value of it occurs twice, a row is a person. With a filter only the rows that it holds for are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mpc.encoding import Grid
from mpc.errors import DataRefused
from mpc.filters import Expression
from mpc.functions.plan import Combination, Group, Tally
from mpc.sources.duck import KINDS, FileTable, fingerprint
from mpc.sources.shape import RAW, combination, normal
from mpc.sources.terms import Select, Term, bound, call, column, every, only_if, present

__all__ = ["Rows", "fingerprint"]

COMPLETE, PERSON, NODE = "complete", "person", "node"
NARROW = 1 << 31


class Table(Protocol):
    """Whatever keeps the rows."""

    def kinds(self, names: list[str]) -> dict[str, str]: ...

    def hold(self, base: Select) -> Select: ...

    def ask(self, asked: Select) -> list[tuple[Any, ...]]: ...

    def settle(self) -> None: ...

    def close(self) -> None: ...


def _off(name: str) -> DataRefused:
    return DataRefused(f"column {name} does not hold what the dictionary says")


def open_table(path: Path, kind: str, *, check: Mapping[str, str] | None, access: Mapping[str, Any] | None,
               memory: int | None) -> Table:
    """The one source of a job; what asks a database is imported only where there is one."""
    if kind in KINDS or access is None:
        return FileTable(path, kind, check=check, memory=memory)
    from mpc.sources import connect

    return connect.connect(kind, access, check=check)


class Rows:
    """The columns of one job."""

    def __init__(self, table: Table, columns: Sequence[Mapping[str, Any]], given: Expression | None, *,
                 unlisted_as_missing: bool, registered: bool) -> None:
        self._table = table
        self._columns = {str(one["name"]): one for one in columns}
        base, self._checked = normal(columns, table.kinds(list(self._columns)), given,
                                     unlisted_as_missing=unlisted_as_missing, registered=registered)
        self._base = table.hold(base)

    @classmethod
    def open(cls, path: str | Path, kind: str, columns: Sequence[Mapping[str, Any]], *,
             check: Mapping[str, str] | None = None, unlisted_as_missing: bool = False,
             only: Expression | None = None, access: Mapping[str, Any] | None = None,
             memory: int | None = None) -> Rows:
        """Open a source for these columns; with `check` = {key, expected} (hex) `settle` refuses it when its
        fingerprint is another.

        A code that the dictionary does not list is refused later, unless its hospital registered the file with such
        cells to count as missing: a dictionary that names every rare code would itself tell who is there.
        """
        table = open_table(Path(path), kind, check=check, access=access, memory=memory)
        try:
            return cls(table, columns, only, unlisted_as_missing=unlisted_as_missing, registered=check is not None)
        except BaseException:
            table.close()
            raise

    def _sub(self, fields: Mapping[str, Term], where: Term | None = None) -> Select:
        return Select(self._base, fields, where)

    def number(self) -> int:
        return int(self._table.ask(Select(self._base, {"n": call("rows")}))[0][0])

    def misfits(self) -> dict[str, int]:
        """How many cells of each column are not what the dictionary says, missing ones apart."""
        names = sorted(self._checked)
        asked = {f"c{at}": call("count", column(name)) for at, name in enumerate(names)}
        asked |= {f"r{at}": call("count", column(RAW + name)) for at, name in enumerate(names)}
        found = self._table.ask(Select(self._base, {"n": call("rows"), **asked}))[0][1:]
        return {name: int(found[len(names) + at]) - int(found[at]) for at, name in enumerate(names)}

    @cached_property
    def person(self) -> str | None:
        """The column that tells persons apart; None where each row is a person."""
        names = [name for name, one in self._columns.items() if one["kind"] == "identifier"]
        if not names:
            return None
        asked = {f"d{at}": call("distinct", column(name)) for at, name in enumerate(names)}
        number, *distinct = self._table.ask(Select(self._base, {"n": call("rows"), **asked}))[0]
        fewest, name = min(zip(distinct, names, strict=True))
        return None if fewest == number else name

    def tally(self, split: Sequence[str], numbers: Sequence[str] = (), *, powers: Sequence[int] = (),
              rows_max: int = 1) -> Tally:
        """One reading: for every combination of codes of `split`, over the rows complete in `split` and `numbers`, the
        sums of each number column and its persons' contributions; and of every column how many rows lack it. Refuses
        a column with a cell that is not what the dictionary says."""
        names = [*split, *numbers]
        keys = [f"k{at}" for at in range(len(split))]
        complete = only_if(every([present(name) for name in names]) or bound(1), bound(1))
        fields = {key: column(name) for key, name in zip(keys, split, strict=True)} | {COMPLETE: complete}
        fields |= {name: column(name) for name in numbers}
        fields |= {f"has_{name}": column(name) for name in split}
        fields |= {RAW + name: column(RAW + name) for name in names if name in self._checked}
        by_row = bool(powers) and self.person is None
        figures: dict[str, Term] = {"n": call("rows")}
        for name in names:
            figures[f"has_{name}"] = call("count", column(name if name in numbers else f"has_{name}"))
            if name in self._checked:
                figures[RAW + name] = call("count", column(RAW + name))
        for name in numbers:
            figures |= self._sums(name) | (self._largest(name, powers, rows_max) if by_row else {})
        met = self._table.ask(Select(self._sub(fields), figures, keys=(*keys, COMPLETE)))
        found = [dict(zip([*keys, COMPLETE, *figures], row, strict=True)) for row in met]
        total = sum(int(one["n"]) for one in found)
        having = {name: sum(int(one[f"has_{name}"]) for one in found) for name in names}
        for name in names:
            if name in self._checked and sum(int(one[RAW + name]) for one in found) != having[name]:
                raise _off(name)
        groups = {tuple(one[key] for key in keys): self._group(one, numbers, powers if by_row else (), rows_max)
                  for one in found if one[COMPLETE]}
        if powers and not by_row:
            self._persons_tops(groups, split, numbers, powers, rows_max)
        return Tally(groups, {name: total - count for name, count in having.items()}, having)

    def _scale(self, name: str, rows_max: int) -> tuple[Grid, int]:
        grid = Grid.of(self._columns[name])
        return grid, grid.coarse(rows_max)

    def _sums(self, name: str) -> dict[str, Term]:
        """Terms for the sum of steps and of their squares; wide steps are counted from the lowest, in two halves, so
        that every product fits into 64 bits and every sum into 38 digits."""
        grid, value = Grid.of(self._columns[name]), column(name)
        if grid.reach < NARROW:
            return {f"s1_{name}": call("sum", value), f"s2_{name}": call("sum", call("times", value, value))}
        up = call("minus", value, bound(grid.low))
        high, low = call("quotient", up, bound(NARROW)), call("modulo", up, bound(NARROW))
        return {f"hi_{name}": call("sum", high), f"lo_{name}": call("sum", low),
                f"hh_{name}": call("sum", call("times", high, high)),
                f"hl_{name}": call("sum", call("times", high, low)), f"ll_{name}": call("sum", call("times", low, low))}

    def _contribution(self, name: str, power: int, rows_max: int, *, up: bool = True) -> Term:
        """What a row adds on the coarser grid: rounded up to what its person holds, down to what all hold together."""
        grid, coarse = self._scale(name, rows_max)
        value = column(name) if grid.low >= 0 else call("abs", column(name))
        if coarse > 1:
            value = call("quotient", call("plus", value, bound(coarse - 1)) if up else value, bound(coarse))
        return value if power == 1 else call("times", value, value)

    def _largest(self, name: str, powers: Sequence[int], rows_max: int) -> dict[str, Term]:
        """Where a row is a person: the two largest magnitudes tell the two largest of every power."""
        _, coarse = self._scale(name, rows_max)
        found = {f"top_{name}": call("top2", self._contribution(name, 1, rows_max))}
        for power in powers:
            if power == 1 or coarse > 1:
                found[f"c{power}_{name}"] = call("sum", self._contribution(name, power, rows_max, up=False))
        return found

    def _group(self, one: Mapping[str, Any], numbers: Sequence[str], powers: Sequence[int], rows_max: int) -> Group:
        made = Group(int(one["n"]))
        for name in numbers:
            grid, _ = self._scale(name, rows_max)
            if grid.reach < NARROW:
                s1, s2 = int(one[f"s1_{name}"]), int(one[f"s2_{name}"])
            else:
                part = {key: int(one[f"{key}_{name}"]) for key in ("hi", "lo", "hh", "hl", "ll")}
                up1 = part["hi"] * NARROW + part["lo"]
                up2 = part["hh"] * NARROW**2 + 2 * part["hl"] * NARROW + part["ll"]
                s1 = up1 + made.number * grid.low
                s2 = up2 + 2 * grid.low * up1 + made.number * grid.low**2
            made.sums[name] = s1, s2
            for power in powers:
                first, second = [*map(int, one[f"top_{name}"]), 0][:2]
                summed = one.get(f"c{power}_{name}")
                made.tops[name, power] = [s2 if summed is None else int(summed), first**power, second**power]
        return made

    def _persons_tops(self, groups: Mapping[Combination, Group], split: Sequence[str], numbers: Sequence[str],
                      powers: Sequence[int], rows_max: int) -> None:
        """Where persons have several rows: first each person's sums, then their total and the two largest. Rows that
        name nobody count as one person's."""
        keys = tuple(f"k{at}" for at in range(len(split)))
        fields = {key: column(name) for key, name in zip(keys, split, strict=True)}
        fields |= {PERSON: column(self.person or "")}
        parts = [(name, power) for name in numbers for power in powers]
        sides = {name: ("c", "d") if self._scale(name, rows_max)[1] > 1 else ("c", "c") for name in numbers}
        terms = {f"{side}{power}_{name}": self._contribution(name, power, rows_max, up=side == "c")
                 for name, power in parts for side in sides[name]}
        whole = every([present(name) for name in (*split, *numbers)])
        each = Select(self._sub(fields | terms, whole), {one: call("sum", column(one)) for one in terms},
                      keys=(*keys, PERSON))
        outer: dict[str, Term] = {}
        for name, power in parts:
            outer |= {f"sum{power}_{name}": call("sum", column(f"{sides[name][1]}{power}_{name}")),
                      f"top{power}_{name}": call("top2", column(f"c{power}_{name}"))}
        for row in self._table.ask(Select(each, outer, keys=keys)):
            one_row = dict(zip([*keys, *outer], row, strict=True))
            group = groups.get(tuple(one_row[key] for key in keys))
            if group is None:  # not split and nothing complete: SQL then answers one row about no rows
                continue
            for name, power in parts:
                first, second = [*map(int, one_row[f"top{power}_{name}"] or ()), 0, 0][:2]
                group.tops[name, power] = [int(one_row[f"sum{power}_{name}"] or 0), first, second]

    def persons(self, tally: Tally, split: Sequence[str], nodes: Sequence[Sequence[Combination]], *,
                complete_in: Sequence[str]) -> list[int]:
        """For each set of combinations how many distinct persons have a complete row in it."""
        if self.person is None:
            return [sum(tally.groups[one].number for one in node if one in tally.groups) for node in nodes]
        found = [0] * len(nodes)
        for level in _levels(nodes):
            chosen = [only_if(combination(split, nodes[at]), bound(at + 1)) for at in level] if split else [bound(1)]
            node = chosen[0] if len(chosen) == 1 else Term("first", tuple(chosen))
            base = self._sub({NODE: node, PERSON: column(self.person)},
                             every([present(name) for name in complete_in]))
            for at, count in self._table.ask(Select(base, {"d": call("distinct", column(PERSON))}, keys=(NODE,))):
                if at is not None:
                    found[int(at) - 1] = int(count)
        return found

    def sides(self, tally: Tally, names: Sequence[str]) -> list[int]:
        """For each column how many persons have a row that lacks it, and how many a row that has it, in turn."""
        if self.person is None:
            return [side for name in names for side in (tally.lacking[name], tally.having[name])]
        who, figures = column(self.person), {}
        for at, name in enumerate(names):
            figures[f"l{at}"] = call("distinct", only_if(call("not", present(name)), who))
            figures[f"h{at}"] = call("distinct", only_if(present(name), who))
        return [int(one) for one in self._table.ask(Select(self._base, figures))[0]]

    def settle(self) -> None:
        """To be called before anything that was counted is used: `dataset.changed` if it was another file's."""
        self._table.settle()

    def close(self) -> None:
        self._table.close()


def _levels(nodes: Sequence[Sequence[Combination]]) -> list[list[int]]:
    """The sets in groups within which none overlap: one question each."""
    levels: list[tuple[set[Combination], list[int]]] = []
    for at, node in enumerate(nodes):
        fitting = next((level for level in levels if level[0].isdisjoint(node)), None)
        if fitting is None:
            fitting = (set(), [])
            levels.append(fitting)
        fitting[0].update(node)
        fitting[1].append(at)
    return [members for _, members in levels]
