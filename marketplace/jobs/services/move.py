"""Move a job: offer it, let it become ready, start, release, fail, cancel, expire. The job row is locked first."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import SYSTEM, Actor
from dataspace.errors import Conflict
from dataspace.moves import advance
from dataspace.provenance.models import Event
from marketplace.jobs import policies
from marketplace.jobs.models import Job
from marketplace.jobs.services.say import audience_of, body_of
from marketplace.jobs.states import MOVES, OPEN, Move, State


def locked(job_id: UUID) -> Job:
    """The job's row, for this transaction alone."""
    return Job.objects.select_for_update(of=("self",)).select_related("consumer").get(pk=job_id)


def is_open(job: Job) -> bool:
    return job.state in OPEN


def go(
    job: Job,
    move: Move,
    *,
    actor: Actor,
    now: datetime,
    body: dict[str, Any] | None = None,
    changes: dict[str, Any] | None = None,
) -> Event:
    """One move, with the job's grants in the entry."""
    spec = job.spec["document"]
    return advance(
        job,
        move,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(job, spec),
        body={**body_of(spec, job.spec_hash), "attempt": job.attempt, **(body or {})},
        changes=changes,
    )


def end(job: Job, move: Move, *, code: str, about: UUID | None, now: datetime, actor: Actor = SYSTEM) -> None:
    """End a job without a result, saying why and about whom."""
    body: dict[str, Any] = {"code": code, "about": str(about) if about else None}
    go(job, move, actor=actor, now=now, body=body, changes={"code": code, "about": about, "ended_at": now})


def again(job: Job, *, code: str, about: UUID | None, answer_by: datetime, now: datetime) -> None:
    """Offer the job once more, as a new attempt: every party checks anew and brings new keys. The use of a grant is
    counted by job, so it counts once; a node that has sealed refuses a second attempt."""
    body: dict[str, Any] = {"code": code, "about": str(about) if about else None}
    go(job, Move.RETRY, actor=SYSTEM, now=now, body=body,
       changes={"attempt": job.attempt + 1, "answer_by": answer_by})  # fmt: skip
    job.parties.update(check_served_at=None, session_served_at=None)


@transaction.atomic
def cancel(job: Job, *, actor: Actor, now: datetime) -> None:
    """The consumer wants it no more; uses already counted stay counted."""
    policies.check_may_cancel(actor, consumer_id=job.consumer_id)
    row = locked(job.pk)
    if row.state == State.CLOSING:
        raise Conflict("the set of contributors is chosen, and the dealer's office asked", code="job.closing")
    end(row, Move.CANCEL, code="job.cancelled", about=row.consumer_id, now=now, actor=actor)
