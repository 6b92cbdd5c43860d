"""What the people of a hospital say at the command line: hold, release, deny, stop, start; explained, and on record."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.documents import document_hash, new_id
from ledger.errors import PortalUnavailable
from mpc.node import console, judge
from mpc.node.__main__ import main
from mpc.node.errors import Unfit
from mpc.node.loop import alone
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document, DoorInMemory, World
from tests.simulators.people_at_node import HOLD, held, home, say, within


def test_it_works(node: Maker, bells: Callable[[Node], None], capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    bells(one)
    said = say(one, "release", one.item["job"], capsys=capsys)
    assert (said["verdict"], said["job_hash"]) == ("accept", one.job_hash)  # at once, not when the portal asks again
    within(lambda: one.door.documents("verdict")[-1]["decision"] == "accept")
    one.agent.handle(one.session())
    one.wait()
    assert len(one.door.documents("envelope")) == 1


def test_a_release_is_for_that_very_spec(node: Maker, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    say(one, "release", one.item["job"], capsys=capsys)
    world.resign(one.item, parameters={"columns": ["age"], "by": None})  # the same id, another question
    assert one.check()["code"] == "policy.held"


def test_a_release_opens_nothing_that_is_refused(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    say(one, "release", one.item["job"], capsys=capsys)
    one.agent.config.policy.write_text(HOLD.replace('"hold"', '"deny"'))
    one.agent.look()
    assert one.door.documents("verdict")[-1]["code"] == "policy.denied"


def test_only_what_is_held_is_released(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    assert "job.unknown" in say(one, "release", new_id(), capsys=capsys)
    one.check()
    assert "job.not_held" in say(one, "release", one.item["job"], capsys=capsys)
    assert "job.under_way" in say(one, "hold", one.item["job"], capsys=capsys)


def test_a_held_job_is_denied_at_once(node: Maker, bells: Callable[[Node], None],
                                      capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    bells(one)
    said = say(one, "deny", one.item["job"], capsys=capsys)
    assert (said["verdict"], said["code"]) == ("refuse", "policy.denied")
    within(lambda: one.door.documents("verdict")[-1]["code"] == "policy.denied")
    assert one.door.documents("verdict")[-1]["who_must_act"] == "custodian"


def test_a_job_held_before_it_comes(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    say(one, "hold", one.item["job"], capsys=capsys)
    assert one.check()["code"] == "policy.held"
    say(one, "release", one.item["job"], capsys=capsys)
    one.agent.look()
    assert one.door.documents("verdict")[-1]["decision"] == "accept"


def test_a_running_job_is_denied(node: Maker, bells: Callable[[Node], None],
                                 capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.door.chain = None  # its use never becomes final: it runs
    one.check()
    bells(one)
    one.agent.handle(one.session())
    say(one, "deny", one.item["job"], capsys=capsys)
    one.wait()
    assert one.failure() == "policy.denied" and one.door.documents("envelope") == []


def test_stop_aborts_at_once_and_refuses_until_start(node: Maker, world: World, bells: Callable[[Node], None],
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.door.chain = None
    one.check()
    bells(one)
    one.agent.handle(one.session())
    worker = next(iter(one.agent.attempts.values())).worker
    say(one, "stop", "--reason", "audit", capsys=capsys)
    one.wait()
    assert one.failure() == "node.stopped" and not worker.alive() and one.door.documents("envelope") == []
    one.item = world.item(grants=one.item["grants"], parameters={"columns": ["age"], "by": None})
    assert one.check()["code"] == "node.stopped"
    say(one, "start", capsys=capsys)
    one.item["attempt"] = 2
    assert one.check()["code"] != "node.stopped"


@pytest.mark.parametrize(("word", "code"), [("stop", "node.stopped"), ("deny", "policy.denied")])
def test_what_was_sealed_while_the_portal_was_away_does_not_leave_any_more(
        node: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, code: str) -> None:
    one = node()
    post, away = one.door.post, True

    def sometimes(path: str, body: Document | None = None, **more: Any) -> Any:
        if away and path.endswith("/envelopes"):
            raise PortalUnavailable("away")
        return post(path, body, **more)

    monkeypatch.setattr(one.door, "post", sometimes)
    one.check()
    one.agent.handle(one.session())
    one.wait()
    assert [path for _, path, _, _ in one.agent.book.outbox()] == [f"/jobs/{one.item['job']}/envelopes"]
    say(one, word, *([one.item["job"]] if word == "deny" else []), capsys=capsys)
    away = False
    one.agent.home.flush()  # before anybody has looked
    assert one.door.documents("envelope") == []
    one.agent.look()
    one.agent.tend()
    assert one.failure() == code and one.door.documents("envelope") == [] and one.agent.book.outbox() == []


def test_stop_reaches_an_attempt_that_waits_for_its_session(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.check()
    say(one, "stop", capsys=capsys)
    one.agent.look()
    assert one.agent.attempts == {} and one.failure() == "node.stopped"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def test_stop_reaches_a_running_job_while_another_is_judged(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    """A large file is read under the agent's lock, for minutes; the switch does not wait for it."""
    one = node()
    one.check()
    waits = next(iter(one.agent.attempts.values()))
    runs = replace(waits, thread=threading.current_thread())
    one.agent.attempts["of another job"] = runs
    say(one, "stop", capsys=capsys)
    with one.agent.lock:
        looking = threading.Thread(target=one.agent.look, daemon=True)
        looking.start()
        within(lambda: runs.stop_code == "node.stopped")
        assert looking.is_alive()
    looking.join(30)
    del one.agent.attempts["of another job"]
    assert one.agent.attempts == {} and one.failure() == "node.stopped"


