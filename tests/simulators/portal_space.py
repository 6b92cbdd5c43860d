"""A space around the real portal: its people with their keys, doors that sign, and a chain in memory.

Used by the tests of the portal's areas; import its fixtures into a `conftest.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from dataspace.actor import Actor
from dataspace.provenance import followers, guard, space
from ledger import acts
from ledger.approval import domain_of, grant_chain_id, sign_use
from ledger.documents import document_hash, new_document, new_id, new_salt, public_hex, signed, timestamp
from ledger.door import Door
from ledger.keys import EthKey, KeyFile
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from mpc.catalog import CATALOG
from mpc.spec import session_id
from tests.simulators.memory_chain import MemoryChain, Mined, Switches

HOSPITALS = ("hospital_a", "hospital_b", "hospital_c")
ROLES = {
    "office": "regulator",
    "dealer": "dealer",
    **dict.fromkeys(HOSPITALS, "provider"),
    "maker": "consumer",
    "rival": "consumer",
}
CONTRACTS = {
    name: {"address": "0x" + byte * 20, "code_hash": "0x" + byte * 32}
    for name, byte in (("anchor", "a1"), ("grants", "b2"), ("participants", "c3"))
}
COLUMNS: list[dict[str, Any]] = [
    {
        "name": "age",
        "label": {"zh": "年龄", "en": "Age"},
        "kind": "number",
        "unit": "a",
        "min": "0",
        "max": "120",
        "step": "1",
        "codes": None,
    },
    {
        "name": "sex",
        "label": {"zh": "性别", "en": "Sex"},
        "kind": "category",
        "unit": None,
        "min": None,
        "max": None,
        "step": None,
        "codes": ["female", "male"],
    },
    {
        "name": "grade",
        "label": {"zh": "分级", "en": "Grade"},
        "kind": "category",
        "unit": None,
        "min": None,
        "max": None,
        "step": None,
        "codes": ["0", "1", "2"],
    },
]
DIGESTS = {key: entry.digest for key, entry in CATALOG.items()}
Wire = dict[str, Any]


def both(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def write_secret(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


@dataclass
class Space:
    """The people of a space and what they do through the API, step by step."""

    folder: Path
    keys: dict[str, KeyFile] = field(default_factory=dict)
    root: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    log_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    operator: EthKey = field(default_factory=EthKey.create)
    datasets: dict[str, Wire] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ROLES:
            self.keys[name] = KeyFile.create(self.folder / f"{name}.json", service=True, approval=True)
        office, dealer = self.keys["office"], self.keys["dealer"]
        chain = {
            "id": 4242,
            "profile": "embedded",
            "genesis": "0x" + "00" * 32,
            "rpc": ["http://127.0.0.1:1"],
            "quorum": 1,
            "contracts": CONTRACTS,
        }
        wire = make_trust(
            self.root,
            space_id=new_id(),
            name="test",
            chain=chain,
            log_key=public_hex(self.log_key),
            regulator={
                "participant": office.participant,
                "signing": office.signing_public,
                "sealing": office.sealing_public,
                "approvers": [self.approver("office").address],
            },
            dealer={"participant": dealer.participant, "signing": dealer.signing_public},
        )
        self.fingerprint = fingerprint_of_root(public_hex(self.root))
        self.trust: Trust = load_trust(wire, fingerprint=self.fingerprint)
        self.wire = wire
        self.chain = MemoryChain(self.trust)

    # -- who

    def id(self, name: str) -> str:
        return self.keys[name].participant

    def actor(self, name: str) -> Actor:
        return Actor(participant_id=UUID(self.id(name)), admitted_as=frozenset({ROLES[name]}))

    def approver(self, name: str) -> EthKey:
        key = self.keys[name].approval
        if key is None:
            raise LookupError(name)
        return key

    def service(self, name: str) -> EthKey:
        key = self.keys[name].service
        if key is None:
            raise LookupError(name)
        return key

    def name_of(self, participant: str) -> str:
        return next(name for name, keys in self.keys.items() if keys.participant == participant)

    def door(self, name: str) -> Door:
        return Door("http://testserver", self.id(name), self.keys[name].signing, client=in_process())

    # -- what they do

    def admit(self, *names: str) -> None:
        for name in names:
            record = acts.enrol(
                self.door(name), self.keys[name], self.trust, name=both(name), admitted_as=[ROLES[name]]
            )
            acts.admit(
                self.door("office"),
                self.keys["office"],
                self.trust,
                self.id(name),
                fingerprint=acts.fingerprint_of(record),
                seconds=2,
            )

    def admit_all(self) -> None:
        self.admit(*ROLES)

    def ready(self) -> Space:
        """Everybody is admitted, every hospital has registered its dataset."""
        self.admit_all()
        for name in HOSPITALS:
            self.register(name)
        return self

    def register(self, name: str) -> str:
        wire = acts.register_dataset(
            self.door(name),
            self.keys[name],
            name=f"{name}.csv",
            title=both(name),
            columns=COLUMNS,
            rows_max=500,
            fingerprint="f0" * 32,
        )
        self.datasets[name] = wire
        return str(wire["document"]["id"])

    def offer(self) -> str:
        """A product over all hospitals' datasets, drafted by the first; its id."""
        ids = [
            self.datasets[name]["document"]["id"] if name in self.datasets else self.register(name)
            for name in HOSPITALS
        ]
        wire = acts.offer_product(
            self.door("hospital_a"),
            self.keys["hospital_a"],
            self.trust,
            title=both("heart"),
            summary=both("joint statistics"),
            dataset_ids=ids,
            functions=["describe@1", "crosstab@1"],
            price={"amount": 500_00, "currency": "CNY"},
        )
        return str(wire["document"]["id"])

    def confirm(self, product: str, *names: str) -> None:
        for name in names:
            acts.confirm_product(self.door(name), self.keys[name], self.trust, product)

    def listed(self) -> str:
        """A listed product; its id."""
        product = self.offer()
        self.confirm(product, *HOSPITALS[1:])
        acts.submit_product(self.door("hospital_a"), product)
        acts.decide_listing(self.door("office"), self.keys["office"], self.trust, product)
        return product

    def applied(
        self,
        name: str = "maker",
        *,
        functions: tuple[str, ...] = ("describe@1", "crosstab@1"),
        max_uses: int = 10,
        days: int = 30,
    ) -> str:
        """A submitted scenario over all hospitals' datasets; its id."""
        ids = [
            self.datasets[one]["document"]["id"] if one in self.datasets else self.register(one) for one in HOSPITALS
        ]
        now = datetime.now(UTC)
        wire = acts.apply_scenario(
            self.door(name),
            self.keys[name],
            self.trust,
            title=both("trial"),
            purpose="研究",
            functions=functions,
            floor=10,
            dataset_ids=ids,
            not_before=timestamp(now - timedelta(minutes=1)),
            not_after=timestamp(now + timedelta(days=days)),
            max_uses=max_uses,
        )
        return str(wire["document"]["id"])

    def decide(self, scenario: str, decision: str = "approve") -> list[str]:
        """The regulator's decision; the ids of the grants it made."""
        body = acts.decide_scenario(
            self.door("office"), self.keys["office"], self.trust, scenario, decision=decision, digests=DIGESTS
        )
        return [grant["terms"]["id"] for grant in body.get("grants", [])]

    def consent(self, grant: str) -> None:
        terms = self.door("office").get(f"/grants/{grant}")["terms"]
        name = self.name_of(terms["custodian"])
        acts.consent_grant(
            self.door(name), self.trust, grant, approver=self.approver(name), service=self.service(name).address
        )

    def pass_time(self, passes: int = 2) -> None:
        """Followers run and blocks come, until what was sent is final."""
        for _ in range(passes):
            followers.run_all()
            self.chain.mine(3)
        followers.run_all()

    def granted(self, name: str = "maker", **how: Any) -> list[str]:
        """Active grants of a fresh scenario; their ids."""
        grants = self.decide(self.applied(name, **how))
        for grant in grants:
            self.consent(grant)
        self.pass_time()
        return grants

    def grant_papers(self, grants: list[str]) -> list[Wire]:
        found = [self.door("office").get(f"/grants/{one}") for one in grants]
        return sorted(found, key=lambda one: str(one["terms"]["dataset"]))

    def agreement(self, product: str, grants: list[str], *, name: str = "maker", sign: bool = True) -> Wire:
        """An agreement of the consumer with the product's lead, signed by both."""
        papers = self.grant_papers(grants)
        listing = self.door("office").get(f"/products/{product}")["document"]["document"]
        terms = papers[0]["terms"]
        document = new_document(
            "agreement",
            id=new_id(),
            product=product,
            product_hash=document_hash(listing),
            scenario=terms["scenario"],
            scenario_hash=terms["scenario_hash"],
            consumer=self.id(name),
            provider=listing["lead"],
            price=listing["price"],
            grants=[
                {"id": one["id"], "terms_hash": document_hash(one["terms"]), "dataset": one["terms"]["dataset"]}
                for one in papers
            ],
        )
        self.door(name).post("/agreements", {"document": signed(document, self.keys[name].signing)})
        if sign:
            wire = signed(document, self.keys[name].signing, self.keys["hospital_a"].signing)
            self.door("hospital_a").post(f"/agreements/{document['id']}/signature", {"document": wire})
        return document

    def spec(self, agreement: Wire, *, name: str = "maker", function: str = "crosstab@1", **other: Any) -> Wire:
        """A job's spec under an agreement; `other` replaces fields of it."""
        datasets = {one["document"]["id"]: one["document"] for one in self.datasets.values()}
        inputs = [datasets[one["dataset"]] for one in agreement["grants"]]
        now = datetime.now(UTC)
        records = [self.door("office").get(f"/participants/{one['provider']}")["record"] for one in inputs]
        parameters = {
            "crosstab@1": {"rows": "sex", "columns": "grade"},
            "describe@1": {"columns": ["age"], "by": "sex"},
        }[function]
        fields = {
            "id": new_id(),
            "agreement": agreement["id"],
            "agreement_hash": document_hash(agreement),
            "grants": agreement["grants"],
            "function": {"name": function.split("@", maxsplit=1)[0], "version": 1, "digest": DIGESTS[function]},
            "parameters": parameters,
            "filter": None,
            "inputs": [
                {"dataset": one["id"], "dataset_hash": document_hash(one), "provider": one["provider"]}
                for one in inputs
            ],
            "roster": [
                {
                    "seat": seat,
                    "participant": one["document"]["id"],
                    "signing": one["document"]["keys"]["signing"],
                    "record_hash": document_hash(one["document"]),
                }
                for seat, one in enumerate(records)
            ],
            "dealer": {"participant": self.id("dealer"), "signing": self.keys["dealer"].signing_public},
            "engine": "crypten/1",
            "disclosure": {"floor": 10},
            "recipient": {"participant": self.id(name), "sealing": self.keys[name].sealing_public},
            "issued_at": timestamp(now),
            "deadline": timestamp(now + timedelta(minutes=10)),
            "nonce": new_salt(),
        }
        return new_document("job_spec", **{**fields, **other})

    def order(self, spec: Wire, *, name: str = "maker", key: str | None = None) -> Wire:
        body = {"spec": signed(spec, self.keys[name].signing)}
        answer: Wire = self.door(name).post("/jobs", body, idempotency_key=key)
        return answer

    def ordered(self, **how: Any) -> Wire:
        """The spec of a job that was ordered under everything it needs."""
        self.ready()
        agreement = self.agreement(self.listed(), self.granted(**how))
        spec = self.spec(agreement)
        self.order(spec)
        return spec

    # -- what nodes do

    def seats(self, spec: Wire) -> list[str]:
        """Names by seat, the dealer last."""
        return [*(self.name_of(seat["participant"]) for seat in spec["roster"]), "dealer"]

    def verdict(self, spec: Wire, name: str, decision: str = "accept", **other: Any) -> Wire:
        session = {"certificate": "AAAA", "exchange": "ee" * 32}
        fields = {
            "job": spec["id"],
            "job_hash": document_hash(spec),
            "attempt": 1,
            "participant": self.id(name),
            "seat": self.seats(spec).index(name),
            "decision": decision,
            "code": None if decision == "accept" else "policy.denied",
            "rule": None,
            "who_must_act": None,
            "grant_block": None,
            "policy_hash": "00" * 32,
            "session": session if decision == "accept" else None,
        }
        return signed(new_document("verdict", **{**fields, **other}), self.keys[name].signing)

    def answer(self, spec: Wire, name: str, decision: str = "accept", **other: Any) -> Wire:
        wire = self.verdict(spec, name, decision, **other)
        answer: Wire = self.door(name).post(f"/jobs/{spec['id']}/verdicts", {"verdict": wire})
        return {**answer, "verdict": wire}

    def accepted(self, spec: Wire, attempt: int = 1) -> str:
        """Every node accepts; the session's id."""
        hashes = {name: document_hash(self.answer(spec, name, attempt=attempt)["verdict"]["document"])
                  for name in self.seats(spec)}  # fmt: skip
        dealer = hashes.pop("dealer")
        return session_id(document_hash(spec), attempt, list(hashes.values()), dealer)

    def use(self, spec: Wire, name: str) -> Any:
        seat = self.seats(spec).index(name)
        terms = self.door(name).get(f"/grants/{spec['grants'][seat]['id']}")["terms"]
        grant, job_hash = grant_chain_id(terms), document_hash(spec)
        signature = sign_use(grant, job_hash, self.service(name), domain_of(self.trust))
        body = {"grant_chain_id": grant, "job_hash": job_hash, "signature": signature}
        return self.door(name).post("/uses", body)

    def envelope(self, spec: Wire, name: str, session: str, **other: Any) -> Wire:
        fields = {
            "job": spec["id"],
            "job_hash": document_hash(spec),
            "attempt": 1,
            "session": session,
            "sender": self.id(name),
            "seat": self.seats(spec).index(name),
            "recipient": spec["recipient"]["participant"],
            "recipient_key": spec["recipient"]["sealing"],
            "gate_hash": "9a" * 32,
            "sealed": "AAAA",
            "engine": {"crypten": "0.4.1"},
        }
        return signed(new_document("result_envelope", **{**fields, **other}), self.keys[name].signing)

    def seal(self, spec: Wire, name: str, session: str, **other: Any) -> Any:
        body = {"envelope": self.envelope(spec, name, session, **other)}
        return self.door(name).post(f"/jobs/{spec['id']}/envelopes", body)

    def fail(self, spec: Wire, name: str, code: str, about: str | None = None, *, attempt: int = 1) -> Any:
        document = new_document(
            "job_failure",
            job=spec["id"],
            job_hash=document_hash(spec),
            attempt=attempt,
            participant=self.id(name),
            code=code,
            about=self.id(about) if about else None,
        )
        body = {"failure": signed(document, self.keys[name].signing)}
        return self.door(name).post(f"/jobs/{spec['id']}/failures", body)

    def released(self, spec: Wire) -> str:
        """The whole run of one ordered job; the id of the entry of its release."""
        session = self.accepted(spec)
        for name in self.seats(spec)[:-1]:
            self.use(spec, name)
        for name in self.seats(spec)[:-1]:
            self.seal(spec, name, session)
        return str(self.door("maker").get(f"/jobs/{spec['id']}")["entry"])


