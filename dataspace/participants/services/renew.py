"""Verbs about a participant's later records: offered under the old keys, or proposed when these are lost.

The portal relays; what stands is what the chain holds for good. A record is taken over from there, also when others
carried it to the chain.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dataspace.actor import SYSTEM, Actor
from dataspace.errors import Conflict, NotFound, Refused
from dataspace.participants import policies
from dataspace.participants.models import Participant, Renewal
from dataspace.participants.queries import open_renewal_of
from dataspace.participants.states import State
from dataspace.provenance import calls, chainwork, space
from dataspace.provenance.models import ChainTx
from dataspace.provenance.record import record as write_event
from ledger.approval import PROPOSAL_TYPE, RECORD_TYPE, participants_domain_of, verify_record, verify_veto
from ledger.documents import Document, document_hash
from ledger.participant import controller_of, passkeys_of, read_wire, verify_next, verify_wire

Signed = Mapping[str, Any]
LAPSES_AFTER = 30 * 24 * 3600  # seconds, of ParticipantRegistry


@transaction.atomic
def offer(participant: Participant, *, record: Signed, actor: Actor, now: datetime) -> Renewal:
    """A participant's own new record, under its old keys; the same one again is the same offer."""
    policies.check_may_change_keys(actor, participant_id=participant.pk)
    row = _locked(participant)
    document = verify_next(record, row.record["document"], space.trust())
    known = open_renewal_of(row)
    if known is not None:
        if known.record_hash == document_hash(document):
            return known
        if known.admission is not None or known.proposal is not None:
            raise Conflict("another record is on its way to the chain", code="participant.renewal_pending")
        _close(known, Renewal.Outcome.REPLACED)
    return _begin(row, record, document, "participant.record_offered", actor=actor, now=now)


@transaction.atomic
def propose(participant: Participant, *, record: Signed, proposal: Signed, actor: Actor, now: datetime) -> Renewal:
    """The regulator proposes the record of who lost its keys; the chain lets their holder veto for some time."""
    policies.check_may_propose(actor)
    row = _locked(participant)
    trust = space.trust()
    document = verify_next(record, row.record["document"], trust, lost=True)
    verify_wire(record, trust)
    _check_decider(row, document, proposal, PROPOSAL_TYPE)
    known = open_renewal_of(row)
    if known is not None:
        if known.proposal == dict(proposal):
            return known
        if known.admission is not None or known.proposal is not None:
            raise Conflict("another record is on its way to the chain", code="participant.renewal_pending")
        _close(known, Renewal.Outcome.REPLACED)
    return _begin(row, record, document, "participant.record_proposed", actor=actor, now=now, proposal=proposal)


@transaction.atomic
def admit(renewal: Renewal, *, record: Signed, approval: Signed, actor: Actor) -> None:
    """The regulator admits a record that was offered under the old keys."""
    policies.check_may_admit(actor)
    row = _locked(renewal.participant)
    renewal = Renewal.objects.select_for_update().get(pk=renewal.pk)
    trust = space.trust()
    document = verify_next(record, row.record["document"], trust)
    verify_wire(record, trust)
    if document_hash(document) != renewal.record_hash:
        raise Conflict("this is not the record that was offered", code="participant.record_mismatch")
    _check_decider(row, document, approval, RECORD_TYPE)
    if renewal.outcome or renewal.admission is not None:
        return
    renewal.record, renewal.admission = dict(record), dict(approval)
    renewal.save(update_fields=["record", "admission"])