def test_stop_reaches_a_running_job_while_a_released_one_is_judged(
        node: Maker, world: World, bells: Callable[[Node], None], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """The one thread that listens to people reads a large file for a release, for minutes, under the agent's lock."""
    one, reading, read = node(), threading.Event(), threading.Event()
    one.door.chain = None  # its use never becomes final: it runs
    one.check()
    runs = next(iter(one.agent.attempts.values()))
    one.agent.handle(one.session())
    one.agent.config.policy.write_text(HOLD)
    other = world.item()
    one.chain.register(other)
    one.agent.handle(other)
    assert one.door.documents("verdict")[-1]["decision"] == "hold"
    standing = judge.sources.standing

    def slowly(*given: Any) -> str:
        reading.set()
        read.wait(60)
        return standing(*given)
    monkeypatch.setattr(judge.sources, "standing", slowly)
    bells(one)
    one.agent.cases.rule(document_hash(other["spec"]["document"]), "release", by="somebody")
    try:
        assert reading.wait(30)
        say(one, "stop", capsys=capsys)
        assert runs.finished.wait(30) and not read.is_set()
        assert one.failure() == "node.stopped"
    finally:
        read.set()


def test_stop_reaches_a_job_that_hangs_on_a_portal_which_never_answers(
        node: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    one, asked, answered, post = node(), threading.Event(), threading.Event(), DoorInMemory.post

    def hangs(door: DoorInMemory, path: str, body: Document | None = None, **more: Any) -> Any:
        if path == "/uses":
            asked.set()
            answered.wait(60)
        return post(door, path, body, **more)
    monkeypatch.setattr(DoorInMemory, "post", hangs)
    one.check()
    attempt = next(iter(one.agent.attempts.values()))
    one.agent.handle(one.session())
    try:
        assert asked.wait(30) and attempt.worker is not None
        say(one, "stop", capsys=capsys)
        one.agent.look()
        within(lambda: not attempt.worker.alive())
    finally:
        answered.set()
    one.wait()
    assert one.failure() == "node.stopped" and one.door.documents("envelope") == []


def test_the_bell_outlives_whatever_goes_wrong(node: Maker, bells: Callable[[Node], None],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    looked: list[int] = []

    def look() -> None:
        looked.append(1)
        if len(looked) < 3:
            raise RuntimeError("unforeseen")
    monkeypatch.setattr(one.agent, "look", look)
    bells(one)
    within(lambda: len(looked) >= 3)


def test_stop_outlives_a_restart(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    say(one, "stop", capsys=capsys)
    with console.room(home(one)) as here:  # another process with its own eyes on the book
        assert here.cases.stopped is not None
    assert one.check()["code"] == "node.stopped"
    assert say(one, "status", capsys=capsys)["stopped"]["by"]


def test_a_policy_that_changes_while_a_job_runs(node: Maker) -> None:
    one = node()
    one.check()
    one.agent.config.policy.write_text('default = "deny"\n')
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "policy.denied" and one.door.documents("envelope") == []


def test_explain_tells_each_step(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    said = say(one, "explain", one.job_hash, capsys=capsys)
    steps = {step["step"]: step for step in said["steps"]}
    assert [name for name, step in steps.items() if step["outcome"] == "passed"] == [
        "switch", "signature", "freshness", "function", "roster", "grants", "own_grant", "datasets", "agreement",
        "parameters", "period", "engine", "book", "data", "chain"]  # a person is asked when all else holds
    assert steps["policy"]["outcome"] == "held" and steps["policy"]["rules"][0]["name"] == "look first"
    assert main(["explain", "--home", str(home(one)), "--lang", "zh", one.item["job"]]) == 0
    assert "待人处理" in capsys.readouterr().out


def test_explain_a_refused_job(node: Maker, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.item["spec"]["document"]["nonce"] = "00" * 32
    one.check()
    said = say(one, "explain", one.item["job"], capsys=capsys)
    assert (said["code"], said["who_must_act"]) == ("spec.signature_invalid", "consumer")
    assert [step["outcome"] for step in said["steps"]][:3] == ["passed", "refused", "not_reached"]
    assert "job.unknown" in say(one, "explain", new_id(), capsys=capsys)


def test_jobs_lists_what_was_judged(node: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    one = held(node)
    assert [case["job"] for case in say(one, "jobs", "--decision", "hold", capsys=capsys)] == [one.item["job"]]
    assert say(one, "jobs", "--decision", "accept", capsys=capsys) == []


def test_the_policy_is_checked_before_it_counts(node: Maker, tmp_path: Path,
                                                capsys: pytest.CaptureFixture[str]) -> None:
    one, draft = node(), tmp_path / "draft.toml"
    draft.write_text(HOLD + "surprise = 1\n")
    said = say(one, "policy", "--check", str(draft), capsys=capsys)
    assert (said["ok"], said["code"], said["line"], said["who_must_act"]) == (False, "policy.malformed", 7, "custodian")
    draft.write_text(HOLD)
    assert say(one, "policy", "--check", str(draft), capsys=capsys)["ok"]


def test_every_change_of_the_policy_is_on_record(node: Maker) -> None:
    one = node()
    one.check()
    for text in (HOLD, "broken", HOLD):
        one.agent.config.policy.write_text(text)
        one.agent.judging.policy()
        one.agent.judging.policy()
    lines = [line for line in one.agent.home.audit.lines() if line["event"].startswith("policy.")]
    assert [line["event"] for line in lines] == ["policy.changed", "policy.changed", "policy.broken", "policy.changed"]
    assert [line["facts"]["old"] for line in lines] == [None, *(line["facts"]["new"] for line in lines[:-1])]
    assert lines[2]["facts"]["line"] == 0 and one.audit.count("verdict") == 1


def test_one_agent_for_one_home(node: Maker) -> None:
    one = node()
    with alone(home(one)), pytest.raises(Unfit) as caught, alone(home(one)):
        pass
    assert caught.value.code == "node.running"


def test_a_portal_that_floods_the_node_fills_no_disk(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.node.cases.KEPT", 5)
    one = node()
    accepted = one.check()
    for number in range(8):
        one.agent.handle(_junk(one.item, number))
    cases = one.agent.cases.newest(100)
    assert len(cases) == 6 and cases[-1].job_hash == accepted["job_hash"]


def _junk(item: Document, number: int) -> Document:
    spec = {"document": {**item["spec"]["document"], "id": new_id(), "surprise": number}, "signatures": []}
    return {**item, "spec": spec, "job": spec["document"]["id"]}


def test_what_stays_held_makes_one_line_of_the_record(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is judged again every few seconds, for days: what changed is told, and nothing else."""
    monkeypatch.setattr("mpc.node.agent.HOLD_AGAIN", 0.0)
    one = held(node)
    for _ in range(3):
        one.check()
    assert one.audit.count("verdict") == 1
    one.agent.config.policy.write_text(HOLD.replace('"hold"', '"deny"'))
    one.check()
    assert one.audit.count("verdict") == 2


def test_a_hold_names_the_job_by_its_hash(node: Maker) -> None:
    one = held(node)
    case = one.agent.cases.find(one.item["job"])
    assert case is not None and case.job_hash == document_hash(one.item["spec"]["document"])
    assert one.agent.cases.item(case.job_hash) == one.item


def test_who_only_looks_keeps_no_agent_from_starting(node: Maker) -> None:
    """`status` holds the lock for a moment."""
    one, taken = node(), threading.Event()

    def look() -> None:
        with alone(home(one)):
            taken.set()
            time.sleep(0.3)

    looking = threading.Thread(target=look)
    looking.start()
    assert taken.wait(20)
    with alone(home(one), patience=20.0):
        looking.join()
