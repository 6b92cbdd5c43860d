"""Reading jobs, actor first: the consumer, those with a seat in it, and the regulator."""

from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from marketplace.jobs.models import Contribution, Job, Total
from marketplace.jobs.states import State

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


def contribution_for(actor: Actor, job_id: UUID, seat: int) -> Contribution:
    """Of a job that is released, for its consumer alone."""
    mine = Contribution.objects.filter(job__consumer_id=actor.participant_id, job__state__in=DONE)
    row = mine.filter(job_id=job_id, seat=seat).first() if actor.is_admitted else None
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
