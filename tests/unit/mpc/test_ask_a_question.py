"""What portal, buyer and nodes alike refuse before anybody takes a job, by catalogue, dictionaries and records."""

from typing import Any

import pytest

from mpc.errors import MpcError
from mpc.functions.registry import plan_for
from mpc.question import check_question


def number(name: str, high: str = "120", step: str = "1") -> dict[str, Any]:
    return {"name": name, "kind": "number", "unit": None, "min": "0", "max": high, "step": step, "codes": None}


def category(name: str, *codes: str) -> dict[str, Any]:
    return {"name": name, "kind": "category", "unit": None, "min": None, "max": None, "step": None,
            "codes": list(codes or ("0", "1"))}


def datasets(*columns: dict[str, Any], rows: int = 500) -> list[dict[str, Any]]:
    return [{"columns": list(columns), "rows_max": rows} for _ in range(3)]


DESCRIBE = {"columns": ["age"], "by": "sex"}
PLAIN = datasets(number("age"), category("sex"), number("fine", "9000", "0.0000000000000001"), category("grade"))


def test_it_works() -> None:
    columns = check_question("describe@1", DESCRIBE, None, PLAIN)
    assert [one["name"] for one in columns] == ["age", "sex", "fine", "grade"]
    given = {"op": "eq", "column": "grade", "value": "1"}
    plan = plan_for("describe@1", DESCRIBE, given, PLAIN)
    assert (plan.parties, plan.rows_max, plan.filter) == (3, 1500, given)


@pytest.mark.parametrize(("function", "parameters", "given", "of", "code"), [
    ("nothing@1", DESCRIBE, None, PLAIN, "parameters.invalid"),
    ("describe@1", {"columns": ["height"], "by": None}, None, PLAIN, "parameters.invalid"),
    ("describe@1", DESCRIBE, {"op": "missing", "column": "age"}, PLAIN, "parameters.invalid"),
    ("describe@1", {"columns": ["fine"], "by": None}, None, PLAIN, "encoding.range"),
    ("crosstab@1", {"rows": "sex", "columns": "grade"}, {"op": "missing", "column": "fine"}, PLAIN, "encoding.range"),
    ("crosstab@1", {"rows": "sex", "columns": "grade"}, None, datasets(category("sex"), category("grade"), rows=2**46),
     "encoding.range"),
    ("describe@1", DESCRIBE, None, datasets({**number("age"), "max": "low"}, category("sex")), "spec.parameters"),
])
def test_what_cannot_be_asked(function: str, parameters: dict[str, Any], given: object, of: list[dict[str, Any]],
                              code: str) -> None:
    with pytest.raises(MpcError) as refused:
        check_question(function, parameters, given, of)
    assert refused.value.code == code


def test_a_gate_too_large_for_a_worker_is_refused_with_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    check_question("describe@1", DESCRIBE, None, PLAIN)
    monkeypatch.setattr("mpc.functions.plan.MAX_COMPARISONS", 3)
    with pytest.raises(MpcError, match="too much for one gate"):
        plan_for("describe@1", DESCRIBE, None, PLAIN)
