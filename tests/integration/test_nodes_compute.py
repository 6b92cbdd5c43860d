"""Three nodes and the dealer with true workers, an untrusting portal and chain in memory: one job, exact to the unit.

Also what a lying portal can do to a session: nodes shown different specs never meet, and a party that is lost ends the
job with a name at everybody else.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas
import pytest

from deploy.organisations import POLICY
from ledger.approval import domain_of, sign_revocation
from ledger.documents import from_b64, timestamp
from mpc import masked, paillier
from mpc.disclosure import open_result
from mpc.functions.registry import function
from mpc.node import config, data, inbox
from mpc.node.agent import Agent
from mpc.node.audit import Audit
from mpc.node.book import Book, Dataset
from mpc.node.cases import Cases
from mpc.node.chainview import ChainView
from mpc.node.loop import Courier
from mpc.node.sessions import Home
from mpc.node.workers import Workers
from mpc.sharing import open_sealed
from mpc.spec import hpke_info
from mpc.token import holder_of
from tests.simulators.node_world import HOSPITALS, ChainInMemory, Document, DoorInMemory, World
from tests.simulators.relay_at_hand import RelayAtHand

pytestmark = pytest.mark.stack
HEART = Path(__file__).parents[2] / "fixtures" / "hospitals" / "uci-heart"
FILES = dict(zip(HOSPITALS, ("cleveland", "budapest", "long-beach"), strict=True))


@dataclass
class Space:
    """The nodes, and what a portal does between them."""

    world: World
    agents: dict[str, Agent]
    doors: dict[str, DoorInMemory]
    chain: ChainInMemory
    relay: RelayAtHand

    def check(self, item: Document) -> list[Document]:
        self.chain.register(item)
        for agent in self.agents.values():
            agent.handle(item)
        return [door.documents("verdict")[-1] for door in self.doors.values()]

    def meet(self, item: Document) -> None:
        wires = {name: next(body["verdict"] for _, body in reversed(door.posted) if "verdict" in body)
                 for name, door in self.doors.items()}
        seats = [self.world.name_of(seat["participant"]) for seat in item["spec"]["document"]["roster"]]
        session = {"kind": "session", "job": item["job"], "attempt": item["attempt"], "dealer": wires["dealer"],
                   "verdicts": [wires[name] for name in seats]}
        for name, agent in self.agents.items():
            seat = wires[name]["document"]["seat"]
            token = self.relay.token(seat, len(self.agents), room=f"{item['job']} {item['attempt']}",
                                     holder=holder_of(from_b64(wires[name]["document"]["session"]["certificate"])))
            agent.handle({**session, "relay": {"url": self.relay.url, "token": token}})

    def wait(self, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while any(agent.attempts for agent in self.agents.values()):
            assert time.monotonic() < deadline, {name: list(agent.attempts) for name, agent in self.agents.items()}
            time.sleep(0.05)

    def open(self, item: Document) -> Document:
        """What the consumer sees, by its own key."""
        spec, maker = item["spec"]["document"], self.world.keys["maker"]
        key = f"{spec['function']['name']}@1"
        envelopes = [self.doors[self.world.name_of(seat["participant"])].documents("envelope")[-1]
                     for seat in spec["roster"]]
        plains = [open_sealed(from_b64(one["sealed"]), private=maker.sealing, info=hpke_info(
            space=self.world.trust.space_id, job_hash=one["job_hash"], session=one["session"], sender=one["sender"],
            recipient=maker.participant, recipient_key=maker.sealing_public, gate_hash=one["gate_hash"]))
            for one in envelopes]
        plan = function(key).plan(spec["parameters"], self.columns, len(envelopes), 500 + 500 + 200)
        pattern, values = open_result(plains, parties=len(envelopes), session=envelopes[0]["session"],
                                      gate_hash_hex=envelopes[0]["gate_hash"], spans=plan.spans,
                                      limbs=plan.limbs)
        found: Document = function(key).finish(values, pattern, plan)
        return found

    def plain(self, item: Document) -> Document:
        spec = item["spec"]["document"]
        names = [FILES[self.world.name_of(seat["participant"])] for seat in spec["roster"]]
        frames = [pandas.read_csv(HEART / f"{name}.csv", dtype=str, keep_default_na=False, na_values=[""])
                  for name in names]
        found: Document = function(f"{spec['function']['name']}@1").plain(frames, spec["parameters"], self.columns, 10)
        return found

    @property
    def columns(self) -> list[Document]:
        return data.read_dictionary(HEART / "dictionary.json").columns


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    world = World(tmp_path)
    agents: dict[str, Agent] = {}
    doors: dict[str, DoorInMemory] = {}
    chain = ChainInMemory.of(world, {"grants": []})
    columns = data.read_dictionary(HEART / "dictionary.json").columns
    for name in (*HOSPITALS, "dealer"):
        keys, home = world.keys[name], tmp_path / name
        known = config.Config(home=home, participant=keys.participant, portal="http://127.0.0.1:1", name_zh="x",
                              role="dealer" if name == "dealer" else "provider", name_en="x",
                              approver=world.approver(name).address, service=world.service(name).address,
                              session_seconds=40)
        home.mkdir()
        config.create(known, policy=POLICY.read_text())
        book = Book(known.book)
        if name in FILES:
            file = home / "data" / "heart.csv"
            file.write_bytes((HEART / f"{FILES[name]}.csv").read_bytes())
            world.fingerprints[name] = data.fingerprint(file, known.local_key())
            world.datasets[name] = world.dataset(name, columns, data.check_file(file, columns).rows)
            record = world.datasets[name]["document"]
            book.put_dataset(Dataset(record["id"], file, "csv", record))
        doors[name] = DoorInMemory(keys.participant, chain)
        courier = Courier(doors[name], book)
        workers = Workers(home)
        workers.warm()  # as a node does at its start: else the last seat's import outlasts the first one's patience
        agents[name] = Agent(known, Home(
            participant=keys.participant, party=name != "dealer", keys=keys, trust=world.trust, book=book,
                audit=Audit(known.audit, Cases(book)),
            chain=ChainView(chain, world.trust), post=courier.post, flush=courier.flush, inbox=known.inbox,
            session_seconds=known.session_seconds), doors[name], workers)
    relay = RelayAtHand()
    yield Space(world, agents, doors, chain, relay)
    for agent in agents.values():
        agent.close()
        agent.book.close()
    relay.stop()


@pytest.mark.parametrize(("key", "parameters"), [
    ("describe", {"columns": ["age", "resting_bp", "max_heart_rate"], "by": "sex"}),
    ("crosstab", {"rows": "chest_pain", "columns": "disease_grade"}),
])
def test_it_works(space: Space, key: str, parameters: Document) -> None:
    item = space.world.item(function=key, parameters=parameters)
    assert {verdict["decision"] for verdict in space.check(item)} == {"accept"}
    space.meet(item)
    space.wait()
    assert [door.documents("failure") for door in space.doors.values()] == [[]] * 4
    opened = space.open(item)
    assert opened == space.plain(item)
    if key == "crosstab":
        assert opened["withheld"] > 0
    gates = {door.documents("envelope")[-1]["gate_hash"] for name, door in space.doors.items() if name != "dealer"}
    assert len(gates) == 1


def test_hospitals_that_are_not_online_together(space: Space) -> None:
    """One contribution each, by true workers without any link; the office freezes as soon as all are in."""
    secret, names = paillier.generate(2048), [name for name in space.agents if name != "dealer"]
    parameters = {"columns": ["age", "max_heart_rate"], "by": "exercise_angina"}
    plan = function("describe@1").plan(parameters, space.columns, 3, 500 + 500 + 200)
    by = timestamp(datetime.now(UTC) + timedelta(minutes=30))
    item = space.world.item(parameters=parameters, engine="paillier/1", contributions={
        "by": by, "minimum": 3, "ciphertexts": masked.width(plan, 2048), "key": secret.public.document()})
    space.chain.register(item)
    for name in names:
        agent = space.agents[name]
        policy = agent.config.policy
        policy.write_text(policy.read_text().replace('engines = ["crypten"]', 'engines = ["paillier"]'))
        agent.handle({**item, "kind": "contribute"})
        space.wait()
    bodies = [next(body for _, body in space.doors[name].posted if "contribution" in body) for name in names]
    wires = sorted((body["contribution"] for body in bodies), key=lambda one: int(one["document"]["seat"]))
    space.agents["dealer"].handle({**item, "kind": "freeze", "contributions": wires})
    word = space.doors["dealer"].posted[-1][1]["freeze"]
    question = masked.question_of(item["spec"]["document"], plan, space=space.world.trust.space_id)
    pattern, totals = masked.open_total(
        question, item["spec"]["document"], [(body["contribution"], from_b64(body["ciphertexts"])) for body in bodies],
        word, secret=secret, sealing=space.world.keys["maker"].sealing)
    opened, plain = function("describe@1").finish(totals, pattern, plan), space.plain(item)
    shown = [row for row in opened["rows"] if row["n"] is not None]
    assert shown and all(row in plain["rows"] for row in shown), "what opens is exact; more may stay closed"


def test_two_nodes_shown_different_specs_never_meet(space: Space) -> None:
    item = space.world.item()
    other = space.world.resign({**item}, disclosure={"floor": 20})
    space.chain.register(item)
    for name, agent in space.agents.items():
        agent.handle(other if name == "hospital_b" else item)
    space.meet(item)
    space.wait()
    assert {door.documents("failure")[-1]["code"] for door in space.doors.values()} == {"session.mismatch"}
    assert all(door.documents("envelope") == [] for door in space.doors.values())


def test_a_revocation_that_only_the_dealer_knows_ends_the_session(space: Space) -> None:
    """The portal withholds it, the chain has not got it, every hospital accepted: the dealer deals nothing."""
    for agent in space.agents.values():
        agent.home = replace(agent.home, session_seconds=8)  # how long the hospitals wait for a dealer that will not
    item = space.world.item()
    assert {verdict["decision"] for verdict in space.check(item)} == {"accept"}
    revocation = sign_revocation(item["grants"][0]["terms"], space.world.approver("office"), by="regulator",
                                 reason="stop", domain=domain_of(space.world.trust))
    inbox.drop(space.agents["dealer"].config.inbox, revocation)
    space.meet(item)
    space.wait()
    failures = {name: door.documents("failure")[-1]["code"] for name, door in space.doors.items()}
    assert failures.pop("dealer") == "grant.revoked"
    assert set(failures.values()) <= {"dealer.lost", "session.peer_lost", "session.peer_silent", "session.deadline"}
    assert all(door.documents("envelope") == [] for door in space.doors.values())


@pytest.mark.parametrize(("lost", "codes"), [
    ("hospital_c", {"session.peer_lost", "session.peer_silent", "worker.failed"}),
    ("dealer", {"dealer.lost", "session.peer_silent", "worker.failed"}),
])
def test_a_lost_party_has_a_name(space: Space, lost: str, codes: set[str]) -> None:
    space.doors["hospital_a"].chain = None  # its use never becomes final, so the session is still there to be lost
    item = space.world.item()
    space.check(item)
    space.meet(item)
    own = space.agents["hospital_b"].book
    terms = next(one["terms"] for one in item["grants"]
                 if one["terms"]["custodian"] == space.world.keys["hospital_b"].participant)
    job_hash = space.doors["hospital_b"].documents("verdict")[-1]["job_hash"]
    deadline = time.monotonic() + 40
    while own.use_state(terms["id"], job_hash) in (None, "reserved"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    attempt = next(iter(space.agents[lost].attempts.values()))
    os.kill(attempt.worker.pid, signal.SIGKILL)
    space.wait()
    for name, door in space.doors.items():
        if name != lost:
            assert door.documents("failure")[-1]["code"] in codes
        assert door.documents("envelope") == []
    if lost != "dealer":
        _the_second_attempt_ends_well(space, item)


def _the_second_attempt_ends_well(space: Space, item: Document) -> None:
    """New keys, one use a grant, one envelope a node; a third attempt, after the seal, nobody joins."""
    before = {name: door.documents("verdict")[-1]["session"] for name, door in space.doors.items()}
    space.doors["hospital_a"].chain = space.chain
    item["attempt"] = 2
    assert {verdict["decision"] for verdict in space.check(item)} == {"accept"}
    assert all(door.documents("verdict")[-1]["session"] != before[name] for name, door in space.doors.items())
    space.meet(item)
    space.wait()
    assert space.open(item) == space.plain(item)
    assert len(space.chain.uses) == len(HOSPITALS)
    assert all(len(space.doors[name].documents("envelope")) == 1 for name in HOSPITALS)
    item["attempt"] = 3
    verdicts = space.check(item)[: len(HOSPITALS)]
    assert {(verdict["decision"], verdict["code"]) for verdict in verdicts} == {("refuse", "spec.replayed")}


def test_codes_that_no_dictionary_lists_count_as_missing(space: Space) -> None:
    """Files registered with drafted dictionaries hold rare codes that the drafts dropped."""
    for name in HOSPITALS:
        home = space.agents[name].config
        file = home.data / "heart.csv"
        text = file.read_text().replace(",asymptomatic,", ",code of one hospital,", 3)
        file.write_text(text)
        columns = data.draft(file)
        assert data.check_file(file, columns, unlisted_as_missing=True).unlisted["chest_pain"] >= 3
        space.world.fingerprints[name] = data.fingerprint(file, home.local_key())
        space.world.datasets[name] = space.world.dataset(name, columns, 300)
        record = space.world.datasets[name]["document"]
        space.agents[name].book.put_dataset(Dataset(record["id"], file, "csv", record))
    item = space.world.item(function="crosstab", parameters={"rows": "chest_pain", "columns": "exercise_angina"})
    space.check(item)
    space.meet(item)
    space.wait()
    assert [door.documents("failure") for door in space.doors.values()] == [[]] * 4
    assert all(len(space.doors[name].documents("envelope")) == 1 for name in HOSPITALS)
