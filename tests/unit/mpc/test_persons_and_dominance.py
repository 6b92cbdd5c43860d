"""The floor counts persons, not rows; a group whose sums two persons make up stays closed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.catalog import validate_parameters
from mpc.disclosure import dominated, gate_of
from mpc.encoding import Grid
from mpc.engines.cleartext import Hub
from mpc.errors import ParametersInvalid
from mpc.functions.plan import Counted, Plan
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.functions.sums import run
from mpc.party import count, plan_of
from mpc.sharing import combine
from mpc.spec import common_columns
from mpc.transport.carrier import Relay
from mpc.transport.identity import SessionIdentity
from mpc.wire import Data, Order


def column(name: str, kind: str, codes: list[str] | None = None, *, high: str | None = None) -> dict[str, Any]:
    low, step = ("0", "1") if high else (None, None)
    return {"name": name, "kind": kind, "unit": None, "min": low, "max": high, "step": step, "codes": codes}


WHO, VISIT = column("who", "identifier"), column("visit", "identifier")
COST, WARD, YEAR = column("cost", "number", high="1000000"), column("ward", "category", ["a", "b", "c"]), column(
    "year", "category", ["2024", "2025"])
COLUMNS = [VISIT, WHO, COST, WARD, YEAR]
CASES: list[tuple[str, dict[str, Any]]] = [
    ("describe@1", {"columns": ["cost"], "by": "ward"}), ("describe@1", {"columns": ["cost"], "by": None}),
    ("crosstab@1", {"rows": "ward", "columns": "year"})]
Row = tuple[str, str, str, str]


def files(folder: Path, hospitals: list[list[Row]]) -> list[Path]:
    """One file a hospital; each row has a number of its own."""
    places = [folder / f"{seat}.csv" for seat in range(len(hospitals))]
    for place, rows in zip(places, hospitals, strict=True):
        text = "".join(f"{at},{','.join(row)}\n" for at, row in enumerate(rows))
        place.write_text("visit,who,cost,ward,year\n" + text, encoding="utf-8")
    return places


def counted(place: Path, plan: Plan) -> Counted:
    rows = Rows.open(place, "csv", plan.columns)
    try:
        return function(plan.function).local(rows, plan)
    finally:
        rows.close()


def opened(places: list[Path], key: str, parameters: dict[str, Any], floor: int,
           columns: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    plan = function(key).plan(parameters, columns or COLUMNS, len(places), 5000)
    hub = Hub(len(places), "5b" * 32)
    with ThreadPoolExecutor(len(places)) as pool:
        outcomes = list(pool.map(lambda seat: run(hub.engines[seat], plan, counted(places[seat], plan), floor),
                                 range(len(places))))
    opened, cells = combine([chosen.shares for chosen in outcomes]), len(plan.cells)
    return function(key).finish(opened[cells:], tuple(bit == 1 for bit in opened[:cells]), plan)


def plain(places: list[Path], key: str, parameters: dict[str, Any], floor: int) -> dict[str, Any]:
    frames = [pd.read_csv(place, dtype=str, keep_default_na=False, na_values=[""]) for place in places]
    return function(key).plain(frames, parameters, COLUMNS, floor)


def test_it_works(tmp_path: Path) -> None:
    """Forty rows of two patients are two persons; the number that opens is of rows."""
    two = [(f"p{at % 2}", "10", "a", "2024") for at in range(40)]
    many = [(f"q{at}", "10", ward, "2024") for at in range(20) for ward in ("b", "c", "c")]
    places = files(tmp_path, [two + many] * 3)
    result = opened(places, *CASES[0], 10)
    assert [row["n"] for row in result["rows"]] == [None, None, 120]
    by_row = opened(places, *CASES[0], 10, columns=[COST, WARD, YEAR])
    assert [row["n"] for row in by_row["rows"]] == [120, 60, 120], "where nothing names persons, a row is one"


def test_of_several_identifiers_the_one_with_the_fewest_values_is_the_person(tmp_path: Path) -> None:
    place = files(tmp_path, [[("p1", "1", "a", "2024"), ("p1", "2", "b", "2024"), ("", "3", "b", "2025")]])[0]
    rows = Rows.open(place, "csv", COLUMNS)
    assert rows.person == "who"
    both = [[("a",)], [("b",)], [("a",), ("b",)]]
    tally = rows.tally(["ward"], ["cost"])
    found = rows.persons(tally, ["ward"], both, complete_in=["ward"])
    assert found == [1, 1, 1], "nobody counts twice, a nameless row never"
    assert rows.sides(tally, ["cost"]) == [0, 1]
    rows.close()


def order_of(place: Path, identifiers: list[str], columns: list[dict[str, Any]]) -> Order:
    """What one hospital's worker is told: the columns of the job, and which identifiers its own dictionary has."""
    private = SessionIdentity(b"", b"", bytes(32))
    return Order(
        role="party", space="s", seat=0, parties=3, job_hash="00" * 32, session="11" * 32, peers={}, exchange={},
        own=private, relay=Relay("ws://127.0.0.1:1/", "t"), deadline=0.0, function="describe@1", digest=None,
        parameters={"columns": ["cost"], "by": "ward"}, columns=tuple(columns), rows_max_total=5000, floor=5,
        data=Data(str(place), "csv", None, identifiers=tuple(identifiers)), recipient="r", recipient_key="00" * 32,
        sender="s", silence=1.0, patience=1.0)


