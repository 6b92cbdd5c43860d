"""Filters: only the expressions that there are, over the dictionary alone; every backend keeps the same rows."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from mpc.errors import ParametersInvalid
from mpc.filters import MAX_DEPTH, MAX_PARTS, check_form, columns_of, in_words, validate_filter
from mpc.functions.plan import only, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.sources.duck import Writer
from mpc.sources.terms import Select
from tests.simulators.filter_trees import COLUMNS, ROWS, TREES

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


def test_no_constant_is_written_into_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even well escaped: a constant of a filter, a code or a bound is a parameter, or it is not there."""
    asked: list[tuple[str, Any]] = []
    select = Writer.select

    def heard(writer: Writer, question: Select) -> str:
        asked.append((select(writer, question), writer.values))
        return asked[-1][0]

    monkeypatch.setattr(Writer, "select", heard)
    cost, ward = COLUMNS[3] | {"max": "7654321"}, COLUMNS[2] | {"codes": ["o'zebu", "zebra", "yak", "xerus", "wolf"]}
    body = {"op": "and", "of": [
        {"op": "ge", "column": "cost", "value": "424243"}, {"op": "between", "column": "cost", "low": "515153",
                                                            "high": "616163"},
        {"op": "in", "column": "cost", "values": ["717173", "818183", "919193", "929293"]},
        {"op": "or", "of": [{"op": "eq", "column": "ward", "value": "o'zebu"},
                            {"op": "in", "column": "ward", "values": ["zebra", "yak"]},
                            {"op": "in", "column": "ward", "values": ["zebra", "yak", "xerus", "wolf"]}]}]}
    place = tmp_path / "a.csv"
    place.write_text("age,sex,ward,cost\n1,F,o'zebu,717173\n")
    columns = [*COLUMNS[:2], ward, cost]
    plan = with_filter(function("describe@1").plan({"columns": ["age"], "by": "sex"}, columns, 3, 100), body, columns)
    opened = Rows.open(place, "csv", plan.read_by(()), unlisted_as_missing=True, only=plan.filter)
    function("describe@1").local(opened, plan)
    opened.close()
    bound = str([values for _, values in asked])
    for constant in ("424243", "515153", "616163", "717173", "929293", "7654321", "o'zebu", "zebra", "wolf"):
        assert constant in bound, constant
        assert not [text for text, _ in asked if constant.removeprefix("o'") in text], constant
