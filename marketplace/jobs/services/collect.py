"""Jobs of parties that are not online together: contributions, the one set, its product, the dealer's word on it.

A contribution is taken once, in range, and never changed. When every hospital has contributed, or at the order's time
if enough have, the set is chosen: all that lies here and was not taken back, and from then on nothing is taken. Another
set is chosen only when the dealer's office says that it froze nothing and who stands in the way. The portal holds no
key and opens nothing; whoever opens the total multiplies again and need not believe it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from dataspace.actor import SYSTEM, Actor
from dataspace.errors import Conflict, Invalid
from dataspace.grants.models import Grant
from dataspace.grants.states import State as GrantState
from dataspace.participants.models import Participant
from dataspace.provenance.record import record
from ledger.documents import document_hash, from_b64
from marketplace.jobs.models import Contribution, Failure, Job, JobParty, Total, Verdict
from marketplace.jobs.queries import standing
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
ASKED_AGAIN = frozenset({
    "chain.unavailable", "chain.stale_head", "chain.disagree", "clock.skew", "node.busy", "node.disk_full",
    "node.stopped",
    "worker.failed", "worker.killed", "worker.out_of_time", "worker.out_of_memory", "session.deadline",
    "paillier.too_early", "paillier.use_not_final",
})  # fmt: skip
"""What may be otherwise a few minutes later: whoever said so is asked again."""
LONG_ENOUGH = timedelta(minutes=15)
"""After the order's time: a use that is not final by then will not be."""
FINISHING = timedelta(minutes=30)
"""After the deadline: the dealer's word is here, and only the portal's own product is missing."""


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
    if seat.left_out:
        raise Conflict("this hospital's part is not in this job any more", code=seat.left_out)
    if seat.role == "dealer" or document["seat"] != seat.seat:
        raise Invalid("only a party contributes, at its own seat", code="job.wrong_participant")
    if document["dealer_key"] != _dealers_key(row):
        raise Invalid("the seed is not sealed to the dealer's office as it is on record", code="paillier.malformed")
    data = _checked(row, ciphertexts, document["ciphertexts"])
    hashed = document_hash(document)
    Contribution.objects.create(job=row, participant=seat.participant, seat=seat.seat, document=dict(wire),
                                document_hash=hashed, ciphertexts=data, at=now)  # fmt: skip
    spec = row.spec["document"]
    record("job.contributed", subject_kind="job", subject_id=row.pk, actor=actor, now=now,
           audience=audience_of(row, spec), body={**body_of(spec, row.spec_hash), "contribution": hashed})  # fmt: skip


