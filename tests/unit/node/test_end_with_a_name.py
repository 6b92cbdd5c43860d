"""However an attempt ends, it ends with a code that says who must act: no memory, no disk, a kill, a portal that sits
on a use. Nothing waits for ever, no process is left."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ledger.documents import new_id
from ledger.errors import ChainRefused, PortalRefused, PortalUnavailable
from mpc.node.errors import CODES
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document


def run(one: Node) -> str:
    """The code with which it failed."""
    one.check()
    attempt = next(iter(one.agent.attempts.values()))
    assert attempt.worker is None  # who waits for others holds no process
    one.agent.handle(one.session())
    one.wait()
    worker = attempt.worker
    assert worker is not None and not worker.alive() and not Path(f"/proc/{worker.pid}").exists()  # reaped, no zombie
    return one.failure()


@pytest.mark.parametrize(("mode", "code"), [
    ("killed", "worker.killed"), ("crashes", "worker.failed"), ("hungry", "worker.out_of_memory"),
])
def test_it_works(node: Maker, mode: str, code: str) -> None:
    one = node(mode)
    one.agent.workers._limits = one.agent.workers._limits.__class__(memory_mb=256)
    assert run(one) == code and CODES[code] == "custodian"
    assert one.door.documents("envelope") == [] and one.audit[-1] == "session.failed"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def fill_the_disk(one: Node) -> None:
    """SQLite's own error, as on a full disk: no page may be added, and the table's last one has no room."""
    book = one.agent.book
    book.rows(f"PRAGMA max_page_count = {book.rows('PRAGMA page_count')[0][0]}")
    for size in (3000, 300, 30):
        with pytest.raises(sqlite3.OperationalError, match="full"):
            while True:
                book.rows("INSERT INTO job VALUES (?, ?, '', ?, 1, 'failed', 0, ?)", new_id(), new_id(), new_id(),
                          "x" * size)


def test_a_full_disk_when_a_job_comes(node: Maker) -> None:
    one = node()
    fill_the_disk(one)
    verdict = one.check()
    assert (verdict["decision"], verdict["code"], verdict["session"]) == ("refuse", "node.disk_full", None)
    assert one.agent.attempts == {}


def test_a_full_disk_in_the_session(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    one.check()

    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")
    for name in ("start_gate", "end", "post"):
        monkeypatch.setattr(one.agent.book, name, full)
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "node.disk_full" and one.door.documents("envelope") == []
    monkeypatch.undo()
    one.agent.recover()  # what could not be written is made good at the next start
    assert one.agent.book.unfinished() == []


def test_a_use_that_the_book_had_no_room_for_counts_all_the_same(
        node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the gate began was read. The disk has room again when the attempt is closed."""
    one = node()
    one.check()

    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(one.agent.book, "start_gate", full)
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "node.disk_full"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "started"


class Sits:
    """A portal that takes our use and does nothing with it, or refuses it, or is away."""

    def __init__(self, one: Node, trouble: Exception | None) -> None:
        self.post, self.trouble = one.door.post, trouble

    def __call__(self, path: str, body: Document, **more: Any) -> Any:
        if path == "/uses":
            if self.trouble is not None:
                raise self.trouble
            return {}
        return self.post(path, body, **more)


@pytest.mark.parametrize("trouble", [None, PortalRefused(409, "job.over", "no"), PortalUnavailable("away")])
def test_a_use_that_the_portal_sits_on_is_brought_by_the_node_itself(
        node: Maker, monkeypatch: pytest.MonkeyPatch, trouble: Exception | None) -> None:
    monkeypatch.setattr("mpc.node.sessions.USE_PATIENCE", 0.3)
    one = node()
    one.check()
    monkeypatch.setattr(one.door, "post", Sits(one, trouble))
    one.agent.handle(one.session())
    one.wait()
    assert len(one.door.documents("envelope")) == 1
    assert len(one.chain.brought) == 1 and "use.sent_by_ourselves" in one.audit
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "consumed"


@pytest.mark.parametrize(("refusal", "code"), [
    ("chain.refused.used_up", "grant.exhausted"), ("chain.refused.not_active", "grant.expired"),
    ("chain.refused.bad_signature", "grant.wrong_custodian"),
])
def test_a_use_that_the_chain_does_not_take_ends_the_attempt(
        node: Maker, monkeypatch: pytest.MonkeyPatch, refusal: str, code: str) -> None:
    monkeypatch.setattr("mpc.node.sessions.USE_PATIENCE", 0.3)
    one = node()
    one.check()
    monkeypatch.setattr(one.door, "post", Sits(one, None))
    one.chain.refusing = ChainRefused(refusal, "no")
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == code and one.door.documents("envelope") == []


def test_a_chain_that_takes_nothing_from_us_leaves_it_to_the_deadline(
        node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.node.sessions.USE_PATIENCE", 0.1)
    one = node()
    one.agent.home = one.agent.home.__class__(**{**one.agent.home.__dict__, "session_seconds": 1})
    one.check()
    monkeypatch.setattr(one.door, "post", Sits(one, None))
    one.chain.deaf = True
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "session.deadline"


def test_a_record_that_cannot_be_kept_silences_no_failure(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record's head stands in the book: when that is full, the portal must hear the end all the same."""
    one = node("killed")
    one.check()

    def full(name: str, value: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(one.agent.home.audit._cases, "set_switch", full)
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "worker.killed" and one.agent.book.unfinished() == []
