"""A space as an enterprise sees it: catalogue, applications, orders, results.

    space = Space.from_config()
    job = space.buy(product, fn.crosstab(rows="chest_pain", columns="disease_grade"), idempotency_key=order_id)
    result = job.wait(seconds=600)
    result.receipt.verify()

Every root comes from the trust file, whose fingerprint you have from the regulator; nothing is believed because the
portal says so. Errors are those of `marketplace.sdk.errors`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from ledger.acts import DoorLike, apply_scenario
from ledger.documents import document_hash, signed, timestamp, verify_signed
from ledger.door import Door
from ledger.keys import KeyFile
from ledger.trust import Trust, load_trust
from marketplace.sdk import orders
from marketplace.sdk.apart import Apart, asked, fetch, forget_refused, spec_fields
from marketplace.sdk.cache import Cache
from marketplace.sdk.catalogue import Catalogue, rows_of
from marketplace.sdk.client import Portal, our_errors, whole_answers
from marketplace.sdk.config import read_space_file
from marketplace.sdk.errors import ConfigurationError, NotFound, Refused, TimedOut, Unavailable, VerificationError
from marketplace.sdk.evidence import Evidence
from marketplace.sdk.fn import Call
from marketplace.sdk.job import Job, check_released
from marketplace.sdk.keyring import Keyring
from marketplace.sdk.receipt import Receipt
from marketplace.sdk.records import ChainRecords, Document, Signed, verified_document
from marketplace.sdk.result import Result
from marketplace.sdk.types import Dataset, Grant, Product, Scenario
from mpc.spec import are_apart, question_hash

AGREEMENT_SECONDS = 60.0
RECEIPT_SECONDS = 60.0
POLL_SECONDS = 0.2


class Space:
    """One space, one participant's keys."""

    def __init__(self, door: DoorLike, trust: Trust, keys: KeyFile, *, cache: Path, rpc: str | None = None) -> None:
        self.door = door
        self.portal = Portal(door)
        self.trust = trust
        self.keys = keys
        self.rpc = rpc
        self.cache = Cache(cache)
        self.keyring = Keyring(cache.parent / "paillier-keys")
        self.catalogue = Catalogue(self.portal, trust, chain=ChainRecords(trust, rpc) if rpc else None)

    @classmethod
    def open(cls, *, portal: str, trust: str | Path, fingerprint: str, key_file: str | Path, rpc: str | None = None,
             cache: str | Path | None = None) -> Space:
        """Open a space with a trust file, its fingerprint and our key file."""
        try:
            with our_errors():
                roots = load_trust(trust, fingerprint=fingerprint)
                keys = KeyFile.load(key_file)
        except OSError as error:
            raise ConfigurationError(str(error), code="config.file") from error
        folder = Path(cache) if cache is not None else Path(key_file).resolve().parent / "sdk-cache"
        return cls(Door(portal, keys.participant, keys.signing), roots, keys, cache=folder, rpc=rpc)

    @classmethod
    def from_config(cls, path: str | Path | None = None, role: str = "consumer") -> Space:
        """Open the space that `var/space.json` (or `XINGLIN_SPACE`) describes, with that role's keys."""
        file = read_space_file(path)
        return cls.open(portal=file.portal, trust=file.trust, fingerprint=file.fingerprint,
                        key_file=file.seat(role).key_file, rpc=file.rpc)

    # -- reading ---------------------------------------------------------------------------------------------------

    def products(self) -> list[Product]:
        """The catalogue as far as we may see it."""
        return self.catalogue.products()

    def product(self, product_id: str) -> Product:
        return self.catalogue.product(product_id)

    def datasets(self) -> list[Dataset]:
        return self.catalogue.datasets()

    def scenarios(self) -> list[Scenario]:
        return self.catalogue.scenarios()

    def grants(self, scenario: Scenario | str | None = None) -> list[Grant]:
        """Our grants, of one scenario or all."""
        return self.catalogue.grants(scenario.id if isinstance(scenario, Scenario) else scenario)

    def jobs(self) -> list[Mapping[str, Any]]:
        """Our orders: the portal's word on each."""
        return list(rows_of(self.portal.get("/jobs")))

    def job(self, job_id: str) -> Job:
        return Job(self, job_id)

    # -- applying --------------------------------------------------------------------------------------------------

    def apply(self, product: Product | str, *, title: Mapping[str, str] | str, purpose: str,
              functions: Sequence[str] | None = None, floor: int = 10, days: int = 90, max_uses: int = 100,
              filter_columns: Sequence[str] = ()) -> Scenario:
        """Apply for a scenario on exactly the product's datasets, and submit it to the regulator. Orders may filter by
        `filter_columns` alone; without any there are no filters."""
        offered = self._product(product)
        now = datetime.now(UTC)
        with our_errors():
            wire = apply_scenario(
                self.door, self.keys, self.trust,
                title={"zh": title, "en": title} if isinstance(title, str) else dict(title),
                purpose=purpose,
                functions=[name if "@" in name else f"{name}@1" for name in functions or offered.functions],
                floor=floor,
                dataset_ids=list(offered.datasets),
                not_before=timestamp(now),
                not_after=timestamp(now + timedelta(days=days)),
                max_uses=max_uses,
                filter_columns=filter_columns,
            )
        document = wire["document"]
        return Scenario.of(document, state="submitted", hash=document_hash(document))

    def wait_for_grants(self, scenario: Scenario | str, seconds: float = 120) -> list[Grant]:
        """Wait until every grant of the scenario is active: decided, consented, final on chain."""
        scenario_id = scenario.id if isinstance(scenario, Scenario) else scenario
        wanted = len(self.catalogue.scenario(scenario_id).datasets)
        end = time.monotonic() + seconds
        while True:
            found = self.grants(scenario_id)
            if len(found) == wanted and all(grant.state == orders.ACTIVE for grant in found):
                return found
            if time.monotonic() > end:
                states = ", ".join(grant.state for grant in found) or "none there"
                raise TimedOut(f"not all grants of {scenario_id} are active: {states}", code="grant.timeout")
            time.sleep(POLL_SECONDS)

    # -- buying ----------------------------------------------------------------------------------------------------

    def buy(self, product: Product | str, call: Call, *, idempotency_key: str | None = None,
            scenario: Scenario | str | None = None, engine: str = "crypten",
            contribute_until: datetime | timedelta | None = None, minimum: int | None = None) -> Job:
        """Order a computation. With the same `idempotency_key` the same order is sent again, never a second one.

        With `engine="paillier"` the hospitals need not be online together: each contributes when it is awake, until
        `contribute_until`; at least `minimum` of them must (three unless said otherwise).
        """
        key = idempotency_key or str(uuid4())
        path = self.cache.order(key)
        order = self.cache.read(path)
        if order is None:
            apart = asked(engine, contribute_until, minimum, now=datetime.now(UTC))
            order = self._new_order(self._product(product), call, scenario, apart)
            self.cache.write(path, order)
        elif (order["function"], order["parameters"], order.get("filter"), _engine_of(order)) != (
                call.key, dict(call.parameters), call.filter, engine):
            raise Refused(f"idempotency key {key!r} was used for another order", code="order.key_reused")
        try:
            answer = self.portal.post("/jobs", {"spec": order["spec"]}, idempotency_key=key)
        except Refused:
            path.unlink(missing_ok=True)
            forget_refused(order["spec"]["document"], portal=self.portal, keyring=self.keyring)
            raise
        self._check_answered(answer["id"], order["spec"]["document"])
        return Job(self, answer["id"], existing=bool(answer.get("existing")))

    def _check_answered(self, job_id: str, spec: Document) -> None:
        """The portal may answer an order with an earlier job of ours, but only with one that asked the same."""
        if job_id == spec["id"]:
            return
        earlier = verified_document(self.portal.get(f"/jobs/{job_id}")["spec"], type="job_spec",
                                    signers=[{"keys": {"signing": self.keys.signing_public}}], id=job_id)
        if question_hash(earlier) != question_hash(spec):
            raise VerificationError("the portal answered with a job that asked something else", code="record.wrong")

    def agree(self, product: Product | str, scenario: Scenario | str) -> str:
        """Make, or find, the agreement that orders under a scenario need (`buy` does it by itself); answers its id."""
        offered = self._product(product)
        wanted = scenario.id if isinstance(scenario, Scenario) else scenario
        return str(self._agreement(offered, sorted(self.grants(wanted), key=lambda grant: grant.dataset))["id"])

    def _new_order(self, product: Product, call: Call, scenario: Scenario | str | None,
                   apart: Apart | None) -> dict[str, Any]:
        from mpc.functions.registry import plan_for  # numpy: only who orders waits for it

        inputs = self.catalogue.product_inputs(product)
        with our_errors():
            plan_for(call.key, call.parameters, call.filter, [dataset.document for dataset in inputs])
        now = datetime.now(UTC)
        wanted = scenario.id if isinstance(scenario, Scenario) else scenario
        grants = orders.choose_grants(self.grants(wanted), product, call, grantee=self.keys.participant, now=now,
                                      scenario=wanted)
        agreement = self._agreement(product, grants)
        members = {dataset.provider: self.catalogue.participant(dataset.provider) for dataset in inputs}
        records = [dict(dataset.document) for dataset in inputs]
        spec = orders.new_job_spec(
            agreement=agreement, grants=grants, call=call, inputs=inputs,
            members=members,
            trust=self.trust,
            recipient={"participant": self.keys.participant, "sealing": self.keys.sealing_public},
            now=now, nonce=secrets.token_hex(32),
            apart=spec_fields(apart, call, records, keyring=self.keyring) if apart else None,
        )
        with our_errors():
            wire = signed(spec, self.keys.signing)
        return {"version": 1, "function": call.key, "parameters": dict(call.parameters), "filter": call.filter,
                "spec": wire}

    def _agreement(self, product: Product, grants: Sequence[Grant]) -> Document:
        """The agreement over these grants, found or made, once the lead has signed it too."""
        references = orders.grant_references(grants)
        scenario = grants[0].scenario
        for row in rows_of(self.portal.get("/agreements", product=product.id, scenario=scenario)):
            document = row["document"]["document"]
            ours = (document["product"], document["product_hash"], document["consumer"]) == (
                product.id, product.hash, self.keys.participant)
            if ours and document["grants"] == references and row["state"] in ("offered", "signed"):
                return self._both_signed(document["id"], product)
        document = orders.new_agreement(product, self.catalogue.scenario(scenario), grants,
                                        consumer=self.keys.participant)
        with our_errors():
            wire = signed(document, self.keys.signing)
        self.portal.post("/agreements", {"document": wire})
        return self._both_signed(document["id"], product)

    def _both_signed(self, agreement_id: str, product: Product) -> Document:
        lead = self.catalogue.participant(product.lead)
        end = time.monotonic() + AGREEMENT_SECONDS
        while True:
            answer = self.portal.get(f"/agreements/{agreement_id}")
            if answer["state"] == "signed":
                with our_errors():
                    return verify_signed(answer["document"], type="agreement",
                                         keys=[self.keys.signing_public, lead["keys"]["signing"]])
            if answer["state"] != "offered":
                raise Refused(f"agreement {agreement_id} is {answer['state']}", code="agreement.invalid")
            if time.monotonic() > end:
                raise TimedOut(f"the lead has not signed agreement {agreement_id} yet", code="agreement.timeout")
            time.sleep(POLL_SECONDS)

    # -- results ---------------------------------------------------------------------------------------------------

    def open_result(self, job_id: str) -> Result:
        """Open a released job's result again: from the cache if it is there, without asking the portal."""
        kept = self.cache.read(self.cache.job(job_id))
        if kept is not None:
            return self._open(replace(Evidence.from_json(kept), job=job_id))
        answer = self.portal.get(f"/jobs/{job_id}")
        check_released(answer)
        return self.open_answer(job_id, answer)

    def open_answer(self, job_id: str, answer: Mapping[str, Any]) -> Result:
        """Gather what the portal says of this released job, verify and open it, then keep it."""
        evidence = self._evidence(job_id, answer)
        result = self._open(evidence)
        self.cache.write(self.cache.job(evidence.job), evidence.as_json())
        return result

    @whole_answers()
    def _evidence(self, job_id: str, answer: Mapping[str, Any]) -> Evidence:
        """Under the id that was asked for: a portal that answers with another job of ours is found out."""
        spec: Signed = answer["spec"]
        document = spec["document"]
        return Evidence(
            job=job_id,
            attempt=answer["attempt"],
            spec=spec,
            verdicts=list(answer["verdicts"]),
            envelopes=list(answer["envelopes"]),
            participants=[self.catalogue.former_participant_wire(seat["participant"], seat["record_hash"])
                          for seat in document["roster"]],
            datasets=[
                self.catalogue.dataset_wire(given["dataset"], given["dataset_hash"]) for given in document["inputs"]
            ],
            entry=answer.get("entry"),
            apart=fetch(self.portal, job_id) if are_apart(document) else None,
        )

    def _open(self, evidence: Evidence) -> Result:
        from marketplace.sdk.opening import open_evidence  # what adds up shares costs numpy: not before a result is due

        with whole_answers():
            grants = {grant["id"]: grant["terms_hash"] for grant in evidence.spec["document"]["grants"]}
        return open_evidence(evidence, trust=self.trust, keys=self.keys, keyring=self.keyring,
                             fetch_receipt=lambda: self.receipt_of(evidence, grants))

    def receipt_of(self, evidence: Evidence, grants: Mapping[str, str]) -> Receipt:
        """The receipt of a job's release, from the cache or from the portal once it is anchored."""
        if evidence.entry is None:
            raise Unavailable(f"the release of job {evidence.job} has no entry yet", code="receipt.pending")
        path = self.cache.receipt(evidence.entry)
        value = self.cache.read(path)
        if value is None:
            value = self.fetch_receipt(evidence.entry)
            self.cache.write(path, value)
        return Receipt.of(value, trust=self.trust, subject=evidence.job, grants=grants)

    def fetch_receipt(self, entry_id: str, seconds: float = RECEIPT_SECONDS) -> Mapping[str, Any]:
        """Ask for a receipt until it is anchored; unverified."""
        end = time.monotonic() + seconds
        while True:
            try:
                value: Mapping[str, Any] = self.portal.get(f"/receipts/{entry_id}", wait=10)
                return value
            except NotFound:
                raise
            except Refused as error:
                if error.code != "receipt.pending":
                    raise
                if time.monotonic() > end:
                    raise Unavailable(error.message, code=error.code, status=error.status) from error
            time.sleep(POLL_SECONDS)

    def _product(self, product: Product | str) -> Product:
        return product if isinstance(product, Product) else self.product(product)


def _engine_of(order: Mapping[str, Any]) -> str:
    """As `Space.buy` calls it: the spec's, without its version."""
    return str(order["spec"]["document"]["engine"]).partition("/")[0]
