"""Verbs about suspending a participant, under a signature of the regulator's approver."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from dataspace.actor import Actor
from dataspace.errors import Conflict, Refused
from dataspace.moves import advance
from dataspace.participants import policies
from dataspace.participants.models import Participant
from dataspace.participants.states import MOVES, Move
from dataspace.provenance import calls, chainwork, space
from dataspace.provenance.models import ChainTx
from ledger.approval import latest_number, participants_domain_of, verify_suspension


@transaction.atomic
def suspend(participant: Participant, *, suspension: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """The regulator's signed word: the participant's requests are refused from now on, or again heard."""
    policies.check_may_suspend(actor)
    trust = space.trust()
    row = Participant.objects.select_for_update().get(pk=participant.pk)
    decider = verify_suspension(
        row.chain_id, suspension, domain=participants_domain_of(trust), passkeys=trust.regulator.passkeys
    )
    if decider not in trust.regulator.approvers:
        raise Refused("the trust file names no such approver", code="approval.wrong_signer")
    if row.suspension == dict(suspension):
        return
    if suspension["number"] > latest_number(now.timestamp()):
        raise Refused("the decision's number lies too far ahead", code="participant.stale_number")
    if row.suspension is not None and suspension["number"] <= row.suspension["number"]:
        raise Conflict("a later decision is known", code="participant.stale_number")
    advance(
        row,
        Move.SUSPEND if suspension["suspended"] else Move.RESTORE,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=[row.pk],
        body={"number": suspension["number"]},
        changes={"suspension": dict(suspension)},
    )


def relay_suspension(row: Participant) -> ChainTx:
    """Carry the last suspension or restoration to the chain, once."""
    suspension = row.suspension
    if suspension is None:
        raise Conflict("the participant was never suspended")
    return chainwork.post(
        "suspend",
        key=f"suspend:{row.pk}:{suspension['number']}",
        subject_id=row.pk,
        build=lambda door, key, nonce: calls.suspend_participant(
            door, key, nonce, participant_id=row.chain_id, suspension=suspension
        ),
        again=True,
    )
