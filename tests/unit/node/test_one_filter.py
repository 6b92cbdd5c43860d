"""Filters at the node: what a grant and the policy allow, and one for each grant, for two could single out a person."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpc.engines.cleartext import Hub
from mpc.functions.plan import with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.functions.sums import run
from mpc.node import checks
from mpc.node.book import History, Shape
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from mpc.sharing import combine
from tests.simulators.node_world import NOW, World
from tests.unit.node.test_check_book import CLEAN
from tests.unit.node.test_decide_by_policy import decide, policy, rule

OLD = {"op": "ge", "column": "age", "value": "60"}
OLD_BUT_ONE = {"op": "and", "of": [OLD, {"op": "ne", "column": "age", "value": "77"}]}


def papers(world: World, body: Any, allowed: list[str]) -> Papers:
    scenario = world.scenario(**({"filter_columns": allowed} if allowed else {}))
    item = world.item(function="crosstab", scenario=scenario, filter=body)
    return verify_papers(item, me=world.me("hospital_a"), trust=world.trust, now=NOW)


def test_it_works(world: World) -> None:
    found = papers(world, OLD, ["age"])
    assert found.columns_named == {"age", "pain", "grade"}, "the policy is asked about the filter's columns too"
    assert found.shape.columns == {"pain", "grade"}
    assert found.shape.filter
    checks.check_book(found, CLEAN, world.trust)


@pytest.mark.parametrize(("body", "allowed", "code"), [
    (OLD, [], "grant.outside_scope"), (OLD, ["sex"], "grant.outside_scope"),
    (OLD | {"op": "like"}, ["age"], "spec.parameters"), (OLD | {"value": "60.55"}, ["age"], "spec.parameters"),
    ({"op": "eq", "column": "pain", "value": "no"}, ["pain"], "spec.parameters"),
    ({"op": "eq", "column": "secret", "value": "no"}, ["secret"], "spec.parameters")])
def test_a_filter_that_was_not_granted_or_is_none(world: World, body: Any, allowed: list[str], code: str) -> None:
    with pytest.raises(Refused) as refusal:
        papers(world, body, allowed)
    assert refusal.value.code == code


@pytest.mark.parametrize(("allowed", "answer"), [("", "policy.denied"), ('filters = ["sex"]', "policy.denied"),
                                                 ('filters = ["age", "sex"]', 10), ('filters = ["*"]', 10)])
def test_the_hospitals_policy_names_the_columns_of_filters(allowed: str, answer: str | int) -> None:
    text = policy(rule(more=allowed))
    assert decide(text, filtered=frozenset({"age"})) == answer
    assert decide(text) == 10, "a job without a filter needs no leave for one"


def totals(folder: Path, body: Any) -> list[int]:
    """What a buyer opens: the whole protocol over three hospitals' files, with the gate."""
    number = {"kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}
    columns = [number | {"name": "age"}, number | {"name": "weight"}]
    table = function("describe@1").plan({"columns": ["weight"], "by": None}, columns, 3, 1000)
    plan = with_filter(table, body, columns)
    hub = Hub(3, "5c" * 32)

    def party(seat: int) -> Any:
        rows = Rows.open(folder / f"{seat}.csv", "csv", plan.columns + plan.filtered, only=plan.filter)
        return run(hub.engines[seat], plan, function("describe@1").local(rows, plan), 5).shares

    with ThreadPoolExecutor(3) as pool:
        opened = combine(list(pool.map(party, range(3))))
    return [int(value) for value in opened[len(plan.cells) :]]


def naive_check_book(now: Shape, history: History) -> None:
    """A node that looks at tables alone, as if a filter were one more parameter."""
    for before in history.asked:
        if now.columns & before.columns and (now.floor, now.columns) != (before.floor, before.columns):
            raise Refused("disclosure.column_tabulated", "another table")


def test_two_filters_that_differ_by_one_person(world: World, tmp_path: Path) -> None:
    """Both jobs pass the gate, each over dozens of persons; their difference is the weight of the one aged 77."""
    for seat in range(3):
        people = [(60 + at % 15, 50 + at) for at in range(30)] + ([(77, 91)] if seat == 1 else [])
        (tmp_path / f"{seat}.csv").write_text("age,weight\n" + "".join(f"{a},{b}\n" for a, b in people))
    first, second = totals(tmp_path, OLD), totals(tmp_path, OLD_BUT_ONE)
    assert first[0] - second[0] == 1, "one person"
    spans = function("describe@1").plan({"columns": ["weight"], "by": None}, [
        {"name": "weight", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}], 3, 9)
    at = spans.spans[0][1]
    assert first[at] - second[at] == 91, "and that person's weight"
    one, other = papers(world, OLD, ["age"]), papers(world, OLD_BUT_ONE, ["age"])
    history = replace(CLEAN, asked=(one.shape,))
    naive_check_book(other.shape, history)
    for asked in (other, papers(world, None, [])):
        with pytest.raises(Refused) as refusal:
            checks.check_book(asked, history, world.trust)
        assert refusal.value.code == "disclosure.another_filter"
    checks.check_book(one, history, world.trust)


def test_the_book_keeps_the_filter() -> None:
    shape = Shape(5, "00" * 32, frozenset({"age"}), "11" * 32)
    assert Shape.from_text(shape.to_text()) == shape
