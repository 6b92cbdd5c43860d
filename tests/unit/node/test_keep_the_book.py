"""The durable book: counts that two jobs cannot both take, one spec for an id, releases and revocations kept."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger.documents import new_id
from mpc.node.book import Book, Dataset, History, Shape
from mpc.node.errors import Refused

GRANT = "grant-1"
SHAPE = Shape(10, "ab" * 32, frozenset({"age", "sex"}))


@pytest.fixture
def book(tmp_path: Path) -> Any:
    opened = Book(tmp_path / "node.sqlite3")
    yield opened
    opened.close()


def accept(book: Book, job_hash: str, *, job: str | None = None, nonce: str | None = None, attempt: int = 1,
           max_uses: int = 5, release_key: str = "") -> None:
    book.accept(job=job or f"job-{job_hash}", job_hash=job_hash, consumer="maker", nonce=nonce or f"n-{job_hash}",
                attempt=attempt, deadline=2**33, grant=GRANT, max_uses=max_uses, shape=SHAPE,
                release_key=release_key or ("question" if job_hash == "a" else f"question of {job_hash}"))


def history(book: Book) -> History:
    """As a fresh job sees it."""
    return book.history(job="x", job_hash="x", consumer="maker", nonce="x", own_grant=GRANT, subjects=[GRANT],
                        release_key="question")


def uses(book: Book) -> int:
    return history(book).uses


def test_it_works(book: Book) -> None:
    accept(book, "a")
    assert book.use_state(GRANT, "a") == "reserved"
    book.start_gate("a", 1, grant=GRANT)
    assert book.use_state(GRANT, "a") == "started"
    book.consume_use(GRANT, "a")
    book.seal("a", 1, path="/jobs/a/envelopes", envelope={"envelope": 1}, until=2**33)
    known = book.seen(job_hash="a")
    assert known is not None and known.state == "sealed"
    assert [(path, body) for _, path, body, _ in book.outbox()] == [("/jobs/a/envelopes", {"envelope": 1})]
    own = book.history(job="job-a", job_hash="a", consumer="maker", nonce="n-a", own_grant=GRANT, subjects=[],
                       release_key="question")
    assert own.sealed and own.released_by == "a" and own.asked == ()
    assert history(book).asked == (SHAPE,)


def test_of_two_jobs_for_the_last_use_one_gets_it(book: Book) -> None:
    refused: list[str] = []

    def take(name: str) -> None:
        try:
            accept(book, name, max_uses=1)
        except Refused as error:
            refused.append(error.code)
    threads = [threading.Thread(target=take, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["grant.exhausted"] * 5 and uses(book) == 1


def test_two_processes_see_one_book(tmp_path: Path, book: Book) -> None:
    other = Book(tmp_path / "node.sqlite3")
    accept(other, "a", max_uses=1)
    with pytest.raises(Refused):
        accept(book, "b", max_uses=1)
    other.close()


def test_a_use_that_never_started_is_given_back(book: Book) -> None:
    accept(book, "a")
    assert history(book).asked == (SHAPE,)
    book.end("a", 1, "failed")
    assert uses(book) == 0 and history(book).asked == ()


def test_a_use_that_started_counts_though_the_job_failed(book: Book) -> None:
    accept(book, "a")
    book.start_gate("a", 1, grant=GRANT)
    book.end("a", 1, "failed")
    assert uses(book) == 1 and history(book).asked == (SHAPE,)


def test_a_use_whose_gate_may_have_begun_counts(book: Book) -> None:
    """Killed between the worker's first gate round and our word for it: nobody can say any more that it never began."""
    accept(book, "a")
    book.begin("a", 1)
    book.end("a", 1, "failed")
    assert book.use_state(GRANT, "a") == "started" and history(book).asked == (SHAPE,)


def test_a_use_whose_worker_ended_before_its_gate_is_given_back(book: Book) -> None:
    accept(book, "a")
    book.begin("a", 1)
    book.end("a", 1, "failed", begun=False)
    assert uses(book) == 0 and history(book).asked == ()


def test_a_second_attempt_takes_no_second_use(book: Book) -> None:
    accept(book, "a")
    book.start_gate("a", 1, grant=GRANT)
    book.consume_use(GRANT, "a")
    book.end("a", 1, "failed")
    accept(book, "a", attempt=2, max_uses=1)
    book.start_gate("a", 2, grant=GRANT)
    assert uses(book) == 1 and book.use_state(GRANT, "a") == "consumed"


