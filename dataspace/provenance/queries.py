"""Reading events, actor first: those an event names as its audience, the regulator, and the operator."""

from uuid import UUID

from django.db.models import QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.provenance.models import Anchor, ChainTx, Event


def events_for(actor: Actor) -> QuerySet[Event]:
    rows = Event.objects.select_related("leaf")
    if actor.is_regulator or "operator" in actor.roles:
        return rows
    if actor.participant_id is None:
        return rows.none()
    return rows.filter(audience__contains=[actor.participant_id])


def event_for(actor: Actor, event_id: UUID) -> Event:
    row = events_for(actor).filter(id=event_id).first()
    if row is None:
        raise NotFound("no such entry")
    return row


def timeline_for(actor: Actor, subject_id: UUID) -> QuerySet[Event]:
    """What happened to one subject, oldest first."""
    return events_for(actor).filter(subject_id=subject_id).order_by("number")


def anchored_size() -> int:
    """The size of the largest checkpoint that a mined transaction holds."""
    row = (
        Anchor.objects.filter(tx__status__in=[ChainTx.State.MINED, ChainTx.State.FINAL])
        .order_by("-checkpoint_id")
        .first()
    )
    return 0 if row is None else row.checkpoint_id
