"""Four hospitals that are never online together, the dealer's office, the portal, the buyer: one total of three.

The portal is the real one in this process, the nodes are real agents whose workers count and encrypt in processes of
their own; a postman carries what each node posts, one node after the other.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pytest

from dataspace.grants.models import GrantUse
from dataspace.provenance import space as portal_space
from dataspace.provenance.models import Event
from deploy.organisations import POLICY
from ledger import acts
from ledger.documents import chain_id_of, document_hash
from marketplace.jobs.models import Job
from marketplace.jobs.services import tend
from marketplace.sdk import fn
from marketplace.sdk.space import Space as Buyer
from mpc.functions.registry import function
from mpc.node import config, data
from mpc.node.agent import Agent
from mpc.node.audit import Audit
from mpc.node.book import Book, Dataset
from mpc.node.cases import Cases
from mpc.node.chainview import ChainView
from mpc.node.loop import Courier
from mpc.node.sessions import Home
from mpc.node.workers import Workers
from tests.simulators import portal_space as simulated
from tests.simulators.node_at_work import worker_command
from tests.simulators.node_world import ChainInMemory, DoorInMemory
from tests.simulators.portal_space import COLUMNS, Space, both, found

pytestmark = pytest.mark.stack
HOSPITALS = ("hospital_a", "hospital_b", "hospital_c", "hospital_d")
AWAKE = ("hospital_c", "hospital_a", "hospital_d")
CALL = fn.crosstab(rows="sex", columns="grade")


@dataclass
class Node:
    """One agent and the door whose posts the postman carries."""

    agent: Agent
    door: DoorInMemory
    table: str

    def wait(self) -> None:
        until = time.monotonic() + 60
        while self.agent.attempts:
            assert time.monotonic() < until
            time.sleep(0.02)


def rows(seat: int) -> str:
    """Every pair of codes at every hospital, more than the floor and never as many."""
    lines = [f"{30 + at},{sex},{grade}" for sex in ("female", "male") for grade in ("0", "1", "2")
             for at in range(12 + seat + 3 * int(grade))]  # fmt: skip
    return "age,sex,grade\n" + "\n".join(lines) + "\n"


def node(people: Space, folder: Path, name: str, chain: ChainInMemory, table: str) -> Node:
    keys, home = people.keys[name], folder / f"node-{name}"
    home.mkdir()
    known = config.Config(
        home=home, participant=keys.participant, role="dealer" if name == "dealer" else "provider",
        portal="http://127.0.0.1:1", name_zh="x", name_en="x", approver=people.approver(name).address,
        service=people.service(name).address, session_seconds=30)  # fmt: skip
    config.create(known, policy=POLICY.read_text())
    book, door = Book(known.book), DoorInMemory(keys.participant, chain)
    if table:
        text = known.policy.read_text()
        known.policy.write_text(text.replace('engines = ["crypten"]', 'engines = ["crypten", "paillier"]'))
        file = home / "data" / "heart.csv"
        file.write_text(table)
        wire = acts.register_dataset(
            people.door(name), keys, name=f"{name}.csv", title=both(name), columns=COLUMNS, rows_max=500,
            fingerprint=data.fingerprint(file, known.local_key()))  # fmt: skip
        people.datasets[name] = wire
        book.put_dataset(Dataset(wire["document"]["id"], file, "csv", wire["document"]))
    courier = Courier(door, book)
    agent = Agent(known, Home(
        participant=keys.participant, party=name != "dealer", keys=keys, trust=people.trust, book=book,
        audit=Audit(known.audit, Cases(book)), chain=ChainView(chain, people.trust), post=courier.post,
        flush=courier.flush, inbox=known.inbox, session_seconds=known.session_seconds), door,
        Workers(home, command=worker_command("contributes")))  # fmt: skip
    return Node(agent, door, table)


@dataclass
class World:
    people: Space
    nodes: dict[str, Node]
    chain: ChainInMemory
    buyer: Buyer
    product: str

    def wake(self, name: str) -> list[str]:
        """The node is online for a moment: asks for work, does it, and what it posts is carried to the portal."""
        one, door = self.nodes[name], self.people.door(name)
        items = door.get("/work")["items"]
        for item in items:
            self.chain.register(item)
            for record in (wire["document"] for wire in item["participants"]):
                self.chain.records[chain_id_of(record["id"], record["id_salt"])] = "0x" + document_hash(record)
            one.agent.handle(item)
            one.wait()
        for path, body in one.door.posted:
            door.post(path, body)
        one.door.posted.clear()
        return [item["kind"] for item in items]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[World]:
    monkeypatch.setattr(simulated, "HOSPITALS", HOSPITALS)
    monkeypatch.setattr(simulated, "ROLES", {**simulated.ROLES, "hospital_d": "provider"})
    people, settings = found(tmp_path)
    monkeypatch.setattr(portal_space, "chain", lambda: people.chain)
    monkeypatch.setattr("marketplace.sdk.apart.KEY_BITS", 2048)
    chain = ChainInMemory()
    with settings:
        people.admit_all()
        nodes = {name: node(people, tmp_path, name, chain, rows(seat)) for seat, name in enumerate(HOSPITALS)}
        nodes["dealer"] = node(people, tmp_path, "dealer", chain, "")
        product = people.listed()
        people.agreement(product, people.granted(functions=("crosstab@1",)))
        buyer = Buyer(people.door("maker"), people.trust, people.keys["maker"], cache=tmp_path / "sdk-cache")
        yield World(people, nodes, chain, buyer, product)
    for one in nodes.values():
        one.agent.close()
        one.agent.book.close()


def test_it_works(world: World) -> None:
    people = world.people
    job = world.buyer.buy(world.product, CALL, engine="paillier", contribute_until=timedelta(minutes=30))
    assert job.state == "collecting"
    for name in AWAKE:
        assert world.wake(name) == ["contribute"]
        assert world.wake(name) == [], "it has contributed"
    assert {one["participant"] for one in job.status()["contributions"]["given"]} == {people.id(one) for one in AWAKE}
    assert world.wake("dealer") == []

    after = datetime.now(UTC) + timedelta(minutes=32)
    tend.sweep(now=after)
    tend.multiply(Job.objects.get().pk, now=after)  # as Celery does, whom the sweep wakes
    assert job.state == "closing"
    dealer = world.nodes["dealer"].agent
    dealer.judging._now = dealer.freezer._now = lambda: after
    world.chain.age = -int((after - datetime.now(UTC)).total_seconds())
    assert world.wake("dealer") == ["freeze"]
    assert job.state == "released"

    result = job.wait(seconds=10)
    frames = [pandas.read_csv(io.StringIO(world.nodes[name].table), dtype=str) for name in AWAKE]
    expected: Any = function(CALL.key).plain(frames, CALL.parameters, COLUMNS, 10)
    assert (result.rows, result.missing) == (expected["rows"], expected["missing"])
    assert all(row["n"] for row in result.rows)
    assert set(result.contributors) == {people.id(name) for name in AWAKE}
    spent = {str(use.grant.custodian_id) for use in GrantUse.objects.select_related("grant")}
    assert spent == set(result.contributors), "who never contributed spends nothing"
    body = Event.objects.get(kind="job.released").entry["body"]
    assert len(body["contributions"]) == 3
    assert Job.objects.get().contributions.count() == 3
    again = world.buyer.buy(world.product, CALL)
    assert (again.id, again.existing) == (job.id, True), "the same question is not computed anew, by no engine"
    assert again.wait(seconds=5).rows == result.rows

