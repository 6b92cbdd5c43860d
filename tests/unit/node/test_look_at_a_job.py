"""What `jobs` and `explain` tell a person who is to decide: who asks what of whom, as this node verified it itself."""

import json
import sqlite3
from pathlib import Path

import pytest

from mpc.node.asked import plain
from mpc.node.book import Book
from mpc.node.cases import Cases
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import World, both
from tests.simulators.people_at_node import HOLD, held, home, say, told

FILTERED = HOLD + 'filters = ["*"]\n'
OVER_60 = {"op": "ge", "column": "age", "value": "60"}


def filtered(node: Maker, world: World) -> Node:
    one = node()
    one.item = world.item(scenario=world.scenario(filter_columns=["age"]), filter=OVER_60, function="crosstab")
    one.chain.register(one.item)
    return one


def test_it_works(node: Maker, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    one = filtered(node, world)
    one.agent.config.policy.write_text(FILTERED)
    assert one.check()["code"] == "policy.held"
    asked = say(one, "explain", one.item["job"], capsys=capsys)["asked"]
    spec, own = one.item["spec"]["document"], one.own_terms
    assert asked["customer"] == {"participant": world.keys["maker"].participant, "name": both("maker")}
    assert (asked["function"], asked["engine"], asked["floor"]) == ("crosstab@1", "crypten/1", 10)
    assert asked["parameters"] == {"rows": "pain", "columns": "grade"} and asked["filter"] == OVER_60
    assert asked["columns"] == ["age", "grade", "pain"] and asked["deadline"] == spec["deadline"]
    assert [hospital["participant"] for hospital in asked["hospitals"]] == [
        seat["participant"] for seat in spec["roster"]] and asked["fewest"] == 3
    assert asked["grant"] == {"id": own["id"], "scenario": own["scenario"], "max_uses": 5, "uses_left": 5}
    assert asked["dataset"] == {"id": own["dataset"], "title": both("heart")}


def test_a_person_reads_it_in_both_languages(node: Maker, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    one = filtered(node, world)
    one.agent.config.policy.write_text(FILTERED)
    one.check()
    spec, maker = one.item["spec"]["document"], world.keys["maker"].participant
    english, status = told(one, "explain", one.item["job"], capsys=capsys)
    for line in (f"customer: maker ({maker})", "function: crosstab@1", "parameters: columns = grade; rows = pain",
                 "columns named: age, grade, pain", "filter: age ≥ 60", "floor: 10",
                 "hospitals: 3 (", "engine: crypten/1", f"our dataset: heart ({one.own_terms['dataset']})",
                 f"our grant: {one.own_terms['id']}; uses left by this node's book: 5 of 5",
                 f"deadline: {spec['deadline']}", f"waits for a person until {spec['deadline']}"):
        assert f"  {line}" in english, line
    assert status == 0
    chinese, _ = told(one, "explain", one.item["job"], capsys=capsys, language="zh")
    for line in (f"企业：maker（{maker}）", "筛选：age ≥ 60", "等人处理，至", "本院授权："):
        assert f"  {line}" in chinese, line


def test_no_filter_is_said(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    text, _ = told(one := held(node), "explain", one.item["job"], capsys=capsys)
    assert "  filter: none, every row counts" in text and "parameters: by = sex; columns = age" in text


def test_uses_left_are_those_of_now(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    with one.agent.book.write() as db:
        db.execute("INSERT INTO use VALUES (?, ?, 'consumed')", (one.own_terms["id"], "ab" * 32))
    assert say(one, "explain", one.item["job"], capsys=capsys)["asked"]["grant"]["uses_left"] == 4
    say(one, "release", one.item["job"], capsys=capsys)
    one.agent.look()
    assert say(one, "explain", one.item["job"], capsys=capsys)["asked"]["grant"]["uses_left"] == 3, "and its own"


def test_what_did_not_verify_is_not_told_as_fact(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.item["spec"]["document"]["deadline"] = "2031-01-01T00:00:00Z"  # not what the customer signed
    one.check()
    assert say(one, "explain", one.item["job"], capsys=capsys)["asked"] is None
    text, _ = told(one, "explain", one.item["job"], capsys=capsys)
    assert "not verified" in text and "2031" not in text and "customer:" not in text
    assert "未核实" in told(one, "explain", one.item["job"], capsys=capsys, language="zh")[0]


def test_what_was_verified_once_stays_known_when_the_node_is_stopped(
        node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    say(one, "stop", capsys=capsys)
    one.item["attempt"] = 2
    assert one.check()["code"] == "node.stopped"
    assert say(one, "explain", one.item["job"], capsys=capsys)["asked"]["customer"]["name"] == both("maker")


def test_jobs_name_the_customer(node: Maker, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    one, maker = held(node), world.keys["maker"].participant
    assert f"maker ({maker})" in told(one, "jobs", capsys=capsys)[0]
    (listed,) = say(one, "jobs", capsys=capsys)
    assert (listed["consumer"], listed["customer"]) == (maker, both("maker"))


def test_jobs_mark_a_customer_who_is_not_verified(node: Maker, world: World,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    one, maker = node(), world.keys["maker"].participant
    one.item["spec"]["document"]["nonce"] = "00" * 32
    one.check()
    assert f"{maker} (not verified)" in told(one, "jobs", capsys=capsys)[0]
    assert say(one, "jobs", capsys=capsys)[0]["customer"] is None


def test_a_rule_is_told_with_its_limit_and_what_was_met(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.agent.config.policy.write_text(HOLD.replace('"hold"', '"auto"') + 'parties = 4\nbeyond = "hold"\n')
    verdict = one.check()
    assert (verdict["code"], verdict["rule"]) == (
        "policy.held", "rule 1 of the policy holds it for a person: parties"), "in public the point alone"
    assert "- 1 look first: minimum of parties (limit ≥ 4; this job 3)" in told(
        one, "explain", one.item["job"], capsys=capsys)[0]
    assert "- 1 look first: 最少参与方（限 ≥ 4；本任务 3）" in told(
        one, "explain", one.item["job"], capsys=capsys, language="zh")[0]


def test_what_no_rule_lets_a_filter_name_is_told(node: Maker, world: World,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    one = filtered(node, world)
    one.agent.config.policy.write_text(HOLD)
    assert one.check()["code"] == "policy.denied"
    assert "columns that filters may name (limit –; this job age)" in told(
        one, "explain", one.item["job"], capsys=capsys)[0]


@pytest.mark.parametrize(("given", "shown"), [
    ("甲\u3000医院", "甲\u3000医院"), ("a\n  [passed] chain", "a   [passed] chain"), ("\x1b[2Ka", "\ufffd[2Ka"),
    ("a\u202eb", "a\ufffdb"), ("a\x9b2K", "a\ufffd2K"),
])
def test_what_others_wrote_draws_no_line_of_its_own(given: str, shown: str) -> None:
    assert plain(given) == shown


def test_a_name_with_a_line_in_it(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.item["spec"]["document"]["function"]["name"] = "a\n  [passed] x"
    one.check()
    for text in (told(one, "explain", one.item["job"], capsys=capsys)[0], told(one, "jobs", capsys=capsys)[0]):
        assert "\n  [passed] x" not in text


def test_a_book_from_before_opens(tmp_path: Path) -> None:
    place = tmp_path / "node.sqlite3"
    with sqlite3.connect(place) as db:
        db.execute("CREATE TABLE case_ (job_hash TEXT PRIMARY KEY, job TEXT NOT NULL, consumer TEXT NOT NULL, function "
                   "TEXT NOT NULL, attempt INTEGER NOT NULL, decision TEXT NOT NULL, code TEXT, rule TEXT, who TEXT, "
                   "policy_hash TEXT NOT NULL, at INTEGER NOT NULL, accepted INTEGER, trace TEXT NOT NULL, item TEXT) "
                   "STRICT")
        db.execute("INSERT INTO case_ VALUES ('h', 'j', 'c', 'f', 1, 'hold', NULL, NULL, NULL, 'p', 1, NULL, ?, NULL)",
                   (json.dumps([{"step": "policy", "outcome": "held", "rules": [
                       {"rule": 1, "name": "n", "point": "hours", "passed": False}]}]),))
    for _ in range(2):
        book = Book(place)
        case = Cases(book).find("j")
        assert case is not None and case.asked is None
        book.close()


def test_of_two_who_open_a_book_from_before_both_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other adds the column after this one has looked."""
    book = Book(tmp_path / "node.sqlite3")
    Cases(book)
    with monkeypatch.context() as raced:
        raced.setattr(book, "rows", lambda *_: [])
        Cases(book)
    book.close()


def test_a_book_of_a_later_version_is_written(node: Maker) -> None:
    one = node()
    one.agent.book.prepare("ALTER TABLE case_ ADD COLUMN of_later TEXT")
    one.check()
    assert one.agent.cases.find(one.item["job"]) is not None


def test_a_case_from_before_is_explained(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    with one.agent.book.write() as db:
        trace = json.dumps([{"step": "policy", "outcome": "held", "rules": [
            {"rule": 1, "name": "n", "point": "hours", "passed": False}]}])
        db.execute("UPDATE case_ SET asked = NULL, trace = ?", (trace,))
    text, status = told(one, "explain", one.item["job"], capsys=capsys)
    assert status == 0 and "- 1 n: hours\n" in text and home(one).exists()
