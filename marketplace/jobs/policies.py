"""Who may order, answer and cancel jobs. The order's own checks are in `services/order.py`."""

from collections.abc import Collection
from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_order(actor: Actor, *, consumer_id: UUID) -> None:
    """A consumer orders for itself."""
    if not actor.admitted_as & {"consumer", "service_firm"} or actor.participant_id != consumer_id:
        raise Denied("a job is ordered by its own consumer")


def check_may_cancel(actor: Actor, *, consumer_id: UUID) -> None:
    """A consumer cancels its own."""
    if actor.participant_id != consumer_id:
        raise Denied("a job is cancelled by its own consumer")


def check_may_answer(actor: Actor, *, seated: Collection[UUID]) -> None:
    """Those seated in a job answer, each for itself."""
    if actor.participant_id not in seated:
        raise Denied("only those with a seat in a job answer it")
