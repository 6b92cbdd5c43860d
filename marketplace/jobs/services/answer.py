"""What nodes answer: verdicts, envelopes, failures. Each is signed, and stored as it was signed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.errors import Conflict, Invalid
from ledger.documents import document_hash
from marketplace.jobs.models import Envelope, Failure, Job, Verdict
from marketplace.jobs.services.hear import check_open, read_answer, seat_of
from marketplace.jobs.services.move import end, go, is_open, locked
from marketplace.jobs.services.tend import judge_failures
from marketplace.jobs.states import Move, State
from mpc.spec import session_id


@transaction.atomic
def verdict(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """One node's verdict; the last one that accepts makes the job ready, one that refuses ends it."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "verdict", job=row, seat=seat)
    known = Verdict.objects.filter(job=row, participant=seat.participant, attempt=row.attempt).first()
    if known is not None and known.document_hash == document_hash(document):
        return
    check_open(row)
    if known is not None and known.decision != "hold":
        raise Conflict("this node has answered already", code="job.answered")
    if row.state != State.OFFERED or document["seat"] != seat.seat:
        raise Conflict(f"the job is {row.state}, or the seat is another", code="job.not_offered")
    if (document["decision"] == "accept") != (document["session"] is not None):
        raise Invalid("an accepting verdict, and no other, brings session keys", code="session.mismatch")
    Verdict.objects.update_or_create(
        job=row,
        participant=seat.participant,
        attempt=row.attempt,
        defaults={
            "decision": document["decision"],
            "code": document["code"] or "",
            "document": dict(wire),
            "document_hash": document_hash(document),
            "at": now,
        },
    )
    if document["decision"] == "refuse":
        code = document["code"] or "policy.denied"
        end(row, Move.REFUSE, code=code, about=seat.participant_id, now=now, actor=actor)
    elif _accepted(row) == row.parties.count():
        go(row, Move.ACCEPT, actor=actor, now=now)


def _accepted(job: Job) -> int:
    return Verdict.objects.filter(job=job, attempt=job.attempt, decision="accept").count()


def session_of(job: Job) -> str:
    """The session that this attempt's verdicts make."""
    dealer = job.parties.get(role="dealer").participant_id
    rows = list(Verdict.objects.filter(job=job, attempt=job.attempt, decision="accept"))
    hashes = [one.document_hash for one in rows if one.participant_id != dealer]
    dealers = next(one.document_hash for one in rows if one.participant_id == dealer)
    return session_id(job.spec_hash, job.attempt, hashes, dealers)


@transaction.atomic
def start(job: Job, *, actor: Actor, now: datetime) -> None:
    """The first sign that the session runs."""
    row = locked(job.pk)
    if row.state == State.READY:
        go(row, Move.START, actor=actor, now=now)


@transaction.atomic
def envelope(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """One party's sealed part; the last one releases the job."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "result_envelope", job=row, seat=seat)
    if seat.role == "dealer" or document["seat"] != seat.seat:
        raise Invalid("only a party seals, at its own seat", code="job.wrong_participant")
    known = Envelope.objects.filter(job=row, participant=seat.participant, attempt=row.attempt).first()
    if known is not None:
        if known.document == dict(wire):
            return
        raise Conflict("this party has sealed already", code="job.answered")
    check_open(row)
    if row.state not in {State.READY, State.RUNNING}:
        raise Conflict(f"the job is {row.state}", code="job.not_running")
    recipient = row.spec["document"]["recipient"]
    if (document["recipient"], document["recipient_key"]) != (recipient["participant"], recipient["sealing"]):
        raise Invalid("sealed to somebody else", code="session.mismatch")
    others = list(Envelope.objects.filter(job=row, attempt=row.attempt))
    if document["session"] != session_of(row) or any(one.gate_hash != document["gate_hash"] for one in others):
        raise Invalid("another session, or another gate", code="session.mismatch")
    Envelope.objects.create(
        job=row,
        participant=seat.participant,
        attempt=row.attempt,
        session=document["session"],
        gate_hash=document["gate_hash"],
        document=dict(wire),
        at=now,
    )
    if len(others) + 1 == row.parties.filter(role="party").count():
        _release(row, session=document["session"], gate_hash=document["gate_hash"], actor=actor, now=now)
    elif row.state == State.READY:
        go(row, Move.START, actor=actor, now=now)


def _release(job: Job, *, session: str, gate_hash: str, actor: Actor, now: datetime) -> None:
    sealed = Envelope.objects.filter(job=job, attempt=job.attempt)
    hashes = sorted(document_hash(one.document["document"]) for one in sealed)
    event = go(
        job,
        Move.RELEASE,
        actor=actor,
        now=now,
        body={"session": session, "gate_hash": gate_hash, "envelopes": hashes},
        changes={"ended_at": now},
    )
    Job.objects.filter(pk=job.pk).update(released_event=event.id)


@transaction.atomic
def failure(job: Job, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A node's word that its part failed; who was only let down waits a moment for a better reason."""
    row = locked(job.pk)
    seat = seat_of(row, actor)
    document = read_answer(wire, "job_failure", job=row, seat=seat)
    about = UUID(document["about"]) if document["about"] else None
    if about is not None and not row.parties.filter(participant_id=about).exists():
        raise Invalid("the failure is about somebody without a seat", code="job.wrong_participant")
    Failure.objects.get_or_create(
        job=row,
        participant=seat.participant,
        attempt=row.attempt,
        defaults={"code": document["code"], "about": about, "document": dict(wire), "at": now},
    )
    if is_open(row):
        judge_failures(row, now=now)
