"""What people do about participants, through a Door: apply, admit, change keys, suspend; and read an admitted record.

Nothing is signed that was not verified down to the trust file, and to the chain where one is given. No HTTP here, no
storage.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ledger.approval import participants_domain_of, sign_record
from ledger.documents import Document, document_hash, new_document, sign
from ledger.errors import PortalUnavailable, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.participant import controller_of, make_wire, read_wire, record_chain_id, verify_sealing, verify_wire
from ledger.trust import Trust

FINGERPRINT_LENGTH = 32


class DoorLike(Protocol):
    """A Door, or a test's double of one."""

    participant: str

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any: ...

    def post(self, path: str, body: Mapping[str, Any] | None = None, *,
             idempotency_key: str | None = None) -> Any: ...


class RecordReader(Protocol):
    """The part of `ledger.chain.Chain` that says which record is the current one."""

    def participant_record(self, participant_id: str) -> Any: ...


# -- reading -------------------------------------------------------------------------------------------------------

def participant_of(door: DoorLike, trust: Trust, participant: str, *, chain: RecordReader | None = None) -> Document:
    """An admitted participant's record: under each of its keys and the regulator's, and the chain's current one."""
    wire = door.get(f"/participants/{participant}")["record"]
    record = named(verify_wire(wire, trust), "id", participant)
    if chain is not None:
        check_current(record, chain)
    return record


def check_current(record: Mapping[str, Any], chain: RecordReader) -> None:
    """The chain holds this very record as the participant's current one."""
    found = chain.participant_record(record_chain_id(record))
    if found is None or found.record_hash.removeprefix("0x") != document_hash(record):
        raise VerificationError("participant.record_mismatch", "the record is not the current one on chain")


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
          approvers: Sequence[EthKey] = ()) -> Document:
    """Apply as a participant; `approvers` are the approval keys of persons that lie in other files."""
    held = _approvers(keyfile, approvers)
    record = new_document("participant", id=keyfile.participant, number=1, name=dict(name),
                          admitted_as=list(admitted_as),
                          keys=keyfile.public_record_keys(tuple(one.address for one in held)))
    wire = make_wire(record, trust=trust, keys=keyfile, approvers=held)
    door.post("/participants", {"record": wire})
    return wire


def _approvers(keyfile: KeyFile, others: Sequence[EthKey]) -> list[EthKey]:
    held = [*([keyfile.approval] if keyfile.approval else []), *others]
    return list({one.address: one for one in held}.values())


def admit(door: DoorLike, office_keys: KeyFile, trust: Trust, participant_id: str, *, fingerprint: str,
          approver: EthKey | None = None, seconds: float = 60.0) -> Document:
    """The regulator admits a participant whose fingerprint it has confirmed outside the portal, and waits for it."""
    wire = door.get(f"/participants/{participant_id}")["record"]
    record = named(verify_wire(wire, trust, admitted=False), "id", participant_id)
    both = _admitted(wire, office_keys, trust, fingerprint)
    key = regulator_approver(office_keys, approver, trust)
    admission = sign_record(record_chain_id(record), document_hash(record), record["number"], key,
                            participants_domain_of(trust), controller=controller_of(record))
    answer = door.post(f"/participants/{participant_id}/admission", {"record": both, "approval": admission})
    deadline = time.monotonic() + seconds
    while answer["state"] != "admitted":
        if time.monotonic() > deadline:
            raise PortalUnavailable(f"still {answer['state']} after {seconds:.0f} s", "participant.pending")
        time.sleep(0.2)
        answer = door.get(f"/participants/{participant_id}")
    return both


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
