"""What people do about participants, through a Door: apply, admit, change keys, suspend; and read an admitted record.

Nothing is signed that was not verified down to the trust file, and to the chain where one is given. No HTTP here, no
storage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from ledger.approval import (
    PROPOSAL_TYPE,
    RECORD_TYPE,
    participants_domain_of,
    sign_record,
    sign_suspension,
    sign_veto,
)
from ledger.documents import Document, document_hash, new_document, sign
from ledger.errors import ChainUnavailable, PortalRefused, PortalUnavailable, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.participant import (
    Approver,
    controller_of,
    make_wire,
    passkeys_of,
    read_wire,
    record_chain_id,
    record_keys,
    verify_next,
    verify_sealing,
    verify_wire,
)
from ledger.trust import Trust

FINGERPRINT_LENGTH = 32
POLL_EVERY = 0.2
SIGN_WITHIN = 7 * 86_400  # seconds in which an admission or proposal must have come to the chain


class DoorLike(Protocol):
    """A Door, or a test's double of one."""

    participant: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any] | None = None, *,
             idempotency_key: str | None = None) -> Any: ...


class RecordReader(Protocol):
    """The part of `ledger.chain.Chain` that says which record is the current one."""

    def participant_record(self, participant_id: str) -> Any: ...


class CheckedDoor:
    """A door with a chain at hand: every participant's record read through it must be the chain's current one."""

    def __init__(self, door: DoorLike, chain: RecordReader, *, patience: float = 10.0) -> None:
        self.participant, self._door = door.participant, door
        self.chain, self.patience = chain, patience

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        return self._door.get(path, params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None) -> Any:
        return self._door.post(path, body, idempotency_key=idempotency_key)


class NumberReader(Protocol):
    """And how far the numbers of suspensions have risen."""

    def participant_suspensions(self, participant_id: str) -> int: ...

    def grant_suspensions(self, grant_id: str, *, by_custodian: bool) -> int: ...


class AccountReader(RecordReader, Protocol):
    """And whose passkeys speak for an account."""

    def check_passkey_account(self, address: str, keys: Sequence[Mapping[str, Any]], *,
                              guardians: Sequence[str] = ()) -> Any: ...


# -- reading -------------------------------------------------------------------------------------------------------

def participant_of(door: DoorLike, trust: Trust, participant: str, *, chain: RecordReader | None = None) -> Document:
    """An admitted participant's record: under each of its keys and the regulator's, and the chain's current one."""
    wire = door.get(f"/participants/{participant}")["record"]
    record = named(verify_wire(wire, trust), "id", participant)
    if chain is not None:
        check_current(record, chain)
    elif isinstance(door, CheckedDoor):
        check_current(record, door.chain, patience=door.patience)
    return record


def check_current(record: Mapping[str, Any], chain: RecordReader, *, patience: float = 0.0) -> None:
    """The chain holds this very record as the participant's current one, for good.

    `patience`: seconds to wait for a chain that is behind the record, as it is for a moment after an admission.
    """
    deadline = time.monotonic() + patience
    while True:
        found = chain.participant_record(record_chain_id(record))
        if found is not None and found.record_hash.removeprefix("0x") == document_hash(record):
            return
        behind = found is None or found.number < record["number"]
        if not behind or time.monotonic() >= deadline:
            raise VerificationError("participant.record_mismatch", "the record is not the current one on chain")
        time.sleep(POLL_EVERY)


def named(document: Document, name: str, value: str) -> Document:
    """The document, if the portal showed the one that was asked for."""
    if document[name] != value:
        raise VerificationError("portal.other_document", f"the portal showed another {document['type']} than asked")
    return document


# -- applying and admitting ----------------------------------------------------------------------------------------

def fingerprint_of(record: Mapping[str, Any]) -> str:
    """What applicant and regulator compare outside the portal; takes a record, signed or bare."""
    document = record.get("document", record)
    return document_hash(document)[:FINGERPRINT_LENGTH]


def enrol(door: DoorLike, keyfile: KeyFile, trust: Trust, *, name: Mapping[str, str], admitted_as: Sequence[str],
          approvers: Sequence[Approver] = ()) -> Document:
    """Apply as a participant; `approvers`: persons whose approval keys lie in other files, or in an authenticator."""
    held = _approvers(keyfile, approvers)
    record = new_document("participant", id=keyfile.participant, number=1, name=dict(name),
                          admitted_as=list(admitted_as), keys=record_keys(keyfile, held))
    wire = make_wire(record, trust=trust, keys=keyfile, approvers=held)
    door.post("/participants", {"record": wire})
    return wire


