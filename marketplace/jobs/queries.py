"""Reading jobs, actor first: the consumer, those with a seat in it, and the regulator."""

from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from marketplace.jobs.models import Job


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