@cache
def _portal() -> Client:
    """One client, so that the middleware is loaded once."""
    return Client(raise_request_exception=False)


class InProcess(httpx.BaseTransport):
    """Carries a request to the portal in this process, in the test's own transaction."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        path = request.url.raw_path.decode()
        answer = _portal().generic(
            request.method, path, request.read(), headers.get("content-type", ""), headers=headers
        )
        kept = [(name, value) for name, value in answer.headers.items()]
        return httpx.Response(answer.status_code, headers=kept, content=answer.content)


def in_process() -> httpx.Client:
    return httpx.Client(transport=InProcess())


def found(folder: Path) -> tuple[Space, override_settings]:
    """A new space, and the settings of a portal that serves it."""
    made = Space(folder)
    trust_file = folder / "trust.json"
    trust_file.write_text(json.dumps(made.wire))
    return made, override_settings(
        XINGLIN_TRUST=str(trust_file),
        XINGLIN_FINGERPRINT=made.fingerprint,
        XINGLIN_LOG_KEY_FILE=str(write_secret(folder / "log.key", made.log_key.private_bytes_raw().hex())),
        XINGLIN_CHAIN_KEY_FILE=str(write_secret(folder / "chain.key", made.operator.secret)),
        XINGLIN_WAKE=False,
    )


@dataclass
class Stage:
    """A space brought to some point once, and to that point again before each test."""

    people: Space
    made: Any
    state: Mined

    @contextmanager
    def act(self) -> Iterator[Space]:
        """What the test does is rolled back, in the database and on the chain."""
        self.people.chain.state, self.people.chain.switches = deepcopy(self.state), Switches()
        guard.place().unlink(missing_ok=True)  # it remembers a log that was rolled back
        guard._answers.clear()
        with transaction.atomic():
            yield self.people
            transaction.set_rollback(True)


def staged(build: Callable[[Space], Any]) -> Any:
    """A module's fixture: everything that `build` does happens once for all of the module's tests."""

    @pytest.fixture(scope="module")
    def stage(
        django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[Stage]:
        made, settings = found(tmp_path_factory.mktemp("space"))
        with django_db_blocker.unblock(), settings, pytest.MonkeyPatch.context() as patch, transaction.atomic():
            patch.setattr(space, "chain", lambda: made.chain)
            result = build(made)
            yield Stage(made, result, made.chain.state)
            transaction.set_rollback(True)

    return stage


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: None) -> Iterator[Space]:
    """A founded space whose portal knows nobody yet."""
    made, settings = found(tmp_path)
    monkeypatch.setattr(space, "chain", lambda: made.chain)
    with settings:
        yield made


def now() -> datetime:
    return timezone.now()
