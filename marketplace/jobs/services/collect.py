"""Jobs of parties that are not online together: contributions, the one set, its product, the dealer's word on it.

A contribution is taken once, in range, and never changed. When every hospital has contributed, or at the order's time
if enough have, the set is chosen: all that lies here, and from then on nothing is taken. The portal holds no key and
opens nothing; whoever opens the total multiplies again and need not believe it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import SYSTEM, Actor
from dataspace.errors import Conflict, Invalid
from dataspace.provenance.record import record
from ledger.documents import document_hash, from_b64
from marketplace.jobs.models import Contribution, Failure, Job, Total, Verdict
from marketplace.jobs.services.hear import check_open, read_answer, seat_of
from marketplace.jobs.services.move import end, go, locked
from marketplace.jobs.services.say import audience_of, body_of
from marketplace.jobs.states import Move, State
from mpc import ciphertext
from mpc.ciphertext import PublicKey
from mpc.errors import MpcError
from mpc.spec import fewest

GRACE = timedelta(seconds=30)
"""After the order's time: what a hospital began in time is on its way."""
PASSING = frozenset({
    "chain.unavailable", "chain.stale_head", "chain.disagree", "clock.skew", "node.disk_full", "node.stopped",
    "worker.failed", "worker.killed", "worker.out_of_time", "worker.out_of_memory", "session.deadline",
    "paillier.too_early", "paillier.use_not_final",
})  # fmt: skip
"""What may be otherwise a few minutes later: whoever said so is asked again."""


def key_of(job: Job) -> PublicKey:
    """The consumer's public key, of its signed order."""
    return PublicKey.read(job.spec["document"]["contributions"]["key"])


@transaction.atomic
def contribute(job: Job, *, wire: Mapping[str, Any], ciphertexts: str, actor: Actor, now: datetime) -> None:
    """Take one hospital's part: signed by it, ciphertexts of the order's key in the right number."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "contribution", job=row, seat=seat)
    known = Contribution.objects.filter(job=row, participant=seat.participant).only("document_hash").first()
    if known is not None:
        if known.document_hash == document_hash(document):
            return
        raise Conflict("this hospital has contributed; what it gave stands", code="paillier.duplicate")
    check_open(row)
    if row.state != State.COLLECTING or now >= row.answer_by + GRACE:
        raise Conflict("the time to contribute is over", code="paillier.too_late")
    if seat.role == "dealer" or document["seat"] != seat.seat:
        raise Invalid("only a party contributes, at its own seat", code="job.wrong_participant")
    data = _checked(row, ciphertexts, document["ciphertexts"])
    hashed = document_hash(document)
    Contribution.objects.create(job=row, participant=seat.participant, seat=seat.seat, document=dict(wire),
                                document_hash=hashed, ciphertexts=data, at=now)  # fmt: skip
    spec = row.spec["document"]
    record("job.contributed", subject_kind="job", subject_id=row.pk, actor=actor, now=now,
           audience=audience_of(row, spec), body={**body_of(spec, row.spec_hash), "contribution": hashed})  # fmt: skip


def _checked(job: Job, ciphertexts: str, signed: str) -> bytes:
    """The bytes that were signed, each a ciphertext of the order's key."""
    data = from_b64(ciphertexts, "/ciphertexts")
    if ciphertext.hash_of(data) != signed:
        raise Invalid("these are not the ciphertexts that were signed", code="paillier.malformed")
    try:
        ciphertext.from_bytes(key_of(job), data, count=job.spec["document"]["contributions"]["ciphertexts"])
    except MpcError as trouble:
        raise Invalid(trouble.text, code="paillier.malformed") from trouble
    return data


