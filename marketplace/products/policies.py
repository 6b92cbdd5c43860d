"""Who may draft, confirm, submit and list data products."""

from collections.abc import Collection
from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_draft(actor: Actor, *, lead_id: UUID) -> None:
    """A provider or a service firm drafts a product that it leads."""
    if not actor.admitted_as & {"provider", "service_firm"}:
        raise Denied("only an admitted provider or service firm offers a product")
    check_is_lead(actor, lead_id=lead_id)


def check_is_lead(actor: Actor, *, lead_id: UUID) -> None:
    """A product is drafted and submitted by its lead."""
    if actor.participant_id != lead_id or not actor.is_admitted:
        raise Denied("a product is moved by its own lead")


def check_may_confirm(actor: Actor, *, provider_ids: Collection[UUID]) -> None:
    """Each provider confirms its own part."""
    if actor.participant_id not in provider_ids or "provider" not in actor.admitted_as:
        raise Denied("only a provider of one of its datasets confirms a product")


def check_may_list(actor: Actor) -> None:
    """The regulator decides on listings."""
    if not actor.is_regulator:
        raise Denied("only the regulator decides on a listing")
