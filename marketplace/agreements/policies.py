"""Who may offer and sign agreements."""

from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_offer(actor: Actor, *, consumer_id: UUID) -> None:
    """A consumer offers for itself."""
    if not actor.admitted_as & {"consumer", "service_firm"} or actor.participant_id != consumer_id:
        raise Denied("an agreement is offered by its own consumer")


def check_may_sign(actor: Actor, *, provider_id: UUID) -> None:
    """The product's lead signs."""
    if actor.participant_id != provider_id or not actor.is_admitted:
        raise Denied("an agreement is signed by the product's lead")


def check_may_end(actor: Actor, *, consumer_id: UUID, provider_id: UUID) -> None:
    """Either side ends it."""
    if actor.participant_id not in {consumer_id, provider_id}:
        raise Denied("an agreement is ended by one of its sides")
