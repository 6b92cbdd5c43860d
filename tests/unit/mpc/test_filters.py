"""Filters: only the expressions that there are, over the dictionary alone; every backend keeps the same rows."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpc.errors import ParametersInvalid
from mpc.filters import MAX_DEPTH, MAX_PARTS, check_form, columns_of, in_words, validate_filter
from mpc.functions.plan import only, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows

AGE = {"name": "age", "kind": "number", "unit": "a", "min": "0", "max": "120", "step": "0.5", "codes": None}
SEX = {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["F", "M"]}
WARD = SEX | {"name": "ward", "codes": ["a", "b", "c'; DROP TABLE held; --"]}
COST = AGE | {"name": "cost", "max": "1000", "step": "1"}
WHO = SEX | {"name": "who", "kind": "identifier", "codes": None}
COLUMNS: list[dict[str, Any]] = [AGE, SEX, WARD, COST, WHO]
OLD = {"op": "ge", "column": "age", "value": "60"}


def check(body: Any) -> None:
    validate_filter(body, COLUMNS, tabulated=frozenset({"cost"}))


def deep(levels: int) -> dict[str, Any]:
    body: dict[str, Any] = OLD
    for _ in range(levels - 1):
        body = {"op": "not", "of": body}
    return body


def test_it_works() -> None:
    body = {"op": "and", "of": [OLD, {"op": "or", "of": [
        {"op": "in", "column": "sex", "values": ["F"]}, {"op": "missing", "column": "ward"},
        {"op": "between", "column": "age", "low": "0.5", "high": "120"}]}, {"op": "not", "of": {
            "op": "eq", "column": "ward", "value": "a"}}]}
    check(body)
    check(None)
    assert columns_of(body) == {"age", "sex", "ward"}
    labels = {"age": "年龄", "sex": "性别", "ward": "病区"}
    assert in_words(body, "zh-hans", labels.__getitem__) == \
        "年龄 ≥ 60 且 （性别 属于 F 或 病区 缺失 或 年龄 在 0.5 至 120 之间） 且 非（病区 = a）"
    assert in_words(body, "en") == \
        "age ≥ 60 and (sex is one of F or ward is missing or age from 0.5 to 120) and not (ward = a)"


@pytest.mark.parametrize("body", [
    [], "age > 60", {}, {"op": "sql", "column": "age", "value": "1"}, OLD | {"surprise": 1},
    {"op": "ge", "column": "age"},
    OLD | {"value": 60}, OLD | {"value": "61.3"}, OLD | {"value": "121"}, OLD | {"value": "sixty"},
    OLD | {"value": "6e1' OR 1=1"}, OLD | {"column": "secret"}, OLD | {"column": "who"}, OLD | {"column": ["age"]},
    OLD | {"column": "cost"}, {"op": "ge", "column": "sex", "value": "F"}, {"op": "eq", "column": "sex", "value": "X"},
    {"op": "between", "column": "sex", "low": "F", "high": "M"},
    {"op": "between", "column": "age", "low": "9", "high": "8"},
    {"op": "in", "column": "sex", "values": []}, {"op": "in", "column": "sex", "values": ["F", "F"]},
    {"op": "in", "column": "sex", "values": "F"}, {"op": "in", "column": "sex", "values": [["F"]]},
    {"op": "and", "of": [OLD]}, {"op": "and", "of": OLD}, {"op": "not", "of": [OLD]}, {"op": ["and"], "of": [OLD, OLD]},
    deep(MAX_DEPTH + 1), {"op": "or", "of": [OLD] * MAX_PARTS}, {"op": "missing", "column": "who"},
])
def test_anything_else_is_refused(body: Any) -> None:
    with pytest.raises(ParametersInvalid):
        check(body)


def test_the_deepest_and_the_longest_are_taken() -> None:
    check(deep(MAX_DEPTH))
    check({"op": "or", "of": [OLD] * (MAX_PARTS - 1)})


def test_a_filter_is_part_of_the_plan_that_parties_agree_on() -> None:
    made = function("crosstab@1").plan({"rows": "sex", "columns": "ward"}, COLUMNS, 3, 100)
    with_one = with_filter(made, OLD, COLUMNS)
    assert made.digest() == with_filter(made, None, COLUMNS).digest() != with_one.digest()
    assert with_filter(made, OLD | {"value": "61"}, COLUMNS).digest() != with_one.digest()
    assert [one["name"] for one in with_one.read_by(())] == ["sex", "ward", "age"]
    with pytest.raises(ParametersInvalid):
        with_filter(made, {"op": "missing", "column": "sex"}, COLUMNS)


LEAVES = st.one_of(
    st.builds(lambda op, value: {"op": op, "column": "age", "value": value},
              st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), st.sampled_from(["0", "0.5", "60", "60.0"])),
    st.builds(lambda low, high: {"op": "between", "column": "age", "low": low, "high": high},
              st.sampled_from(["0", "60"]), st.sampled_from(["60", "120"])),
    st.builds(lambda name: {"op": "missing", "column": name}, st.sampled_from(["age", "ward"])),
    st.builds(lambda op, value: {"op": op, "column": "ward", "value": value}, st.sampled_from(["eq", "ne"]),
              st.sampled_from(WARD["codes"])),
    st.builds(lambda values: {"op": "in", "column": "ward", "values": values},
              st.lists(st.sampled_from(WARD["codes"]), min_size=1, unique=True)),
    st.builds(lambda values: {"op": "in", "column": "age", "values": values},
              st.lists(st.sampled_from(["0.5", "60", "61.5"]), min_size=1, unique=True)))
TREES = st.recursive(LEAVES, lambda inner: st.one_of(
    st.builds(lambda of: {"op": "not", "of": of}, inner),
    st.builds(lambda op, of: {"op": op, "of": of}, st.sampled_from(["and", "or"]),
              st.lists(inner, min_size=2, max_size=3))), max_leaves=6)
ROWS = st.lists(st.tuples(
    st.sampled_from(["", "0", "0.5", "60", "60.0", "61.5", "120"]), st.sampled_from(["", "F", "M"]),
    st.sampled_from(["", *WARD["codes"], "rare"]), st.sampled_from(["", "1", "7"])), max_size=15)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ROWS, TREES)
def test_the_database_keeps_the_rows_that_the_words_say(tmp_path: Path, rows: list[tuple[str, ...]], body: Any) -> None:
    """Constants that are SQL are constants; a missing cell compares false, and its `not` true."""
    if check_form(body) is None:
        return
    place = tmp_path / "a.csv"
    pd.DataFrame(rows, columns=["age", "sex", "ward", "cost"]).to_csv(place, index=False)
    frame = pd.read_csv(place, dtype=str, keep_default_na=False, na_values=[""])
    table = function("describe@1").plan({"columns": ["cost"], "by": "sex"}, COLUMNS[:4], 3, 100)
    plan = with_filter(table, body, COLUMNS)
    opened = Rows.open(place, "csv", plan.read_by(()), unlisted_as_missing=True, only=plan.filter)
    try:
        met = function("describe@1").local(opened, plan)
    finally:
        opened.close()
    kept = only(frame, COLUMNS, body)
    whole = kept.dropna(subset=["sex", "cost"])
    expected = [int((whole["sex"] == code).sum()) for code in ("F", "M")]
    lacking = [int(kept[name].isna().sum()) for name in ("cost", "sex")]
    assert list(met.values[:4]) == [*expected, *lacking], json.dumps(body)
