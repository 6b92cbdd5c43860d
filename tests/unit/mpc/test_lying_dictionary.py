"""One hospital's dictionary or record undoes nothing of what the others' own protect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.catalog import validate_datasets
from mpc.disclosure import dominated, gate_of
from mpc.encoding import FEWEST_POINTS, Grid
from mpc.errors import MpcError
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.spec import common_columns

ROWS = 100_000
FLOOR = 5


def number(high: str, *, low: str = "0", step: str = "1") -> dict[str, Any]:
    return {"name": "cost", "kind": "number", "unit": None, "min": low, "max": high, "step": step, "codes": None}


WHO = {"name": "who", "kind": "identifier", "unit": None, "min": None, "max": None, "step": None, "codes": None}


def dataset(*columns: dict[str, Any], rows: int = ROWS // 4) -> dict[str, Any]:
    return {"columns": list(columns), "rows_max": rows}


HONEST, ALLY = number("1000000"), number("9000000000000000")
PATIENTS = [[10] * 7, [10] * 7 + [900_000], [10] * 6]


def refused(parameters: dict[str, Any], *datasets: dict[str, Any]) -> str:
    with pytest.raises(MpcError) as caught:
        validate_datasets("describe@1", parameters, datasets)
    return caught.value.code


def passes(own: list[list[int]]) -> bool:
    return gate_of(0, missing=0, tops=1).decide(own, FLOOR) == (True,)


def test_a_dictionary_as_wide_as_the_ring_makes_all_patients_alike_to_the_naive_rule_and_none_to_ours(
        tmp_path: Path) -> None:
    """The buyer's ally declares `cost` up to 9e15: one coarse step is then 3.7e9, so that every bill rounds up to one
    step and nobody stands out. Sum and sum of squares give the one dear patient's bill to the cent."""
    columns = common_columns([[HONEST], [HONEST], [HONEST], [ALLY]])
    grid = Grid.of(columns[0])
    coarse = grid.coarse(ROWS)
    assert coarse > 10**9
    up = [[grid.contribution(one, coarse) for one in own] for own in (*PATIENTS, [])]
    naive = [[len(own), sum(own), *[*sorted(own, reverse=True), 0, 0][:2]] for own in up]
    assert passes(naive), "rounded up on both sides it opens"
    assert dominated([[one * one for one in own] for own in PATIENTS]), "what must never open"

    for identifiers in ([], [WHO]):
        plan = function("describe@1").plan({"columns": ["cost"], "by": None}, [*columns, *identifiers], 4, ROWS)
        numbers = []
        for seat, own in enumerate((*PATIENTS, [])):
            place = tmp_path / f"{seat}.csv"
            visits = [(at, one) for at, one in enumerate(own)] + [(at, 0) for at in range(len(own))]
            rows = visits if identifiers else visits[: len(own)]
            place.write_text("who,cost\n" + "".join(f"p{at},{one}\n" for at, one in rows), encoding="utf-8")
            held = Rows.open(place, "csv", plan.columns)
            numbers.append(function("describe@1").local(held, plan).numbers)
            held.close()
        assert plan.gate.decide(numbers, FLOOR)[0] is False


def test_such_a_job_is_refused_before_anybody_counts() -> None:
    asked = {"columns": ["cost"], "by": None}
    validate_datasets("describe@1", asked, [dataset(HONEST)] * 4)
    validate_datasets("describe@1", asked, [dataset(HONEST)] * 3 + [dataset(number("16000000"))])
    assert refused(asked, *[dataset(HONEST)] * 3, dataset(ALLY)) == "encoding.coarse"
    assert refused(asked, *[dataset(HONEST)] * 3, dataset(number("0", low="-9000000000000000"))) == "encoding.coarse"
    assert refused(asked, *[dataset(HONEST)] * 3, dataset(HONEST, rows=2**45)) == "encoding.coarse", "nor by its record"
    validate_datasets("crosstab@1", {"rows": "a", "columns": "b"}, [dataset(ALLY)])


def test_a_dictionary_that_makes_a_number_of_the_others_category_is_refused() -> None:
    """Count, sum and sum of squares of 0 and 1 count who is dead; bounds of 0 to 100 at one hospital change nothing."""
    asked = {"columns": ["cost"], "by": None}
    assert refused(asked, *[dataset(number("1"))] * 3, dataset(number("100"))) == "parameters.invalid"


VALUES = st.lists(st.lists(st.one_of(st.integers(-9, 9), st.integers(-(10**6), 10**6)), max_size=5), min_size=3,
                  max_size=5)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(1, 10**6), st.sampled_from([1, 2]))
def test_whatever_the_coarse_step_no_group_opens_that_two_persons_dominate(
        values: list[list[int]], coarse: int, power: int) -> None:
    grid = Grid.of(number("1000000", low="-1000000"))
    own = []
    for held in values:
        up = sorted((grid.contribution(one, coarse, power) for one in held), reverse=True)
        own.append([10, sum(grid.counted(one, coarse, power) for one in held), *[*up, 0, 0][:2]])
    if passes(own):
        assert not dominated([[abs(one) ** power for one in held] for held in values])
    elif coarse == 1:
        assert dominated([[abs(one) ** power for one in held] for held in values])


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2**45), st.integers(0, 2**60), st.integers(0, 2**60))
def test_what_is_not_refused_keeps_a_thousand_steps_for_the_narrowest(rows: int, wide: int, narrow: int) -> None:
    low, high = sorted((narrow, wide))
    grid = Grid.of(number(str(high)))
    try:
        grid.check_coarse(low, rows)
    except MpcError:
        assert grid.coarse(rows) > 1
        return
    assert grid.coarse(rows) == 1 or low >= FEWEST_POINTS * grid.coarse(rows)
