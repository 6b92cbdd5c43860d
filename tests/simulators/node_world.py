"""A space for the node's tests: an office, a dealer, three hospitals and an enterprise, and the papers of one job.

Everything is signed for real; a test takes the papers apart, changes one thing, signs again what its liar could sign,
and sees what a node says. `ChainInMemory` answers like `ledger.chain.Chain`, and fails on cue.
"""

import copy
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import acts
from ledger.approval import approve, consent, domain_of
from ledger.documents import (
    chain_id_of,
    document_hash,
    new_document,
    new_id,
    new_salt,
    public_hex,
    sign,
    signed,
    timestamp,
)
from ledger.errors import ChainRefused, ChainUnavailable
from ledger.keys import EthKey, KeyFile
from ledger.participant import make_wire
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from mpc.catalog import CATALOG
from mpc.node.data import rows_max
from mpc.node.papers import Me

NOW = datetime.now(UTC).replace(microsecond=0)
HOSPITALS = ("hospital_a", "hospital_b", "hospital_c")
ROLES = {"office": "regulator", "dealer": "dealer", **dict.fromkeys(HOSPITALS, "provider"), "maker": "consumer",
         "outsider": "provider"}
CONTRACTS = {name: {"address": "0x" + byte * 20, "code_hash": "0x" + byte * 32}
             for name, byte in (("anchor", "a1"), ("grants", "b2"), ("participants", "c3"))}
Document = dict[str, Any]