def _approvers(keyfile: KeyFile, others: Sequence[Approver]) -> list[Approver]:
    held: list[Approver] = [*([keyfile.approval] if keyfile.approval else []), *others]
    return list({one.address: one for one in held}.values())


def admit(door: DoorLike, office_keys: KeyFile, trust: Trust, participant_id: str, *, fingerprint: str,
          approver: EthKey | None = None, seconds: float = 60.0, chain: AccountReader | None = None) -> Document:
    """The regulator admits a participant, or the new record of one, whose fingerprint it has confirmed outside the
    portal, and waits until the chain holds it."""
    answer = door.get(f"/participants/{participant_id}")
    wire = answer.get("next") or answer["record"]
    if answer.get("next"):
        former = participant_of(door, trust, participant_id, chain=chain)
        record = verify_next(wire, former, trust)
    else:
        record = named(verify_wire(wire, trust, admitted=False), "id", participant_id)
    check_accounts(record, chain, trust.regulator.approvers)
    both = _admitted(wire, office_keys, trust, fingerprint)
    admission = _decided(record, regulator_approver(office_keys, approver, trust), trust, RECORD_TYPE)
    answer = door.post(f"/participants/{participant_id}/admission", {"record": both, "approval": admission})
    deadline = time.monotonic() + seconds
    while not _stands(answer, record, later=record["number"] > 1):
        if time.monotonic() > deadline:
            raise PortalUnavailable(f"still {answer['state']} after {seconds:.0f} s", "participant.pending")
        time.sleep(POLL_EVERY)
        answer = door.get(f"/participants/{participant_id}")
    return both


def check_accounts(record: Mapping[str, Any], chain: AccountReader | None, guardians: Sequence[str] = ()) -> None:
    """Each account of passkeys that the record names is one on chain, of our code and with these keys in it; nobody but
    `guardians` may guard it, so that who deployed it kept no way in."""
    for address, keys in passkeys_of(record).items():
        if chain is None:
            raise VerificationError("participant.account_unknown", "an account of passkeys is looked up on the chain")
        chain.check_passkey_account(address, keys, guardians=guardians)


def _stands(answer: Mapping[str, Any], record: Mapping[str, Any], *, later: bool) -> bool:
    """Admitted; of a later record also that it is the one which is shown by now."""
    shown = answer.get("record")
    stands = not later if shown is None else document_hash(shown["document"]) == document_hash(record)
    return answer["state"] != "applied" and stands


def _decided(record: Mapping[str, Any], key: EthKey, trust: Trust, type: str) -> Document:
    return sign_record(record_chain_id(record), document_hash(record), record["number"], key,
                       participants_domain_of(trust), controller=controller_of(record), type=type,
                       sign_by=int(time.time()) + SIGN_WITHIN)


def _admitted(wire: Mapping[str, Any], office_keys: KeyFile, trust: Trust, fingerprint: str) -> Document:
    """The record with the regulator's signature, if its fingerprint was confirmed and its sealing key is its own's."""
    record = read_wire(wire)
    if fingerprint_of(record) != fingerprint.strip().lower():
        raise VerificationError("participant.fingerprint", "the record shown is not the one that was confirmed")
    if office_keys.sealing_public != trust.regulator.sealing:
        raise VerificationError("key.wrong_role", "this is not the regulator's sealing key of the trust file")
    verify_sealing(wire, office_keys.sealing)
    others = [one for one in wire["signatures"] if one["key"] != office_keys.signing_public]
    return {**wire, "signatures": [*others, sign(record, office_keys.signing)]}


def regulator_approver(office_keys: KeyFile, approver: EthKey | None, trust: Trust) -> EthKey:
    """The key that may approve for the regulator, of who holds the regulator's signing key as well."""
    if office_keys.signing_public != trust.regulator.signing:
        raise VerificationError("key.wrong_role", "this is not the regulator's signing key of the trust file")
    key = approver or office_keys.approval
    if key is None or key.address not in trust.regulator.approvers:
        raise VerificationError("key.wrong_role", "no approval key of the trust file's approvers was given")
    return key


# -- new keys ------------------------------------------------------------------------------------------------------

def next_record(former: Mapping[str, Any], keys: KeyFile, approvers: Sequence[Approver]) -> Document:
    """The record that follows: the same participant with other keys, the first approver in control."""
    named_keys = record_keys(keys, _approvers(keys, approvers))
    same = {name: former[name] for name in ("id", "name", "admitted_as", "id_salt")}
    return new_document("participant", **same, number=former["number"] + 1, keys=named_keys)


