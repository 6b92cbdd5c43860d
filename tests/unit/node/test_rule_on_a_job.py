"""What a person is told who holds, releases, denies or stops: what became of it, in words and as an exit status."""

from collections.abc import Callable

import pytest

from tests.simulators.node_at_work import Maker, Node
from tests.simulators.people_at_node import held, told

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
