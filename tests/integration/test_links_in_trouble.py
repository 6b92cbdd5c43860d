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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy.children import free_port
from ledger.documents import new_id
from mpc.node import config, reach
from tests.integration.engine_workers import COLUMNS, FILES, Nursery, Session
from tests.simulators.node_world import CONTRACTS, World
from tests.simulators.relay_at_hand import RelayAtHand
from tests.simulators.slow_wire import SlowWire

pytestmark = pytest.mark.stack

TABLE = {"rows": "chest_pain", "columns": "disease_grade"}
Make = Callable[..., Session]


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
        made.append(Session("crosstab@1", TABLE, COLUMNS, FILES[:3], **other))
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


def test_a_relay_that_is_started_anew_in_the_middle_loses_no_job(make: Make, relay: RelayAtHand) -> None:
    session = make()
    session.order()
    session.started()
    relay.stop()
    session.proceed()
    relay.start()
    session.is_right()


def test_the_dealers_last_word_arrives_though_the_relay_is_away_when_it_is_said(
        make: Make, relay: RelayAtHand) -> None:
    """It lets everybody seal: a dealer that says it and leaves would have some seal, and some call it lost."""
    session = make()
    dealer = session.workers[3]
    session.order()
    session.started()
    assert dealer.hear() == {"event": "gate_started"}
    for worker in session.workers:
        worker.say({"proceed": True})
    assert dealer.hear() == {"event": "all_ready"}
    relay.stop()
    dealer.say({"proceed": True})
    with pytest.raises(TimeoutError):
        dealer.hear(3.0)
    relay.start()
    session.is_right()


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
    session.is_right()
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
        session.is_right()
    finally:
        over.set()
        thread.join(60)
    assert not thread.is_alive()


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
    session.is_right()


class Outside(BaseHTTPRequestHandler):
    """A portal without work and a chain of one block."""

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._answer({"items": []})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        block = {"number": "0x1", "hash": "0x" + "00" * 32, "timestamp": hex(int(time.time()))}
        self._answer({"id": asked["id"], "result": hex(4242) if asked["method"] == "eth_chainId" else block})

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def outside() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Outside) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def proxy() -> Iterator[str]:
    """A true proxy, which lets out under its password alone (Basic)."""
    port = free_port()
    command = [sys.executable, "-m", "proxy", "--hostname", "127.0.0.1", "--port", str(port), "--num-workers", "1",
               "--num-acceptors", "1", "--log-level", "ERROR", "--basic-auth", "node:s3:cret/"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert time.monotonic() < end
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_node_whose_only_way_out_is_a_proxy_with_a_password(
        make: Make, proxy: str, outside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Agent, chain and worker: the first two are watched at every dial, the worker's own walls let it dial no port but
    the proxy's."""
    world = World(tmp_path)
    world.found(new_id(), {"id": 4242, "profile": "embedded", "genesis": "0x" + "00" * 32, "rpc": [outside],
                           "quorum": 1, "contracts": CONTRACTS})
    known = config.Config(tmp_path, "p", "provider", outside, "甲", "A", proxy=proxy, env="development")
    config.write_private(tmp_path / "proxy.password", "node:s3:cret/")
    dialled: list[object] = []
    connect = socket.socket.connect

    def watch(self: socket.socket, address: Any) -> None:
        dialled.append(address[1])
        connect(self, address)

    with monkeypatch.context() as watched:
        watched.setattr(socket.socket, "connect", watch)
        with reach.door_of(known, world.keys["hospital_a"]) as door:
            assert door.get("/work") == {"items": []}
        chain = reach.chain_of(known, world.trust)
        assert chain.head().number == 1
        chain.close()
    assert set(dialled) == {urlsplit(proxy).port}
    session = make(change=lambda _, order: order.update(relay=reach.way(order["relay"], known)))
    session.order()
    session.started()
    session.proceed()
    session.is_right()


def test_a_wrong_password_of_the_proxy_has_a_name(make: Make, proxy: str) -> None:
    wrong = {0: proxy.replace("//", "//node:crot@"), 1: proxy}
    lost = make(extra={"link_seconds": 2}, change=lambda seat, order: order["relay"].update(
        proxy=wrong.get(seat)))
    lost.order()
    assert [message["code"] for message in lost.last([0, 1], within=60)] == ["proxy.refused"] * 2


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
