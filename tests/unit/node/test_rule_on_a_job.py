"""What a person is told who holds, releases, denies or stops: what became of it, in words and as an exit status."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.errors import PortalRefused, PortalUnavailable
from mpc.node import console
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document, slow_post
from tests.simulators.people_at_node import held, say, told, within

Bells = Callable[[Node], None]
Capsys = pytest.CaptureFixture[str]


def test_it_works(node: Maker, bells: Bells, capsys: Capsys) -> None:
    one = held(node)
    bells(one)
    text, status = told(one, "release", one.item["job"], capsys=capsys)
    assert text.startswith(f"released; it is judged again at once: {one.item['job']}\nthe verdict now: accept")
    assert status == 0


def test_what_was_accepted_is_not_held_any_more(node: Maker, capsys: Capsys) -> None:
    one = node()
    one.check()
    text, status = told(one, "hold", one.item["job"], capsys=capsys)
    assert "job.under_way: this job was accepted already and cannot be held any more; to end it, deny it" in text
    assert status == 1
    assert "已经接受" in told(one, "hold", one.item["job"], capsys=capsys, language="zh")[0]


def test_what_is_not_held_is_not_released(node: Maker, capsys: Capsys) -> None:
    one = node()
    one.check()
    text, status = told(one, "release", one.item["job"], capsys=capsys)
    assert f"nothing to release: {one.item['job']} (accept)" in text and status == 1


# deny: what became of it

def test_a_held_job_is_refused(node: Maker, bells: Bells, capsys: Capsys) -> None:
    one = held(node)
    bells(one)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert text.startswith(f"denied: {one.item['job']}\nthe verdict now: refuse policy.denied") and status == 0


def test_a_job_that_has_not_come_never_begins(node: Maker, capsys: Capsys) -> None:
    one = node()
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert text == f"denied: {one.item['job']}\nnothing of it is under way here, and nothing will begin\n"
    assert status == 0 and one.check()["code"] == "policy.denied"
    assert say(one, "deny", one.item["job"], capsys=capsys)["outcome"] == "not_begun"


def test_a_running_job_is_aborted(node: Maker, bells: Bells, capsys: Capsys) -> None:
    one = node()
    one.door.chain = None  # its use never becomes final: it runs
    one.check()
    bells(one)
    one.agent.handle(one.session())
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert text == f"denied: {one.item['job']}\naborted; nothing of it has left this house\n" and status == 0
    assert one.agent.book.seen(job=one.item["job"]).state == "failed"  # type: ignore[union-attr]


def test_a_job_that_waits_for_its_session_is_aborted(node: Maker, bells: Bells, capsys: Capsys) -> None:
    one = node()
    one.check()
    bells(one)
    said = say(one, "deny", one.item["job"], capsys=capsys)
    assert (said["outcome"], said["left_at"]) == ("aborted", None)


def test_a_node_that_does_not_run_aborts_later(node: Maker, capsys: Capsys) -> None:
    one = node()
    one.check()
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "the node is not running" in text and "aborted" not in text and status == 0


def slow(node: Maker, bells: Bells, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A node with a job that obeys nobody while the console looks."""
    monkeypatch.setattr(console, "PATIENCE", 0.0)
    one = node()
    one.check()
    monkeypatch.setattr(one.agent, "look", lambda: None)
    bells(one)
    return one


