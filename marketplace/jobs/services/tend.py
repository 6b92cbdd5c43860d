"""What time alone brings to a job: the offer, silence, deadlines, revoked grants. Any process may run it, any time.

A step takes the job's lease by compare-and-set; its fence rises with each taker. A product takes minutes: the sweep
only asks for it, for meanwhile it could judge no other job.
"""

import logging
import time
from collections import Counter
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from dataspace.actor import SYSTEM
from dataspace.errors import DataspaceError
from dataspace.grants.states import State as GrantState
from dataspace.provenance.models import Leaf
from dataspace.provenance.queries import anchored_size
from dataspace.provenance.wake import wake
from marketplace.jobs.models import Envelope, Failure, Job, Verdict
from marketplace.jobs.services import collect
from marketplace.jobs.services.move import again, end, go, locked
from marketplace.jobs.states import OPEN, Move, State
from mpc.spec import MOST_ATTEMPTS, are_apart

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=10)
MULTIPLYING = timedelta(minutes=10)
ASK_AGAIN = 15.0  # seconds after which a product is asked for once more: the one who was asked may be busy, or gone
_asked: dict[UUID, float] = {}
LISTEN = timedelta(seconds=1.5)  # in which a better reason may come than the first one told
NOBODYS = frozenset({"session.mismatch", "relay.lost", "relay.refused", "relay.tampered"})  # it may be on the way
SECOND_HAND = frozenset({"session.peer_lost", "session.peer_silent", "session.deadline", "dealer.lost"})
TRIED_AGAIN = frozenset({"session.peer_lost", "session.peer_silent", "dealer.lost", "relay.lost", "worker.failed",
                         "worker.killed"})


def _answer_within() -> timedelta:
    return timedelta(seconds=settings.XINGLIN_VERDICT_SECONDS)


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
        _release(job_id, fence)


def multiply(job_id: UUID, *, now: datetime) -> None:
    """The product of a set that was chosen, unless it lies here or somebody else is at it."""
    if not collect.to_multiply().filter(pk=job_id).exists():
        return
    fence = _claim(job_id, now=now, lasting=MULTIPLYING)
    if fence is None:
        return
    try:
        collect.multiply(job_id, now=now)
    finally:
        _release(job_id, fence)


def _free(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lt=now)


def _claim(job_id: UUID, *, now: datetime, lasting: timedelta = LEASE) -> int | None:
    rows = Job.objects.filter(_free(now), pk=job_id, state__in=OPEN)
    if rows.update(lease_until=now + lasting, fence=F("fence") + 1) != 1:
        return None
    return Job.objects.values_list("fence", flat=True).get(pk=job_id)


def _release(job_id: UUID, fence: int) -> None:
    Job.objects.filter(pk=job_id, fence=fence).update(lease_until=None)


def _carry_on(job: Job, *, now: datetime) -> None:
    apart = are_apart(job.spec["document"])
    if job.state == State.QUEUED:
        go(job, Move.INVITE if apart else Move.OFFER, actor=SYSTEM, now=now)
    revoked = None if apart else job.grants.filter(state=GrantState.REVOKED).first()
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
        about = first_hand.about or (None if first_hand.code in NOBODYS else first_hand.participant_id)
        lose(job, code=first_hand.code, about=about, now=now)
        return True
    if now < told[0].at + LISTEN and len(told) < job.parties.count():
        return False
    code, about = _blame(job, told)
    lose(job, code=code, about=about, now=now)
    return True


def _blame(job: Job, told: list[Failure]) -> tuple[str, UUID | None]:
    """Of words at second hand: who is waited for and waits for nobody, if it is one; else, of a link that broke, whom
    most name. Nobody is named for having spoken; where nobody is named, it is the one who did not speak, if it is
    one."""
    spoke = {one.participant_id for one in told}
    waiting = {one.participant_id for one in told if one.about is not None}
    named = Counter(one.about for one in told if one.about is not None)
    if not named:
        silent = [one.participant_id for one in job.parties.all() if one.participant_id not in spoke]
        return told[0].code, silent[0] if len(silent) == 1 else None
    ends = [who for who in named if who not in waiting]
    if len(ends) != 1 and all(one.code == "session.deadline" for one in told):
        return "session.deadline", None
    about = ends[0] if len(ends) == 1 else max(named, key=lambda who: (named[who], who not in spoke))
    codes = Counter(one.code for one in told if one.about == about)
    return codes.most_common(1)[0][0], about


