"""What a running session looks at, at every tick, and what it says when its time is over or its worker gives up."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.approval import domain_of, sign_revocation
from ledger.documents import timestamp
from mpc.node import inbox, sessions
from mpc.node.errors import CODES
from mpc.node.sessions import Failed, Run
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import World


def runs(one: Node) -> Any:
    """A session that goes on: its use never becomes final."""
    one.door.chain = None
    one.check()
    attempt = next(iter(one.agent.attempts.values()))
    one.agent.handle(one.session())
    return attempt


def revoke(one: Node, world: World) -> None:
    inbox.drop(one.agent.config.inbox, sign_revocation(
        one.item["grants"][1]["terms"], world.approver("office"), by="regulator", reason="stop",
        domain=domain_of(world.trust)))


@pytest.mark.parametrize("taken_by", ["session", "agent"])
def test_it_works(node: Maker, world: World, monkeypatch: pytest.MonkeyPatch, taken_by: str) -> None:
    """Whoever takes the file from the inbox; and signatures are verified when something came, not at every tick."""
    one, ticks, judged = node(), [], []
    guard, check = Run._guard, sessions.check_not_revoked
    monkeypatch.setattr(Run, "_guard", lambda run: (ticks.append(1), guard(run))[1])
    monkeypatch.setattr(sessions, "check_not_revoked", lambda *given: (judged.append(1), check(*given))[1])
    attempt = runs(one)
    deadline = time.monotonic() + 40
    while len(ticks) < 8:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(judged) == 1
    revoke(one, world)
    if taken_by == "agent":
        inbox.take(one.agent.config.inbox, one.agent.book)
    assert attempt.finished.wait(40) and len(judged) == 2
    one.wait()
    assert one.failure() == "grant.revoked" and one.door.documents("envelope") == []


def test_a_dealer_that_deals_hears_its_book(node: Maker, world: World) -> None:
    """Its agent looks while the worker deals, and tells it: the worker looks at that word before each piece."""
    one = node("deals", name="dealer")
    one.check()
    attempt = next(iter(one.agent.attempts.values()))
    one.agent.handle(one.session())
    revoke(one, world)
    assert attempt.finished.wait(40)
    one.wait()
    assert one.failure() == "grant.revoked" and not attempt.worker.alive()


@pytest.mark.parametrize("code", ["chain.unavailable", "chain.disagree"])
def test_a_chain_that_stays_away_is_the_cause(node: Maker, code: str) -> None:
    """Not "a deadline", for which the others would have to answer, too."""
    one = node()
    one.agent.home = one.agent.home.__class__(**{**one.agent.home.__dict__, "session_seconds": 1})
    one.check()
    one.chain.unavailable = code
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == code and CODES[code] == "operator"


def test_what_came_back_is_not_the_cause(node: Maker) -> None:
    one = node()
    one.agent.home = one.agent.home.__class__(**{**one.agent.home.__dict__, "session_seconds": 3})
    one.door.chain = None
    one.check()
    one.chain.unavailable = "chain.unavailable"
    attempt = next(iter(one.agent.attempts.values()))
    one.agent.handle(one.session())
    time.sleep(0.5)
    one.chain.unavailable = ""
    assert attempt.finished.wait(40)
    one.wait()
    assert one.failure() == "session.deadline"


@pytest.mark.parametrize(("said", "goes_out"), [
    ("gate.inconsistent", "gate.inconsistent"), ("engine.unfit", "engine.unfit"), ("encoding.range", "spec.parameters"),
    ("encoding.budget", "spec.parameters"), ("encoding.domain", "spec.parameters"),
    ("parameters.invalid", "spec.parameters"), ("session.protocol", "session.mismatch"),
    ("dataset.off_dictionary", "dataset.changed"), ("unheard.of", "worker.failed"), ("", "worker.failed"),
])
def test_an_attack_does_not_read_as_a_breakdown(said: str, goes_out: str) -> None:
    assert Failed(said, "").code == goes_out
    assert (CODES["gate.inconsistent"], CODES["engine.unfit"]) == ("regulator", "custodian")


@pytest.mark.parametrize("behind", [70, 85])
def test_a_clock_that_is_behind_is_this_node_s_own_fault(
        node: Maker, monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    """Behind by more than a fresh spec may be ahead, and by less than the portal's patience."""
    one = node(issued_at=timestamp(datetime.now(UTC)))
    one.chain.age = 20
    monkeypatch.setattr(one.agent, "now", lambda: datetime.now(UTC) - timedelta(seconds=behind))
    verdict = one.check()
    assert (verdict["code"], verdict["who_must_act"]) == ("clock.skew", "custodian")


@pytest.mark.parametrize("hours", [0.1, 2])
def test_a_spec_from_the_future_is_its_consumer_s_fault(node: Maker, hours: float) -> None:
    one = node(issued_at=timestamp(datetime.now(UTC) + timedelta(hours=hours)),
               deadline=timestamp(datetime.now(UTC) + timedelta(hours=9)))
    verdict = one.check()
    assert (verdict["code"], verdict["who_must_act"]) == ("spec.stale", "consumer")
