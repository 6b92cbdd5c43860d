"""What a person at the dealer's office is told who denies a job of which a set was frozen, or is to be."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ledger.errors import PortalRefused, PortalUnavailable
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document, World, slow_post
from tests.simulators.nodes_apart import AFTER, Made, contributed, wires
from tests.simulators.people_at_node import say, told, within

Capsys = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def at_work(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All four have contributed."""
    with contributed(world, tmp_path_factory) as (space, parts):
        yield space, wires(parts)


@pytest.fixture
def space(at_work: Made, node: Maker) -> Made:
    at_work[0].office(node)
    return at_work


def freeze(made: Made, monkeypatch: pytest.MonkeyPatch, *, trouble: Exception | None = None) -> Node:
    """The word is given, and has left unless the portal gives trouble."""
    space, parts = made
    one = space.dealer
    if trouble is not None:
        post = one.door.post

        def refuses(path: str, body: Document | None = None, **more: Any) -> Any:
            if path.endswith("/freeze"):
                raise trouble
            return post(path, body, **more)
        monkeypatch.setattr(one.door, "post", refuses)
    one.agent.judging._now = one.agent.freezer._now = lambda: AFTER
    monkeypatch.setattr(space.chain, "age", -int((AFTER - datetime.now(UTC)).total_seconds()))
    one.agent.handle({**space.item, "kind": "freeze", "contributions": parts})
    return one


def test_it_works(space: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capsys,
                  bells: Callable[[Node], None]) -> None:
    """The word lies in the outbox, and the portal said no to it, for now."""
    one = freeze(space, monkeypatch, trouble=PortalRefused(403, "participant.suspended", "no"))
    bells(one)
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "this office's word on its frozen set stays in the outbox" in text and status == 0
    chinese, _ = told(one, "deny", one.item["job"], capsys=capsys, language="zh")
    assert "冻结名单" in chinese and "本院" not in chinese
    assert "job.under_way" in told(one, "hold", one.item["job"], capsys=capsys)[0], "which would let it out"
    monkeypatch.undo()
    one.agent.home.flush()
    assert not [path for path, _ in one.door.posted if path.endswith("/freeze")]


@pytest.mark.parametrize("name", ["job", "job_hash"])
def test_a_word_that_left_cannot_be_denied(space: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capsys,
                                           name: str) -> None:
    one = freeze(space, monkeypatch)
    name = one.item["job"] if name == "job" else one.job_hash
    text, status = told(one, "deny", name, capsys=capsys)
    assert text.startswith(f"too late: this office's word on the frozen set of {one.item['job']} left at ")
    assert status == 1 and "hospital" not in text
    chinese, _ = told(one, "deny", name, capsys=capsys, language="zh")
    assert chinese.startswith("来不及了") and "本院" not in chinese
    assert "this office's word on the frozen set" in told(one, "explain", name, capsys=capsys)[0]


def test_a_word_given_before_the_time_was_kept(space: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    one = freeze(space, monkeypatch)
    with one.agent.book.write() as db:
        db.execute("DELETE FROM left_house")
        db.execute("DELETE FROM letter")
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "when it left is not known" in text and "hospital" not in text and status == 1


def test_a_word_that_may_have_left(space: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    one = freeze(space, monkeypatch, trouble=PortalUnavailable("timed out"))
    text, status = told(one, "deny", one.item["job"], capsys=capsys)
    assert "this office's word" in text and "it may have left" in text and status == 1


def test_a_word_that_is_leaving_may_have_left(space: Made, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    """It is not among the judged jobs yet: that comes once the word was sent."""
    at_work = threading.Thread(target=freeze, args=(space, monkeypatch), daemon=True)
    with slow_post(monkeypatch, "/freeze") as leaving:
        at_work.start()
        assert leaving.wait(60)
        assert say(space[0].dealer, "deny", space[0].item["job"], capsys=capsys)["outcome"] == "may_have_left"
    at_work.join(30)
    within(lambda: space[0].dealer.agent.cases.left_at(space[0].dealer.job_hash) is not None)


def test_a_job_that_has_not_come(space: Made, capsys: Capsys) -> None:
    text, status = told(space[0].dealer, "deny", space[0].item["job"], capsys=capsys)
    assert "nothing of it is under way here" in text and status == 0
