"""What a buyer with one hospital's rows can work out about withheld cells: all below the floor stays possible, always.

Small tables are searched whole. For larger ones the other world is built that the proof in docs/adr/0006-splits.md
builds, and it is shown that nobody outside could tell it from the true one.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.disclosure import Tree, balanced, gate_of, leaves, nodes, passes
from tests.unit.mpc.bounds import (
    Counts,
    Rule,
    Table,
    cells_and_missing,
    missing_by_themselves,
    ours,
    ours_with_missing,
    primary_only,
    with_the_next_smallest,
    withheld,
)

CASES = [((3, 1, 0, 2), [(2, 4)], 2, 5), ((2, 0, 1), [(3, 0)], 3, 6), ((0, 0, 9), [(4, 5)], 4, 7),
         ((1, 2, 1), [(4, 0), (1, 1, 2)], 2, 4)]
LACKING = [((2, 1, 1, 1), (2, 3)), ((1, 1, 1, 1, 0), (2, 2)), ((0, 0, 3, 1, 0), (2, 2))]


@pytest.mark.parametrize("naive", [primary_only, with_the_next_smallest])
def test_the_attack_succeeds_against_a_naive_gate(naive: Rule) -> None:
    """It finds cells below the floor to the person."""
    met = withheld(Table(naive, (0, 0, 0, 0)), Table(naive, (0, 0)), floor=2, largest=4)
    known = [numbers for _, numbers in met if not numbers >= {0, 1}]
    assert known
    assert any(len(numbers) == 1 and numbers < {0, 1} for numbers in known)


@pytest.mark.parametrize(("own", "earlier", "floor", "largest"), CASES)
def test_the_attack_fails_against_ours(own: Counts, earlier: list[Counts], floor: int, largest: int) -> None:
    met = list(withheld(Table(ours, own), *(Table(ours, one) for one in earlier), floor=floor, largest=largest))
    assert any(any(pattern) for pattern, _ in met), "some were open beside"
    assert all(numbers >= set(range(floor)) for _, numbers in met)


def lacking(rule: Rule, own: Counts) -> Table:
    """A table of two columns, either of which a row may lack. Of the numbers of missing values nothing is claimed: who
    knows all persons from another table knows how many rows this one leaves out."""
    return Table(rule, own, cells_and_missing, len(own) - 3)


def test_missing_values_that_open_by_themselves_tell_of_a_table_that_stays_closed() -> None:
    """Of five persons two lack one column, two the other: one at least has both."""
    (own, earlier), floor = LACKING[0], 2
    met = list(withheld(lacking(missing_by_themselves, own), Table(ours, earlier), floor=floor, largest=3))
    assert any(numbers == {1} for _, numbers in met)


@pytest.mark.parametrize(("own", "earlier"), LACKING)
def test_the_attack_fails_where_rows_lack_values(own: Counts, earlier: Counts) -> None:
    met = list(withheld(lacking(ours_with_missing, own), Table(ours, earlier), floor=2, largest=3))
    assert len(own) < 5 or any(any(pattern) for pattern, _ in met), "some were open beside"
    assert all(numbers >= {0, 1} for _, numbers in met)


def halves_strong(tree: tuple[Tree, Tree], counts: Sequence[Counts], floor: int) -> bool:
    return all(strong(half, counts, floor) for half in tree)


def strong(node: Tree, counts: Sequence[Counts], floor: int) -> bool:
    own = [sum(one[at] for at in leaves(node)) for one in counts]
    return passes(sum(own), own, floor)


def other_world(tree: Tree, counts: Sequence[Counts], *, attacker: int, cell: int, number: int,
                floor: int) -> list[Counts]:
    """The same for all that is seen, but the others' `cell` holds `number`, less than the floor."""
    others = [seat for seat in range(len(counts)) if seat != attacker]
    node, apart = tree, next(at for at in leaves(tree) if at != cell)
    if strong(tree, counts, floor):
        while isinstance(node, tuple) and halves_strong(node, counts, floor):
            node = next(half for half in node if cell in leaves(half))
        assert isinstance(node, tuple), "a cell that opens was asked for"
        apart = next(leaves(half)[0] for half in node if cell not in leaves(half))
    found, left = [list(own) for own in counts], number
    few = sum(sum(counts[seat]) for seat in others) < floor
    for seat in others:
        size = sum(counts[seat][at] for at in leaves(node))
        taken = left if few else min(left, size)
        left -= taken
        for at in leaves(node):
            found[seat][at] = 0
        found[seat][cell] += taken
        found[seat][apart] += 0 if few else size - taken
    assert left == 0
    return [tuple(own) for own in found]


COUNT = st.one_of(st.integers(0, 3), st.integers(0, 40))
SHAPES = [(4, 5), (2, 2), (3, 1), (1, 7), (5, 3)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_withheld_cell_may_hold_anything_below_the_floor(data: st.DataObject) -> None:
    lines, wide = data.draw(st.sampled_from(SHAPES))
    parties, floor = data.draw(st.integers(3, 5)), data.draw(st.integers(2, 12))
    tree = balanced([balanced(range(at, at + wide)) for at in range(0, lines * wide, wide)])
    counts = [data.draw(st.tuples(*[COUNT] * (lines * wide))) for _ in range(parties)]
    gate = gate_of(tree, missing=0, tops=0)

    def shown(table: Sequence[Counts]) -> object:
        pattern = gate.decide([[sum(own[at] for at in node) for node in nodes(tree)] for own in table], floor)
        totals = [sum(column) for column in zip(*table, strict=True)]
        return pattern, [total for total, opened in zip(totals, pattern, strict=True) if opened]

    pattern, _ = seen = shown(counts)  # type: ignore[misc]
    attacker = data.draw(st.integers(0, parties - 1))
    for cell in [at for at, opened in enumerate(pattern) if not opened]:
        for number in range(floor):
            world = other_world(tree, counts, attacker=attacker, cell=cell, number=number, floor=floor)
            assert world[attacker] == counts[attacker]
            assert sum(own[cell] for at, own in enumerate(world) if at != attacker) == number
            assert shown(world) == seen
            sizes = [sum(own) for own in counts]
            rest = sum(sizes) - sizes[attacker]
            # who knows how many persons there are in all learns it from a table that is open, which has its own floor
            assert [sum(own) for own in world] == sizes or rest < floor
