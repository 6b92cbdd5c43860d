"""Reading agreements, actor first: consumer, lead provider, the custodians of its grants, the regulator."""

from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from marketplace.agreements.models import Agreement


def agreements_for(actor: Actor) -> QuerySet[Agreement]:
    rows = Agreement.objects.select_related("product", "scenario", "consumer", "provider")
    if actor.is_regulator:
        return rows
    if not actor.is_admitted:
        return rows.none()
    sides = Q(consumer_id=actor.participant_id) | Q(provider_id=actor.participant_id)
    custodian = Q(pk__in=Agreement.objects.filter(grants__custodian_id=actor.participant_id).values("pk"))
    return rows.filter(sides | custodian)


def agreement_for(actor: Actor, agreement_id: UUID) -> Agreement:
    row = agreements_for(actor).filter(pk=agreement_id).first()
    if row is None:
        raise NotFound("no such agreement")
    return row
