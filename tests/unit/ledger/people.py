"""A small space for the ledger's tests: keys, a trust file, and a portal that remembers what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import acts
from ledger.documents import new_id, public_hex, timestamp
from ledger.keys import EthKey, KeyFile
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust

CONTRACTS = {name: {"address": "0x" + byte * 20, "code_hash": "0x" + byte * 32}
             for name, byte in (("anchor", "a1"), ("grants", "b2"), ("participants", "c3"))}
DIGESTS = {"describe@1": "d1" * 32, "crosstab@1": "d2" * 32}
COLUMN = {"name": "age", "label": {"zh": "年龄", "en": "Age"}, "kind": "number", "unit": "a", "min": "0", "max": "120",
          "step": "1", "codes": None}


def both(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


@dataclass
class Portal:
    """Keeps what was posted, by path; shows it back as the API does."""

    shelves: dict[str, dict[str, Any]] = field(default_factory=dict)
    posted: list[tuple[str, Any]] = field(default_factory=list)

    def post(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        _, kind, *rest = path.split("/")
        shelf = self.shelves.setdefault(kind, {})
        if not rest:
            name = "record" if "record" in body else "document"
            shelf[body[name]["document"]["id"]] = {"state": "applied", **body}
            return {"state": "applied"}
        if rest[1] == "admission":
            shelf[rest[0]] = {"state": "admitted", "record": body["record"]}
        if rest[1] == "decision":
            for grant in body.get("grants", []):
                self.shelves.setdefault("grants", {})[grant["terms"]["id"]] = dict(grant)
        return shelf.get(rest[0])

    def get(self, path: str) -> Any:
        _, kind, one = path.split("/")
        return self.shelves[kind][one]


@dataclass
class Desk:
    """A Door-like that signs nothing: who is asking is given."""

    portal: Portal
    participant: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return self.portal.get(path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        return self.portal.post(path, dict(body or {}))


@dataclass
class People:
    """A regulator's office, two hospitals and an enterprise, all admitted."""

    folder: Path
    portal: Portal = field(default_factory=Portal)
    keys: dict[str, KeyFile] = field(default_factory=dict)
    root: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    log_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self) -> None:
        for name in ("office", "dealer", "hospital_a", "hospital_b", "maker", "outsider"):
            self.keys[name] = KeyFile.create(self.folder / f"{name}.json", service=True, approval=True)
        office, dealer = self.keys["office"], self.keys["dealer"]
        self.trust_wire = make_trust(
            self.root, space_id=new_id(), name="test", chain={
                "id": 4242, "profile": "embedded", "genesis": "0x" + "00" * 32, "rpc": ["http://127.0.0.1:1"],
                "quorum": 1, "contracts": CONTRACTS},
            log_key=public_hex(self.log_key),
            regulator={"participant": office.participant, "signing": office.signing_public,
                       "sealing": office.sealing_public, "approvers": [self.approver("office").address]},
            dealer={"participant": dealer.participant, "signing": dealer.signing_public})
        self.trust: Trust = load_trust(self.trust_wire, fingerprint=fingerprint_of_root(public_hex(self.root)))

    def approver(self, name: str) -> EthKey:
        key = self.keys[name].approval
        if key is None:
            raise LookupError(name)
        return key

    def service(self, name: str) -> str:
        key = self.keys[name].service
        if key is None:
            raise LookupError(name)
        return key.address

    def desk(self, name: str) -> Desk:
        return Desk(self.portal, self.keys[name].participant)

    def admit_all(self) -> None:
        for name, role in (("office", "regulator"), ("dealer", "dealer"), ("hospital_a", "provider"),
                           ("hospital_b", "provider"), ("maker", "consumer")):
            record = acts.enrol(self.desk(name), self.keys[name], self.trust, name=both(name),
                                admitted_as=[role])
            acts.admit(self.desk("office"), self.keys["office"], self.trust, self.keys[name].participant,
                       fingerprint=acts.fingerprint_of(record))

    def register(self, name: str) -> dict[str, Any]:
        wire = acts.register_dataset(self.desk(name), self.keys[name], name=f"{name}.csv", title=both(name),
                                     columns=[COLUMN], rows_max=500, fingerprint="f0" * 32)
        document: dict[str, Any] = wire["document"]
        return document

    def scenario(self) -> str:
        """An application on both hospitals' data; its id."""
        ids = [self.register(name)["id"] for name in ("hospital_a", "hospital_b")]
        wire = acts.apply_scenario(
            self.desk("maker"), self.keys["maker"], self.trust, title=both("trial"), purpose="研究", floor=10,
            functions=["describe@1", "crosstab@1"], dataset_ids=ids, not_before="2026-01-01T00:00:00Z",
            not_after=timestamp(datetime.now(UTC) + timedelta(days=300)), max_uses=10)
        return str(wire["document"]["id"])

    def grants(self) -> list[dict[str, Any]]:
        """Both grants of a fresh scenario, approved and consented: {terms, approval, consent}."""
        scenario = self.scenario()
        decided = acts.decide_scenario(self.desk("office"), self.keys["office"], self.trust, scenario,
                                       digests=DIGESTS)
        names = {keys.participant: name for name, keys in self.keys.items()}
        found = []
        for grant in decided["grants"]:
            name = names[grant["terms"]["custodian"]]
            found.append(acts.consent_grant(self.desk(name), self.trust, grant["terms"]["id"],
                                            approver=self.approver(name), service=self.service(name)))
        return found
