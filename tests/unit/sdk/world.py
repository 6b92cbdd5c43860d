"""A small space for the SDK's tests: three hospitals, a dealer, an office, an enterprise, and a portal in memory.

The portal passes on what it is given, and can be told to lie: its shelves are plain dicts. The three hospitals compute
for real over the ring (`mpc.sharing`), the gate's rule is applied in the clear.
"""

from __future__ import annotations

import csv
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import acts
from ledger.checkpoint import sign_checkpoint
from ledger.documents import document_hash, new_document, new_id, public_hex, sign, signed, to_b64
from ledger.entry import grants_named, leaf_hash, new_entry
from ledger.errors import PortalRefused, PortalUnavailable
from ledger.keys import KeyFile
from ledger.merkle import node_hash
from ledger.receipt import chain_leg, make_receipt, pack
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from marketplace.sdk.space import Space
from mpc.catalog import CATALOG
from mpc.disclosure import Opening, gate_hash, gate_key, told_of
from mpc.engines.cleartext import Hub, withhold
from mpc.functions.plan import Plan, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.sharing import seal
from mpc.spec import common_columns, hpke_info, rows_max_total, session_id

HOSPITALS = ("hospital_a", "hospital_b", "hospital_c")
CONTRACTS = {name: {"address": "0x" + byte * 20, "code_hash": "0x" + byte * 32}
             for name, byte in (("anchor", "a1"), ("grants", "b2"), ("participants", "c3"))}
DIGESTS = {key: entry.digest for key, entry in CATALOG.items()}
FLOOR = 5


def both(word: str) -> dict[str, str]:
    return {"zh": word, "en": word}


def category(name: str, codes: list[str]) -> dict[str, Any]:
    return {"name": name, "label": both(name), "kind": "category", "unit": None, "min": None, "max": None,
            "step": None, "codes": codes}


COLUMNS = [
    {"name": "age", "label": both("age"), "kind": "number", "unit": "a", "min": "0", "max": "120", "step": "1",
     "codes": None},
    category("sex", ["F", "M"]),
    category("grade", ["0", "1"]),
]


def rows_of(hospital: int) -> list[dict[str, str]]:
    """Twenty rows; nobody has sex M with grade 1 but at hospital 0, so this cell stays closed, and its pair."""
    found = []
    for index in range(20):
        sex = "F" if index % 2 else "M"
        grade = "1" if sex == "F" and index % 4 == 1 else "0"
        if sex == "M" and hospital == 0:
            grade = "1"
        age = "" if index == 7 else str(30 + index + hospital)
        found.append({"age": age, "sex": sex, "grade": grade})
    return found


class Portal:
    """Shelves of answers by kind and id. `refuse` makes the next post of a path fail; `down` all of them."""

    def __init__(self) -> None:
        self.shelves: dict[str, dict[str, Any]] = {}
        self.posted: list[tuple[str, Any, str | None]] = []
        self.refuse: dict[str, PortalRefused] = {}
        self.down = False
        self.on_post: dict[str, Any] = {}

    def get(self, path: str) -> Any:
        if self.down:
            raise PortalUnavailable("nobody there")
        _, kind, *rest = path.split("/")
        shelf = self.shelves.setdefault(kind, {})
        if not rest:
            return list(shelf.values())
        if rest[0] not in shelf:
            raise PortalRefused(404, "not_found", "no such thing", "r1")
        return shelf[rest[0]]

    def post(self, path: str, body: Any, key: str | None) -> Any:
        if self.down:
            raise PortalUnavailable("nobody there")
        if path in self.refuse:
            raise self.refuse[path]
        self.posted.append((path, body, key))
        _, kind, *rest = path.split("/")
        shelf = self.shelves.setdefault(kind, {})
        if path in self.on_post:
            return self.on_post[path](body, key)
        if not rest:
            name = "record" if "record" in body else "document"
            identity = body[name]["document"]["id"]
            shelf[identity] = {"id": identity, "state": "draft", **body}
            return shelf[identity]
        if rest[1] == "admission":
            shelf[rest[0]] = {"id": rest[0], "state": "admitted", "record": body["record"]}
        if rest[1] == "decision":
            for grant in body.get("grants", []):
                identity = grant["terms"]["id"]
                self.shelves.setdefault("grants", {})[identity] = {
                    "id": identity, "state": "submitted", "uses": 0, "consent": None, **grant}
        if rest[1] == "consent":
            shelf[rest[0]] |= {"state": "active", **body}
        return shelf.get(rest[0], {})


@dataclass
class Visitor:
    """A door to the portal in memory, signing nothing: who asks is given."""

    portal: Portal
    participant: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return self.portal.get(path)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        return self.portal.post(path, dict(body or {}), idempotency_key)


