"""What a node or the dealer has to do now, item by item, with every document it needs to check it by itself.

An item is shown again after a while if nothing came of it: a node may have been restarted in between.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from dataspace.actor import Actor
from dataspace.datasets.models import Dataset
from dataspace.datasets.queries import version_of
from dataspace.participants.models import Participant
from marketplace.agreements.models import Agreement
from marketplace.agreements.states import State as AgreementState
from marketplace.api.admission import admission
from marketplace.api.schemas import papers
from marketplace.jobs.models import Contribution, Envelope, Failure, JobParty, Total, Verdict
from marketplace.jobs.queries import standing
from marketplace.jobs.services.collect import ASKED_AGAIN
from marketplace.jobs.states import State

AGAIN = timedelta(seconds=5)
UNHURRIED = timedelta(seconds=30)  # between parties that are not online together
LATER = timedelta(minutes=3)  # after an answer that may be another one by then
STOP_FOR = timedelta(minutes=1)
WORDS = 3
STOPPED = (State.REFUSED, State.FAILED, State.CANCELLED, State.EXPIRED)
Item = dict[str, Any]


def items_for(actor: Actor, *, now: datetime) -> list[Item]:
    """Everything that waits for this participant; what is answered is written down as shown."""
    if not actor.is_admitted or actor.participant_id is None:
        return []
    seats = JobParty.objects.filter(participant_id=actor.participant_id).select_related("job__agreement")
    found = [
        *_shown(_to_stop(seats, now), "stop_served_at", _stop, now),
        *_shown(_to_check(seats, now), "check_served_at", _check, now),
        *_shown(_to_meet(seats, now), "session_served_at", _session, now),
        *_shown(_to_contribute(seats, now), "check_served_at", _contribute, now),
        *_shown(_to_freeze(seats, now), "session_served_at", _freeze, now),
    ]
    for row in _to_sign(actor.participant_id, now):
        Agreement.objects.filter(pk=row.pk).update(served_at=now)
        found.append(_agreement(row))
    return found


def _shown(seats: Iterable[JobParty], column: str, shape: Any, now: datetime) -> list[Item]:
    items = []
    for seat in seats:
        before = getattr(seat, column)
        if JobParty.objects.filter(pk=seat.pk, **{column: before}).update(**{column: now}) == 1:
            items.append(shape(seat))
    return items


def _due(column: str, now: datetime, again: timedelta = AGAIN) -> Q:
    return Q(**{column: None}) | Q(**{f"{column}__lt": now - again})


def _mine(model: Any, **more: Any) -> Exists:
    """Whether this seat's participant has left such a row for the current attempt."""
    return Exists(
        model.objects.filter(
            job=OuterRef("job"), participant=OuterRef("participant"), attempt=OuterRef("job__attempt"), **more
        )
    )


def _to_check(seats: QuerySet[JobParty], now: datetime) -> QuerySet[JobParty]:
    """The dealer's office last, when every party has accepted: what one hospital holds keeps no place there."""
    answered = _mine(Verdict, decision__in=["accept", "refuse"])
    parties = JobParty.objects.filter(~_mine(Verdict, decision="accept"), job=OuterRef("job"), role="party")
    turn = Q(role="party") | ~Exists(parties)
    return seats.filter(_due("check_served_at", now), ~answered, turn, job__state=State.OFFERED)


def _to_meet(seats: QuerySet[JobParty], now: datetime) -> QuerySet[JobParty]:
    states = [State.READY, State.RUNNING]
    return seats.filter(_due("session_served_at", now), ~_mine(Envelope), ~_mine(Failure), job__state__in=states)


def _to_contribute(seats: QuerySet[JobParty], now: datetime) -> QuerySet[JobParty]:
    """Hospitals that may still hand in their part; who refused for the moment is asked again later."""
    due = _due("check_served_at", now, UNHURRIED)
    collecting = seats.filter(due, role="party", job__state=State.COLLECTING, job__answer_by__gt=now)
    own = {"job": OuterRef("job"), "participant": OuterRef("participant")}
    return collecting.filter(left_out="").exclude(Exists(Contribution.objects.filter(**own))).exclude(_refused(now))


def _to_freeze(seats: QuerySet[JobParty], now: datetime) -> QuerySet[JobParty]:
    """The dealer's office, once the set is chosen."""
    due = _due("session_served_at", now, UNHURRIED)
    closing = seats.filter(due, role="dealer", job__state=State.CLOSING)
    return closing.exclude(Exists(Total.objects.filter(job=OuterRef("job"), frozen__isnull=False)))


