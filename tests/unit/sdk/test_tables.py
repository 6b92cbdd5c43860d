"""Tables: opened cells are added, a margin over a withheld cell stays empty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from marketplace.sdk.table import cross_table, description, margin

CELLS = st.lists(st.one_of(st.none(), st.integers(0, 10**9)), max_size=8)


@given(CELLS)
def test_a_margin_is_the_sum_or_nothing(cells: list[int | None]) -> None:
    known = [cell for cell in cells if cell is not None]
    assert margin(cells) == (sum(known) if len(known) == len(cells) else None)


def test_it_works() -> None:
    rows = [{"rows": one, "columns": other, "n": n} for one, other, n in
            (("a", "x", 10), ("a", "y", None), ("b", "x", 20), ("b", "y", 30))]
    table = cross_table(rows, {"rows": "r", "columns": "c"})
    assert table.loc["b", "total"] == 50
    assert table.loc["total", "x"] == 30
    assert list(table.isna().loc["a"]) == [False, True, True]
    assert list(table.isna().loc["total"]) == [False, True, True]


def test_a_description_with_nothing_opened_is_empty_not_an_error() -> None:
    closed = {"mean": None, "sd": None, "variance": None}
    table = description([{"by": "a", "n": None, "age": closed}], {"by": "g", "columns": ["age"]})
    assert table.isna().all(axis=None)


def test_one_group_of_all_rows_has_no_name() -> None:
    figures = {"mean": 1.5, "sd": 0.5, "variance": 0.25}
    table = description([{"by": None, "n": 20, "age": figures}], {"by": None, "columns": ["age"]})
    assert table.loc[0, "age.mean"] == 1.5
