"""Who may consent to, revoke and use a grant."""

from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied


def check_may_consent(actor: Actor, *, custodian_id: UUID) -> None:
    """The dataset's custodian consents."""
    if actor.participant_id != custodian_id or "provider" not in actor.admitted_as:
        raise Denied("only the dataset's custodian consents")


def check_may_revoke(actor: Actor, *, custodian_id: UUID, by: str) -> None:
    """The regulator revokes as the regulator, the custodian as the custodian."""
    allowed = actor.is_regulator if by == "regulator" else actor.participant_id == custodian_id
    if not allowed:
        raise Denied("only the regulator or the dataset's custodian revokes")


def check_may_suspend(actor: Actor, *, custodian_id: UUID, by: str) -> None:
    """The regulator holds a grant as the regulator, the custodian as the custodian; each lets go of its own hold."""
    allowed = actor.is_regulator if by == "regulator" else actor.participant_id == custodian_id
    if not allowed:
        raise Denied("only the regulator or the dataset's custodian suspends")


def check_may_cancel(actor: Actor, *, custodian_id: UUID, by: str) -> None:
    """Each takes back what it signed itself."""
    allowed = actor.is_regulator if by == "regulator" else actor.participant_id == custodian_id
    if not allowed:
        raise Denied("an approval is taken back by who gave it")


def check_may_use(actor: Actor, *, custodian_id: UUID) -> None:
    """A use is signed and handed in by the custodian's own node."""
    if actor.participant_id != custodian_id:
        raise Denied("a use is reported by the custodian's node")
