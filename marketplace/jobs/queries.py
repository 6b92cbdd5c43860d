"""Reading jobs, actor first: the consumer, those with a seat in it, and the regulator."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from marketplace.jobs.models import Contribution, Job, JobParty, Total
from marketplace.jobs.states import State
from mpc.errors import WHO_MUST_ACT

DONE = (State.RELEASED, State.SETTLED)


def jobs_for(actor: Actor) -> QuerySet[Job]:
    rows = Job.objects.select_related("agreement__product", "agreement__scenario", "consumer")
    if actor.is_regulator:
        return rows
    if not actor.is_admitted:
        return rows.none()
    seated = Q(pk__in=Job.objects.filter(parties__participant_id=actor.organisation).values("pk"))
    return rows.filter(Q(consumer_id=actor.participant_id) | seated)


def job_for(actor: Actor, job_id: UUID) -> Job:
    row = jobs_for(actor).filter(pk=job_id).first()
    if row is None:
        raise NotFound("no such job")
    return row


def who_must_act(row: Job) -> str | None:
    """Whose turn it is after such an end: as the verdict says that ended it, else by its code in the one table."""
    if not row.code:
        return None
    if row.about is None:
        return WHO_MUST_ACT.get(row.code)
    said = row.verdicts.filter(attempt=row.attempt, participant_id=row.about, code=row.code).first()
    by_verdict = said.document["document"]["who_must_act"] if said else None
    return str(by_verdict) if by_verdict else WHO_MUST_ACT.get(row.code)


def standing(job_id: UUID) -> QuerySet[Contribution]:
    """The contributions that count: all but those taken back or left out."""
    seats = JobParty.objects.filter(job=OuterRef("job"), participant=OuterRef("participant"), left_out="")
    return Contribution.objects.filter(Exists(seats), job_id=job_id)


def contribution_for(actor: Actor, job_id: UUID, seat: int) -> Contribution:
    """Of a job that is released and in its set, for its consumer alone."""
    mine = standing(job_id).filter(job__consumer_id=actor.participant_id, job__state__in=DONE)
    row = mine.filter(seat=seat).first() if actor.is_admitted else None
    if row is None:
        raise NotFound("no such contribution")
    return row


def total_for(actor: Actor, job_id: UUID) -> Total:
    """Of a job that is released, for its consumer alone."""
    mine = Total.objects.filter(job__consumer_id=actor.participant_id, job__state__in=DONE)
    row = mine.filter(pk=job_id).first() if actor.is_admitted else None
    if row is None:
        raise NotFound("no such total")
    return row
