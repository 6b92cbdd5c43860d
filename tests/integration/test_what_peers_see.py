"""What the other parties of a session see of one: that it is gone, within five seconds, and not how long it counted."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpc.party import EVEN
from tests.integration.engine_workers import COLUMNS, FILES, Nursery, Session

pytestmark = pytest.mark.stack
NAMED_WITHIN, TRIES = 5.0, 3
Make = Callable[[], Session]


@pytest.fixture
def make(nursery: Nursery) -> Iterator[Make]:
    made: list[Session] = []

    def session() -> Session:
        made.append(Session("crosstab@1", {"rows": "chest_pain", "columns": "disease_grade"}, COLUMNS, FILES[:3]))
        made[-1].warm(nursery)
        return made[-1]

    yield session
    for one in made:
        one.end()


def after(log: str, word: str) -> float:
    """When this worker logged it, in seconds from its own beginning."""
    found = re.search(rf"^{word} .*after=([0-9.]+)$", log, re.MULTILINE)
    assert found, log
    return float(found[1])


def test_it_works(make: Make) -> None:
    """However few rows a party has, it comes to the gate a round time after its links are up; slowness only adds."""
    session = make()
    session.order()
    session.started()
    session.proceed()
    session.is_right()
    session.end()
    counted = [after(log, "counted") - after(log, "linked") for log in session.logs[: session.parties]]
    assert min(counted) >= EVEN - 0.001, counted


def lost(session: Session, seat: int) -> tuple[float, set[Any]]:
    """Kill this worker at the gate: how long until the last of the others named it, and what they said."""
    session.order()
    session.started()
    others = [one for one in range(session.parties + 1) if one != seat]

    def heard(other: int) -> tuple[float, Any]:
        (last,) = session.last([other])
        return time.monotonic(), (last["event"], last.get("code"), last["about_seat"])

    with ThreadPoolExecutor(len(others)) as pool:
        session.workers[seat].signal(signal.SIGKILL)
        begun = time.monotonic()
        said = list(pool.map(heard, others))
    return max(at for at, _ in said) - begun, {one for _, one in said}


@pytest.mark.parametrize(("seat", "code"), [(1, "session.peer_lost"), (3, "dealer.lost")])
def test_who_is_killed_is_named_by_every_other_within_five_seconds(make: Make, seat: int, code: str) -> None:
    """By the defaults of an order. A machine that is busy may add to it, at one time more than at another; a protocol
    that takes longer takes so each time. So one of three times must do, and each must name the right one."""
    took: list[float] = []
    while len(took) < TRIES and not (took and took[-1] < NAMED_WITHIN):
        seconds, said = lost(make(), seat)
        assert said == {("failed", code, seat)}
        took.append(round(seconds, 2))
    assert min(took) < NAMED_WITHIN, took