@transaction.atomic
def verdict(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A node's verdict. One refusal ends nothing while enough others may come; the dealer's ends the job."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "verdict", job=row, seat=seat)
    known = Verdict.objects.filter(job=row, participant=seat.participant).first()
    if known is not None and known.document_hash == document_hash(document):
        return
    check_open(row)
    dealer = seat.role == "dealer"
    if row.state != (State.CLOSING if dealer else State.COLLECTING) or document["seat"] != seat.seat:
        raise Conflict(f"the job is {row.state}, or the seat is another", code="job.not_offered")
    if document["session"] is not None or (dealer and document["decision"] != "refuse"):
        raise Invalid("there is no session in such a job; the dealer freezes, or refuses to", code="session.mismatch")
    contributed = Contribution.objects.filter(job=row, participant=seat.participant).exists()
    if contributed or (known is not None and is_final(known.decision, known.code)):
        raise Conflict("this node has answered already", code="job.answered")
    code = document["code"] or ""
    Verdict.objects.update_or_create(
        job=row, participant=seat.participant, attempt=row.attempt,
        defaults={"decision": document["decision"], "code": code, "document": dict(wire),
                  "document_hash": document_hash(document), "at": now})  # fmt: skip
    if is_final(document["decision"], code):
        _without(row, seat.participant_id, code or "policy.denied", dealer=dealer, actor=actor, now=now)


@transaction.atomic
def failure(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A node's word that its part failed: for the moment, or for good."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "job_failure", job=row, seat=seat)
    check_open(row)
    Failure.objects.update_or_create(
        job=row, participant=seat.participant, attempt=row.attempt,
        defaults={"code": document["code"], "about": None, "document": dict(wire), "at": now})  # fmt: skip
    if is_final("refuse", document["code"]):
        _without(row, seat.participant_id, document["code"], dealer=seat.role == "dealer", actor=actor, now=now)


def is_final(decision: str, code: str) -> bool:
    """Whether who said so will not come any more."""
    return decision == "refuse" and code not in PASSING


def _without(job: Job, who: UUID, code: str, *, dealer: bool, actor: Actor, now: datetime) -> None:
    if dealer:
        end(job, Move.FAIL, code=code, about=who, now=now, actor=actor)
    elif job.state == State.COLLECTING and len(can_come(job)) < fewest(job.spec["document"]):
        end(job, Move.REFUSE, code=code, about=who, now=now, actor=actor)


def can_come(job: Job) -> set[UUID]:
    """The hospitals that have contributed, or may still."""
    came = set(Contribution.objects.filter(job=job).values_list("participant_id", flat=True))
    said = [*Verdict.objects.filter(job=job).values_list("participant_id", "decision", "code"),
            *((who, "refuse", code) for who, code in Failure.objects.filter(job=job).values_list(
                "participant_id", "code"))]  # fmt: skip
    gone = {who for who, decision, code in said if is_final(decision, code)}
    return came | (set(job.parties.filter(role="party").values_list("participant_id", flat=True)) - gone)


def carry_on(job: Job, *, now: datetime) -> None:
    """What time and the others' acts bring to such a job; the caller holds its row."""
    if job.state == State.COLLECTING:
        _close_when_due(job, now=now)
    if job.state == State.CLOSING:
        _multiply(job)
        _release_when_whole(job, now=now)
    if job.state == State.CLOSING and now > job.deadline:
        end(job, Move.FAIL, code="dealer.lost", about=job.parties.get(role="dealer").participant_id, now=now)


def _close_when_due(job: Job, *, now: datetime) -> None:
    given = dict(Contribution.objects.filter(job=job).values_list("participant_id", "document_hash"))
    parties = list(job.parties.filter(role="party").values_list("participant_id", flat=True))
    if len(given) < len(parties) and now < job.answer_by + GRACE:
        return
    if len(given) < fewest(job.spec["document"]):
        absent = [one for one in parties if one not in given]
        end(job, Move.FAIL, code="paillier.too_few", about=absent[0] if len(absent) == 1 else None, now=now)
        return
    go(job, Move.CLOSE, actor=SYSTEM, now=now, body={"contributions": sorted(given.values())})


def _multiply(job: Job) -> None:
    """The product of all contributions, once; whoever is killed over it leaves it to the next sweep."""
    if Total.objects.filter(job=job).exclude(product=None).exists():
        return
    key, count = key_of(job), job.spec["document"]["contributions"]["ciphertexts"]
    vectors = [ciphertext.from_bytes(key, bytes(one), count=count)
               for one in Contribution.objects.filter(job=job).values_list("ciphertexts", flat=True)]  # fmt: skip
    product = ciphertext.to_bytes(key, ciphertext.product(key, vectors))
    Total.objects.update_or_create(
        job=job, defaults={"product": product, "product_hash": ciphertext.hash_of(product)})  # fmt: skip


@transaction.atomic
def freeze(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """The dealer's signed word on the set: exactly the one that was chosen here."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "frozen_set", job=row, seat=seat)
    total = Total.objects.filter(job=row).defer("product").first()
    if total is not None and total.frozen is not None:
        if total.frozen == dict(wire):
            return
        raise Conflict("the set is frozen already", code="job.answered")
    check_open(row)
    if seat.role != "dealer" or row.state != State.CLOSING:
        raise Conflict(f"the job is {row.state}, and only the dealer's office freezes", code="job.not_offered")
    chosen = [{"seat": one.seat, "participant": str(one.participant_id), "contribution": one.document_hash}
              for one in Contribution.objects.filter(job=row).defer("ciphertexts", "document")]  # fmt: skip
    recipient = row.spec["document"]["recipient"]
    if document["members"] != chosen or (document["recipient"], document["recipient_key"]) != (
        recipient["participant"], recipient["sealing"],
    ):  # fmt: skip
        raise Invalid("another set than the chosen one, or sealed to somebody else", code="session.mismatch")
    Total.objects.update_or_create(job=row, defaults={"frozen": dict(wire)})
    _release_when_whole(row, now=now)


def _release_when_whole(job: Job, *, now: datetime) -> None:
    """With the product and the dealer's word the total can be opened, by the consumer alone."""
    total = Total.objects.filter(job=job).exclude(product=None).exclude(frozen=None).defer("product").first()
    if total is None or total.frozen is None:
        return
    frozen = total.frozen["document"]
    body = {"frozen": document_hash(frozen), "product": total.product_hash,
            "contributions": sorted(one["contribution"] for one in frozen["members"])}  # fmt: skip
    event = go(job, Move.RELEASE, actor=SYSTEM, now=now, body=body, changes={"ended_at": now})
    Job.objects.filter(pk=job.pk).update(released_event=event.id)