def lose(job: Job, *, code: str, about: UUID | None, now: datetime) -> None:
    """An attempt has failed: once, and if nothing was sealed, a failure of the passing kind is followed by another."""
    back = now + _answer_within()  # who was lost, for the second attempt
    passing = code in TRIED_AGAIN and job.attempt < MOST_ATTEMPTS and back < job.deadline
    if passing and not Envelope.objects.filter(job=job).exists():
        again(job, code=code, about=about, answer_by=back, now=now)
    else:
        end(job, Move.FAIL, code=code, about=about, now=now)


def _judge_time(job: Job, *, now: datetime) -> None:
    if job.state == State.OFFERED and now > job.answer_by and (silent := _silent(job, now=now)) is not None:
        end(job, Move.FAIL, code="session.peer_silent", about=silent, now=now)
    elif now > job.deadline:
        _past_deadline(job, now=now)


def _silent(job: Job, *, now: datetime) -> UUID | None:
    """Whose answer is overdue. The dealer's office is asked when every party has accepted, and has its own while."""
    answers = {one.participant_id: one for one in _verdicts(job)}
    parties = [one.participant_id for one in job.parties.filter(role="party")]
    silent = next((one for one in parties if one not in answers), None)
    if silent is not None or any(answers[one].decision != "accept" for one in parties):
        return silent
    dealer = job.parties.get(role="dealer").participant_id
    asked = max(answers[one].at for one in parties)
    return dealer if dealer not in answers and now > asked + _answer_within() else None


def _past_deadline(job: Job, *, now: datetime) -> None:
    if job.state in {State.READY, State.RUNNING}:
        sealed = set(Envelope.objects.filter(job=job, attempt=job.attempt).values_list("participant_id", flat=True))
        silent = [one.participant_id for one in job.parties.filter(role="party") if one.participant_id not in sealed]
        if len(silent) == 1:
            end(job, Move.FAIL, code="session.peer_silent", about=silent[0], now=now)
        else:  # nobody by name: one who is away keeps all from sealing
            end(job, Move.FAIL, code="session.deadline", about=None, now=now)
        return
    holding = _verdicts(job).filter(decision="hold").first()
    if holding is not None:
        end(job, Move.EXPIRE, code="policy.held", about=holding.participant_id, now=now)
    else:
        end(job, Move.EXPIRE, code="session.deadline", about=None, now=now)


def _verdicts(job: Job) -> QuerySet[Verdict]:
    return Verdict.objects.filter(job=job, attempt=job.attempt)


def sweep(*, now: datetime | None = None) -> None:
    """Carry on every open job, have the products made, and settle those whose release is anchored. Without `now`, each
    job is judged by the clock as it is when its turn comes."""
    waiting = collect.waiting(now=now or timezone.now()).values("pk")
    for job_id in Job.objects.filter(state__in=OPEN).exclude(pk__in=waiting).values_list("pk", flat=True):
        try:
            step(job_id, now=now or timezone.now())
        except DataspaceError as trouble:
            log.warning("job %s waits: %s", job_id, trouble.code)
        except (LookupError, ValueError, TypeError):  # one job that cannot be carried on does not stop the others
            log.exception("job %s stopped", job_id)
    _ask_for_products(now=now or timezone.now())
    for job in Job.objects.filter(state=State.RELEASED)[:100]:
        settle(job, now=now or timezone.now())


def _ask_for_products(*, now: datetime) -> None:
    """A set that was chosen at its time, or again, was nobody's request: the queue is told of it here."""
    missing = set(collect.to_multiply().filter(_free(now)).values_list("pk", flat=True))
    at = time.monotonic()
    for job_id in [one for one, asked in _asked.items() if one not in missing or at - asked >= ASK_AGAIN]:
        del _asked[job_id]
    for job_id in missing - _asked.keys():
        _asked[job_id] = at
        wake("marketplace.jobs.tasks.advance", str(job_id))


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
