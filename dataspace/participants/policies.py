"""Who may admit participants."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from dataspace.actor import Actor
from dataspace.errors import Denied

MOST_FAILURES = 10
FAILURES_COUNT_FOR = timedelta(minutes=15)


def check_may_apply(
    *, participant_id: UUID, admitted_as: Sequence[str], signing: str, roots: dict[str, tuple[UUID, str]]
) -> None:
    """Anybody may apply, but the regulator's and the dealer's places are those of the trust file."""
    for role, (root_id, root_key) in roots.items():
        is_root = participant_id == root_id
        if is_root != (role in admitted_as):
            raise Denied(f"the trust file says who the {role} is")
        if is_root and signing != root_key:
            raise Denied(f"this is not the {role}'s key of the trust file")


def may_try_to_sign_in(failures: int) -> bool:
    """Of one name, within FAILURES_COUNT_FOR; whether the name exists makes no difference."""
    return failures < MOST_FAILURES


def check_may_admit(actor: Actor) -> None:
    """The regulator admits."""
    if not actor.is_regulator:
        raise Denied("only the regulator admits participants")


def check_may_suspend(actor: Actor) -> None:
    """The regulator suspends and restores, by a signature of its approver."""
    if not actor.is_regulator:
        raise Denied("only the regulator suspends or restores participants")


def check_may_propose(actor: Actor) -> None:
    """Of who lost its keys the regulator proposes the new record."""
    if not actor.is_regulator:
        raise Denied("only the regulator proposes a record for lost keys")


def check_may_change_keys(actor: Actor, *, participant_id: UUID) -> None:
    """A participant offers its own new record, also while it is suspended: its keys may be why."""
    if actor.participant_id != participant_id:
        raise Denied("a participant's new record is offered by itself")


def check_may_veto(actor: Actor, *, participant_id: UUID) -> None:
    """Who held the keys until now hands in a veto, or the regulator; whose signature counts is checked besides."""
    if actor.participant_id != participant_id and not actor.is_regulator:
        raise Denied("a veto is handed in by the participant or by the regulator")
