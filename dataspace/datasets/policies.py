"""Who may register and withdraw datasets."""

from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_register(actor: Actor, *, provider_id: UUID) -> None:
    """A provider registers its own datasets."""
    if "provider" not in actor.admitted_as:
        raise Denied("only an admitted provider registers datasets")
    if actor.participant_id != provider_id:
        raise Denied("a dataset is registered by its own provider")


def check_may_renew(actor: Actor, *, provider_id: UUID) -> None:
    """A provider describes its own datasets anew."""
    check_may_register(actor, provider_id=provider_id)


def check_may_withdraw(actor: Actor, *, provider_id: UUID) -> None:
    """A provider withdraws its own datasets, also while suspended from offering."""
    if actor.participant_id != provider_id:
        raise Denied("a dataset is withdrawn by its own provider")
