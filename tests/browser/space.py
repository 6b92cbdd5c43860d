"""A small space written straight into the portal's tables, for its pages to show.

Signatures are true (a receipt made from these rows verifies); the chain is not there, so its transactions are rows.
The dictionary is that of the heart data in `fixtures/`; no row of any patient is needed, and none is read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.db import transaction

from dataspace.actor import SYSTEM, Actor
from dataspace.datasets.models import Dataset
from dataspace.grants.models import Grant, GrantUse
from dataspace.participants.models import Participant, Person
from dataspace.provenance import guard, recorder
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Event, Sender
from dataspace.provenance.queries import epoch
from dataspace.provenance.record import record
from dataspace.scenarios.models import Scenario, ScenarioDataset
from ledger.approval import approve, consent, domain_of, grant_chain_id
from ledger.documents import (
    chain_id_of,
    document_hash,
    new_document,
    new_id,
    new_salt,
    public_hex,
    purpose_hash,
    signed,
    timestamp,
)
from ledger.entry import grants_named
from ledger.keys import EthKey
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from marketplace.agreements.models import Agreement
from marketplace.jobs.models import Envelope, Job, JobParty, Verdict
from marketplace.products.models import Product, ProductConfirmation, ProductDataset
from mpc.catalog import CATALOG

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
PASSWORD = "browser tests only 7f3a"
HOSPITALS = ("cleveland", "budapest", "zurich-basel", "long-beach")
START = datetime(2026, 11, 22, 5, 20, tzinfo=UTC)


def new_key() -> EthKey:
    """A key of nobody."""
    return EthKey(token_hex(32))


@dataclass
class Member:
    """An organisation with its keys."""

    key: str
    id: str
    name: dict[str, str]
    admitted_as: list[str]
    signing: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    approval: EthKey = field(default_factory=new_key)
    service: EthKey = field(default_factory=new_key)
    row: Participant = field(init=False)
    person: Person | None = None

    @property
    def actor(self) -> Actor:
        person = self.person.pk if self.person else None
        return Actor(UUID(self.id), person, frozenset(self.admitted_as))


class Space:
    """The story, step by step; each step moves the clock on."""

    def __init__(self, folder: Path, settings: Any) -> None:
        people = json.loads((FIXTURES / "people.json").read_text("utf-8"))
        self.members = {
            one["key"]: Member(one["key"], new_id(), one["name"], one["admitted_as"]) for one in people["organisations"]
        }
        self.people = people["people"]
        self.now = START
        self.trust = self._found(folder, settings)
        self.dictionary = json.loads((FIXTURES / "hospitals/uci-heart/dictionary.json").read_text("utf-8"))

    def _found(self, folder: Path, settings: Any) -> Trust:
        root, log = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        office, dealer = self.members["regulator"], self.members["dealer"]
        contract = {"address": new_key().address, "code_hash": "0x" + new_salt()}
        wire = make_trust(
            root,
            space_id=new_id(),
            name="Pages of a small space",
            issued_at=timestamp(START),
            chain={
                "id": 20261122,
                "profile": "embedded",
                "genesis": "0x" + new_salt(),
                "rpc": ["http://127.0.0.1:9"],
                "quorum": 1,
                "contracts": dict.fromkeys(("anchor", "grants", "participants"), contract),
            },
            log_key=public_hex(log),
            regulator={
                "participant": office.id,
                "signing": public_hex(office.signing),
                "sealing": new_salt(),
                "approvers": [office.approval.address],
            },
            dealer={"participant": dealer.id, "signing": public_hex(dealer.signing)},
        )
        path, key = folder / "trust.json", folder / "log.key"
        path.write_text(json.dumps(wire), "utf-8")
        key.write_text(log.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex(), "ascii")
        key.chmod(0o600)
        settings.XINGLIN_TRUST = str(path)
        settings.XINGLIN_FINGERPRINT = fingerprint_of_root(public_hex(root))
        settings.XINGLIN_LOG_KEY_FILE = str(key)
        settings.XINGLIN_WAKE = False
        return load_trust(path, fingerprint=settings.XINGLIN_FINGERPRINT)

    def tick(self, seconds: float = 20) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def note(self, kind: str, subject: UUID | str, actor: Actor, audience: list[str], body: Any = None) -> Event:
        """An entry, a little later than the one before."""
        return record(
            kind,
            subject_kind=kind.partition(".")[0],
            subject_id=UUID(str(subject)),
            actor=actor,
            now=self.tick(),
            audience=[UUID(one) for one in audience],
            body=body or {},
        )

    # the organisations and their people

    def enrol(self, *, admit: bool = True) -> None:
        for member in self.members.values():
            document = new_document(
                "participant",
                id=member.id,
                number=1,
                name=member.name,
                admitted_as=member.admitted_as,
                keys={
                    "signing": public_hex(member.signing),
                    "sealing": new_salt(),
                    "approval": [{"scheme": "secp256k1", "address": member.approval.address}],
                    "service": member.service.address,
                },
            )
            member.row = Participant.objects.create(
                id=member.id,
                name_zh=member.name["zh"],
                name_en=member.name["en"],
                admitted_as=member.admitted_as,
                state="admitted" if admit else "applied",
                record=signed(document, member.signing),
                record_hash=document_hash(document),
                signing_key=public_hex(member.signing),
                chain_id=chain_id_of(member.id, document["id_salt"]),
                created_at=self.tick(),
            )
            office = self.members["regulator"]
            self.note("participant.applied", member.id, member.actor, [member.id, office.id])
            if admit:
                self.note("participant.admitted", member.id, office.actor, [member.id, office.id])
        for one in self.people:
            member = self.members[one["organisation"]]
            member.person = Person.objects.create_user(
                one["username"],
                password=PASSWORD,
                participant=member.row,
                name=one["name"]["zh"],
                roles=one["roles"],
            )

    # what hospitals register and offer

    def register(self) -> None:
        self.datasets: dict[str, Dataset] = {}
        for hospital in HOSPITALS:
            member = self.members[hospital]
            document = new_document(
                "dataset",
                id=new_id(),
                provider=member.id,
                number=1,
                name="heart",
                title=self.dictionary["title"],
                columns=self.dictionary["columns"],
                rows_max=500,
                fingerprint=new_salt(),
            )
            self.datasets[hospital] = Dataset.objects.create(
                id=document["id"],
                provider=member.row,
                number=1,
                name="heart",
                title_zh=document["title"]["zh"],
                title_en=document["title"]["en"],
                rows_max=500,
                state="registered",
                record=signed(document, member.signing),
                record_hash=document_hash(document),
                created_at=self.tick(),
            )
            self.note("dataset.registered", document["id"], member.actor, [member.id])

    def references(self) -> list[dict[str, str]]:
        found = [
            {"id": str(row.pk), "provider": str(row.provider_id), "hash": row.record_hash}
            for row in self.datasets.values()
        ]
        return sorted(found, key=lambda one: one["id"])

    def offer(self, *, state: str = "listed") -> Product:
        lead = self.members["cleveland"]
        document = new_document(
            "product",
            id=new_id(),
            lead=lead.id,
            title={"zh": "心脏病：四院联合统计", "en": "Heart disease: joint statistics of four hospitals"},
            summary={
                "zh": "四家医院用同一份字典登记的心脏病诊断资料。计算由四院节点共同完成，结果只对购买方打开。",
                "en": "Heart disease records of four hospitals under one dictionary. The four compute together; "
                "only the buyer opens the result.",
            },
            datasets=self.references(),
            functions=["crosstab@1", "describe@1"],
            price={"amount": 125000, "currency": "CNY"},
        )
        row = Product.objects.create(
            id=document["id"],
            lead=lead.row,
            title_zh=document["title"]["zh"],
            title_en=document["title"]["en"],
            summary_zh=document["summary"]["zh"],
            summary_en=document["summary"]["en"],
            functions=document["functions"],
            price_amount=125000,
            price_currency="CNY",
            state=state,
            document=signed(document, lead.signing),
            document_hash=document_hash(document),
            listed_at=self.tick() if state == "listed" else None,
            created_at=self.tick(),
        )
        for dataset in self.datasets.values():
            ProductDataset.objects.create(product=row, dataset=dataset)
        everyone = [self.members[one].id for one in (*HOSPITALS, "regulator")]
        self.note("product.drafted", row.pk, lead.actor, everyone)
        for hospital in HOSPITALS[1:]:
            member = self.members[hospital]
            ProductConfirmation.objects.create(product=row, participant=member.row, document={}, at=self.tick())
            self.note("product.confirmed", row.pk, member.actor, everyone)
        self.note("product.submitted", row.pk, lead.actor, everyone)
        if state == "listed":
            self.note("product.listed", row.pk, self.members["regulator"].actor, everyone)
        return row

    # what an enterprise applies for, and who agrees

    def apply(self, *, state: str, zh: str, en: str, purpose: str) -> Scenario:
        consumer = self.members["consumer"]
        document = new_document(
            "scenario",
            id=new_id(),
            title={"zh": zh, "en": en},
            purpose=purpose,
            consumer=consumer.id,
            functions=[{"name": "crosstab", "version": 1}, {"name": "describe", "version": 1}],
            floor=10,
            by_institution=False,
            max_uses=20,
            not_before=timestamp(START),
            not_after=timestamp(START + timedelta(days=180)),
            datasets=self.references(),
            persons=[],
        )
        row = Scenario.objects.create(
            id=document["id"],
            consumer=consumer.row,
            title_zh=zh,
            title_en=en,
            purpose=purpose,
            functions=document["functions"],
            floor=10,
            max_uses=20,
            not_before=START,
            not_after=START + timedelta(days=180),
            state=state,
            document=signed(document, consumer.signing),
            document_hash=document_hash(document),
            created_at=self.tick(),
            submitted_at=self.tick(),
        )
        for seat, one in enumerate(self.references()):
            ScenarioDataset.objects.create(scenario=row, dataset_id=one["id"], seat=seat)
        seen = [self.members[one].id for one in (*HOSPITALS, "regulator", "consumer")]
        self.note("scenario.drafted", row.pk, consumer.actor, [consumer.id])
        self.note("scenario.submitted", row.pk, consumer.actor, seen)
        if state == "approved":
            self.note("scenario.approved", row.pk, self.members["regulator"].actor, seen)
        return row

    def grant(self, scenario: Scenario, hospital: str, *, consented: bool) -> Grant:
        member, office, consumer = self.members[hospital], self.members["regulator"], self.members["consumer"]
        dataset = self.datasets[hospital]
        document, described = scenario.document["document"], dataset.record["document"]
        terms = new_document(
            "grant_terms",
            id=new_id(),
            space_id=self.trust.space_id,
            scenario=str(scenario.pk),
            scenario_hash=scenario.document_hash,
            dataset=str(dataset.pk),
            dataset_hash=dataset.record_hash,
            dataset_chain_id=chain_id_of(str(dataset.pk), described["id_salt"]),
            custodian=member.id,
            custodian_approver=member.approval.address,
            roster=[{"dataset": one["id"], "provider": one["provider"]} for one in self.references()],
            dealer=self.trust.dealer.participant,
            grantee=consumer.id,
            grantee_address=consumer.approval.address,
            purpose_hash=purpose_hash(scenario.purpose, document["salt"]),
            functions=[
                {"name": CATALOG[key].name, "version": CATALOG[key].version, "digest": CATALOG[key].digest}
                for key in ("crosstab@1", "describe@1")
            ],
            floor=10,
            by_institution=False,
            max_uses=20,
            not_before=timestamp(scenario.not_before),
            not_after=timestamp(scenario.not_after),
        )
        domain, sign_by = domain_of(self.trust), int((self.now + timedelta(days=1)).timestamp())
        yes = approve(terms, office.approval, domain=domain, nonce="0x" + new_salt(), sign_by=sign_by)
        own = consent(
            terms,
            member.approval,
            service=member.service.address,
            domain=domain,
            nonce="0x" + new_salt(),
            sign_by=sign_by,
        )
        row = Grant.objects.create(
            id=terms["id"],
            scenario=scenario,
            dataset=dataset,
            custodian=member.row,
            grantee=consumer.row,
            terms=terms,
            terms_hash=document_hash(terms),
            chain_id=grant_chain_id(terms),
            approval=yes,
            consent=own if consented else None,
            state="active" if consented else "submitted",
            not_before=scenario.not_before,
            not_after=scenario.not_after,
            max_uses=20,
            registered_block=118 if consented else None,
            created_at=self.tick(),
        )
        body = {"grants": grants_named({str(row.pk): row.terms_hash})}
        seen = [member.id, office.id, consumer.id]
        self.note("grant.approved", row.pk, office.actor, seen, body)
        if consented:
            self.note("grant.consented", row.pk, member.actor, seen, body)
            self.note("grant.registered", row.pk, SYSTEM, seen, body)
        return row

    def agree(self, product: Product, scenario: Scenario) -> Agreement:
        consumer, lead = self.members["consumer"], self.members["cleveland"]
        row = Agreement.objects.create(
            id=new_id(),
            product=product,
            scenario=scenario,
            consumer=consumer.row,
            provider=lead.row,
            price_amount=125000,
            price_currency="CNY",
            state="signed",
            document={},
            document_hash=new_salt(),
            signed_at=self.tick(),
            created_at=self.tick(),
        )
        row.grants.set(scenario.grants.all())
        return row

    # computations

    def order(
        self, agreement: Agreement, function: str, parameters: dict[str, Any], *, state: str, code: str = ""
    ) -> Job:
        consumer = self.members["consumer"]
        grants = list(agreement.grants.order_by("dataset_id"))
        spec = new_document(
            "job_spec",
            id=new_id(),
            agreement=str(agreement.pk),
            agreement_hash=agreement.document_hash,
            grants=[
                {"id": str(one.pk), "terms_hash": one.terms_hash, "dataset": str(one.dataset_id)} for one in grants
            ],
            function={
                "name": CATALOG[function].name,
                "version": CATALOG[function].version,
                "digest": CATALOG[function].digest,
            },
            parameters=parameters,
            filter=None,
            inputs=[
                {"dataset": one["id"], "dataset_hash": one["hash"], "provider": one["provider"]}
                for one in self.references()
            ],
            roster=[
                {"seat": seat, "participant": one["provider"], "signing": new_salt(), "record_hash": new_salt()}
                for seat, one in enumerate(self.references())
            ],
            dealer={"participant": self.trust.dealer.participant, "signing": self.trust.dealer.signing},
            engine="crypten/1",
            disclosure={"floor": 10},
            recipient={"participant": consumer.id, "sealing": new_salt()},
            issued_at=timestamp(self.now),
            deadline=timestamp(self.now + timedelta(hours=1)),
            nonce=new_salt(),
        )
        row = Job.objects.create(
            id=spec["id"],
            agreement=agreement,
            consumer=consumer.row,
            function=function,
            state=state,
            code=code,
            spec=signed(spec, consumer.signing),
            spec_hash=document_hash(spec),
            question_hash=new_salt(),
            answer_by=self.now + timedelta(seconds=30),
            deadline=self.now + timedelta(hours=1),
            created_at=self.tick(2),
        )
        row.grants.set(grants)
        self._answer(row, spec)
        self._tell(row, grants)
        return row

    def _answer(self, row: Job, spec: dict[str, Any]) -> None:
        seats = [*spec["roster"], {"seat": 4, "participant": spec["dealer"]["participant"]}]
        for seat in seats:
            dealer = seat["seat"] == 4
            JobParty.objects.create(
                job=row, participant_id=seat["participant"], seat=seat["seat"], role="dealer" if dealer else "party"
            )
            if row.state == "offered" and not dealer:
                continue
            refuses = row.state == "refused" and seat["seat"] == 1
            document = {
                "decision": "refuse" if refuses else "accept",
                "rule": row.code if refuses else "",
                "who_must_act": "regulator" if refuses else "",
            }
            Verdict.objects.create(
                job=row,
                participant_id=seat["participant"],
                attempt=1,
                decision=document["decision"],
                code=row.code if refuses else "",
                document={"document": document},
                document_hash=new_salt(),
                at=self.tick(0.4),
            )
            if row.state == "released" and not dealer:
                Envelope.objects.create(
                    job=row,
                    participant_id=seat["participant"],
                    attempt=1,
                    session=new_salt(),
                    gate_hash=new_salt(),
                    document={},
                    at=self.tick(0.1),
                )

    def _tell(self, row: Job, grants: list[Grant]) -> None:
        seen = [one.id for one in self.members.values()]
        body = {"grants": grants_named({str(one.pk): one.terms_hash for one in grants}), "job_hash": row.spec_hash}
        moves = {
            "released": ("offered", "accepted", "started", "released"),
            "refused": ("offered", "refused"),
            "offered": ("offered",),
        }[row.state]
        self.note("job.ordered", row.pk, self.members["consumer"].actor, seen, body)
        for move in moves:
            event = self.note(f"job.{move}", row.pk, SYSTEM, seen, body)
            if move == "released":
                row.released_event, row.ended_at = event.id, event.at
                row.save(update_fields=["released_event", "ended_at"])
                for one in grants:
                    GrantUse.objects.create(grant=one, job_hash=row.spec_hash, at=event.at)

    # the ledger

    def sequence(self, *, anchored: bool) -> None:
        """Give the entries their places, sign; and write the anchor that a chain would hold."""
        guard.keep(0, None)  # no chain is asked here how long the log was
        if not recorder.sequence(now=self.tick(1)) or not anchored:
            return
        checkpoint = Checkpoint.objects.order_by("-size").first()
        assert checkpoint is not None
        sender, _ = Sender.objects.get_or_create(address="0x" + "11" * 20)
        tx = ChainTx.objects.create(
            key=f"anchor:{checkpoint.size}",
            kind="anchor",
            sender=sender,
            nonce=sender.next_nonce,
            raw="0x",
            hash="0x" + new_salt(),
            status="final",
            block=100 + checkpoint.size,
            block_hash="0x" + new_salt(),
            created_at=self.tick(1),
            sent_at=self.now,
        )
        sender.next_nonce += 1
        sender.save(update_fields=["next_nonce"])
        Anchor.objects.create(checkpoint=checkpoint, tx=tx, size=checkpoint.size, prev_size=0, epoch=epoch())


def whole_story(space: Space) -> dict[str, Any]:
    """Everything the pages can show: things done, things that wait, a refusal, a computation under way."""
    with transaction.atomic():
        space.enrol()
        space.register()
        product = space.offer()
        scenario = space.apply(
            state="approved",
            zh="心电监护仪上市后评价",
            en="Post-market evaluation of a cardiac monitor",
            purpose="评价心电监护仪在不同胸痛类型人群中的适用性；只出汇总结果，不得再识别。",
        )
        for hospital in HOSPITALS:
            space.grant(scenario, hospital, consented=True)
        agreement = space.agree(product, scenario)
    space.sequence(anchored=True)
    with transaction.atomic():
        crosstab = {"rows": "chest_pain", "columns": "disease_grade"}
        describe = {"columns": ["age", "resting_bp", "max_heart_rate"], "by": "sex"}
        released = space.order(agreement, "describe@1", describe, state="released")
        refused = space.order(agreement, "crosstab@1", crosstab, state="refused", code="grant.outside_scope")
    space.sequence(anchored=True)
    with transaction.atomic():
        running = space.order(agreement, "crosstab@1", crosstab, state="offered")
        waiting = space.apply(
            state="submitted",
            zh="运动试验阈值研究",
            en="Thresholds of the exercise test",
            purpose="研究运动试验中最大心率的分布；只出汇总结果。",
        )
        asked = space.apply(
            state="approved",
            zh="静息血压分布图谱",
            en="Distribution of resting blood pressure",
            purpose="描述静息血压的分布；只出汇总结果。",
        )
        space.grant(asked, "cleveland", consented=False)
        space.grant(asked, "budapest", consented=True)
    space.sequence(anchored=False)
    return {
        "product": product,
        "scenario": scenario,
        "released": released,
        "refused": refused,
        "running": running,
        "waiting": waiting,
        "asked": asked,
        "dataset": space.datasets["cleveland"],
    }