def rotate(door: DoorLike, trust: Trust, former_keys: KeyFile, keys: KeyFile, *, holder: Approver,
           approvers: Sequence[Approver] = (), chain: RecordReader | None = None) -> Document:
    """Offer a record with new keys, under the old ones; it stands once the regulator admits it, on chain.

    `door` still signs with the former key; `holder` is the approval key that controls the record until now.
    """
    former = participant_of(door, trust, former_keys.participant, chain=chain)
    record = next_record(former, keys, approvers)
    wire = make_wire(record, trust=trust, keys=keys, approvers=_approvers(keys, approvers), former=former_keys,
                     holder=holder)
    verify_next(wire, former, trust)
    door.post(f"/participants/{record['id']}/records", {"record": wire})
    return wire


def recover(former: Mapping[str, Any], trust: Trust, keys: KeyFile, *, approvers: Sequence[Approver] = ()) -> Document:
    """A record with new keys of who lost the old ones: for the office to propose, handed over outside the portal."""
    record = next_record(former, keys, approvers)
    return make_wire(record, trust=trust, keys=keys, approvers=_approvers(keys, approvers))


def propose(door: DoorLike, office_keys: KeyFile, trust: Trust, wire: Mapping[str, Any], *, fingerprint: str,
            approver: EthKey | None = None, chain: AccountReader | None = None) -> Document:
    """The regulator proposes the record of a participant that lost its keys: it may be finished after the delay, in
    which whoever still holds the old key can veto."""
    participant_id = read_wire(wire)["id"]
    former = participant_of(door, trust, participant_id, chain=chain)
    record = verify_next(wire, former, trust, lost=True)
    check_accounts(record, chain, trust.regulator.approvers)
    both = _admitted(wire, office_keys, trust, fingerprint)
    proposal = _decided(record, regulator_approver(office_keys, approver, trust), trust, PROPOSAL_TYPE)
    door.post(f"/participants/{participant_id}/proposal", {"record": both, "proposal": proposal})
    return {"record": both, "proposal": proposal}


def veto(door: DoorLike, trust: Trust, former: Mapping[str, Any], proposal: Any, *, approver: EthKey) -> Document:
    """Say no to a record proposed in our place: by the controller until now, or by any regulator.

    `proposal` is what the chain says is proposed. Answers {veto, delivered}: whoever signed it hands it to the chain
    as well.
    """
    if approver.address not in (controller_of(former), *trust.regulator.approvers):
        raise VerificationError("key.wrong_role", "neither the controller of the record nor the regulator's approver")
    signed = sign_veto(record_chain_id(former), proposal.record_hash, proposal.number, approver,
                       participants_domain_of(trust), controller=proposal.controller)
    return {"veto": signed, "delivered": delivered(door, f"/participants/{former['id']}/veto", {"veto": signed})}


def delivered(door: DoorLike, path: str, body: Mapping[str, Any]) -> bool:
    """Whether the portal took what stands also without it."""
    try:
        door.post(path, body)
    except (PortalRefused, PortalUnavailable):
        return False
    return True


def finish(door: DoorLike, participant_id: str) -> Any:
    """Have the proposed record put in place, once the delay is over; anybody may ask the chain for it."""
    return door.post(f"/participants/{participant_id}/finish", {})


# -- suspending ----------------------------------------------------------------------------------------------------

def suspend_participant(door: DoorLike, office_keys: KeyFile, trust: Trust, participant_id: str, *,
                        suspended: bool = True, approver: EthKey | None = None,
                        chain: NumberReader | None = None) -> Document:
    """The regulator suspends a participant, or lets it act again; answers {suspension, record, delivered}."""
    record = participant_of(door, trust, participant_id)
    subject = record_chain_id(record)
    number = next_number(lambda: chain.participant_suspensions(subject) if chain else 0)
    suspension = sign_suspension(subject, suspended, number, regulator_approver(office_keys, approver, trust),
                                 participants_domain_of(trust))
    return {"suspension": suspension, "record": record,
            "delivered": delivered(door, f"/participants/{participant_id}/suspension", {"suspension": suspension})}


def next_number(read: Callable[[], int]) -> int:
    """A number above every earlier one of the same side: our clock in milliseconds, or one more than the chain saw.

    A stolen key may have signed a number a day ahead of the clock; nobody waits for that day to pass. A chain that is
    away is not waited for either: then the clock alone says.
    """
    try:
        seen = read()
    except (ChainUnavailable, VerificationError):
        seen = 0
    return max(time.time_ns() // 1_000_000, seen + 1)
