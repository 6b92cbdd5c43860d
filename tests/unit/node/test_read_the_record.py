"""What `audit` prints of a record of years: all, one job's lines, those since a day, the newest; all is verified."""

import json
import sys

import pytest

from ledger.documents import new_id
from mpc.node import console
from mpc.node.__main__ import main
from mpc.node.errors import Unfit
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.people_at_node import held, home, say, told

Capsys = pytest.CaptureFixture[str]


def many(node: Maker, lines: int = 60) -> Node:
    one = node()
    for number in range(lines):
        one.agent.home.audit.write("verdict", job=f"job-{number}")
    return one


def test_it_works(node: Maker, capsys: Capsys) -> None:
    """Whole, for scripts and for a pipe."""
    one = many(node)
    assert len(say(one, "audit", capsys=capsys)) == len(told(one, "audit", capsys=capsys)[0].splitlines()) == 60


def test_one_job(node: Maker, capsys: Capsys) -> None:
    one = held(node)
    one.agent.home.audit.write("verdict", job=new_id())
    say(one, "release", one.item["job"], capsys=capsys)
    by_id = say(one, "audit", "--job", one.item["job"], capsys=capsys)
    assert [line["event"] for line in by_id] == ["verdict", "hand.release"]
    assert say(one, "audit", "--job", one.job_hash, capsys=capsys) == by_id
    text, status = told(one, "audit", "--job", one.item["job"], capsys=capsys)
    assert [json.loads(line) for line in text.splitlines()] == by_id and status == 0
    assert told(one, "audit", "--job", new_id(), capsys=capsys) == ("none\n", 0)


def test_since_a_day_or_a_moment(node: Maker, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    days = [{"at": f"2026-11-2{day}T0{day}:00:00Z", "facts": {}} for day in range(1, 4)]
    monkeypatch.setattr("mpc.node.audit.Audit.lines", lambda _: iter(days))
    for since, shown in (("2026-11-22", 2), ("2026-11-22T02:00:01Z", 1), ("2026-11-22T10:00:00+08:00", 2),
                         ("2026-11-24", 0)):
        assert len(say(one, "audit", "--since", since, capsys=capsys)) == shown, since


def test_the_newest(node: Maker, capsys: Capsys) -> None:
    one = many(node)
    assert [line["facts"]["job"] for line in say(one, "audit", "--last", "2", capsys=capsys)] == ["job-58", "job-59"]
    assert len(told(one, "audit", "--last", "3", capsys=capsys)[0].splitlines()) == 3


def test_a_terminal_shows_the_newest_and_says_so(node: Maker, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    one = many(node)

    def shown(*arguments: str) -> list[str]:
        with monkeypatch.context() as terminal:
            terminal.setattr(sys.stdout, "isatty", lambda: True)
            assert main(["audit", "--home", str(home(one)), "--lang", "en", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    lines = shown()
    assert len(lines) == console.NEWEST + 1
    assert lines[0] == f"the newest {console.NEWEST} of 60 lines; more with --last, --since or --job"
    assert json.loads(lines[-1])["facts"]["job"] == "job-59"
    assert len(shown("--since", "2020-01-01")) == len(shown("--last", "60")) == 60
    assert len(json.loads(shown("--json")[0])) == 60


@pytest.mark.parametrize(("given", "code"), [
    (("--since", "yesterday"), "audit.since"), (("--since", "2026-13-01"), "audit.since"),
    (("--since", "0001-01-01T00:00:00+08:00"), "audit.since"), (("--last", "0"), "audit.last"),
    (("--last", "-5"), "audit.last"),
])
def test_what_is_not_understood_is_refused(node: Maker, capsys: Capsys, given: tuple[str, ...], code: str) -> None:
    text, status = told(node(), "audit", *given, capsys=capsys)
    assert f"{code}: " in text and status == 1


def test_the_whole_chain_is_verified_whatever_is_shown(node: Maker, capsys: Capsys) -> None:
    one = many(node)
    path = one.agent.home.audit.path
    assert say(one, "audit", "--verify", "--last", "1", capsys=capsys)["lines"] == 60
    path.write_bytes(path.read_bytes().replace(b"job-3\"", b"job-4\"", 1))
    said, status = told(one, "audit", "--verify", "--last", "1", "--job", "job-59", capsys=capsys)
    assert "audit.broken: line 5" in said and status == 1


ODD = "\x9b2J\u202egnp"


def test_a_record_moves_no_cursor(node: Maker, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """For people; machines get what stands in it."""
    one = node()
    one.agent.home.audit.write("hand.stop", reason=ODD)
    text, _ = told(one, "audit", "--last", "1", capsys=capsys)
    assert text.rstrip("\n").isprintable() and "gnp" in text
    assert say(one, "audit", "--last", "1", capsys=capsys)[0]["facts"]["reason"] == ODD

    def broken(_: object) -> None:
        raise Unfit("audit.broken", f"line 1{ODD}")
    monkeypatch.setattr("mpc.node.audit.Audit.verify", broken)
    text, status = told(one, "audit", "--verify", capsys=capsys)
    assert text.rstrip("\n").isprintable() and "audit.broken: line 1" in text and status == 1


def test_status_moves_no_cursor(node: Maker, capsys: Capsys) -> None:
    one = node()
    with console.room(home(one)) as here:
        here.cases.set_switch("stopped", {"at": "2026-11-22T00:00:00Z", "by": f"{ODD}\nrunning"})
    text, _ = told(one, "status", capsys=capsys)
    assert all(line.isprintable() for line in text.split("\n")) and "running" not in text.splitlines()
    assert say(one, "status", capsys=capsys)["stopped"]["by"] == f"{ODD}\nrunning"