def _refused(now: datetime) -> Q:
    """For good, or a moment ago."""
    stands = ~Q(code__in=ASKED_AGAIN) | Q(at__gt=now - LATER)
    own = {"job": OuterRef("job"), "participant": OuterRef("participant")}
    return Q(Exists(Verdict.objects.filter(stands, decision="refuse", **own))) | Q(
        Exists(Failure.objects.filter(stands, **own)))


def _to_stop(seats: QuerySet[JobParty], now: datetime) -> QuerySet[JobParty]:
    """Who may hold something for a job that is over: it was asked, in this attempt or in one before. Told again for a
    while: the answer to the first asking may have been lost on the way."""
    asked = Q(check_served_at__isnull=False) | Q(job__attempt__gt=1)
    again = Q(stop_served_at__lt=now - AGAIN, job__ended_at__gt=now - STOP_FOR)
    return seats.filter(asked, Q(stop_served_at=None) | again, job__state__in=STOPPED)


def _to_sign(participant_id: UUID, now: datetime) -> QuerySet[Agreement]:
    rows = Agreement.objects.filter(_due("served_at", now), provider_id=participant_id, state=AgreementState.OFFERED)
    return rows.select_related("scenario", "product")


def _check(seat: JobParty) -> Item:
    return {"kind": "check", **_papers(seat)}


def _contribute(seat: JobParty) -> Item:
    return {"kind": "contribute", **_papers(seat)}


def _freeze(seat: JobParty) -> Item:
    """The contributions' documents alone: the dealer's office never sees a ciphertext. With them who takes its part
    back, and the newest words of this office, which it must know."""
    job = seat.job
    return {
        "kind": "freeze",
        **_papers(seat),
        "contributions": list(standing(job.pk).order_by("seat").values_list("document", flat=True)),
        "withdrawals": [one.withdrawal for one in job.parties.filter(withdrawal__isnull=False)],
        "words": list(_words(seat)),
    }


def _words(seat: JobParty) -> QuerySet[Total, Any]:
    mine = JobParty.objects.filter(participant=seat.participant, role="dealer", job=OuterRef("job"))
    rows = Total.objects.filter(Exists(mine), frozen__isnull=False).exclude(job=seat.job)
    return rows.order_by("-job__created_at").values_list("frozen", flat=True)[:WORDS]


def _papers(seat: JobParty) -> Item:
    """Everything by which a node checks a job by itself."""
    job = seat.job
    spec = job.spec["document"]
    seated = [seat["participant"] for seat in spec["roster"]]
    people = [*seated, spec["dealer"]["participant"], spec["recipient"]["participant"]]
    people.append(str(job.agreement.provider_id))
    records = Participant.objects.filter(pk__in=people)
    named = {one["dataset"]: one["dataset_hash"] for one in spec["inputs"]}
    datasets = Dataset.objects.filter(pk__in=list(named)).order_by("pk")
    return {
        "job": str(job.pk),
        "attempt": job.attempt,
        "spec": job.spec,
        "agreement": job.agreement.document,
        "product": job.agreement.product.document,
        "scenario": job.agreement.scenario.document,
        "grants": [papers(one) for one in job.grants.order_by("dataset_id")],
        "participants": [one.record for one in records.order_by("pk")],
        "datasets": [version_of(one, named[str(one.pk)]) for one in datasets],
    }


def _session(seat: JobParty) -> Item:
    job = seat.job
    dealer = job.spec["document"]["dealer"]["participant"]
    rows = list(Verdict.objects.filter(job=job, attempt=job.attempt, decision="accept"))
    parties = [one.document for one in rows if str(one.participant_id) != dealer]
    return {
        "kind": "session",
        "job": str(job.pk),
        "attempt": job.attempt,
        "verdicts": sorted(parties, key=lambda one: int(one["document"]["seat"])),
        "dealer": next(one.document for one in rows if str(one.participant_id) == dealer),
        "relay": admission(seat),
    }


def _stop(seat: JobParty) -> Item:
    job = seat.job
    return {"kind": "stop", "job": str(job.pk), "attempt": job.attempt, "code": job.code}


def _agreement(row: Agreement) -> Item:
    return {
        "kind": "agreement",
        "id": str(row.pk),
        "document": row.document,
        "product": row.product.document,
        "scenario": row.scenario.document,
        "grants": [papers(one) for one in row.grants.order_by("dataset_id")],
    }
