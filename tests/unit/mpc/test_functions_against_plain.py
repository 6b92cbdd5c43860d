"""Every function against its oracle: real hospitals and invented ones, three and four parties, cleartext gate."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.catalog import CATALOG
from mpc.disclosure import Chosen, Opening, gate_hash, gate_key, open_result
from mpc.engines.cleartext import Hub
from mpc.errors import GateInconsistent, ParametersInvalid, RangeExceeded
from mpc.functions.registry import FUNCTIONS, function
from mpc.functions.rows import Rows
from mpc.functions.sums import run
from mpc.sharing import add_up, integers

HOSPITALS = Path(__file__).resolve().parents[3] / "fixtures" / "hospitals" / "uci-heart"
COLUMNS = json.loads((HOSPITALS / "dictionary.json").read_text(encoding="utf-8"))["columns"]
FILES = sorted(HOSPITALS.glob("*.csv"))
SESSION = "5a" * 32
CASES: list[tuple[str, dict[str, Any]]] = [
    ("describe@1", {"columns": ["age", "resting_bp", "max_heart_rate"], "by": "sex"}),
    ("describe@1", {"columns": ["st_depression"], "by": None}),
    ("describe@1", {"columns": ["chol", "age"], "by": "chest_pain"}),
    ("crosstab@1", {"rows": "chest_pain", "columns": "disease_grade"}),
    ("crosstab@1", {"rows": "slope", "columns": "sex"}),
]


def together(key: str, parameters: dict[str, Any], columns: list[dict[str, Any]], files: list[Path],
             floor: int) -> tuple[list[Chosen], dict[str, Any]]:
    """All parties in threads; what each may seal, and what the consumer reads."""
    one = function(key)
    plan = one.plan(parameters, columns, len(files), 5000)
    hub = Hub(len(files), SESSION)

    def party(seat: int) -> Chosen:
        rows = Rows.open(files[seat], "csv", plan.columns)
        return run(hub.engines[seat], plan, one.local(rows, plan), floor)

    with ThreadPoolExecutor(len(files)) as pool:
        outcomes = list(pool.map(party, range(len(files))))
    gate = gate_key([bytes(32)] * len(files))
    plains = [Opening(seat, floor, gate, bytes(32), chosen.shares, hub.engines[seat].told).to_bytes()
              for seat, chosen in enumerate(outcomes)]
    pattern, totals = open_result(plains, parties=len(files), session=SESSION, spans=plan.spans, limbs=plan.limbs,
                                  gate_hash_hex=gate_hash(gate, SESSION, bytes(32)))
    return outcomes, one.finish(totals, pattern, plan)


def frames(files: list[Path]) -> list[pd.DataFrame]:
    return [pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""]) for file in files]


@pytest.mark.parametrize("parties", [3, 4])
@pytest.mark.parametrize(("key", "parameters"), CASES)
def test_it_works(key: str, parameters: dict[str, Any], parties: int) -> None:
    files = FILES[:parties]
    outcomes, result = together(key, parameters, COLUMNS, files, 10)
    assert result == function(key).plain(frames(files), parameters, COLUMNS, 10)
    bits = integers(add_up([chosen.shares for chosen in outcomes]))[: len(function(key).plan(
        parameters, COLUMNS, parties, 5000).cells)]
    assert result["withheld"] == bits.count(0) and set(bits) <= {0, 1}


def test_every_function_has_its_cases() -> None:
    assert {key for key, _ in CASES} == set(CATALOG) == set(FUNCTIONS)


def test_withheld_cells_are_zero_for_the_consumer() -> None:
    outcomes, result = together("crosstab@1", CASES[3][1], COLUMNS, FILES, 10)
    plan = function("crosstab@1").plan(CASES[3][1], COLUMNS, 4, 5000)
    opened = integers(add_up([chosen.shares for chosen in outcomes]))
    bits, totals = opened[: len(plan.cells)], opened[len(plan.cells) :]
    closed = [index for index, bit in enumerate(bits) if not bit]
    assert result["withheld"] == len(closed) > 0 and len(totals) == plan.width
    assert not any(totals[value] for cell in closed for value in plan.spans[cell])


AGE: dict[str, Any] = {"name": "x", "kind": "number", "unit": None, "min": "-5",
    "max": "5", "step": "0.25", "codes": None}
KIND: dict[str, Any] = {"name": "g", "kind": "category", "unit": None, "min": None,
    "max": None, "step": None, "codes": ["a", "b"]}
OTHER = KIND | {"name": "h", "codes": ["c", "d", "e"]}
ROW = st.tuples(st.one_of(st.just(""), st.integers(-20, 20).map(lambda k: str(k / 4))),
                st.sampled_from(["", "a", "b"]), st.sampled_from(["", "c", "d"]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(ROW, max_size=12), min_size=3, max_size=4), st.integers(1, 6))
def test_invented_hospitals_agree_with_plain(tmp_path: Path, hospitals: list[list[tuple[str, str, str]]],
                                             floor: int) -> None:
    files = []
    for seat, rows in enumerate(hospitals):
        files.append(tmp_path / f"{seat}.csv")
        files[-1].write_text("x,g,h\n" + "".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    columns: list[dict[str, Any]] = [AGE, KIND, OTHER]
    cases: list[tuple[str, dict[str, Any]]] = [
        ("describe@1", {"columns": ["x"], "by": "g"}), ("describe@1", {"columns": ["x"], "by": None}),
        ("crosstab@1", {"rows": "g", "columns": "h"})]
    for key, parameters in cases:
        _, result = together(key, parameters, columns, files, floor)
        assert result == function(key).plain(frames(files), parameters, columns, floor)


def test_own_counts_that_do_not_add_up_end_the_job() -> None:
    hub = Hub(3, SESSION)
    plan = function("crosstab@1").plan({"rows": "g", "columns": "h"}, [KIND, OTHER], 3, 100)

    def party(seat: int) -> None:
        engine = hub.engines[seat]
        shares = engine.share_total([10] * plan.width, 1)
        own = [10 + (seat == 1)] * len(plan.cells) + [10] * plan.gate.width
        engine.gate(plan.gate, shares, own, 5)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(party, seat) for seat in range(3)]:
            with pytest.raises(GateInconsistent):
                done.result()


def test_more_rows_than_declared_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "a.csv"
    place.write_text("g,h\n" + "a,c\n" * 20, encoding="utf-8")
    plan = function("crosstab@1").plan({"rows": "g", "columns": "h"}, [KIND, OTHER], 3, 10)
    values = function("crosstab@1").local(Rows.open(place, "csv", plan.columns), plan)
    with pytest.raises(RangeExceeded):
        run(Hub(3, SESSION).engines[0], plan, values, 5)


def test_bounds_that_could_overflow_are_refused_before_any_row() -> None:
    wide = AGE | {"min": "0", "max": "1e35", "step": "1e-5"}
    with pytest.raises(RangeExceeded):
        function("describe@1").plan({"columns": ["x"], "by": None}, [wide], 3, 1000)
    with pytest.raises(RangeExceeded):
        function("crosstab@1").plan({"rows": "g", "columns": "h"}, [KIND, OTHER], 3, 2**46)


def test_two_plans_that_differ_have_two_digests() -> None:
    one = function("crosstab@1")
    digests = {one.plan({"rows": "g", "columns": "h"}, columns, parties, rows).digest() for columns, parties, rows in (
        ([KIND, OTHER], 3, 100), ([KIND, OTHER], 4, 100), ([KIND, OTHER], 3, 101),
        ([KIND | {"codes": ["b", "a"]}, OTHER], 3, 100))}
    assert len(digests) == 4


def test_columns_that_do_not_fit_are_refused() -> None:
    for parameters in ({"rows": "g", "columns": "g"}, {"rows": "g", "columns": "x"}, {"rows": "g", "columns": "zz"}):
        with pytest.raises(ParametersInvalid):
            function("crosstab@1").plan(parameters, [AGE, KIND, OTHER], 3, 100)
