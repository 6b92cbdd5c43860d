"""True workers, a true relay, and a network that fails: the job ends well, or by name, and no process is left."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.children import free_port
from tests.integration.engine_workers import Nursery, Session
from tests.simulators.relay_at_hand import RelayAtHand
from tests.simulators.slow_wire import SlowWire

pytestmark = pytest.mark.stack

HOSPITALS = Path(__file__).resolve().parents[2] / "fixtures" / "hospitals" / "uci-heart"
COLUMNS = json.loads((HOSPITALS / "dictionary.json").read_text(encoding="utf-8"))["columns"]
FILES = sorted(HOSPITALS.glob("*.csv"))[:3]
TABLE = {"rows": "chest_pain", "columns": "disease_grade"}
Make = Callable[..., Session]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    one = Nursery()
    yield one
    one.end()


@pytest.fixture
def relay() -> Iterator[RelayAtHand]:
    """One of this test's own, to be stopped and started."""
    one = RelayAtHand()
    yield one
    one.stop()


@pytest.fixture
def make(nursery: Nursery, relay: RelayAtHand) -> Iterator[Make]:
    made: list[Session] = []

    def session(**other: Any) -> Session:
        made.append(Session("crosstab@1", TABLE, COLUMNS, FILES, **other))
        made[-1].warm(nursery)
        made[-1].relay = relay
        return made[-1]

    yield session
    for one in made:
        one.end()


@pytest.fixture
def wire(relay: RelayAtHand) -> Iterator[SlowWire]:
    one = SlowWire(relay.port)
    yield one
    one.end()


def through(wire: SlowWire, seat: int = 1) -> Callable[[int, dict[str, Any]], None]:
    """This seat reaches the relay through the wire."""
    def change(at: int, order: dict[str, Any]) -> None:
        if at == seat:
            order["relay"]["url"] = wire.url
    return change


def is_right(session: Session) -> None:
    *sealed, dealt = session.last()
    assert [message["event"] for message in (*sealed, dealt)] == ["sealed"] * 3 + ["finished"], (sealed, dealt)
    session.opened(sealed)


def test_a_relay_that_is_started_anew_in_the_middle_loses_no_job(make: Make, relay: RelayAtHand) -> None:
    session = make()
    session.order()
    session.started()
    relay.stop()
    session.proceed()
    relay.start()
    is_right(session)


def test_a_relay_that_is_gone_for_good_ends_the_job_by_name(make: Make, relay: RelayAtHand) -> None:
    session = make(extra={"silence_seconds": 2})
    session.order()
    session.started()
    relay.stop()
    session.proceed()
    assert {message["code"] for message in session.last(within=30)} == {"relay.lost"}


def test_a_connection_that_is_dead_without_a_word_is_dialled_again(make: Make, wire: SlowWire) -> None:
    session = make(change=through(wire))
    session.order()
    session.started()
    wire.die()
    session.proceed()
    is_right(session)
    assert wire.dials == 2


def test_a_connection_that_is_cut_all_the_time_still_carries_the_job(make: Make, wire: SlowWire) -> None:
    session = make(change=through(wire))
    over = threading.Event()

    def cutting() -> None:
        while not over.wait(0.4):
            wire.cut()

    thread = threading.Thread(target=cutting)
    thread.start()
    try:
        session.order()
        session.started()
        session.proceed()
        is_right(session)
    finally:
        over.set()
        thread.join()


def test_a_party_that_is_cut_off_for_good_is_named_by_every_other(make: Make, wire: SlowWire) -> None:
    """A partition: the party itself says that it cannot reach the relay, the others and the dealer that it is gone."""
    session = make(change=through(wire), extra={"silence_seconds": 2})
    session.order()
    session.started()
    wire.sever()
    session.proceed()
    cut_off, *others = session.last([1, 0, 2, 3], within=60)
    assert cut_off["code"] == "relay.lost"
    assert {(other["code"], other["about_seat"]) for other in others} == {("session.peer_lost", 1)}


def test_a_slow_link_only_takes_longer(make: Make, wire: SlowWire) -> None:
    wire.delay = 0.03
    session = make(change=through(wire))
    session.order()
    session.started()
    session.proceed()
    is_right(session)


def test_an_http_proxy_with_a_password_is_enough_and_a_wrong_one_has_a_name(make: Make) -> None:
    """The node speaks to nothing but the proxy, which lets it out under its password alone (CONNECT, Basic)."""
    port = free_port()
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1",
               "--num-acceptors", "1", "--log-level", "ERROR", "--basic-auth", "node:s3:cret/"]
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert time.monotonic() < end
            time.sleep(0.05)
        good = f"http://node:s3%3Acret%2F@127.0.0.1:{port}"
        session = make(change=lambda _, order: order["relay"].update(proxy=good))
        session.order()
        session.started()
        session.proceed()
        is_right(session)
        for wrong in (good.replace("cret", "crot"), f"http://127.0.0.1:{port}"):
            lost = make(extra={"link_seconds": 2}, change=lambda seat, order, at=wrong: order["relay"].update(
                proxy=at) if seat == 0 else None)
            lost.order()
            assert lost.last(within=60)[0]["code"] == "proxy.refused"
    finally:
        proxy.terminate()
        proxy.wait(20)


def test_a_proxy_that_is_not_there_ends_the_job_by_name(make: Make) -> None:
    port = free_port()
    session = make(change=lambda _, order: order["relay"].update(proxy=f"http://127.0.0.1:{port}"),
                   extra={"link_seconds": 1})
    session.order()
    assert {message["code"] for message in session.last(within=30)} == {"relay.lost"}


def test_a_token_that_is_not_the_portal_s_ends_the_job_by_name(make: Make) -> None:
    session = make(change=lambda seat, order: order["relay"].update(token="mine") if seat == 0 else None,
                   extra={"link_seconds": 2})
    session.order()
    first, *others = session.last(within=30)
    assert first["code"] == "relay.refused"
    assert {(other["code"], other["about_seat"]) for other in others} <= {
        ("session.peer_lost", 0), ("session.peer_silent", 0)}
