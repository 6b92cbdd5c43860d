"""Verbs about joining: apply, and be admitted once the chain holds the record."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dataspace.actor import Actor
from dataspace.errors import Conflict, Refused
from dataspace.moves import advance, begin
from dataspace.participants import policies
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.participants.states import BEGIN, INITIAL, MOVES, Move, State
from dataspace.provenance import calls, chainwork, space
from dataspace.provenance.models import ChainTx
from ledger.approval import participants_domain_of, verify_record
from ledger.documents import chain_id_of, document_hash
from ledger.participant import controller_of, read_wire, verify_wire


@transaction.atomic
def apply(record: Mapping[str, Any], *, now: datetime) -> Participant:
    """Take in an organisation's own signed record. The same record again is the same application."""
    trust = space.trust()
    document = verify_wire(record, trust, admitted=False)
    own = document["keys"]["signing"]
    participant_id = UUID(document["id"])
    roots = {
        "regulator": (UUID(trust.regulator.participant), trust.regulator.signing),
        "dealer": (UUID(trust.dealer.participant), trust.dealer.signing),
    }
    policies.check_may_apply(
        participant_id=participant_id, admitted_as=document["admitted_as"], signing=own, roots=roots
    )
    known = Participant.objects.filter(pk=participant_id).first()
    if known is not None:
        if known.record_hash == document_hash(document):
            return known
        raise Conflict("this participant has another record", code="participant.known")
    if Participant.objects.filter(signing_key=own).exists():
        raise Conflict("another participant has this signing key", code="participant.key_taken")
    row = Participant(
        id=participant_id,
        name_zh=document["name"]["zh"],
        name_en=document["name"]["en"],
        admitted_as=document["admitted_as"],
        record=dict(record),
        record_hash=document_hash(document),
        signing_key=own,
        chain_id=chain_id_of(document["id"], document["id_salt"]),
        created_at=now,
    )
    actor = Actor(participant_id=participant_id)
    begin(
        row,
        BEGIN,
        state=INITIAL,
        actor=actor,
        now=now,
        audience=[participant_id],
        body={"record_hash": row.record_hash},
    )
    return row


@transaction.atomic
def admit(
    participant: Participant, *, record: Mapping[str, Any], approval: Mapping[str, Any], actor: Actor, now: datetime
) -> None:
    """Store the regulator's admission; it takes effect when the chain holds the record's hash."""
    policies.check_may_admit(actor)
    trust = space.trust()
    row = Participant.objects.select_for_update().get(pk=participant.pk)
    document = verify_wire(record, trust, former=[signing_key_of(row)])
    if document_hash(document) != row.record_hash:
        raise Conflict("this is not the record that was applied with", code="participant.record_mismatch")
    decider = verify_record(
        row.chain_id,
        row.record_hash,
        approval,
        domain=participants_domain_of(trust),
        controller=controller_of(document),
        passkeys=trust.regulator.passkeys,
    )
    if decider not in trust.regulator.approvers:
        raise Refused("the trust file names no such approver", code="approval.wrong_signer")
    if row.state != State.APPLIED:
        return
    row.admission = {"record": dict(record), "approval": dict(approval)}
    row.save(update_fields=["admission"])


def _tx_key(row: Participant, approval: Mapping[str, Any]) -> str:
    return f"participant:{row.pk}:{approval['number']}:{approval['signature'][2:18]}"


def settle(row: Participant) -> None:
    """Carry one stored admission to the chain, and admit when it is mined."""
    admission = row.admission
    if row.state != State.APPLIED or admission is None:
        return
    approval = admission["approval"]
    tx = chainwork.post(
        "participant",
        key=_tx_key(row, approval),
        subject_id=row.pk,
        build=lambda door, key, nonce: calls.put_participant(
            door,
            key,
            nonce,
            participant_id=row.chain_id,
            record_hash=row.record_hash,
            record=admission["record"],
            admission=approval,
        ),
    )
    if tx.status in {ChainTx.State.MINED, ChainTx.State.FINAL}:
        document = read_wire(admission["record"])
        actor = Actor(participant_id=space.regulator_id())
        advance(
            row,
            Move.ADMIT,
            moves=MOVES,
            actor=actor,
            now=timezone.now(),
            audience=[row.pk],
            body={"record_hash": row.record_hash, "admitted_as": document["admitted_as"]},
            changes={"record": admission["record"]},
        )
    elif tx.status == ChainTx.State.FAILED:
        Participant.objects.filter(pk=row.pk, state=State.APPLIED).update(admission=None)
