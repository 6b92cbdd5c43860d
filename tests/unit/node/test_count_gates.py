"""How often one table is put to a gate: the attack of a hospital that lies in its inputs, gate after gate, and its end.

No party learns a gate's pattern; the buyer does, from all sealed parts together. A hospital that lies in its own
numbers and talks to the buyer has so asked about the others' numbers, also where the job then fails and counts as not
released. What breaks off before this house has sealed told nobody anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mpc.disclosure import Gate, gate_of
from mpc.node.book import Book, Shape
from mpc.node.errors import Refused
from mpc.node.workers import Worker
from tests.simulators.node_at_work import Maker
from tests.simulators.node_world import World

GRANT, OTHER = "grant-1", "grant-2"
SHAPE = Shape(10, "ab" * 32, frozenset({"age", "sex"}))
FLOOR = 10
GATE = gate_of(0, missing=0, tops=1)
# number of persons, sum of squares, the two largest
LARGE, SMALL = (300, 300 * 45**2, 67**2, 64**2), (7, 7 * 40**2, 71**2, 58**2)
Ask = Callable[[int, tuple[int, int, int]], bool]


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    opened = Book(tmp_path / "node.sqlite3")
    opened.rows("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


def accept(book: Book, job: str, attempt: int = 1, *, shape: Shape = SHAPE, gated: Sequence[str] = (GRANT,),
           grant: str | None = GRANT) -> None:
    book.accept(job=job, job_hash=job, consumer="maker", nonce=job, attempt=attempt, deadline=2**33, grant=grant,
                max_uses=100, release_key=f"question of {job}", shape=shape, gated=gated)


def lost(book: Book, job: str, attempt: int = 1, *, sealed: bool = True, **more: object) -> None:
    """A session that ends without a result, after this house has sealed or before."""
    accept(book, job, attempt, **more)  # type: ignore[arg-type]
    book.begin(job, attempt)
    book.start_gate(job, attempt, grant=GRANT)
    if sealed and more.get("grant", GRANT):
        book.seal(job, attempt, path=f"/jobs/{job}/envelopes", envelope={}, until=1)
        book.unrelease(job)
    elif sealed:
        book.count_gate(job, attempt)
    book.end(job, attempt, "failed", begun=False)


def refused(book: Book, job: str, attempt: int = 1, **more: object) -> bool:
    try:
        accept(book, job, attempt, **more)  # type: ignore[arg-type]
    except Refused as error:
        assert error.code == "disclosure.tried_too_often" and error.who_must_act == "consumer"
        return True
    book.end(job, attempt, "failed")
    return False


# -- the attack

def gates_of_a_liar(book: Book, gate: Gate) -> Ask:
    """What a hospital that lies and a buyer learn together from the next gate: one job after another."""
    number = count()

    def ask(persons: int, triple: tuple[int, int, int]) -> bool:
        lost(book, f"job-{next(number)}")
        (opened,) = gate.decide([(persons, *triple), LARGE, SMALL], FLOOR)
        return opened

    return ask


def least(low: int, bits: int, opens: Callable[[int], bool]) -> int:
    """The least number from `low` on that opens, by as many questions as bits."""
    at = low - 1
    for bit in reversed(range(bits)):
        if not opens(at + (1 << bit)):
            at += 1 << bit
    return at + 1


def attack(ask: Ask) -> tuple[int, int]:
    """Persons of the smaller hospital, and its second largest square, j2: 4 + 21 + 24 gates."""
    persons = FLOOR - least(FLOOR - 15, 4, lambda mine: ask(mine, (1 << 40, 0, 0)))
    # the larger one left out: nine tenths of all the others' sum reach j1 + j2; then, by a largest value, j1 alone
    both = 9 * least(-(1 << 20), 21, lambda mine: ask(1000, (mine, 0, 0)))
    first = least(-(1 << 23), 24, lambda margin: ask(1000, by_margin(margin)))
    return persons, (both - first) // 10  # 10 j2, and up to 8 more


def by_margin(margin: int) -> tuple[int, int, int]:
    """A sum and a largest value for which 9 sum - 10 largest is this margin, both far above anybody's."""
    largest = next(one for one in range(1 << 36, (1 << 36) + 9) if (margin + 10 * one) % 9 == 0)
    return (margin + 10 * largest) // 9, largest, 0


def test_forty_nine_gates_give_a_patient_away_and_two_do_not(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused) as caught:
        attack(gates_of_a_liar(book, GATE))
    assert caught.value.code == "disclosure.tried_too_often"
    monkeypatch.setattr("mpc.node.book.MOST_GATES", 1 << 20)  # as it was
    book.rows("DELETE FROM gate")
    book.rows("DELETE FROM job")
    assert attack(gates_of_a_liar(book, GATE)) == (SMALL[0], SMALL[3])


# -- the rule

