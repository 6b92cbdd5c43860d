"""The attacker of the bounds test: a buyer who has one hospital's rows, knows the rules, and solves for what is left.

Held are: pattern and opened totals of a table, those of an earlier table of the same persons over other columns, and
one hospital's own counts in both. From these the attacker enumerates every world of the other hospitals that would
have shown exactly the same, and so the exact set of numbers that each withheld cell may be: no solver bounds it closer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from mpc.disclosure import Pattern, balanced, gate_of, nodes, passes

Counts = tuple[int, ...]
Rule = Callable[[Sequence[Counts], int], Pattern]
Sizes = tuple[int, ...]


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


def vectors(total: int, cells: int) -> Iterator[Counts]:
    """Every way to spread so many persons over so many cells."""
    if cells == 1:
        yield (total,)
        return
    for first in range(total + 1):
        yield from ((first, *rest) for rest in vectors(total - first, cells - 1))


Seen = tuple[Pattern, tuple[int | None, ...]]


def worlds(rule: Rule, own: Counts, floor: int, largest: int) -> dict[Seen, dict[Sizes, list[set[int]]]]:
    """For each thing that may be seen, and each pair of sizes of the two other hospitals, which numbers every cell of
    theirs can hold."""
    found: dict[Seen, dict[Sizes, list[set[int]]]] = {}
    for sizes in product(range(largest + 1), repeat=2):
        for others in product(*(list(vectors(size, len(own))) for size in sizes)):
            pattern = rule((own, *others), floor)
            sums = [sum(column) for column in zip(*others, strict=True)]
            seen = pattern, tuple(total if opened else None for total, opened in zip(sums, pattern, strict=True))
            held = found.setdefault(seen, {}).setdefault(sizes, [set() for _ in own])
            for at, total in enumerate(sums):
                held[at].add(total)
    return found


def withheld(rule: Rule, own: Counts, earlier: Counts, *, floor: int,
             largest: int) -> Iterator[tuple[Pattern, set[int]]]:
    """For every world of two tables that can be, and every withheld cell: all numbers it may hold for the attacker."""
    before = worlds(rule, earlier, floor, largest)
    for (pattern, _), at_sizes in worlds(rule, own, floor, largest).items():
        told = {frozenset(at_sizes.keys() & sizes.keys()) for sizes in before.values()} - {frozenset()}
        for sizes in told:
            for cell, opened in enumerate(pattern):
                if not opened:
                    yield pattern, set().union(*(at_sizes[one][cell] for one in sizes))
