"""What time alone brings to a job: the offer, silence, deadlines, revoked grants. Any process may run it, any time.

A step takes the job's lease by compare-and-set; its fence rises with each taker.
"""

import logging
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet

from dataspace.actor import SYSTEM
from dataspace.errors import DataspaceError
from dataspace.grants.states import State as GrantState
from dataspace.provenance.models import Leaf
from dataspace.provenance.queries import anchored_size
from marketplace.jobs.models import Envelope, Failure, Job, Verdict
from marketplace.jobs.services import collect
from marketplace.jobs.services.move import again, end, go, locked
from marketplace.jobs.states import OPEN, Move, State
from mpc.spec import MOST_ATTEMPTS, are_apart

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=10)
GRACE = timedelta(seconds=1.5)
SECOND_HAND = frozenset({"session.peer_lost", "session.peer_silent", "session.deadline", "dealer.lost"})
RETURN = timedelta(seconds=30)  # in which who was lost may be back for the second attempt
PASSING = frozenset({"session.peer_lost", "session.peer_silent", "dealer.lost", "relay.lost", "worker.failed",
                     "worker.killed"})


def step(job_id: UUID, *, now: datetime) -> None:
    """Carry one job on, if nobody else is doing so."""
    fence = _claim(job_id, now=now)
    if fence is None:
        return
    try:
        with transaction.atomic():
            job = locked(job_id)
            if job.fence == fence and job.state in OPEN:
                _carry_on(job, now=now)
    finally:
        Job.objects.filter(pk=job_id, fence=fence).update(lease_until=None)


def _claim(job_id: UUID, *, now: datetime) -> int | None:
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Job.objects.filter(free, pk=job_id, state__in=OPEN)
    if rows.update(lease_until=now + LEASE, fence=F("fence") + 1) != 1:
        return None
    return Job.objects.values_list("fence", flat=True).get(pk=job_id)


def _carry_on(job: Job, *, now: datetime) -> None:
    apart = are_apart(job.spec["document"])
    if job.state == State.QUEUED:
        go(job, Move.INVITE if apart else Move.OFFER, actor=SYSTEM, now=now)
    revoked = job.grants.filter(state=GrantState.REVOKED).first()
    if revoked is not None:
        end(job, Move.FAIL, code="grant.revoked", about=revoked.custodian_id, now=now)
    elif apart:
        collect.carry_on(job, now=now)
    elif not judge_failures(job, now=now):
        _judge_time(job, now=now)


def judge_failures(job: Job, *, now: datetime) -> bool:
    """End a job whose parties said that it failed. A party that merely lost another is heard last."""
    told = list(Failure.objects.filter(job=job, attempt=job.attempt).order_by("at", "pk"))
    if not told:
        return False
    first_hand = next((one for one in told if one.code not in SECOND_HAND), None)
    if first_hand is not None:
        lose(job, code=first_hand.code, about=first_hand.about or first_hand.participant_id, now=now)
        return True
    if now < told[0].at + GRACE and len(told) < job.parties.count():
        return False
    blamed = Counter((one.code, one.about) for one in told if one.about is not None)
    code, about = blamed.most_common(1)[0][0] if blamed else (told[0].code, told[0].participant_id)
    lose(job, code=code, about=about, now=now)
    return True


def lose(job: Job, *, code: str, about: UUID | None, now: datetime) -> None:
    """An attempt has failed: once, and if nothing was sealed, a failure of the passing kind is followed by another."""
    passing = code in PASSING and job.attempt < MOST_ATTEMPTS and now + RETURN < job.deadline
    if passing and not Envelope.objects.filter(job=job).exists():
        again(job, code=code, about=about, answer_by=now + RETURN, now=now)
    else:
        end(job, Move.FAIL, code=code, about=about, now=now)


def _judge_time(job: Job, *, now: datetime) -> None:
    if job.state == State.OFFERED and now > job.answer_by:
        answered = set(_verdicts(job).values_list("participant_id", flat=True))
        silent = next((one for one in job.parties.all() if one.participant_id not in answered), None)
        if silent is not None:
            end(job, Move.FAIL, code="session.peer_silent", about=silent.participant_id, now=now)
            return
    if now > job.deadline:
        _past_deadline(job, now=now)


def _past_deadline(job: Job, *, now: datetime) -> None:
    if job.state in {State.READY, State.RUNNING}:
        sealed = set(Envelope.objects.filter(job=job, attempt=job.attempt).values_list("participant_id", flat=True))
        silent = next((one for one in job.parties.filter(role="party") if one.participant_id not in sealed), None)
        about = silent.participant_id if silent else None
        end(job, Move.FAIL, code="session.peer_silent", about=about, now=now)
        return
    holding = _verdicts(job).filter(decision="hold").first()
    if holding is not None:
        end(job, Move.EXPIRE, code="policy.held", about=holding.participant_id, now=now)
    else:
        end(job, Move.EXPIRE, code="session.deadline", about=None, now=now)


def _verdicts(job: Job) -> QuerySet[Verdict]:
    return Verdict.objects.filter(job=job, attempt=job.attempt)


def sweep(*, now: datetime) -> None:
    """Carry on every open job, and settle those whose release is anchored."""
    for job_id in Job.objects.filter(state__in=OPEN).values_list("pk", flat=True):
        try:
            step(job_id, now=now)
        except DataspaceError as trouble:
            log.warning("job %s waits: %s", job_id, trouble.code)
        except (LookupError, ValueError, TypeError):  # one job that cannot be carried on does not stop the others
            log.exception("job %s stopped", job_id)
    for job in Job.objects.filter(state=State.RELEASED)[:100]:
        settle(job, now=now)


def settle(job: Job, *, now: datetime) -> None:
    """A release whose entry is anchored is settled at the agreement's fixed price."""
    released = job.released_event
    leaf = Leaf.objects.filter(event__id=released).first() if released else None
    if leaf is None or leaf.index >= anchored_size():
        return
    with transaction.atomic():
        row = locked(job.pk)
        if row.state == State.RELEASED:
            go(row, Move.SETTLE, actor=SYSTEM, now=now)