@pytest.mark.parametrize("same", [{"job": "job-a"}, {"nonce": "n-a"}])
def test_another_spec_with_the_same_id_or_nonce(book: Book, same: dict[str, str]) -> None:
    accept(book, "a")
    with pytest.raises(Refused) as caught:
        accept(book, "b", **same)  # type: ignore[arg-type]
    assert caught.value.code == "spec.two_specs"
    assert book.use_state(GRANT, "b") is None


def test_a_sealed_job_stays_sealed(book: Book) -> None:
    accept(book, "a")
    book.seal("a", 1, path="/p", envelope={}, until=1)
    book.end("a", 1, "failed")
    with pytest.raises(Refused) as caught:
        accept(book, "a", attempt=2)
    assert caught.value.code == "spec.replayed"
    known = book.seen(job="job-a")
    assert known is not None and known.state == "sealed"


def test_an_attempt_that_was_replaced_can_neither_seal_nor_end_the_next(book: Book) -> None:
    accept(book, "a")
    accept(book, "a", attempt=2)
    book.end("a", 1, "failed")
    assert book.use_state(GRANT, "a") == "reserved"
    with pytest.raises(Refused) as caught:
        book.seal("a", 1, path="/p", envelope={}, until=1)
    assert caught.value.code == "session.mismatch" and book.outbox() == []
    book.seal("a", 2, path="/p", envelope={}, until=1)
    with pytest.raises(Refused):
        book.seal("a", 2, path="/q", envelope={}, until=1)
    assert len(book.outbox()) == 1


def test_a_change_that_breaks_off_leaves_the_book_usable(book: Book) -> None:
    with pytest.raises(KeyboardInterrupt), book.write() as db:
        db.execute("INSERT INTO released VALUES ('question', 'a')")
        raise KeyboardInterrupt
    accept(book, "a")
    assert history(book).released_by is None


def test_the_same_question_is_not_computed_twice_at_once(book: Book) -> None:
    """Two jobs of one question: what the first releases is given again, so the second waits for it."""
    accept(book, "a")
    with pytest.raises(Refused, match="same question") as refused:
        accept(book, "b", release_key="question")
    assert refused.value.code == "disclosure.already_released" and book.seen(job_hash="b") is None and uses(book) == 1
    accept(book, "c")
    book.end("a", 1, "failed")
    accept(book, "b", release_key="question")


def test_a_question_may_be_asked_again_after_a_failed_job(book: Book) -> None:
    accept(book, "a")
    book.seal("a", 1, path="/p", envelope={}, until=1)
    assert history(book).released_by == "a"
    book.unrelease("a")
    assert history(book).released_by is None and uses(book) == 1


def test_a_book_opened_again_knows_everything(tmp_path: Path, book: Book) -> None:
    accept(book, "a")
    book.add_revocation(GRANT, {"grant": GRANT, "by": "regulator"})
    book.add_revocation(GRANT, {"by": "regulator", "grant": GRANT})
    book.put_dataset(Dataset("d", tmp_path / "d.csv", "csv", {"id": "d"}))
    book.post("/p", {"x": 1}, until=int(time.time()) + 60)
    book.close()
    again = Book(tmp_path / "node.sqlite3")
    assert [known.job_hash for known in again.unfinished()] == ["a"]
    assert again.revocations([GRANT, new_id()]) == [{"grant": GRANT, "by": "regulator"}]
    assert again.dataset("d") == Dataset("d", tmp_path / "d.csv", "csv", {"id": "d"})
    assert again.dataset("e") is None
    number, *_ = again.outbox()[0]
    again.delivered(number)
    assert again.outbox() == []
    again.close()


def test_a_book_from_before_keeps_what_was_revoked(tmp_path: Path) -> None:
    """When revocations were of grants only."""
    place = tmp_path / "older.sqlite3"
    with closing(sqlite3.connect(place)) as older:
        older.execute("CREATE TABLE revocation (grant_id TEXT NOT NULL, document TEXT NOT NULL, "
                      "PRIMARY KEY (grant_id, document)) STRICT")
        older.execute("INSERT INTO revocation VALUES (?, '{}')", (GRANT,))
        older.commit()
    for _ in range(2):
        book = Book(place)
        assert book.revocations([GRANT]) == [{}]
        book.close()
