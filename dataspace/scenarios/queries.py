"""Reading scenarios, actor first: the consumer, the regulator, and the providers whose datasets are named."""

from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.scenarios.models import Scenario
from dataspace.scenarios.states import State


def scenarios_for(actor: Actor) -> QuerySet[Scenario]:
    """A draft is its consumer's alone; providers see a scenario from its submission on."""
    rows = Scenario.objects.select_related("consumer").prefetch_related("roster__dataset__provider")
    own = Q(consumer_id=actor.participant_id)
    if actor.is_regulator:
        return rows.filter(own | ~Q(state=State.DRAFT))
    if not actor.is_admitted:
        return rows.none()
    named = Q(pk__in=Scenario.objects.filter(datasets__provider_id=actor.participant_id).values("pk"))
    return rows.filter(own | (named & ~Q(state=State.DRAFT)))


def scenario_for(actor: Actor, scenario_id: UUID) -> Scenario:
    row = scenarios_for(actor).filter(pk=scenario_id).first()
    if row is None:
        raise NotFound("no such scenario")
    return row
