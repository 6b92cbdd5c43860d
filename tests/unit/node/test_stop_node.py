"""A node as a process: it starts without a portal, ends cleanly on SIGTERM, and leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import new_id
from ledger.door import Door
from ledger.errors import PortalRefused, PortalUnavailable, VerificationError
from mpc.node import config
from mpc.node.book import Book
from mpc.node.cases import Cases
from mpc.node.errors import Unfit
from mpc.node.loop import MOST_ITEMS, Courier, assemble, poll
from tests.simulators.node_world import Document, World
from tests.simulators.processes import children


@pytest.fixture
def home(tmp_path: Path, world: World) -> Path:
    place = tmp_path / "node"
    place.mkdir()
    config.write_private(place / "keys.json", (world.folder / "hospital_a.keys.json").read_text())
    config.create(config.Config(
        home=place, participant=world.keys["hospital_a"].participant, role="provider", portal="http://127.0.0.1:1",
        name_zh="x", name_en="x", fingerprint=world.fingerprint, approver=world.approver("hospital_a").address,
        service=world.service("hospital_a").address, env="development"))
    config.write_private(place / "trust.json", json.dumps(world.trust_wire))
    return place


def test_it_works(home: Path) -> None:
    log = home / "node.log"
    with log.open("w") as said:
        node = subprocess.Popen([sys.executable, "-m", "mpc.node", "run", "--home", str(home)], stderr=said)
    try:
        deadline = time.monotonic() + 30
        while "poll.failed" not in log.read_text() or not children(node.pid):
            assert node.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        workers = children(node.pid)
        node.send_signal(signal.SIGTERM)
        assert node.wait(10) == 0
    finally:
        node.kill()
    assert "node.stopped" in log.read_text()
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_home_that_is_not_ready_says_why(home: Path, world: World) -> None:
    known = config.load(home)
    for change, code in (({"fingerprint": ""}, "config.no_trust"), ({"role": "regulator"}, "config.role"),
                         ({"role": "dealer"}, "config.role"),
                         ({"participant": world.keys["maker"].participant}, "config.malformed")):
        config.save(known.__class__(**{**known.__dict__, **change}))
        with pytest.raises(Unfit) as caught:
            assemble(home)
        assert caught.value.code == code


def test_only_a_home_that_says_so_talks_to_a_development_chain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = config.load(home)
    config.save(replace(known, env="production"))
    assert "env" not in (home / "config.toml").read_text(), "what nobody says"
    with pytest.raises(VerificationError) as refused:
        assemble(home)
    assert refused.value.code == "chain.development"
    config.save(known)
    monkeypatch.setenv("XINGLIN_ENV", "production")
    with pytest.raises(VerificationError):
        assemble(home)
    config.save(replace(known, env="test"))
    with pytest.raises(Unfit, match="env"):
        config.load(home)


class Script:
    """A portal that gives one answer after the other, then ends the loop."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.posted: list[str] = []

    def get(self, path: str, params: Document, *, timeout: float) -> object:
        if not self.answers:
            raise KeyboardInterrupt
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(self, path: str, body: Document) -> object:
        self.posted.append(path)
        if path == "/refused":
            raise PortalRefused(409, "job.over", "over")
        if path == "/away":
            raise PortalUnavailable("away")
        if path == "/odd":
            raise OverflowError
        return {}


def test_the_loop_outlives_its_portal(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.node.loop.AWAY_LEAST", 0.001)
    junk = [None, {}, [], 5, "items", {"items": None}, {"items": 5}, {"items": {"kind": "check"}}, {"items": "abc"},
            {"items": [None, 5, [], "junk", {"kind": 5}, {}]}, {"items": [{"kind": "?"}] * 5000}]
    door = Script(PortalUnavailable("away"), PortalRefused(401, "http.signature", "unknown"), OverflowError(), *junk,
                  {"items": ["junk", {"kind": "?"}]}, {"items": [{"kind": "check"}]})
    agent, _ = assemble(home, door=door)
    handled: list[object] = []
    handle = agent.handle
    monkeypatch.setattr(agent, "handle", lambda item: (handled.append(item), handle(item)))
    with pytest.raises(KeyboardInterrupt):
        poll(agent, door)
    assert door.answers == [] and len(handled) == 2 + MOST_ITEMS + 2
    agent.close()
    agent.book.close()


def test_the_outbox_delivers_in_order_and_forgets_what_nobody_needs(tmp_path: Path) -> None:
    book, door = Book(tmp_path / "book.sqlite3"), Script()
    later = int(time.time()) + 60
    for path, until in (("/overdue", 1), ("/refused", later), ("/odd", later), ("/one", later),
                        ("/away", later), ("/two", later)):
        book.post(path, {}, until=until)
    Courier(door, book).flush()
    assert door.posted == ["/refused", "/odd", "/one", "/away"]
    assert [path for _, path, _, _ in book.outbox()] == ["/odd", "/away", "/two"]
    book.close()


@pytest.mark.parametrize(("status", "left"), [
    *((status, []) for status in (400, 404, 409, 410, 413, 422)),
    *((status, ["/jobs/x/envelopes"]) for status in (401, 403, 405, 500)),
    *((status, ["/jobs/x/envelopes", "/after"]) for status in (429, 502, 503, 504)),
])
def test_an_envelope_is_struck_off_only_when_it_will_never_be_taken(
        tmp_path: Path, status: int, left: list[str]) -> None:
    """The portal's database restarts and it answers 500: the job must not be lost by that, with its use spent."""
    def answer(asked: httpx.Request) -> httpx.Response:
        return httpx.Response(status if asked.url.path.endswith("/envelopes") else 200, json={})

    book = Book(tmp_path / "book.sqlite3")
    for path in ("/jobs/x/envelopes", "/after"):
        book.post(path, {}, until=int(time.time()) + 60)
    with Door("https://portal.example", new_id(), Ed25519PrivateKey.generate(),
              client=httpx.Client(transport=httpx.MockTransport(answer))) as door:
        Courier(door, book).flush()
    assert [path for _, path, _, _ in book.outbox()] == left
    book.close()


def test_what_a_person_denied_goes_when_its_time_is_over(tmp_path: Path) -> None:
    book, door = Book(tmp_path / "book.sqlite3"), Script()
    courier, job = Courier(door, book), new_id()
    Cases(book).rule(job, "deny", by="somebody")
    for name, until in (("freeze", 1), ("envelopes", int(time.time()) + 60)):
        book.post(f"/jobs/{job}/{name}", {}, until=until)
    courier.flush()
    assert door.posted == [] and [path for _, path, _, _ in book.outbox()] == [f"/jobs/{job}/envelopes"]
    book.close()