def test_it_works(book: Book) -> None:
    """One job, and one more; whatever became of them after this house had sealed."""
    lost(book, "a")
    lost(book, "b")
    assert refused(book, "c") and refused(book, "d")


def test_a_job_that_was_released_counts_too(book: Book) -> None:
    accept(book, "a")
    book.seal("a", 1, path="/jobs/a/envelopes", envelope={}, until=1)
    lost(book, "b")
    assert refused(book, "c")


def test_a_gate_behind_which_nothing_was_sealed_does_not_count(book: Book) -> None:
    """Not one that never began, not one that broke off, not one in whose middle the node was killed."""
    for job in "abc":
        accept(book, job)
        book.end(job, 1, "stopped")
        lost(book, job, 2, sealed=False)
    for job in "de":
        accept(book, job)
        book.begin(job, 1)
        book.start_gate(job, 1, grant=GRANT)
        book.end(job, 1, "failed")
    lost(book, "f")
    lost(book, "g")
    assert refused(book, "h")


def test_jobs_that_run_at_once_count_before_they_begin(book: Book) -> None:
    """Of other questions, as where another hospital gave its grant anew."""
    accept(book, "a")
    accept(book, "b")
    assert refused(book, "c")
    book.end("b", 1, "stopped")
    accept(book, "c")


def test_an_attempt_that_never_ran_makes_room_for_the_next(book: Book) -> None:
    accept(book, "a")
    accept(book, "a", 2)
    lost(book, "b")
    assert refused(book, "c")


def test_other_tables_and_other_grants_count_for_themselves(book: Book) -> None:
    lost(book, "a")
    lost(book, "a2")
    lost(book, "b", shape=Shape(10, "cd" * 32, frozenset({"grade"})))
    lost(book, "c", gated=[OTHER], grant=OTHER)
    assert refused(book, "d")


def test_the_dealer_counts_under_every_grant(book: Book) -> None:
    """Of two jobs that have one hospital's grant in common, that one counts."""
    lost(book, "a", gated=[GRANT, OTHER], grant=None)
    lost(book, "b", gated=["grant-3", OTHER], grant=None)
    assert refused(book, "c", gated=["grant-4", OTHER], grant=None)
    lost(book, "d", gated=[GRANT, "grant-4"], grant=None)


def test_a_book_opened_again_has_counted(tmp_path: Path, book: Book) -> None:
    lost(book, "a")
    lost(book, "a2")
    again = Book(tmp_path / "node.sqlite3")
    assert refused(again, "b")
    again.close()


@pytest.mark.parametrize("name", ["hospital_a", "dealer"])
def test_sessions_that_break_off_in_the_gate_cost_no_table(node: Maker, world: World, name: str) -> None:
    """Twice an attempt of a job, then of another: the parties' uses were not final yet, nobody was ready."""
    one = node(name=name, mode="gives_up")
    for _ in range(2):
        for attempt in (1, 2):
            one.item["attempt"] = attempt
            assert one.check()["decision"] == "accept"
            one.agent.handle(one.session())
            one.wait()
            assert one.failure() == "session.peer_lost"
        one.item = {**world.item(grants=one.item["grants"]), "attempt": 1}
    assert one.agent.book.rows("SELECT * FROM gate") == []


def test_an_office_whose_worker_leaves_before_all_are_ready_has_not_finished(node: Maker) -> None:
    one = node(name="dealer", mode="leaves")
    one.check()
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "worker.failed" and one.agent.book.rows("SELECT * FROM gate") == []


def test_an_office_counts_before_it_lets_anybody_seal(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node(name="dealer")
    one.check()
    send, seen = Worker.send, []

    def looking(worker: Worker, message: Mapping[str, Any]) -> None:
        if "proceed" in message:
            seen.append({state for (state,) in one.agent.book.rows("SELECT state FROM gate")})
        send(worker, message)

    monkeypatch.setattr(Worker, "send", looking)
    one.agent.handle(one.session())
    one.wait()
    assert seen == [{"reserved"}, {"counted"}]


@pytest.mark.parametrize("name", ["hospital_a", "dealer"])
def test_a_whole_node_says_so(node: Maker, world: World, name: str) -> None:
    one = node(name=name)
    for _ in range(2):
        assert one.check()["decision"] == "accept"
        one.agent.handle(one.session())
        one.wait()
        one.agent.book.unrelease(one.job_hash)  # another hospital's part never came: the job failed
        one.item = {**world.item(grants=one.item["grants"]), "attempt": 1}
    verdict = one.check()
    assert (verdict["code"], verdict["who_must_act"]) == ("disclosure.tried_too_often", "consumer")
    other = world.item(function="crosstab", parameters={"rows": "grade", "columns": "pain"}, grants=one.item["grants"])
    one.agent.handle(other)
    assert one.door.documents("verdict")[-1]["decision"] == "accept", "another table"