def _dealers_key(job: Job) -> str:
    dealer = Participant.objects.get(pk=job.spec["document"]["dealer"]["participant"])
    return str(dealer.record["document"]["keys"]["sealing"])


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
def withdraw(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A hospital takes its part back. While the job collects it is out; once the set is chosen the dealer's office is
    told, and whether that was in time is its book's to say."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "withdrawal", job=row, seat=seat)
    if seat.withdrawal is not None:
        return
    check_open(row)
    if seat.role == "dealer" or document["seat"] != seat.seat:
        raise Invalid("only a party takes its part back, at its own seat", code="job.wrong_participant")
    if row.state not in {State.COLLECTING, State.CLOSING}:
        raise Conflict(f"the job is {row.state}", code="job.not_offered")
    JobParty.objects.filter(pk=seat.pk).update(withdrawal=dict(wire))
    spec = row.spec["document"]
    record("job.withdrawn", subject_kind="job", subject_id=row.pk, actor=actor, now=now,
           audience=audience_of(row, spec), body=body_of(spec, row.spec_hash))  # fmt: skip
    if row.state == State.CLOSING:
        row.parties.filter(role="dealer").update(session_served_at=None)
        return
    row.parties.filter(pk=seat.pk, left_out="").update(left_out="paillier.withdrawn")
    _without(row, seat.participant_id, "paillier.withdrawn", dealer=False, actor=actor, now=now)


@transaction.atomic
def verdict(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A node's verdict. One refusal ends nothing while enough others may come; the dealer's ends the job, unless it
    names whose part another set would do without."""
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
    if dealer and Total.objects.filter(job=row, frozen__isnull=False).exists():
        raise Conflict("the set is frozen already", code="job.answered")
    contributed = Contribution.objects.filter(job=row, participant=seat.participant).exists()
    if contributed or (not dealer and known is not None and is_final(known.decision, known.code)):
        raise Conflict("this node has answered already", code="job.answered")
    code = document["code"] or ""
    Verdict.objects.update_or_create(
        job=row, participant=seat.participant, attempt=row.attempt,
        defaults={"decision": document["decision"], "code": code, "document": dict(wire),
                  "document_hash": document_hash(document), "at": now})  # fmt: skip
    named = document.get("without", []) if dealer else []
    waited = code == "paillier.use_not_final" and now > row.answer_by + LONG_ENOUGH
    if not is_final(document["decision"], code) and not (named and waited):
        return
    if not named or not _choose_again(row, named, code, actor=actor, now=now):
        _without(row, seat.participant_id, code or "policy.denied", dealer=dealer, actor=actor, now=now)


def _choose_again(job: Job, seats: Collection[int], code: str, *, actor: Actor, now: datetime) -> bool:
    """The dealer's office has frozen nothing and names who stands in the way: the set without them, or the end for
    their sake. False when nobody of the set is named."""
    whose = list(standing(job.pk).filter(seat__in=seats).values_list("participant_id", flat=True))
    if not whose:
        return False
    job.parties.filter(participant_id__in=whose).update(left_out=code)
    left = sorted(standing(job.pk).values_list("document_hash", flat=True))
    if len(left) < fewest(job.spec["document"]):
        end(job, Move.FAIL, code=code, about=whose[0] if len(whose) == 1 else None, now=now, actor=actor)
        return True
    Total.objects.filter(job=job).delete()
    job.parties.filter(role="dealer").update(session_served_at=None)
    go(job, Move.CLOSE, actor=SYSTEM, now=now, body={"contributions": left})
    return True


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
    return decision == "refuse" and code not in ASKED_AGAIN


def _without(job: Job, who: UUID, code: str, *, dealer: bool, actor: Actor, now: datetime) -> None:
    if dealer:
        end(job, Move.FAIL, code=code, about=who, now=now, actor=actor)
    elif job.state == State.COLLECTING and len(can_come(job)) < fewest(job.spec["document"]):
        end(job, Move.REFUSE, code=code, about=who, now=now, actor=actor)


def can_come(job: Job) -> set[UUID]:
    """The hospitals that have contributed, or may still."""
    came = set(standing(job.pk).values_list("participant_id", flat=True))
    said = [*Verdict.objects.filter(job=job).values_list("participant_id", "decision", "code"),
            *((who, "refuse", code) for who, code in Failure.objects.filter(job=job).values_list(
                "participant_id", "code"))]  # fmt: skip
    gone = {who for who, decision, code in said if is_final(decision, code)}
    return came | (set(job.parties.filter(role="party", left_out="").values_list("participant_id", flat=True)) - gone)


def carry_on(job: Job, *, now: datetime) -> None:
    """What time and the others' acts bring to such a job; the caller holds its row."""
    if job.state == State.COLLECTING:
        _without_revoked(job, now=now)
    if job.state == State.COLLECTING:
        _close_when_due(job, now=now)
    if job.state == State.CLOSING and now > job.deadline:
        _past_deadline(job, now=now)


def _past_deadline(job: Job, *, now: datetime) -> None:
    """A dealer that said its word in time is not named for a product that the portal has not made."""
    if not Total.objects.filter(job=job, frozen__isnull=False).exists():
        end(job, Move.FAIL, code="dealer.lost", about=job.parties.get(role="dealer").participant_id, now=now)
    elif now > job.deadline + FINISHING:
        end(job, Move.FAIL, code="session.deadline", about=None, now=now)


def _without_revoked(job: Job, *, now: datetime) -> None:
    """Whose grant was revoked is not in the set. Once that is chosen, the dealer's office says so."""
    revoked = job.grants.filter(state=GrantState.REVOKED).values_list("custodian_id", flat=True)
    for custodian in revoked:
        taken = job.parties.filter(participant_id=custodian, left_out="").update(left_out="grant.revoked")
        if taken and len(can_come(job)) < fewest(job.spec["document"]):
            end(job, Move.FAIL, code="grant.revoked", about=custodian, now=now)
            return


def waiting(*, now: datetime) -> QuerySet[Job]:
    """Jobs that have nothing to do but wait for hospitals: before their time, somebody missing, no news of a grant."""
    party = JobParty.objects.filter(job=OuterRef("pk"), role="party", left_out="")
    given = Contribution.objects.filter(job=OuterRef("job"), participant=OuterRef("participant"))
    known = JobParty.objects.filter(job=OuterRef(OuterRef("pk")), participant=OuterRef("custodian"))
    known = known.exclude(left_out="")
    revoked = Grant.objects.filter(~Exists(known), jobs=OuterRef("pk"), state=GrantState.REVOKED)
    return Job.objects.filter(Exists(party.exclude(Exists(given))), ~Exists(revoked), state=State.COLLECTING,
                              answer_by__gt=now - GRACE)  # fmt: skip


def _close_when_due(job: Job, *, now: datetime) -> None:
    given = dict(standing(job.pk).values_list("participant_id", "document_hash"))
    parties = list(job.parties.filter(role="party").values_list("participant_id", flat=True))
    if len(given) < len(parties) and now < job.answer_by + GRACE:
        return
    if len(given) < fewest(job.spec["document"]):
        absent = [one for one in parties if one not in given]
        end(job, Move.FAIL, code="paillier.too_few", about=absent[0] if len(absent) == 1 else None, now=now)
        return
    go(job, Move.CLOSE, actor=SYSTEM, now=now, body={"contributions": sorted(given.values())})


def to_multiply() -> QuerySet[Job]:
    """Jobs whose set is chosen and whose product does not lie here."""
    made = Total.objects.filter(job=OuterRef("pk")).exclude(product=None)
    return Job.objects.filter(~Exists(made), state=State.CLOSING)


def multiply(job_id: UUID, *, now: datetime) -> None:
    """The product of the chosen contributions: one after the other, and nothing locked meanwhile. Whoever is killed
    over it leaves it to who is woken next; of a set that was chosen anew meanwhile it is not kept."""
    job = Job.objects.get(pk=job_id)
    chosen = list(standing(job_id).values_list("pk", flat=True))
    key, count = key_of(job), job.spec["document"]["contributions"]["ciphertexts"]
    product: ciphertext.Vector = []
    for one in chosen:
        data = bytes(Contribution.objects.values_list("ciphertexts", flat=True).get(pk=one))
        vector = ciphertext.from_bytes(key, data, count=count)
        product = ciphertext.product(key, [product, vector]) if product else vector
    made = ciphertext.to_bytes(key, product)
    with transaction.atomic():
        row = locked(job_id)
        if row.state == State.CLOSING and list(standing(job_id).values_list("pk", flat=True)) == chosen:
            Total.objects.update_or_create(
                job=row, defaults={"product": made, "product_hash": ciphertext.hash_of(made)})  # fmt: skip
            _release_when_whole(row, now=now)


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
              for one in standing(row.pk).defer("ciphertexts", "document")]  # fmt: skip
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