def test_a_hospital_counts_persons_by_its_own_identifier_whatever_the_others_call_theirs(tmp_path: Path) -> None:
    """Naive: identifiers are columns like all others, so one hospital that names none turns everybody's patients with
    many rows into many persons."""
    mine, theirs = column("who", "identifier"), column("patient", "identifier")
    shared = [COST, WARD, YEAR]
    columns = common_columns([[mine, *shared], [theirs, *shared], shared])
    place = files(tmp_path, [[("p1", "10", "a", "2024")] * 30])[0]
    order = order_of(place, ["who"], columns)
    plan = plan_of(order)
    assert count(order, plan).numbers[0] == 1, "thirty rows of one patient are one person"
    assert plan.powers == (1, 2), "and sums are compared as those of persons with several rows"
    assert [one["name"] for one in plan.used] == ["cost", "ward"]
    place.write_text(place.read_text().replace("who", "nr"))
    assert count(order_of(place, [], columns), plan).numbers[0] == 30, "no identifier of this hospital: a row is one"


def test_an_identifier_of_one_hospital_is_none_where_another_has_such_a_column(tmp_path: Path) -> None:
    """Else a hospital that calls `ward` an identifier would have the others count wards for persons."""
    columns = common_columns([[WHO, COST, WARD, YEAR], [VISIT, column("ward", "identifier"), COST, YEAR]])
    assert [(one["name"], one["kind"]) for one in columns] == [
        ("cost", "number"), ("year", "category"), ("who", "identifier"), ("visit", "identifier"),
        ("ward", "identifier")]


WHOSE = st.sampled_from(["", "p1", "p2", "p3", "p4", "p5", "p6"])
ROW = st.tuples(WHOSE, st.sampled_from(["", "0", "1", "9", "90", "1000"]), st.sampled_from(["", "a", "b", "c"]),
                st.sampled_from(["", "2024", "2025"]))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ROW, max_size=25), min_size=3, max_size=4), st.integers(1, 4))
def test_invented_visits_agree_with_plain(tmp_path: Path, hospitals: list[list[Row]], floor: int) -> None:
    places = files(tmp_path, hospitals)
    for key, parameters in CASES:
        assert opened(places, key, parameters, floor) == plain(places, key, parameters, floor)


def test_a_hospital_without_one_complete_row_counts_nothing(tmp_path: Path) -> None:
    """It must not leave the session: that its column is empty would show in its failure."""
    full = [(f"p{at % 6}", "10", "a", "2024") for at in range(24)]
    places = files(tmp_path, [full, full, full, [("p1", "", "a", "2024"), ("p1", "", "b", "2024")]])
    for key, parameters in CASES:
        assert opened(places, key, parameters, 2) == plain(places, key, parameters, 2)


def test_two_persons_who_make_up_the_sum_close_their_group(tmp_path: Path) -> None:
    """Without the rule the buyer and one hospital would know the costliest patient's bill to two per mille."""
    usual = [(f"u{at}", "100", ward, "2024") for at in range(30) for ward in ("a", "b", "c")]
    dear = [("rich", "200000", "a", "2024")]
    places = files(tmp_path, [usual, usual + dear, usual])
    naive = function("describe@1").plan(CASES[0][1], COLUMNS, 3, 5000)
    numbers = [counted(place, naive).numbers for place in places]
    floors = replace(naive.gate, needs=tuple(
        tuple(one for one in needed if one < naive.gate.counts) for needed in naive.gate.needs))
    assert floors.decide(numbers, 10)[:3] == (True, True, True)
    squares = sum(int(row[1]) ** 2 for row in usual + usual[:30] + dear if row[2] == "a")
    assert abs(squares**0.5 - 200000) < 400
    result = opened(places, *CASES[0], 10)
    assert [row["n"] for row in result["rows"]] == [None, None, 90]


PEOPLE = st.lists(st.lists(st.one_of(st.integers(0, 9), st.integers(0, 900)), max_size=4), min_size=3, max_size=5)


@settings(max_examples=200, deadline=None)
@given(PEOPLE)
def test_each_hospitals_two_largest_decide_as_all_persons_would(contributions: list[list[int]]) -> None:
    gate = gate_of(0, missing=0, tops=1)
    numbers = [[len(own), sum(own), *[*sorted(own, reverse=True), 0, 0][:2]] for own in contributions]
    enough = all(sum(map(len, contributions)) - len(own) >= 1 for own in contributions)
    assert gate.decide(numbers, 1) == ((enough and not dominated(contributions)),)


@settings(max_examples=200, deadline=None)
@given(PEOPLE)
def test_squares_that_are_not_dominated_have_a_sum_that_is_not(values: list[list[int]]) -> None:
    assert dominated([[one * one for one in own] for own in values]) or not dominated(values)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2**45), st.integers(0, 10**9), st.integers(-(10**9), 0))
def test_the_coarser_grid_never_overflows_and_is_the_fine_one_where_that_fits(rows: int, high: int, low: int) -> None:
    grid = Grid.of({"name": "x", "min": str(low), "max": str(high), "step": "1"})
    coarse = grid.coarse(rows)
    assert 16 * rows * max(grid.contribution(low, coarse), grid.contribution(high, coarse)) < 2**63
    assert coarse == 1 or 16 * rows * (-(-grid.reach // (coarse - 1))) ** 2 >= 2**62
    assert grid.contribution(-1, coarse) in (1, 0) if low < 0 else True


@pytest.mark.parametrize(("high", "refused"), [("1", True), ("2", True), ("3", False)])
def test_a_number_of_few_values_is_a_category(high: str, refused: bool) -> None:
    """With three values count, sum and sum of squares give every value's count, whatever the floor."""
    columns = [column("dead", "number", high=high)]
    if not refused:
        validate_parameters("describe@1", {"columns": ["dead"], "by": None}, columns)
        return
    with pytest.raises(ParametersInvalid):
        validate_parameters("describe@1", {"columns": ["dead"], "by": None}, columns)
