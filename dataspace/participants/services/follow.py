"""Carries on what waits for the chain, again and again."""

import logging
from collections.abc import Callable
from functools import partial
from uuid import UUID

from dataspace.errors import DataspaceError
from dataspace.participants.models import Participant, Renewal
from dataspace.participants.services import entry, renew, suspend
from dataspace.participants.states import State
from ledger.errors import VerificationError

log = logging.getLogger(__name__)


def follow() -> None:
    """Suspensions first, then admissions, then new keys."""
    for row in Participant.objects.filter(suspension__isnull=False):
        _apart("suspension", row.pk, partial(suspend.relay_suspension, row))
    for row in Participant.objects.filter(state=State.APPLIED, admission__isnull=False):
        _apart("admission", row.pk, partial(entry.settle, row))
    for renewal in Renewal.objects.filter(outcome="").select_related("participant"):
        _apart("new record", renewal.participant_id, partial(renew.carry, renewal))


def _apart(what: str, participant_id: UUID, act: Callable[[], object]) -> None:
    """One participant's trouble is its own; a chain that is away stops the pass."""
    try:
        act()
    except (VerificationError, DataspaceError) as trouble:
        log.warning("the %s of %s waits: %s", what, participant_id, trouble.code)