def both(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def number(name: str) -> Document:
    return {"name": name, "label": both(name), "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1",
            "codes": None}


def category(name: str, *codes: str) -> Document:
    return {"name": name, "label": both(name), "kind": "category", "unit": None, "min": None, "max": None,
            "step": None, "codes": list(codes)}


COLUMNS = [number("age"), category("sex", "Female", "Male"), category("grade", "0", "1"), category("pain", "no", "yes")]


def resigned(wire: Document, key: Ed25519PrivateKey, **changes: Any) -> Document:
    """The same document with other values, signed anew by whoever holds the key."""
    return signed({**wire["document"], **changes}, key)


@dataclass
class World:
    """Keys and records of everybody; `item()` makes the papers of a fresh job."""

    folder: Path
    keys: dict[str, KeyFile] = field(default_factory=dict)
    records: dict[str, Document] = field(default_factory=dict)
    datasets: dict[str, Document] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ROLES:
            self.keys[name] = KeyFile.create(self.folder / f"{name}.keys.json", service=True, approval=True)
        self.found(new_id(), {"id": 4242, "profile": "embedded", "genesis": "0x" + "00" * 32,
                              "rpc": ["http://127.0.0.1:1"], "quorum": 1, "contracts": CONTRACTS})

    def found(self, space_id: str, chain: Mapping[str, Any]) -> None:
        """A trust file over this chain; everybody is admitted under it and describes its dataset."""
        office, dealer = self.keys["office"], self.keys["dealer"]
        root = Ed25519PrivateKey.generate()
        self.trust_wire = make_trust(
            root, space_id=space_id, name="test", log_key=public_hex(Ed25519PrivateKey.generate()), chain=chain,
            regulator={"participant": office.participant, "signing": office.signing_public,
                       "sealing": office.sealing_public, "approvers": [self.approver("office").address]},
            dealer={"participant": dealer.participant, "signing": dealer.signing_public})
        self.fingerprint = fingerprint_of_root(public_hex(root))
        self.trust: Trust = load_trust(self.trust_wire, fingerprint=self.fingerprint)
        for name, role in ROLES.items():
            record = new_document("participant", id=self.keys[name].participant, number=1, name=both(name),
                                  admitted_as=[role], keys=self.keys[name].public_record_keys())
            self.records[name] = self.admitted(record, name)
        for name in (*HOSPITALS, "outsider"):
            self.datasets[name] = self.dataset(name)

    def admitted(self, record: Document, name: str) -> Document:
        """The record as everybody sees it: signed by each of its keys and by the regulator."""
        wire = make_wire(record, trust=self.trust, keys=self.keys[name], approvers=[self.approver(name)])
        if name != "office":
            wire["signatures"].append(sign(record, self.keys["office"].signing))
        return wire

    def dataset(self, name: str, columns: Sequence[Document] = tuple(COLUMNS), rows: int = 400) -> Document:
        document = new_document(
            "dataset", id=new_id(), provider=self.keys[name].participant, number=1, name=f"{name}-heart",
            title=both("heart"), columns=list(columns), rows_max=rows_max(rows),
            fingerprint=self.fingerprints.get(name, "f0" * 32))
        return signed(document, self.keys[name].signing)

    def approver(self, name: str) -> EthKey:
        found = self.keys[name].approval
        if found is None:
            raise LookupError(name)
        return found

    def service(self, name: str) -> EthKey:
        found = self.keys[name].service
        if found is None:
            raise LookupError(name)
        return found

    def record(self, name: str) -> Document:
        found: Document = self.records[name]["document"]
        return found

    def me(self, name: str) -> Me:
        keys = self.keys[name]
        return Me(keys.participant, keys.signing_public, name != "dealer", approver=self.approver(name).address,
                  service=self.service(name).address)

    def name_of(self, participant: str) -> str:
        return next(name for name, keys in self.keys.items() if keys.participant == participant)

    # permission
    def scenario(self, members: Sequence[str] = HOSPITALS, **values: Any) -> Document:
        datasets = [self.datasets[name]["document"] for name in members]
        values = {"functions": [{"name": "crosstab", "version": 1}, {"name": "describe", "version": 1}], "floor": 10,
                  "by_institution": False, "max_uses": 5, "not_before": timestamp(NOW - timedelta(days=1)),
                  "not_after": timestamp(NOW + timedelta(days=30)), **values}
        return new_document("scenario", id=new_id(), title=both("trial"), purpose="研究", persons=[],
                            consumer=self.keys["maker"].participant, datasets=acts.references(datasets), **values)

    def grant(self, scenario: Document, dataset: Document, **changes: Any) -> Document:
        """Terms and both approvals of one dataset's grant, papers as on the wire."""
        name = self.name_of(dataset["provider"])
        terms = acts.terms_for(scenario, dataset, provider=self.record(name), consumer=self.record("maker"),
                               digests={key: entry.digest for key, entry in CATALOG.items()}, trust=self.trust)
        return self.approved({**terms, **changes}, name)

    def approved(self, terms: Document, name: str, *, office: str = "office", service: str = "") -> Document:
        domain, sign_by = domain_of(self.trust), int(NOW.timestamp()) + 6 * 3600
        return {
            "terms": terms,
            "approval": approve(terms, self.approver(office), domain=domain, nonce="0x" + new_salt(),
                                sign_by=sign_by),
            "consent": consent(terms, self.approver(name), domain=domain, nonce="0x" + new_salt(),
                               sign_by=sign_by, service=service or self.service(name).address)}

    # a job
    def item(self, *, members: Sequence[str] = HOSPITALS, function: str = "describe",
             parameters: Mapping[str, Any] | None = None, grants: Sequence[Document] | None = None,
             scenario: Document | None = None, **spec: Any) -> Document:
        """The work item of a fresh job over these hospitals' datasets."""
        plan = scenario or self.scenario(members)
        records = sorted((self.datasets[name]["document"] for name in members), key=lambda one: str(one["id"]))
        papers = list(grants) if grants is not None else [self.grant(plan, one) for one in records]
        named = [{"id": one["terms"]["id"], "terms_hash": document_hash(one["terms"]), "dataset": record["id"]}
                 for one, record in zip(papers, records, strict=True)]
        agreement = new_document(
            "agreement", id=new_id(), product=new_id(), product_hash="aa" * 32, scenario=plan["id"],
            scenario_hash=document_hash(plan), consumer=self.keys["maker"].participant,
            provider=records[0]["provider"], price={"amount": 100, "currency": "CNY"}, grants=named)
        lead = self.name_of(records[0]["provider"])
        document = self.spec(records, named, agreement, function, parameters)
        document.update(spec)
        return {
            "kind": "check", "job": document["id"], "attempt": 1,
            "spec": signed(document, self.keys["maker"].signing),
            "agreement": signed(agreement, self.keys["maker"].signing, self.keys[lead].signing), "grants": papers,
            "participants": [copy.deepcopy(self.records[name]) for name in (*members, "maker", "dealer")],
            "datasets": [copy.deepcopy(self.datasets[self.name_of(one["provider"])]) for one in records]}

    def spec(self, records: Sequence[Document], named: Sequence[Document], agreement: Document, function: str,
             parameters: Mapping[str, Any] | None) -> Document:
        roster = []
        for seat, one in enumerate(records):
            record = self.record(self.name_of(one["provider"]))
            roster.append({"seat": seat, "participant": record["id"], "signing": record["keys"]["signing"],
                           "record_hash": document_hash(record)})
        default = {"columns": ["age"], "by": "sex"} if function == "describe" else {"rows": "pain", "columns": "grade"}
        return new_document(
            "job_spec", id=new_id(), agreement=agreement["id"], agreement_hash=document_hash(agreement),
            grants=list(named), parameters=dict(parameters or default), filter=None, roster=roster, engine="crypten/1",
            function={"name": function, "version": 1, "digest": CATALOG[f"{function}@1"].digest},
            inputs=[{"dataset": one["id"], "dataset_hash": document_hash(one), "provider": one["provider"]}
                    for one in records],
            dealer={"participant": self.keys["dealer"].participant, "signing": self.keys["dealer"].signing_public},
            disclosure={"floor": 10}, issued_at=timestamp(NOW - timedelta(seconds=5)),
            deadline=timestamp(NOW + timedelta(hours=6)), nonce=new_salt(),
            recipient={"participant": self.keys["maker"].participant, "sealing": self.keys["maker"].sealing_public})

    def resign(self, item: Document, **changes: Any) -> Document:
        """The consumer itself signs a changed spec."""
        item["spec"] = resigned(item["spec"], self.keys["maker"].signing, **changes)
        return item


@dataclass
class ChainInMemory:
    """What nodes read of a chain, from a dictionary; `unavailable` and `age` make it fail on cue."""

    registered: dict[str, Any] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    tombstones: set[tuple[str, str]] = field(default_factory=set)
    uses: set[tuple[str, str]] = field(default_factory=set)
    records: dict[str, str] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    unavailable: str = ""
    age: int = 1
    refusing: ChainRefused | None = None
    deaf: bool = False
    brought: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, world: World, item: Document) -> "ChainInMemory":
        chain = cls()
        chain.register(item)
        for wire in world.records.values():
            record = wire["document"]
            chain.records[chain_id_of(record["id"], record["id_salt"])] = "0x" + document_hash(record)
        return chain

    def register(self, item: Document) -> None:
        for grant in item["grants"]:
            terms = grant["terms"]
            self.registered[chain_id_of(terms["id"], terms["salt"])] = SimpleNamespace(
                terms_hash="0x" + document_hash(terms), custodian=grant["consent"]["decider"],
                service=grant["consent"]["service"], not_before=0, not_after=2**40, max_uses=terms["max_uses"], uses=0,
                suspended=False)

    def _up(self) -> None:
        if self.unavailable:
            raise ChainUnavailable(self.unavailable, "not now")

    def check_contracts(self, trust: Trust) -> None:
        self._up()

    def head(self) -> Any:
        self._up()
        return SimpleNamespace(number=7, time=int(datetime.now(UTC).timestamp()) - self.age)

    def grant(self, grant_id: str, block: str = "finalized") -> Any:
        self._up()
        return self.registered.get(grant_id)

    def is_revoked(self, grant_id: str, deciders: Sequence[str] = ()) -> bool:
        self._up()
        return grant_id in self.revoked or any((grant_id, one) in self.tombstones for one in deciders)

    def used(self, grant_id: str, job_hash: str, block: str = "finalized") -> bool:
        self._up()
        return (grant_id, job_hash.removeprefix("0x")) in self.uses

    def sign_consume(self, key: EthKey, nonce: int, *, grant_id: str, job_hash: str, signature: str) -> Any:
        return SimpleNamespace(raw=json.dumps([grant_id, job_hash.removeprefix("0x")]))

    def preflight(self, tx: Any) -> None:
        self._up()
        if self.refusing is not None:
            raise self.refusing

    def send_raw(self, raw: str) -> str:
        self._up()
        if self.deaf:
            raise ChainRefused("chain.refused", "insufficient funds for gas")
        self.brought.append(tuple(json.loads(raw)))
        self.uses.add(self.brought[-1])
        return "0x"

    def participant_record(self, id: str, block: str = "finalized") -> Any:
        self._up()
        found = self.records.get(id)
        return None if found is None else SimpleNamespace(
            record_hash=found, number=1, suspended=id in self.suspended)


