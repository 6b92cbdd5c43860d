"""A whole agent with a portal and a chain in memory and a worker that computes nothing, for the tests of the node."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.organisations import POLICY
from ledger.documents import document_hash, new_document, signed
from mpc.node import config
from mpc.node.agent import Agent, fresh_keys
from mpc.node.audit import Audit
from mpc.node.book import Book, Dataset
from mpc.node.cases import Cases
from mpc.node.chainview import ChainView
from mpc.node.contributing import Contributions
from mpc.node.data import fingerprint
from mpc.node.loop import Courier
from mpc.node.sessions import Home
from mpc.node.workers import Workers
from mpc.transport.identity import Place
from tests.simulators.node_world import ChainInMemory, Document, DoorInMemory, World

SCRIPT = Path(__file__).parent / "worker_script.py"


@dataclass
class Node:
    """One agent with everything around it in memory."""

    agent: Agent
    door: DoorInMemory
    chain: ChainInMemory
    item: Document
    world: World
    name: str
    file: Path

    def check(self) -> Document:
        self.agent.handle(self.item)
        found: Document = self.door.documents("verdict")[-1]
        return found

    def session(self) -> Document:
        """The portal's session item: our verdict, and the others' as they would sign them."""
        ours = next(body["verdict"] for _, body in reversed(self.door.posted) if "verdict" in body)
        spec = self.item["spec"]["document"]
        members = [self.world.name_of(seat["participant"]) for seat in spec["roster"]] + ["dealer"]
        wires = []
        for seat, name in enumerate(members):
            place = Place(document_hash(spec), self.item["attempt"], seat)
            fresh = fresh_keys(self.world.keys[name].signing, place, datetime.now(UTC))
            document = new_document(
                "verdict", job=spec["id"], job_hash=document_hash(spec), attempt=self.item["attempt"],
                participant=self.world.keys[name].participant, seat=seat, decision="accept", code=None, rule=None,
                who_must_act=None, grant_block=7, policy_hash="00" * 32,
                session={"certificate": fresh.certificate, "exchange": fresh.exchange})
            wires.append(ours if name == self.name else signed(document, self.world.keys[name].signing))
        return {"kind": "session", "job": spec["id"], "attempt": self.item["attempt"], "verdicts": wires[:-1],
                "dealer": wires[-1], "relay": {"url": "ws://127.0.0.1:1/", "token": "of-the-portal"}}

    def wait(self, seconds: float = 40.0) -> None:
        """Until no attempt runs any more."""
        deadline = time.monotonic() + seconds
        while self.agent.attempts:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def failure(self) -> str:
        found: str = self.door.documents("failure")[-1]["code"]
        return found

    def works_from_now_on(self) -> None:
        self.agent.workers._command = worker_command("works")

    @property
    def job_hash(self) -> str:
        return document_hash(self.item["spec"]["document"])

    @property
    def own_terms(self) -> Document:
        me = self.world.keys[self.name].participant
        return next(one["terms"] for one in self.item["grants"] if one["terms"]["custodian"] == me)

    @property
    def audit(self) -> list[str]:
        return [line["event"] for line in self.agent.home.audit.lines()]


Maker = Callable[..., Node]


def worker_command(mode: str) -> tuple[str, ...]:
    return (sys.executable, "-P", str(SCRIPT), mode)


def make_node(world: World, home: Path, mode: str = "works", name: str = "hospital_a",
              rows: str = "50,Male,0,no\n", **item: Any) -> Node:
    """A node of this hospital (or of the dealer) with a registered file, and the papers of a fresh job."""
    keys = world.keys[name]
    home.mkdir()
    known = config.Config(
        home=home, participant=keys.participant, role="dealer" if name == "dealer" else "provider",
        portal="http://127.0.0.1:1", name_zh="x", name_en="x", approver=world.approver(name).address,
        service=world.service(name).address, session_seconds=20)
    config.create(known, policy=POLICY.read_text())
    file = home / "data" / "heart.csv"
    file.write_text(f"age,sex,grade,pain\n{rows}")
    if name != "dealer":
        world.fingerprints[name] = fingerprint(file, known.local_key())
        world.datasets[name] = world.dataset(name)
    work = world.item(**item)
    chain = ChainInMemory.of(world, work)
    door = DoorInMemory(keys.participant, chain)
    book = Book(known.book)
    if name != "dealer":
        record = world.datasets[name]["document"]
        book.put_dataset(Dataset(record["id"], file, "csv", record))
    made = Contributions(book)
    courier = Courier(door, book, barred=lambda job_hash: made.barred(job_hash, world.trust))
    agent = Agent(known, Home(
        participant=keys.participant, party=name != "dealer", keys=keys, trust=world.trust, book=book,
        audit=Audit(known.audit, Cases(book)), chain=ChainView(chain, world.trust), post=courier.post,
        flush=courier.flush, inbox=known.inbox, session_seconds=known.session_seconds), door,
        Workers(home, command=worker_command(mode)))
    return Node(agent, door, chain, work, world, name, file)
