"""The attacker of the bounds test: a buyer who has one hospital's rows, knows the rules, and solves for what is left.

Held are: pattern and opened totals of a table, those of every earlier table of the same persons over other columns, and
one hospital's own counts in all of them. From these the attacker enumerates every world of the other hospitals that
would have shown exactly the same, and so the exact set of numbers that each withheld cell may be: no solver bounds it
closer. Nobody looks at a filter here: under one, the rows of two tables are not the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from mpc.disclosure import Gate, Pattern, balanced, gate_of, nodes, passes

Counts = tuple[int, ...]
Rule = Callable[[Sequence[Counts], int], Pattern]
Sizes = tuple[int, ...]


class Table(NamedTuple):
    """One that was asked for: its gate, and how many rows of each kind the attacker's hospital has. `shows` are the
    numbers that may open, of such rows; it is the first `cells` of them that something is claimed of."""

    rule: Rule
    own: Counts
    shows: Callable[[Counts], Counts] = tuple
    cells: int | None = None


def ours(counts: Sequence[Counts], floor: int) -> Pattern:
    """The gate of this house, each hospital's counts of the cells given."""
    tree = balanced(range(len(counts[0])))
    numbers = [[sum(own[at] for at in node) for node in nodes(tree)] for own in counts]
    return gate_of(tree, missing=0, tops=0).decide(numbers, floor)


def primary_only(counts: Sequence[Counts], floor: int) -> Pattern:
    """The naive gate: each cell for itself, leave-one-out as well."""
    return tuple(passes(sum(column), column, floor) for column in zip(*counts, strict=True))


def with_the_next_smallest(counts: Sequence[Counts], floor: int) -> Pattern:
    """The usual repair: a cell that stands alone takes the smallest other one along."""
    pattern = list(primary_only(counts, floor))
    if pattern.count(False) == 1 and True in pattern:
        totals = [sum(column) for column in zip(*counts, strict=True)]
        pattern[min((at for at, opened in enumerate(pattern) if opened), key=lambda at: totals[at])] = False
    return tuple(pattern)


LEFT_OUT = 3  # kinds of rows that no cell holds: the first column is missing, the second, both


def cells_and_missing(own: Counts) -> Counts:
    """Of a table of two columns: its cells, and of each column how many rows lack it."""
    *cells, first, second, both = own
    return (*cells, first + both, second + both)


def _with_missing(gate: Gate, counts: Sequence[Counts], floor: int) -> Pattern:
    numbers = []
    for own in counts:
        lacking = cells_and_missing(own)[-2:]
        inside = own[:-LEFT_OUT]
        numbers.append([sum(inside[at] for at in node) for node in nodes(balanced(range(len(inside))))]
                       + [side for one in lacking for side in (one, sum(own) - one)])
    return gate.decide(numbers, floor)


def ours_with_missing(counts: Sequence[Counts], floor: int) -> Pattern:
    """The gate of this house, with both columns' missing values."""
    return _with_missing(gate_of(balanced(range(len(counts[0]) - LEFT_OUT)), missing=2, tops=0), counts, floor)


def missing_by_themselves(counts: Sequence[Counts], floor: int) -> Pattern:
    """A gate that asks of a column's missing values only that both sides are strong, whatever the table is."""
    cells = len(counts[0]) - LEFT_OUT
    gate = gate_of(balanced(range(cells)), missing=2, tops=0)
    pairs = [(gate.counts - 4, gate.counts - 3), (gate.counts - 2, gate.counts - 1)]
    return _with_missing(replace(gate, needs=(*gate.needs[:cells], *pairs)), counts, floor)


def vectors(total: int, cells: int) -> Iterator[Counts]:
    """Every way to spread so many persons over so many cells."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        yield from ((first, *rest) for rest in vectors(total - first, cells - 1))


Seen = tuple[Pattern, tuple[int | None, ...]]


def worlds(table: Table, floor: int, largest: int) -> dict[Seen, dict[Sizes, list[set[int]]]]:
    """For each thing that may be seen, and each pair of sizes of the two other hospitals, which numbers every cell of
    theirs can hold."""
    found: dict[Seen, dict[Sizes, list[set[int]]]] = {}
    for sizes in product(range(largest + 1), repeat=2):
        for others in product(*(list(vectors(size, len(table.own))) for size in sizes)):
            pattern = table.rule((table.own, *others), floor)
            sums = [sum(column) for column in zip(*map(table.shows, others), strict=True)]
            seen = pattern, tuple(total if opened else None for total, opened in zip(sums, pattern, strict=True))
            held = found.setdefault(seen, {}).setdefault(sizes, [set() for _ in sums])
            for at, total in enumerate(sums):
                held[at].add(total)
    return found


def withheld(table: Table, *earlier: Table, floor: int, largest: int) -> Iterator[tuple[Pattern, set[int]]]:
    """For every world of these tables that can be, and every withheld cell of the first: what it may hold for the
    attacker."""
    before = [worlds(one, floor, largest) for one in earlier]
    for (pattern, _), at_sizes in worlds(table, floor, largest).items():
        told = {frozenset(at_sizes)}
        for one in before:
            told = {frozenset(known & sizes.keys()) for known in told for sizes in one.values()} - {frozenset()}
        for sizes in told:
            for cell, opened in enumerate(pattern[: table.cells]):
                if not opened:
                    yield pattern, set().union(*(at_sizes[one][cell] for one in sizes))
