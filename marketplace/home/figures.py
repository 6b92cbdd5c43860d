"""The few figures on a reader's first page. Each is a count of acts, never of patients, and names its entries."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dataspace.actor import Actor
from dataspace.datasets.queries import datasets_for
from dataspace.grants.queries import grants_for
from dataspace.grants.states import State as GrantState
from dataspace.participants.queries import participants_for
from dataspace.participants.states import State as ParticipantState
from dataspace.provenance.queries import anchored_size, events_for
from dataspace.scenarios.queries import scenarios_for
from dataspace.scenarios.states import State as ScenarioState
from marketplace.jobs.models import Verdict
from marketplace.jobs.queries import jobs_for
from marketplace.jobs.states import State as JobState

DONE = (JobState.RELEASED, JobState.SETTLED)


@dataclass(frozen=True)
class Figure:
    """A label over a number; `kind` is the kind of the entries it was counted from."""

    label: str | Promise
    value: int
    kind: str
    money: str = ""


def is_anchored(actor: Actor, kind: str) -> bool:
    """Whether the chain holds every entry behind a figure; its fruit is solid then."""
    newest = events_for(actor).filter(kind=kind).order_by("-number").first()
    leaf = getattr(newest, "leaf", None)
    return newest is None or (leaf is not None and leaf.index < anchored_size())


def month_start(now: datetime) -> datetime:
    """When this month began, in the space's zone."""
    return timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def for_actor(actor: Actor, *, now: datetime) -> list[Figure]:
    """Three to five figures, by what the reader's organisation is."""
    since = month_start(now)
    jobs = jobs_for(actor).filter(created_at__gte=since)
    active = grants_for(actor).filter(state=GrantState.ACTIVE)
    released = Figure(_("Computations this month"), jobs.filter(state__in=DONE).count(), "job.released")
    refused = Figure(_("Refusals this month"), jobs.filter(state=JobState.REFUSED).count(), "job.refused")
    if actor.is_regulator:
        scenarios = scenarios_for(actor).filter(state=ScenarioState.APPROVED).count()
        members = participants_for(actor).filter(state=ParticipantState.ADMITTED).count()
        return [
            Figure(_("Scenarios in use"), scenarios, "scenario.approved"),
            Figure(_("Grants in force"), active.count(), "grant.registered"),
            released,
            refused,
            Figure(_("Organisations admitted"), members, "participant.admitted"),
        ]
    if actor.participant_id is not None and "provider" in actor.admitted_as:
        own = datasets_for(actor).filter(provider_id=actor.participant_id).count()
        given = active.filter(custodian_id=actor.participant_id).count()
        mine = Verdict.objects.filter(participant_id=actor.participant_id, decision="refuse", at__gte=since).count()
        return [
            Figure(_("Own datasets"), own, "dataset.registered"),
            Figure(_("Grants in force"), given, "grant.registered"),
            released,
            Figure(_("Refused by your node this month"), mine, "job.refused"),
        ]
    if not actor.is_admitted:
        return []
    held = active.filter(grantee_id=actor.participant_id)
    counted = held.annotate(used=Count("uses", distinct=True)).values_list("max_uses", "used")
    left = sum(max(0, most - used) for most, used in counted)
    spent = jobs.filter(state__in=DONE).aggregate(total=Sum("agreement__price_amount"))["total"] or 0
    return [
        Figure(_("Grants in force"), held.count(), "grant.registered"),
        Figure(_("Uses left"), left, "grant.registered"),
        released,
        Figure(_("Price of this month's computations"), spent, "job.released", money="CNY"),
    ]
