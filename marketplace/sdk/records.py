"""Reads documents that the portal passes on and believes only what is signed by those who must have signed it.

A participant's record counts with a signature of each key in it and the regulator's, whose key is in the trust file;
every other document is checked against the keys in such records. Nothing here trusts the portal for a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ledger.approval import domain_of, verify_approval
from ledger.documents import document_hash, verify_signed
from ledger.endpoint import CurrentRecord, Endpoints
from ledger.participant import passkeys_of, verify_wire
from ledger.trust import Trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import VerificationError

Signed = Mapping[str, Any]
Document = dict[str, Any]


class ChainRecords:
    """Which record of a participant the chain holds for good, asked anew each time at an endpoint of our own."""

    def __init__(self, trust: Trust, rpc: str) -> None:
        self._trust, self._rpc = trust, rpc

    def participant_record(self, participant_id: str) -> CurrentRecord | None:
        return Endpoints(self._trust, [self._rpc]).participant_record(participant_id)


def verified_participant(wire: Signed, *, trust: Trust, expected: str | None = None) -> Document:
    """The record, signed by every key in it and by the regulator's of the trust file."""
    with our_errors():
        record = verify_wire(wire, trust)
    if expected is not None and record["id"] != expected:
        raise VerificationError(f"asked for participant {expected}, got {record['id']}", code="record.wrong")
    return record


def verified_document(wire: Signed, *, type: str, signers: list[Document], id: str | None = None) -> Document:
    """A document signed by each of these participants' records."""
    with our_errors():
        document = verify_signed(wire, type=type, keys=[record["keys"]["signing"] for record in signers])
    if id is not None and document.get("id") != id:
        raise VerificationError(f"asked for {type} {id}, got {document.get('id')}", code="record.wrong")
    return document


def verified_grant(answer: Mapping[str, Any], *, trust: Trust, custodian: Document) -> str:
    """The terms' hash, after the regulator's and (if there) the custodian's approval of them was verified."""
    terms, approval, consent = answer["terms"], answer["approval"], answer.get("consent")
    allowed = {key["address"] for key in custodian["keys"]["approval"]}
    regulators, domain = set(trust.regulator.approvers), domain_of(trust)
    with our_errors():
        if terms["custodian"] != custodian["id"]:
            raise VerificationError("grant names another custodian", code="grant.wrong_custodian")
        passkeys = {**trust.regulator.passkeys, **passkeys_of(custodian)}
        if verify_approval(terms, approval, domain=domain, role="regulator", passkeys=passkeys) not in regulators:
            raise VerificationError("not approved by a key of the regulator's", code="grant.approval_invalid")
        if consent and verify_approval(terms, consent, domain=domain, role="custodian",
                                       passkeys=passkeys) not in allowed:
            raise VerificationError("not consented by the custodian's key", code="grant.approval_invalid")
        return document_hash(terms)
