"""The engine in real processes over loopback: right results, what is opened to whom, and every end by its name."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mpc.errors import NotOpenable
from mpc.functions.registry import function
from tests.integration.engine_workers import COLUMNS, FILES, HOSPITALS, Nursery, Session

pytestmark = pytest.mark.stack

DESCRIBE = {"columns": ["age", "resting_bp", "max_heart_rate"], "by": "sex"}
TABLE = {"rows": "chest_pain", "columns": "disease_grade"}
Make = Callable[..., Session]


@pytest.fixture
def make(nursery: Nursery) -> Iterator[Make]:
    made: list[Session] = []

    def session(key: str = "crosstab@1", parameters: dict[str, Any] | None = None, parties: int = 4,
                **other: Any) -> Session:
        made.append(Session(key, parameters or TABLE, COLUMNS, FILES[:parties], **other))
        made[-1].warm(nursery)
        return made[-1]

    yield session
    for one in made:
        one.end()


def plain(session: Session, floor: int = 10) -> dict[str, Any]:
    frames = [pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""]) for file in session.files]
    return function(session.key).plain(frames, session.parameters, COLUMNS, floor)


def result(session: Session, sealed: list[dict[str, Any]]) -> dict[str, Any]:
    pattern, totals = session.opened(sealed)
    return function(session.key).finish(totals, pattern, session.plan)


@pytest.mark.parametrize(("key", "parameters", "parties"), [
    ("describe@1", DESCRIBE, 4), ("crosstab@1", TABLE, 4), ("crosstab@1", TABLE, 3),
])
def test_it_works(make: Make, key: str, parameters: dict[str, Any], parties: int) -> None:
    session = make(key, parameters, parties)
    session.order()
    session.started()
    session.proceed()
    *sealed, dealt = session.last()
    assert dealt["event"] == "finished"
    assert [message["event"] for message in sealed] == ["sealed"] * parties
    assert len({message["gate_hash"] for message in sealed}) == 1
    assert len({len(message["sealed"]) for message in sealed}) == 1
    assert result(session, sealed) == plain(session)
    with pytest.raises(NotOpenable):
        session.opened(sealed[:-1])
    session.end()
    cells = len(session.plan.cells)
    for log in session.logs[:-1]:
        assert re.findall(r"opened what='(.+)' to=(\w+) numbers=(\d+)", log) == [
            ("own counts minus total", "parties", str(cells)), ("gate", "consumer", str(cells)),
            ("totals of open cells", "consumer", str(session.plan.width))]
        assert " rounds=10 " in log
    assert "opened" not in session.logs[-1]
    for worker, log in zip(session.workers, session.logs, strict=True):
        assert_quiet(session, "".join(worker.lines[:-1]) + log)


def assert_quiet(session: Session, text: str) -> None:
    """No value of a row, no pattern, no path in what a worker said and logged."""
    for code in ("typical angina", "asymptomatic", "Female", str(HOSPITALS), "1100", "0011", "[", "True", "False"):
        assert code not in text.replace(str({"ready": True}), "").replace('{"ready": true}', "")


def test_the_strictest_floor_of_all_parties_counts(make: Make) -> None:
    def stricter(seat: int, order: dict[str, Any]) -> None:
        order["floor"] = 60 if seat == 2 else 10

    session = make(change=stricter)
    session.order()
    session.proceed()
    assert result(session, session.last(range(4))) == plain(session, 60)


def test_nothing_is_sealed_before_every_party_and_the_dealer_may(make: Make) -> None:
    """The dealer last: its agent counts the gate when all parties are ready, and until then they can not seal."""
    session = make(parties=3)
    dealer = session.workers[3]
    session.order()
    session.started()
    assert dealer.hear() == {"event": "gate_started"}
    for worker in (*session.workers[:2], dealer):
        worker.say({"proceed": True})
    for worker in (session.workers[0], dealer):
        with pytest.raises(TimeoutError):
            worker.hear(1.0)
    session.workers[2].say({"proceed": True})
    assert dealer.hear() == {"event": "all_ready"}
    with pytest.raises(TimeoutError):
        session.workers[0].hear(1.0)
    dealer.say({"proceed": True})
    assert [message["event"] for message in session.last(range(3))] == ["sealed"] * 3


def test_a_dealer_serves_several_jobs_at_once_in_a_process_each(make: Make) -> None:
    """One session stands in its middle while another begins and ends beside it; their dealers share nothing."""
    held, quick = make(parties=3), make(parties=3)
    held.order(session="33" * 32)
    held.started()
    quick.order(session="44" * 32)
    quick.proceed()
    assert [message["event"] for message in quick.last()] == ["sealed"] * 3 + ["finished"]
    held.proceed()
    sealed = held.last()[:3]
    pattern, totals = held.opened(sealed, session="33" * 32)
    assert function(held.key).finish(totals, pattern, held.plan) == plain(held)


@pytest.mark.parametrize(("seat", "code"), [(1, "session.peer_lost"), (4, "dealer.lost")])
def test_a_killed_process_ends_the_session_by_name(make: Make, seat: int, code: str) -> None:
    session = make()
    session.order()
    session.started()
    session.workers[seat].signal(signal.SIGKILL)
    session.proceed_others(seat)
    for message in session.last([other for other in range(5) if other != seat], within=20):
        assert (message["event"], message["code"], message["about_seat"]) == ("failed", code, seat)


@pytest.mark.parametrize(("seat", "code"), [(0, "session.peer_silent"), (4, "dealer.lost")])
def test_a_frozen_process_ends_the_session_by_name(make: Make, seat: int, code: str) -> None:
    session = make(extra={"silence_seconds": 2})
    session.order()
    session.started()
    session.workers[seat].signal(signal.SIGSTOP)
    session.proceed_others(seat)
    for message in session.last([other for other in range(5) if other != seat], within=20):
        assert (message["event"], message["code"], message["about_seat"]) == ("failed", code, seat)


def test_a_peer_that_never_comes_ends_the_session_by_name(make: Make) -> None:
    session = make(extra={"link_seconds": 2})
    session.workers[2].signal(signal.SIGSTOP)
    session.order()
    for message in session.last([0, 1, 3, 4], within=20):
        assert (message["event"], message["about_seat"]) == ("failed", 2)
        assert message["code"] in ("session.peer_silent", "session.peer_lost")


def test_the_deadline_ends_a_session_that_nobody_lets_go(make: Make) -> None:
    session = make(parties=3, seconds=3)
    session.order()
    assert {message["code"] for message in session.last(within=20)} == {"session.deadline"}


def test_two_sessions_never_meet(make: Make) -> None:
    def another(seat: int, order: dict[str, Any]) -> None:
        if seat == 1:
            order["session"] = "23" * 32

    session = make(parties=3, change=another)
    session.order()
    session.proceed()
    lines = session.last(within=20)
    assert {message["code"] for message in lines} == {"session.mismatch"}
    assert not any("gate_started" in line for worker in session.workers for line in worker.lines)


def test_two_computations_never_meet(make: Make) -> None:
    def another(seat: int, order: dict[str, Any]) -> None:
        if seat == 1:
            order["recipient"] = {"participant": "consumer", "sealing": "24" * 32}

    session = make(parties=3, change=another)
    session.order()
    assert {message["code"] for message in session.last(within=20)} == {"session.mismatch"}


def test_a_certificate_that_is_not_the_pinned_one_is_refused(make: Make) -> None:
    def swapped(seat: int, order: dict[str, Any]) -> None:
        if seat == 0:
            order["peers"][1]["certificate"] = order["peers"][2]["certificate"]

    session = make(parties=3, change=swapped, extra={"link_seconds": 3})
    session.order()
    lines = session.last(within=20)
    assert {message["event"] for message in lines} == {"failed"}
    assert lines[1]["code"] == "session.mismatch"


def test_an_agents_stop_reaches_everybody(make: Make) -> None:
    session = make(parties=3)
    session.order()
    session.started()
    session.workers[3].say({"stop": "grant.revoked"})
    lines = session.last(within=20)
    assert {message["code"] for message in lines} == {"grant.revoked"}
    assert [message["about_seat"] for message in lines[:3]] == [3, 3, 3]


def test_rows_off_the_dictionary_end_the_session_naming_whose(make: Make, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(FILES[0].read_text(encoding="utf-8").replace("typical angina", "secret thing", 1), encoding="utf-8")

    def other_file(seat: int, order: dict[str, Any]) -> None:
        if seat == 0:
            order["data"]["path"] = str(bad)

    session = make(parties=3, change=other_file)
    session.order()
    lines = session.last(within=20)
    assert {message["code"] for message in lines} == {"dataset.off_dictionary"}
    session.end()
    assert "secret" not in "".join(session.logs)


def test_an_order_that_may_not_be_worked_on_is_refused(make: Make) -> None:
    session = make(parties=3, change=lambda _, order: order.update({"floor": 1}))
    session.order()
    assert {message["code"] for message in session.last(within=20)} == {"disclosure.floor"}


def test_an_agent_that_dies_ends_its_worker(make: Make) -> None:
    session = make(parties=3)
    session.order()
    session.started()
    session.workers[0].leave()
    assert {message["code"] for message in session.last(within=20)} == {"worker.failed"}


def test_a_worker_that_is_not_needed_ends_with_its_agent() -> None:
    done = subprocess.run([sys.executable, "-m", "mpc.worker"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=120, check=True)
    assert done.stdout == b'{"ready": true}\n'