@transaction.atomic
def veto(participant: Participant, *, veto: Signed, actor: Actor, now: datetime) -> Renewal:
    """Who controls the record until now, or the regulator, says no to the one that is proposed."""
    policies.check_may_veto(actor, participant_id=participant.pk)
    row = _locked(participant)
    renewal = _proposed(row)
    document, trust = read_wire(renewal.record), space.trust()
    former = row.record["document"]
    decider = verify_veto(
        row.chain_id,
        renewal.record_hash,
        veto,
        domain=participants_domain_of(trust),
        controller=controller_of(document),
        passkeys={**passkeys_of(former), **trust.regulator.passkeys},
    )
    if decider not in (controller_of(former), *trust.regulator.approvers):
        raise Refused("neither the controller nor the regulator signed this", code="approval.wrong_signer")
    if renewal.veto is None:
        renewal.veto = dict(veto)
        renewal.save(update_fields=["veto"])
        _tell("participant.record_vetoed", row, renewal, actor=actor, now=now)
    return renewal


@transaction.atomic
def ask_finish(participant: Participant, *, actor: Actor) -> Renewal:
    """Have the proposed record put in place, if the delay in which it can be vetoed is over."""
    policies.check_may_veto(actor, participant_id=participant.pk)
    row = _locked(participant)
    renewal = _proposed(row)
    found = space.chain().participant_proposal(row.chain_id)
    if found is None or found.record_hash != "0x" + renewal.record_hash:
        raise Refused("the chain knows of no such proposal", code="participant.no_proposal")
    if space.chain().head().time < found.ripe:
        raise Refused(f"it can be vetoed until {found.ripe} (Unix time)", code="participant.not_ripe")
    renewal.finish_asked = True
    renewal.save(update_fields=["finish_asked"])
    return renewal


def carry(renewal: Renewal) -> None:
    """Send what was signed; take the record over, or drop it, as the chain says for good."""
    row = renewal.participant
    sent = _sent(renewal, row)
    if sent is None:
        return
    if sent.status == ChainTx.State.FAILED:
        _close(renewal, Renewal.Outcome.REFUSED)
        return
    found = space.chain().participant_record(row.chain_id)
    if found is not None and found.record_hash == "0x" + renewal.record_hash:
        _stand(renewal, now=timezone.now())
    elif found is not None and found.number >= renewal.number:
        _close(renewal, Renewal.Outcome.REPLACED)
    elif renewal.proposal is not None and sent.status == ChainTx.State.FINAL and (end := _end(row, renewal)):
        _close(renewal, end)


def _end(row: Participant, renewal: Renewal) -> Renewal.Outcome | None:
    """How a proposal ended that did not come to stand: nobody may finish it any more; None while somebody may."""
    door = space.chain()
    found = door.participant_proposal(row.chain_id, "finalized")
    if found is None:
        return Renewal.Outcome.VETOED
    if found.record_hash != "0x" + renewal.record_hash:
        return Renewal.Outcome.REPLACED
    return Renewal.Outcome.REFUSED if door.finalized().time > found.ripe + LAPSES_AFTER else None


def _sent(renewal: Renewal, row: Participant) -> ChainTx | None:
    """The transaction that brought the record to the chain; a veto and a finish go after it."""
    first: ChainTx | None = None
    if renewal.admission is not None:
        first = chainwork.post(
            "participant",
            key=f"participant:{row.pk}:{renewal.number}:{renewal.admission['signature'][2:18]}",
            subject_id=row.pk,
            build=lambda door, key, nonce: calls.put_participant(
                door,
                key,
                nonce,
                participant_id=row.chain_id,
                record_hash=renewal.record_hash,
                record=renewal.record,
                admission=renewal.admission or {},
            ),
        )
    if renewal.proposal is not None:
        first = chainwork.post(
            "propose",
            key=f"propose:{row.pk}:{renewal.number}:{renewal.proposal['signature'][2:18]}",
            subject_id=row.pk,
            build=lambda door, key, nonce: calls.propose_participant(
                door,
                key,
                nonce,
                participant_id=row.chain_id,
                record_hash=renewal.record_hash,
                record=renewal.record,
                proposal=renewal.proposal or {},
            ),
        )
    if renewal.veto is not None:
        chainwork.post(
            "veto",
            key=f"veto:{renewal.pk}",
            subject_id=row.pk,
            build=lambda door, key, nonce: calls.veto_participant(
                door, key, nonce, participant_id=row.chain_id, veto=renewal.veto or {}
            ),
            again=True,
        )
    elif renewal.finish_asked:
        chainwork.post(
            "finish",
            key=f"finish:{renewal.pk}",
            subject_id=row.pk,
            build=lambda door, key, nonce: door.sign_finish_participant(key, nonce, participant_id=row.chain_id),
        )
    return first


