"""What time alone brings to a node: what nobody asks for any more goes, and what was not looked at again is."""

import time
from contextlib import suppress
from typing import Any

import pytest

from ledger.errors import PortalRefused, PortalUnavailable
from mpc.node import agent, cosigning
from mpc.node.cosigning import Cosigner
from mpc.node.policy import Decision
from tests.simulators.node_at_work import Maker


def test_a_contribution_goes_with_its_deadline(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "FORGET_EVERY", 0.0)
    one, now = node(), int(time.time())
    with one.agent.book.write() as db:
        for name, deadline in (("old", now - 60), ("young", now + 60)):
            db.execute("INSERT INTO job (job_hash, job, consumer, nonce, attempt, state, deadline, release_key) "
                       "VALUES (?, ?, '', ?, 1, 'sealed', ?, '')", (name, name, name, deadline))
            db.execute("INSERT INTO contribution VALUES (?, 1, '/jobs/x/contributions', '{}')", (name,))
    one.agent.tend()
    assert (one.agent.contributions.made("old"), one.agent.contributions.made("young")) == (
        None, ("/jobs/x/contributions", {}))
    assert one.agent.book.rows("SELECT count(*) FROM contribution")[0][0] == 2  # that it was made stays known


class Policy:
    agreements = Decision.AUTO


@pytest.mark.parametrize(("trouble", "asked"), [
    (PortalUnavailable("away"), 3), (PortalRefused(401, "clock.skew", "off"), 3), (PortalRefused(404, "no", "no"), 1)])
def test_an_agreement_is_left_only_when_the_answer_stands(
        node: Maker, monkeypatch: pytest.MonkeyPatch, trouble: Exception, asked: int) -> None:
    one, tried = node(), []

    def sign(*_: Any) -> Any:
        tried.append(1)
        raise trouble
    monkeypatch.setattr(cosigning, "sign_agreement", sign)
    cosigner = Cosigner(one.agent.home, one.door, Policy)  # type: ignore[arg-type,return-value]
    for _ in range(3):
        with suppress(PortalUnavailable, PortalRefused):
            cosigner.sign({"id": "1"})
    assert len(tried) == asked


def test_what_was_held_back_is_looked_at_again_and_forgotten(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one, asked = node(), []

    class Held:
        agreements = Decision.HOLD
    monkeypatch.setattr(cosigning, "AGAIN", 0.0)
    cosigner = Cosigner(one.agent.home, one.door, lambda: (asked.append(1), Held())[1])  # type: ignore[arg-type]
    for number in range(50):
        cosigner.sign({"id": str(number % 2)})
    assert len(asked) == 50 and len(cosigner._left) <= 2
