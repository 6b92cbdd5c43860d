"""A stolen operator: it has the chain key, the log key and the database, and relays whatever it likes.

On a real chain, with real papers. What it shows to a node or an SDK is what it would show; what it sends to the chain
it sends with its own key. Each attack is one that a reader would fall for who believed the portal.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.devchain import DevChain
from deploy.waiting import wait_until
from ledger import acts
from ledger.approval import (
    approve,
    domain_of,
    grant_chain_id,
    participants_domain_of,
    sign_record,
    sign_revocation,
    sign_suspension,
    space_salt,
)
from ledger.chain import Chain
from ledger.deployment import deploy_contracts
from ledger.documents import document_hash, new_id, new_salt, sign
from ledger.errors import ChainRefused, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.membership import next_record
from ledger.participant import controller_of, make_wire, record_chain_id
from marketplace.sdk import catalogue
from marketplace.sdk.catalogue import Catalogue
from marketplace.sdk.client import Portal
from marketplace.sdk.errors import VerificationError as SdkVerificationError
from marketplace.sdk.records import ChainRecords
from mpc.node import checks
from mpc.node.chainview import ChainView
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import NOW, ChainInMemory, Document, DoorInMemory, World

pytestmark = pytest.mark.stack


@dataclass
class Stolen:
    """A space on a chain, seen by a node; and its operator's key in a thief's hand."""

    world: World
    chain: Chain
    operator: EthKey
    item: Document
    nonce: int = 0
    door: DoorInMemory = field(default_factory=DoorInMemory)

    def send(self, build: Any, **values: Any) -> None:
        """The thief relays: mined, or refused with what the contract says."""
        tx = build(self.operator, self.nonce, **values)
        self.chain.preflight(tx)
        self.chain.wait(self.chain.send_raw(tx.raw), seconds=20)
        self.nonce += 1

    def refused(self, build: Any, code: str, **values: Any) -> None:
        with pytest.raises(ChainRefused) as caught:
            self.send(build, **values)
        assert caught.value.code == f"chain.refused.{code}"

    def put(self, wire: Document, **lies: Any) -> dict[str, Any]:
        """What the registry takes for this record, under the regulator's signature unless told otherwise."""
        document = wire["document"]
        admission = sign_record(record_chain_id(document), document_hash(document), document["number"],
                                lies.pop("by", self.world.approver("office")),
                                participants_domain_of(self.world.trust), controller=controller_of(document),
                                sign_by=int(time.time()) + 600)
        return {"participant_id": record_chain_id(document), "record_hash": "0x" + document_hash(document),
                "number": document["number"], "controller": controller_of(document), "decider": admission["decider"],
                "sign_by": admission["sign_by"], "signature": admission["signature"],
                "control": wire["control"]["signature"],
                "handover": wire["handover"]["signature"] if wire["handover"] else "0x", **lies}

    def settle(self) -> None:
        """Until what was sent is final."""
        reached = self.chain.head().number
        wait_until(lambda: self.chain.finalized().number >= reached, seconds=30)

    def papers(self, item: Document | None = None) -> Papers:
        return verify_papers(item or self.item, me=self.world.me("hospital_a"), trust=self.world.trust, now=NOW)

    def judge(self, item: Document | None = None) -> str:
        """What hospital A's node says to these papers: `accept`, or its refusal."""
        try:
            papers = self.papers(item)
            facts = ChainView(self.chain, self.world.trust).facts(papers)
            checks.check_chain(papers, facts, NOW.fromtimestamp(facts.time, NOW.tzinfo))
        except Refused as refusal:
            return refusal.code
        return "accept"

    def with_record(self, name: str, wire: Document) -> Document:
        """The papers as the thief's portal would show them: another record of this participant."""
        id = self.world.keys[name].participant
        item = copy.deepcopy(self.item)
        item["participants"] = [wire if one["document"]["id"] == id else one for one in item["participants"]]
        return item

    def sdk(self, name: str, wire: Document) -> Document:
        """The record of this participant as an SDK with an endpoint of its own takes it from the thief's portal."""
        self.door.shelves[f"/participants/{self.world.keys[name].participant}"] = {"record": wire}
        reader = Catalogue(Portal(self.door), self.world.trust,
                           chain=ChainRecords(self.world.trust, self.chain.rpc.urls[0]))
        return reader.participant(self.world.keys[name].participant)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a chain that will not come up to the thief's record."""
    monkeypatch.setattr(catalogue, "PATIENCE", 0.0)


@pytest.fixture(scope="module")
def stolen(devchain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stolen]:
    world, operator, space_id = World(tmp_path_factory.mktemp("stolen")), EthKey.create(), new_id()
    chain = Chain([devchain.url])
    contracts = deploy_contracts(chain, EthKey.create(), admin=world.approver("office").address,
                                 operator=operator.address, space_salt=space_salt(space_id), veto_delay=1)
    world.found(space_id, {"id": chain.chain_id, "profile": "embedded", "genesis": chain.genesis_hash(),
                           "rpc": [devchain.url], "quorum": 1, "contracts": contracts})
    made = Stolen(world, chain, operator, world.item())
    for name in world.records:
        made.send(chain.sign_put_participant, **made.put(world.records[name]))
    for grant in made.item["grants"]:
        made.send(chain.sign_register, **grant)
    made.settle()
    yield made
    chain.close()