def test_a_job_that_does_not_end_at_once_is_said_to_be_ending(node: Maker, bells: Bells, capsys: Capsys,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    one = slow(node, bells, monkeypatch)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "it has not ended yet; nothing sealed is let out any more" in text and status == 0


def test_what_was_sealed_and_has_not_left_is_withdrawn(node: Maker, bells: Bells, capsys: Capsys,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal had said no to it, for now."""
    one = node()
    sealed(one, monkeypatch, trouble=PortalRefused(403, "participant.suspended", "no"))
    bells(one)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "its sealed part was taken out of the outbox before the portal had it" in text and status == 0
    assert one.door.documents("envelope") == [] and one.agent.cases.left_at(one.job_hash) is None


def test_what_is_leaving_may_have_left(node: Maker, bells: Bells, capsys: Capsys,
                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The post takes its time, and meanwhile the letter is struck off."""
    one = node()
    one.check()
    with slow_post(monkeypatch, "/envelopes") as leaving:
        one.agent.handle(one.session())
        assert leaving.wait(30)
        bells(one)
        text, status = told(one, "deny", one.item["job"], capsys=capsys)
        assert "it may have left" in text and "has left this house" not in text and status == 1
        said = say(one, "deny", one.item["job"], capsys=capsys)
        assert (said["outcome"], said["left_at"]) == ("may_have_left", None)
        assert "it may have left" in told(one, "explain", one.item["job"], capsys=capsys)[0]
    one.wait()
    assert len(one.door.documents("envelope")) == 1
    within(lambda: one.agent.cases.left_at(one.job_hash) is not None)
    assert told(one, "deny", one.item["job"], capsys=capsys)[0].startswith("too late")


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("later", [PortalUnavailable("away"), PortalRefused(403, "http.signature", "no"), ValueError()])
def test_what_was_offered_without_an_answer_may_have_left(
        node: Maker, bells: Bells, capsys: Capsys, monkeypatch: pytest.MonkeyPatch, runs: bool,
        later: Exception) -> None:
    one = node()
    sealed(one, monkeypatch, trouble=PortalUnavailable("timed out"))
    sealed_again = one.door.post
    monkeypatch.setattr(one.door, "post", refusing(sealed_again, later))
    one.agent.home.flush()
    if runs:
        bells(one)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "it may have left" in text and "denied" not in text and status == 1
    assert "可能已经发出" in told(one, "deny", one.item["job"], capsys=capsys, language="zh")[0]


def test_what_was_denied_as_it_was_to_leave_stays(node: Maker, monkeypatch: pytest.MonkeyPatch,
                                                  capsys: Capsys) -> None:
    one = node()
    sealed(one, monkeypatch, trouble=PortalRefused(403, "participant.suspended", "no"))
    monkeypatch.undo()
    offer = one.agent.cases.offer

    def denied_before(job_hash: str, is_held: Callable[[], bool]) -> bool | None:
        told(one, "deny", one.item["job"], capsys=capsys)
        return offer(job_hash, is_held)
    monkeypatch.setattr("mpc.node.cases.Cases.offer", lambda _, *given: denied_before(*given))
    one.agent.home.flush()
    assert one.door.documents("envelope") == [] and not one.agent.cases.may_have_left(one.job_hash)


def test_what_was_overdue_before_it_was_sent_never_left(node: Maker, bells: Bells, capsys: Capsys,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    overdue(one, monkeypatch, PortalRefused(403, "participant.suspended", "no"))
    bells(one)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "its sealed part was never sent" in text and "nothing of it has left this house" in text and status == 0


def test_what_was_offered_and_is_overdue_may_have_left(node: Maker, bells: Bells, capsys: Capsys,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    overdue(one, monkeypatch, PortalUnavailable("timed out"))
    bells(one)
    assert say(one, "deny", one.item["job"], capsys=capsys)["outcome"] == "may_have_left"


def overdue(one: Node, monkeypatch: pytest.MonkeyPatch, trouble: Exception) -> None:
    sealed(one, monkeypatch, trouble=trouble)
    with one.agent.book.write() as db:
        db.execute("UPDATE outbox SET until = 1")
    one.agent.home.flush()
    assert one.agent.book.outbox() == []


def test_what_has_left_cannot_be_denied(node: Maker, bells: Bells, capsys: Capsys,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    sealed(one, monkeypatch)
    bells(one)
    left = one.agent.cases.left_at(one.job_hash)
    assert left is not None and abs(left - time.time()) < 60
    at = datetime.fromtimestamp(left, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert text == f"too late: this hospital's sealed part of {one.item['job']} left at {at}\n" and status == 1
    chinese, status = told(one, "deny", one.item["job"], capsys=capsys, language="zh")
    assert chinese.startswith("来不及了") and at in chinese and status == 1
    said = say(one, "deny", one.item["job"], capsys=capsys)
    assert (said["outcome"], said["left_at"]) == ("too_late", at)
    assert f"sealed part of {one.item['job']} left at {at}" in told(one, "explain", one.item["job"], capsys=capsys)[0]


def test_what_left_nobody_knows_when(node: Maker, capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before this node kept the time."""
    one = node()
    sealed(one, monkeypatch)
    with one.agent.book.write() as db:
        db.execute("DELETE FROM left_house")
        db.execute("DELETE FROM letter")
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert text.startswith("too late: ") and "is not in the outbox any more" in text and status == 1


def refusing(post: Callable[..., Any], trouble: Exception) -> Callable[..., Any]:
    """A door that lets nothing sealed through."""
    def sometimes(path: str, body: Document | None = None, **more: Any) -> Any:
        if path.endswith(("/envelopes", "/freeze")):
            raise trouble
        return post(path, body, **more)
    return sometimes


def sealed(one: Node, monkeypatch: pytest.MonkeyPatch, *, trouble: Exception | None = None) -> None:
    """Its part is sealed, and has left unless the portal gives trouble."""
    if trouble is not None:
        monkeypatch.setattr(one.door, "post", refusing(one.door.post, trouble))
    one.check()
    one.agent.handle(one.session())
    one.wait()


# stop: who still runs

def test_stop_says_that_nothing_runs(node: Maker, bells: Bells, capsys: Capsys) -> None:
    one = node()
    one.door.chain = None
    one.check()
    bells(one)
    one.agent.handle(one.session())
    text, status = told(one, "stop", capsys=capsys)
    assert text == "stopped: new jobs are refused until start\n0 running (ended now: 1)\n" and status == 0
    assert "正在运行 0 个" in told(one, "stop", capsys=capsys, language="zh")[0]
    said = say(one, "stop", capsys=capsys)
    assert (said["stopped"], said["running"], said["ended"], said["ending"]) == (True, True, 0, 0)


def test_stop_says_how_many_are_still_ending(node: Maker, bells: Bells, capsys: Capsys,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    one = slow(node, bells, monkeypatch)
    assert "1 still ending" in told(one, "stop", capsys=capsys)[0]


def test_stop_where_no_node_runs(node: Maker, capsys: Capsys) -> None:
    one = node()
    one.check()
    assert told(one, "stop", capsys=capsys)[0] == "stopped: new jobs are refused until start\nnot running\n"