@dataclass
class World:
    """All of it, ready to order."""

    folder: Path
    portal: Portal = field(default_factory=Portal)
    keys: dict[str, KeyFile] = field(default_factory=dict)
    columns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # of a hospital that describes its own

    def __post_init__(self) -> None:
        for name in ("office", "dealer", *HOSPITALS, "maker"):
            self.keys[name] = KeyFile.create(self.folder / f"{name}.json", service=True, approval=True)
        root, self.log_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        office, dealer = self.keys["office"], self.keys["dealer"]
        self.trust_wire = make_trust(
            root, space_id=new_id(), name="test",
            chain={"id": 4242, "profile": "embedded", "genesis": "0x" + "00" * 32, "rpc": ["http://127.0.0.1:1"],
                   "quorum": 1, "contracts": CONTRACTS},
            log_key=public_hex(self.log_key),
            regulator={"participant": office.participant, "signing": office.signing_public,
                       "sealing": office.sealing_public, "approvers": [office.approval.address]},
            dealer={"participant": dealer.participant, "signing": dealer.signing_public})
        self.trust: Trust = load_trust(self.trust_wire, fingerprint=fingerprint_of_root(public_hex(root)))
        self._admit_all()
        self.product_id = self._list_product()
        self.scenario_id = self._grant_all()
        self.portal.on_post["/agreements"] = self._sign_agreement
        self.portal.on_post["/jobs"] = self._take_job

    # -- set-up ----------------------------------------------------------------------------------------------------

    def visitor(self, name: str) -> Visitor:
        return Visitor(self.portal, self.keys[name].participant)

    def _admit_all(self) -> None:
        roles = {"office": "regulator", "dealer": "dealer", "maker": "consumer"}
        for name in self.keys:
            record = acts.enrol(self.visitor(name), self.keys[name], self.trust, name=both(name),
                                admitted_as=[roles.get(name, "provider")])
            acts.admit(self.visitor("office"), self.keys["office"], self.trust, self.keys[name].participant,
                       fingerprint=acts.fingerprint_of(record))

    def _list_product(self) -> str:
        ids = []
        for name in HOSPITALS:
            wire = acts.register_dataset(self.visitor(name), self.keys[name], name=f"{name}.csv", title=both(name),
                                         columns=self.columns.get(name, COLUMNS), rows_max=50, fingerprint="f0" * 32)
            ids.append(wire["document"]["id"])
        product = acts.offer_product(self.visitor(HOSPITALS[0]), self.keys[HOSPITALS[0]], self.trust,
                                     title=both("hearts"), summary=both("joint statistics"), dataset_ids=ids,
                                     functions=["describe@1", "crosstab@1"],
                                     price={"amount": 12000, "currency": "CNY"})
        identity = str(product["document"]["id"])
        self.portal.shelves["products"][identity]["state"] = "listed"
        return identity

    def _grant_all(self, floor: int = FLOOR) -> str:
        product = self.portal.shelves["products"][self.product_id]["document"]["document"]
        wire = acts.apply_scenario(
            self.visitor("maker"), self.keys["maker"], self.trust, title=both("trial"), purpose="研究", floor=floor,
            functions=["crosstab@1", "describe@1"], dataset_ids=[one["id"] for one in product["datasets"]],
            not_before="2026-01-01T00:00:00Z", not_after="2035-01-01T00:00:00Z", max_uses=10, filter_columns=["grade"])
        scenario = str(wire["document"]["id"])
        decided = acts.decide_scenario(self.visitor("office"), self.keys["office"], self.trust, scenario,
                                       digests=DIGESTS)
        for grant in decided["grants"]:
            name = self.name_of(grant["terms"]["custodian"])
            keys = self.keys[name]
            acts.consent_grant(self.visitor(name), self.trust, grant["terms"]["id"], approver=keys.approval,
                               service=keys.service.address)
        return scenario

    def name_of(self, participant: str) -> str:
        return next(name for name, keys in self.keys.items() if keys.participant == participant)

    def space(self) -> Space:
        return Space(self.visitor("maker"), self.trust, self.keys["maker"], cache=self.folder / "cache")

    # -- the portal's side -----------------------------------------------------------------------------------------

    def _sign_agreement(self, body: Any, key: str | None) -> Any:
        wire = body["document"]
        lead = self.keys[self.name_of(wire["document"]["provider"])]
        whole = {"document": wire["document"],
                 "signatures": [*wire["signatures"], sign(wire["document"], lead.signing)]}
        answer = {"id": wire["document"]["id"], "state": "signed", "document": whole}
        self.portal.shelves.setdefault("agreements", {})[answer["id"]] = answer
        return answer

    def _take_job(self, body: Any, key: str | None) -> Any:
        spec = body["spec"]
        identity = spec["document"]["id"]
        shelf = self.portal.shelves.setdefault("jobs", {})
        existing = identity in shelf
        shelf.setdefault(identity, {"id": identity, "state": "queued", "code": None, "about": None, "attempt": 1,
                                    "spec": spec, "verdicts": [], "envelopes": [], "timeline": [], "entry": None})
        return {"id": identity, "state": shelf[identity]["state"], "existing": existing}

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.portal.shelves["jobs"][job_id]
        return found

    # -- the nodes' side -------------------------------------------------------------------------------------------

    def compute(self, job_id: str) -> None:
        """Play the nodes: verdicts, session, gate, envelopes; the job is released with a receipt."""
        job = self.job(job_id)
        spec = job["spec"]["document"]
        names = [self.name_of(seat["participant"]) for seat in spec["roster"]]
        job["verdicts"] = [self.verdict(job_id, name, seat) for seat, name in enumerate([*names, "dealer"])]
        hashes = [document_hash(wire["document"]) for wire in job["verdicts"]]
        session = session_id(document_hash(spec), 1, hashes[:-1], hashes[-1])
        job["envelopes"] = self.envelopes(spec, names, session)
        job["state"] = "released"
        self.release(job_id)

    def verdict(self, job_id: str, name: str, seat: int, **changed: Any) -> dict[str, Any]:
        values = {"job": job_id, "job_hash": document_hash(self.job(job_id)["spec"]["document"]), "attempt": 1,
                  "participant": self.keys[name].participant, "seat": seat, "decision": "accept", "code": None,
                  "rule": None, "who_must_act": None, "grant_block": 7, "policy_hash": "ab" * 32,
                  "session": {"certificate": to_b64(secrets.token_bytes(60)), "exchange": secrets.token_hex(32)}}
        return signed(new_document("verdict", **(values | changed)), self.keys[name].signing)

    def envelopes(self, spec: dict[str, Any], names: list[str], session: str) -> list[dict[str, Any]]:
        records = [self.portal.shelves["datasets"][one["dataset"]]["record"]["document"] for one in spec["inputs"]]
        columns = common_columns([record["columns"] for record in records])
        part = function(f"{spec['function']['name']}@{spec['function']['version']}")
        plan = with_filter(part.plan(spec["parameters"], columns, len(names), rows_max_total(records)),
                           spec["filter"], columns)
        hub = Hub(len(names), session)
        counted = [part.local(self._rows(HOSPITALS.index(name), plan), plan) for name in names]
        shares = [hub.engines[seat].share_total(one.values, plan.limbs) for seat, one in enumerate(counted)]
        floor = spec["disclosure"]["floor"]
        pattern = plan.gate.decide([one.numbers for one in counted], floor)
        key = gate_key([sha256(name.encode()).digest() for name in names])
        seen = sha256(session.encode()).digest()
        gate = gate_hash(key, session, seen)
        found = []
        for seat, name in enumerate(names):
            part = withhold(shares[seat], pattern, plan.spans, first=seat == 0)
            opening = Opening(seat, floor, key, seen, part, told_of(plan.spans))
            found.append(self.envelope(spec, name, seat, session, gate, opening))
        return found

    def _rows(self, hospital: int, plan: Plan) -> Rows:
        path = self.folder / f"rows-{hospital}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["age", "sex", "grade"])
            writer.writeheader()
            writer.writerows(rows_of(hospital))
        return Rows.open(path, "csv", plan.read_by(None), only=plan.filter)

    def envelope(self, spec: dict[str, Any], name: str, seat: int, session: str, gate: str, opening: Opening,
                 **changed: Any) -> dict[str, Any]:
        recipient = spec["recipient"]
        info = hpke_info(space=self.trust.space_id, job_hash=document_hash(spec), session=session,
                         sender=self.keys[name].participant, recipient=recipient["participant"],
                         recipient_key=recipient["sealing"], gate_hash=gate)
        sealed = seal(opening.to_bytes(), recipient_key=recipient["sealing"], info=info)
        values = {"job": spec["id"], "job_hash": document_hash(spec), "attempt": 1, "session": session,
                  "sender": self.keys[name].participant, "seat": seat, "recipient": recipient["participant"],
                  "recipient_key": recipient["sealing"], "gate_hash": gate, "sealed": to_b64(sealed),
                  "engine": {"crypten": "test"}}
        return signed(new_document("result_envelope", **(values | changed)), self.keys[name].signing)

    def release(self, job_id: str, *, kind: str = "job.released") -> None:
        """Put the release into a log of two leaves and make its receipt."""
        job = self.job(job_id)
        grants = grants_named({one["id"]: one["terms_hash"] for one in job["spec"]["document"]["grants"]})
        entry = new_entry(kind, subject=("job", job_id), participant=None, body={"grants": grants})
        other, leaf = bytes(32), leaf_hash(entry)
        note = sign_checkpoint(self.trust.log.origin, 2, node_hash(other, leaf), self.log_key)
        approvals = []
        for one in grants:
            held = self.portal.shelves["grants"][one["id"]]
            approvals.append({"terms": held["terms"], "signatures": [held["approval"], held["consent"]]})
        receipt = make_receipt(entry, space_id=self.trust.space_id, index=1, inclusion=[other], checkpoint=note,
                               approvals=approvals,
                               chain=chain_leg(self.trust, size=2, inclusion=[other]))
        self.portal.shelves.setdefault("receipts", {})[entry["id"]] = pack(receipt)
        job["entry"] = entry["id"]