def test_it_works(stolen: Stolen) -> None:
    assert stolen.judge() == "accept"
    assert stolen.sdk("hospital_b", stolen.world.records["hospital_b"]) == stolen.world.record("hospital_b")


def test_it_cannot_swap_a_participants_key(stolen: Stolen, tmp_path: Any) -> None:
    world = stolen.world
    thief = KeyFile.create(tmp_path / "thief.json", participant=world.keys["hospital_b"].participant, service=True,
                           approval=True)
    wire = make_wire(next_record(world.record("hospital_b"), thief, []), trust=world.trust, keys=thief,
                     approvers=[thief.approval or stolen.operator])
    # with its own signature in the regulator's place, and with the regulator's under another record
    stolen.refused(stolen.chain.sign_put_participant, "not_regulator", **stolen.put(wire, by=stolen.operator))
    old = stolen.put(world.records["hospital_b"])
    stolen.refused(stolen.chain.sign_put_participant, "bad_signer",
                   **{**stolen.put(wire), "signature": old["signature"]})
    # even with a regulator's true signature: the holder did not hand over
    stolen.refused(stolen.chain.sign_put_participant, "bad_signer", **stolen.put(wire))
    # so it shows its record at the portal alone
    assert stolen.judge(stolen.with_record("hospital_b", wire)) == "participant.record_mismatch"
    with pytest.raises(SdkVerificationError):
        stolen.sdk("hospital_b", wire)


def test_a_stolen_regulator_key_does_not_bring_it_past_the_chain(stolen: Stolen, tmp_path: Any) -> None:
    """Every signature on the record holds, the regulator's too: only that it is not the current one tells."""
    world = stolen.world
    thief = KeyFile.create(tmp_path / "thief.json", participant=world.keys["hospital_b"].participant, service=True,
                           approval=True)
    record = next_record(world.record("hospital_b"), thief, [])
    wire = make_wire(record, trust=world.trust, keys=thief, approvers=[thief.approval or stolen.operator])
    wire["signatures"].append(sign(record, world.keys["office"].signing))
    stolen.door.shelves[f"/participants/{record['id']}"] = {"record": wire}
    assert acts.participant_of(stolen.door, world.trust, record["id"]) == record  # naively it is believed
    with pytest.raises(VerificationError) as caught:
        acts.participant_of(stolen.door, world.trust, record["id"], chain=stolen.chain)
    assert caught.value.code == "participant.record_mismatch"
    with pytest.raises(SdkVerificationError, match="not the current one"):
        stolen.sdk("hospital_b", wire)


def test_it_cannot_bring_back_an_old_key(stolen: Stolen, tmp_path: Any) -> None:
    """Hospital C changed its keys because the old ones were stolen; the thief has these and the old record."""
    world, before = stolen.world, stolen.world.records["hospital_c"]
    fresh = KeyFile.create(tmp_path / "fresh.json", participant=world.keys["hospital_c"].participant, service=True,
                           approval=True)
    wire = make_wire(next_record(before["document"], fresh, []), trust=world.trust, keys=fresh,
                     approvers=[fresh.approval or stolen.operator], former=world.keys["hospital_c"],
                     holder=world.approver("hospital_c"))
    wire["signatures"].append(sign(wire["document"], world.keys["office"].signing))
    stolen.send(stolen.chain.sign_put_participant, **stolen.put(wire))
    stolen.settle()
    assert stolen.sdk("hospital_c", wire) == wire["document"]
    stolen.refused(stolen.chain.sign_put_participant, "stale_number", **stolen.put(before))
    assert stolen.judge() == "participant.record_mismatch"  # the papers of old, with the old record
    with pytest.raises(SdkVerificationError, match="not the current one"):
        stolen.sdk("hospital_c", before)


def test_it_cannot_register_a_grant_that_a_node_honours(stolen: Stolen) -> None:
    world = stolen.world
    members = ("hospital_a", "hospital_b", "outsider")
    item = world.item(members=members)
    forged = item["grants"][0]
    forged["approval"] = approve(forged["terms"], stolen.operator, domain=domain_of(world.trust),
                                 nonce="0x" + new_salt(), sign_by=int(time.time()) + 600)
    stolen.refused(stolen.chain.sign_register, "not_regulator", **forged)
    assert stolen.judge(item) == "grant.approval_invalid"
    # a chain that says yes to everything (the embedded one is the operator's) does not help it
    lying = ChainInMemory.of(world, item)
    with pytest.raises(Refused) as caught:
        ChainView(lying, world.trust).facts(stolen.papers(item))
    assert caught.value.code == "grant.approval_invalid"