@transaction.atomic
def _stand(renewal: Renewal, *, now: datetime) -> None:
    """The chain holds the record: from now on the participant's keys are those in it."""
    row = _locked(renewal.participant)
    if Renewal.objects.filter(pk=renewal.pk, outcome="").update(outcome="stands", former=row.record) != 1:
        return
    document = read_wire(renewal.record)
    row.record, row.record_hash = renewal.record, renewal.record_hash
    row.signing_key = document["keys"]["signing"]
    row.name_zh, row.name_en = document["name"]["zh"], document["name"]["en"]
    row.admitted_as = document["admitted_as"]
    row.save(update_fields=["record", "record_hash", "signing_key", "name_zh", "name_en", "admitted_as"])
    _tell("participant.keys_changed", row, renewal, actor=SYSTEM, now=now)


def _locked(participant: Participant) -> Participant:
    row = Participant.objects.select_for_update().get(pk=participant.pk)
    if row.state == State.APPLIED:
        raise Conflict("the participant is not admitted yet", code="participant.not_admitted")
    return row


def _proposed(row: Participant) -> Renewal:
    renewal = open_renewal_of(row)
    if renewal is None or renewal.proposal is None:
        raise NotFound("no record is proposed for this participant")
    return renewal


def _begin(
    row: Participant,
    record: Signed,
    document: Document,
    kind: str,
    *,
    actor: Actor,
    now: datetime,
    proposal: Signed | None = None,
) -> Renewal:
    _check_free(row, document)
    renewal = Renewal.objects.create(
        participant=row,
        number=document["number"],
        record=dict(record),
        record_hash=document_hash(document),
        proposal=None if proposal is None else dict(proposal),
        created_at=now,
    )
    _tell(kind, row, renewal, actor=actor, now=now)
    return renewal


def _check_free(row: Participant, document: Document) -> None:
    """The trust file's places stay theirs, and nobody takes another's signing key."""
    trust, own = space.trust(), document["keys"]["signing"]
    roots = {
        "regulator": (UUID(trust.regulator.participant), trust.regulator.signing),
        "dealer": (UUID(trust.dealer.participant), trust.dealer.signing),
    }
    policies.check_may_apply(participant_id=row.pk, admitted_as=document["admitted_as"], signing=own, roots=roots)
    if Participant.objects.filter(signing_key=own).exclude(pk=row.pk).exists():
        raise Conflict("another participant has this signing key", code="participant.key_taken")


def _check_decider(row: Participant, document: Document, approval: Signed, type: str) -> None:
    trust = space.trust()
    decider = verify_record(
        row.chain_id,
        document_hash(document),
        approval,
        domain=participants_domain_of(trust),
        controller=controller_of(document),
        type=type,
        passkeys=trust.regulator.passkeys,
    )
    if decider not in trust.regulator.approvers:
        raise Refused("the trust file names no such approver", code="approval.wrong_signer")
    if approval["number"] != document["number"]:
        raise Conflict("the number is not the record's", code="participant.stale_number")


def _close(renewal: Renewal, outcome: str) -> None:
    Renewal.objects.filter(pk=renewal.pk, outcome="").update(outcome=outcome)


def _tell(kind: str, row: Participant, renewal: Renewal, *, actor: Actor, now: datetime) -> None:
    write_event(
        kind,
        subject_kind="participant",
        subject_id=row.pk,
        actor=actor,
        now=now,
        audience=[row.pk, space.regulator_id()],
        body={"record_hash": renewal.record_hash, "number": renewal.number},
    )
