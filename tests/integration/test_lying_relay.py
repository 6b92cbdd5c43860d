"""A true computation, by true workers, over a relay that lies: it comes out right, or ends as tampered with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.integration.engine_workers import COLUMNS, FILES, Nursery, Session
from tests.simulators.lying_relay import LyingRelay
from tests.unit.mpc.test_lying_relay import BORNE, CAUGHT, Counting

pytestmark = pytest.mark.stack

Make = Callable[..., Session]


@pytest.fixture(scope="module")
def relay() -> Iterator[LyingRelay]:
    one = LyingRelay()
    yield one
    one.stop()


@pytest.fixture
def make(nursery: Nursery, relay: LyingRelay) -> Iterator[Make]:
    made: list[Session] = []

    def session(name: str, lie: Callable[[int, bytes], list[bytes]]) -> Session:
        relay.about(name, Counting(lie))
        made.append(Session("crosstab@1", {"rows": "chest_pain", "columns": "sex"}, COLUMNS, FILES[:3],
                            extra={"silence_seconds": 3}))
        made[-1].warm(nursery)
        made[-1].relay = relay
        made[-1].order(room=name)
        return made[-1]

    yield session
    for one in made:
        one.end()


@pytest.mark.parametrize("name", [name for name in BORNE if name != "as it is"])
def test_what_a_network_may_do_changes_no_figure(make: Make, name: str) -> None:
    session = make(name, BORNE[name])
    session.started()
    session.proceed()
    session.is_right()


@pytest.mark.parametrize("names", [list(CAUGHT)[start::4] for start in range(4)])
def test_a_lie_ends_the_computation(make: Make, names: list[str]) -> None:
    """Each in a room of its own, several at a time: they wait more than they compute."""
    sessions = {name: make(name, CAUGHT[name]) for name in names}
    for session in sessions.values():
        session.proceed()
    found = {name: {(message.get("code"), message.get("about_seat")) for message in session.last()}
             for name, session in sessions.items()}
    assert found == {name: {("relay.tampered", None)} for name in names}
