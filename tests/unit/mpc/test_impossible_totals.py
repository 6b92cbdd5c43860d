"""What no rows can have is neither shared by an honest hospital nor opened by a buyer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.encoding import Grid
from mpc.errors import NotOpenable, RangeExceeded
from mpc.functions.plan import Counted, Plan, check_counted, check_opened
from mpc.functions.registry import function

AGE = {"name": "age", "kind": "number", "unit": "a", "min": "18", "max": "90", "step": "1", "codes": None}
SEX = {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["F", "M"]}
GRADE = {**SEX, "name": "grade"}
COLUMNS = [AGE, SEX, GRADE]
DESCRIBE: dict[str, Any] = {"columns": ["age"], "by": "sex"}
ROWS = 100
WOMEN, MEN = [20, 30, 90], [18, 18, 40, 50]


def plan(key: str = "describe@1", parameters: dict[str, Any] | None = None) -> Plan:
    return function(key).plan(parameters or DESCRIBE, COLUMNS, 3, ROWS)


def moments(values: list[int]) -> list[int]:
    return [sum(values), sum(one * one for one in values)]


# Cells: F, M, lacking age, lacking sex; then their moments. The gate: root, F, M, both sides of both columns, tops.
TOTALS = (3, 4, 2, 1, *moments(WOMEN), *moments(MEN))
TOPS = [number for group in (WOMEN, MEN)
        for number in (moments(group)[1], *sorted((one * one for one in group), reverse=True)[:2])]
COUNTED = Counted(TOTALS, (7, 3, 4, 2, 8, 1, 9, *TOPS))
OPEN = (True,) * 4


def test_it_works() -> None:
    check_opened(plan(), OPEN, TOTALS)
    check_counted(plan(), COUNTED)


def changed(at: int, to: int) -> tuple[int, ...]:
    return (*TOTALS[:at], to, *TOTALS[at + 1 :])


LIES = {
    "fewer rows than none": changed(0, -1), "more rows than there are": changed(1, ROWS + 1),
    "more in all than there are": (60, 60, 0, 0, 1800, 54000, 1800, 54000),
    "complete and lacking": changed(2, ROWS - 6), "a negative number lacking": changed(3, -3),
    "n S2 < S1^2": changed(5, moments(WOMEN)[0] ** 2 // 3), "a sum above all bounds": changed(4, 3 * 90 + 1),
    "a sum below all bounds": changed(6, 4 * 18 - 1), "squares above all bounds": changed(5, 3 * 90 * 90),
    "squares below none": changed(7, -1), "something of nobody": (0, 4, 2, 1, 0, 1, *moments(MEN)),
}


@pytest.mark.parametrize("lie", LIES)
def test_totals_that_no_rows_have_do_not_open(lie: str) -> None:
    with pytest.raises(NotOpenable, match="figures are impossible") as caught:
        check_opened(plan(), OPEN, LIES[lie])
    assert caught.value.code == "result.impossible"


@pytest.mark.parametrize("lie", LIES)
def test_an_honest_party_does_not_share_them_either(lie: str) -> None:
    with pytest.raises(RangeExceeded):
        check_counted(plan(), replace(COUNTED, values=LIES[lie]))


def test_what_stays_closed_is_not_looked_at() -> None:
    check_opened(plan(), (False, True, True, True), (0, *TOTALS[1:4], 0, 0, *TOTALS[6:]))
    check_opened(plan(), (False,) * 4, [0] * 8)


def test_a_table_of_counts() -> None:
    table = plan("crosstab@1", {"rows": "sex", "columns": "grade"})
    check_opened(table, (True,) * 6, (10, 20, 30, 30, 5, 10))
    for wrong in ((-1, 20, 30, 30, 5, 10), (10, 20, 30, 41, 0, 0), (10, 20, 30, 30, 5, 11)):
        with pytest.raises(NotOpenable):
            check_opened(table, (True,) * 6, wrong)


@pytest.mark.parametrize(("at", "to"), [
    (0, -1), (1, ROWS + 1), (7, -1), (7, 3 * 90 * 90 + 1), (8, 3 * 90 * 90 + 1), (9, -1), (9, TOPS[1] + 1),
    (11, 4 * 90 * 90),
])
def test_an_honest_partys_own_contributions_are_checked_too(at: int, to: int) -> None:
    numbers = (*COUNTED.numbers[:at], to, *COUNTED.numbers[at + 1 :])
    with pytest.raises(RangeExceeded):
        check_counted(plan(), replace(COUNTED, numbers=numbers))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-30, 50), max_size=12))
def test_all_that_rows_can_have_is_allowed(values: list[int]) -> None:
    assert Grid.of({"name": "x", "min": "-30", "max": "50", "step": "1"}).allows(len(values), *moments(values))
