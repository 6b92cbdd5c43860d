"""Jobs that wait for another hospital, for days: they hold no process, keep no other job out, and have a limit."""

import time
from dataclasses import replace
from typing import Any

from ledger.documents import document_hash
from mpc.node.workers import Workers
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document, World


def more(one: Node, world: World, count: int) -> list[Document]:
    """Jobs of the same customer, each under grants of its own."""
    items = [world.item() for _ in range(count)]
    for item in items:
        one.chain.register(item)
    return items


def answers(one: Node) -> list[tuple[str, str | None]]:
    return [(said["decision"], said["code"]) for said in one.door.documents("verdict")]


def until(one: Node, job_hash: str, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while job_hash in one.agent.attempts:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_works(node: Maker, world: World) -> None:
    """Another hospital holds four jobs of one customer; a fifth, that nobody holds, is computed."""
    for name in ("hospital_a", "dealer"):
        one = node(name=name)
        for item in [one.item, *more(one, world, 4)]:
            one.agent.handle(item)
        assert answers(one) == [("accept", None)] * 5
        assert one.agent.workers._out == set() and one.agent.attempts.running == 0
        one.item = item
        one.agent.handle(one.session())
        until(one, one.job_hash)
        assert one.door.documents("failure") == [] and len(one.agent.attempts) == 4
        assert name == "dealer" or len(one.door.documents("envelope")) == 1


def test_a_customer_s_jobs_that_wait_have_a_limit_with_a_name(node: Maker, world: World) -> None:
    one = node()
    one.agent.config = replace(one.agent.config, waiting_per_customer=2)
    first, second, third = one.item, *more(one, world, 2)
    for item in (first, second, third):
        one.agent.handle(item)
    assert answers(one) == [("accept", None), ("accept", None), ("refuse", "node.busy")]
    assert one.door.documents("verdict")[-1]["who_must_act"] == "consumer"
    assert one.agent.book.seen(job_hash=document_hash(third["spec"]["document"])) is None  # no use was taken for it
    one.agent.handle({**first, "attempt": 2})  # its next attempt is no further job
    assert answers(one)[-1] == ("accept", None)


def test_no_more_run_together_than_may(node: Maker, world: World) -> None:
    one = node()
    one.agent.config = replace(one.agent.config, jobs_at_once=1)
    one.door.chain = None  # uses never become final: what runs goes on
    first, second, third = one.item, *more(one, world, 2)
    for item in (first, second):
        one.agent.handle(item)
    sessions = []
    for item in (first, second):
        one.item = item
        ours = next(body["verdict"] for _, body in one.door.posted if body["verdict"]["document"]["job"] == item["job"])
        sessions.append({**one.session(), "verdicts": [
            ours if wire["document"]["participant"] == one.agent.me.participant else wire
            for wire in one.session()["verdicts"]]})
    for session in sessions:
        one.agent.handle(session)
    assert one.agent.attempts.running == 1
    one.agent.handle(third)
    assert answers(one) == [("accept", None)] * 3, "who is busy is not silent: the others would blame it"
    one.agent.handle({"kind": "stop", "job": first["job"], "code": "job.cancelled"})
    until(one, document_hash(first["spec"]["document"]))
    one.agent.handle(sessions[1])
    assert one.agent.attempts.running == 1
    one.agent.handle({"kind": "stop", "job": second["job"], "code": "job.cancelled"})
    until(one, document_hash(second["spec"]["document"]))


def test_a_worker_that_cannot_be_started_ends_the_attempt_by_name(node: Maker, monkeypatch: Any) -> None:
    one = node()
    one.check()

    def none_left(pool: Workers) -> None:
        raise BlockingIOError("no process left")
    monkeypatch.setattr(Workers, "take", none_left)
    one.agent.handle(one.session())
    assert one.failure() == "worker.failed" and one.agent.attempts == {}
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None