@dataclass
class DoorInMemory:
    """The portal's side of a node's door: keeps what was posted; `relay` makes uses final on the chain given."""

    participant: str = ""
    chain: ChainInMemory | None = None
    posted: list[tuple[str, Document]] = field(default_factory=list)
    shelves: dict[str, Any] = field(default_factory=dict)

    def get(self, path: str, params: Mapping[str, Any] | None = None, **_: Any) -> Any:
        return self.shelves[path]

    def post(self, path: str, body: Mapping[str, Any] | None = None, **_: Any) -> Any:
        kept = json.loads(json.dumps(dict(body or {})))
        self.posted.append((path, kept))
        if path == "/uses" and self.chain is not None:
            self.chain.uses.add((kept["grant_chain_id"], kept["job_hash"]))
        return {}

    def documents(self, kind: str) -> list[Document]:
        """What was posted as a verdict, an envelope, a failure."""
        return [body[kind]["document"] for _, body in self.posted if kind in body]


@contextmanager
def slow_post(monkeypatch: pytest.MonkeyPatch, ending: str) -> Iterator[threading.Event]:
    """What a node posts to a path with this ending is on its way until the block ends; the event says that it left."""
    leaving, arrived, post = threading.Event(), threading.Event(), DoorInMemory.post

    def slowly(door: DoorInMemory, path: str, body: Mapping[str, Any] | None = None, **more: Any) -> Any:
        if path.endswith(ending):
            leaving.set()
            arrived.wait(60)
        return post(door, path, body, **more)

    monkeypatch.setattr(DoorInMemory, "post", slowly)
    try:
        yield leaving
    finally:
        arrived.set()