def test_it_cannot_revive_a_revoked_grant(stolen: Stolen) -> None:
    world = stolen.world
    item = world.item(members=("hospital_a", "hospital_b", "outsider"))
    for grant in item["grants"]:
        stolen.send(stolen.chain.sign_register, **grant)
    stolen.settle()
    assert stolen.judge(item) == "accept"
    terms = item["grants"][1]["terms"]
    revocation = sign_revocation(terms, world.approver("office"), by="regulator", reason="stop",
                                 domain=domain_of(world.trust))
    id = stolen.papers(item).grants[1].chain_id
    stolen.send(stolen.chain.sign_revoke, grant_id=id, reason_hash=revocation["reason_hash"],
                decider=revocation["decider"], signature=revocation["signature"])
    assert stolen.judge(item) == "grant.revoked"
    stolen.send(stolen.chain.sign_register, **item["grants"][1])  # taken for a repetition, and changes nothing
    assert stolen.judge(item) == "grant.revoked"
    # a chain of its own that forgot: the node kept the revocation itself
    papers = stolen.papers(item)
    facts = ChainView(ChainInMemory.of(world, item), world.trust).facts(papers)
    checks.check_chain(papers, facts, NOW.fromtimestamp(facts.time, NOW.tzinfo))
    with pytest.raises(Refused, match="revocation"):
        checks.check_not_revoked(papers.grants, [revocation], world.trust)


def test_it_cannot_lift_a_suspension(stolen: Stolen) -> None:
    world = stolen.world
    item = world.item(members=("hospital_a", "hospital_b", "outsider"))
    for grant in item["grants"]:
        stolen.send(stolen.chain.sign_register, **grant)
    stolen.settle()
    grant, member = stolen.papers(item).grants[0].chain_id, record_chain_id(world.record("outsider"))
    for code, subject, domain, build, name in (
            ("grant.suspended", grant, domain_of(world.trust), stolen.chain.sign_suspend_grant, "grant_id"),
            ("participant.suspended", member, participants_domain_of(world.trust),
             stolen.chain.sign_suspend_participant, "participant_id")):
        def signed(on: bool, number: int, key: EthKey | None = None, *, subject: str = subject, domain: Any = domain,
                   name: str = name) -> dict[str, Any]:
            made = sign_suspension(subject, on, number, key or world.approver("office"), domain)
            return {name: subject, **{one: made[one] for one in ("suspended", "number", "decider", "signature")}}

        number = time.time_ns() // 1_000_000
        earlier = signed(False, number + 1)
        stolen.send(build, **signed(True, number))
        stolen.send(build, **earlier)
        stolen.send(build, **signed(True, number + 2))
        assert stolen.judge(item) == code
        stolen.refused(build, "not_regulator", **signed(False, number + 3, stolen.operator))
        stolen.refused(build, "stale_number", **earlier)
        assert stolen.judge(item) == code
        stolen.send(build, **signed(False, number + 4))
        stolen.settle()
        assert stolen.judge(item) == "accept"


def test_a_regulators_key_that_runs_ahead_of_the_clock_holds_nobody_up(stolen: Stolen) -> None:
    """Stolen too, it signed a restoration of almost a day ahead. Its owner suspends again now, not tomorrow."""
    world, record = stolen.world, stolen.world.record("outsider")
    subject, grant = record_chain_id(record), stolen.item["grants"][0]["terms"]
    stolen.door.shelves[f"/participants/{record['id']}"] = {"record": world.records["outsider"]}
    ahead = time.time_ns() // 1_000_000 + 86_000_000
    thief = sign_suspension(subject, False, ahead, world.approver("office"), participants_domain_of(world.trust))
    held = sign_suspension(grant_chain_id(grant), False, ahead, world.approver("office"), domain_of(world.trust))
    for build, name, id, said in ((stolen.chain.sign_suspend_participant, "participant_id", subject, thief),
                                  (stolen.chain.sign_suspend_grant, "grant_id", grant_chain_id(grant), held)):
        stolen.send(build, **{name: id, **{one: said[one] for one in ("suspended", "number", "decider", "signature")}})
    office, approver = world.keys["office"], world.approver("office")
    for on in (True, False):
        done = acts.suspend_participant(stolen.door, office, world.trust, record["id"], suspended=on, approver=approver,
                                        chain=stolen.chain)["suspension"]
        stolen.send(stolen.chain.sign_suspend_participant, participant_id=subject,
                    **{one: done[one] for one in ("suspended", "number", "decider", "signature")})
        done = acts.suspend_grant(stolen.door, world.trust, grant["id"], suspended=on, approver=approver, terms=grant,
                                  chain=stolen.chain)["suspension"]
        stolen.send(stolen.chain.sign_suspend_grant, grant_id=grant_chain_id(grant),
                    **{one: done[one] for one in ("suspended", "number", "decider", "signature")})
        assert done["number"] > ahead
