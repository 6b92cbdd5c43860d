"""Who may draft, submit and decide scenarios."""

from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_draft(actor: Actor, *, consumer_id: UUID) -> None:
    """A consumer (or a service firm) applies for itself."""
    if not actor.admitted_as & {"consumer", "service_firm"}:
        raise Denied("only an admitted consumer applies for a scenario")
    check_is_consumer(actor, consumer_id=consumer_id)


def check_is_consumer(actor: Actor, *, consumer_id: UUID) -> None:
    """A scenario is submitted and closed by its consumer."""
    if actor.participant_id != consumer_id or not actor.is_admitted:
        raise Denied("a scenario is moved by its own consumer")


def check_may_decide(actor: Actor, *, consumer_id: UUID, submitted_by: UUID | None) -> None:
    """The regulator decides, and nobody on their own application."""
    if not actor.is_regulator or actor.participant_id == consumer_id:
        raise Denied("only the regulator decides a scenario")
    if actor.person_id is not None and actor.person_id == submitted_by:
        raise Denied("nobody decides on their own application")
