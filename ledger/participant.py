"""A participant's record on the wire: the document, and the proof that every key in it belongs to who shows it.

1. `signatures`: by the record's own signing key (a later record: by the one before it as well), and the regulator's.
2. `proofs`: over the EIP-712 message RecordKey, one by each approval key and by the service key.
3. `control`: over the message Control, by the first approval key, which is the participant's controller on chain.
4. `handover`: over the message Handover, by who was the controller until now, where that changes.
5. `sealing_proof`: made with the sealing key towards the regulator's, who alone can check it.

Whoever verifies gets the document or an error, never a bool. Which record is the current one is for the chain to say.
No network here, no clock.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.approval import Domain, digest, participants_domain_of, signed_by, signed_by_passkey, verify_digest
from ledger.documents import Document, chain_id_of, check, document_hash, sign, verify_signed
from ledger.errors import VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.passkey import Assertion
from ledger.schemas import participant_wire as WIRE
from ledger.trust import Trust

RECORD_KEY_TYPE = "RecordKey(bytes32 participantId,bytes32 recordHash,address key)"
CONTROL_TYPE = "Control(bytes32 participantId,bytes32 recordHash,uint64 number,address controller)"
HANDOVER_TYPE = "Handover(bytes32 participantId,bytes32 recordHash,uint64 number,address controller,address holder)"
SEALING_INFO = b"xinglin/sealing-proof/v1"


@dataclass(frozen=True)
class PasskeyHolder:
    """A person who approves with passkeys: the account that speaks for them, its keys, and how to ask for one."""

    address: str
    keys: Sequence[Mapping[str, Any]]
    ask: Callable[[bytes], Assertion] = field(repr=False)


Approver = EthKey | PasskeyHolder
"""Who holds an approval key of a record."""


def make_wire(record: Mapping[str, Any], *, trust: Trust, keys: KeyFile, approvers: Sequence[Approver],
              former: KeyFile | None = None, holder: Approver | None = None) -> Document:
    """The record with all that its own side signs; a later one also under the `former` keys, and by the `holder` who
    controlled the participant until now."""
    document = dict(record)
    domain, controller = participants_domain_of(trust), controller_of(record)
    held: dict[str, Approver] = {one.address: one for one in approvers}
    if keys.service is not None:
        held[keys.service.address] = keys.service
    wanted = keys_to_prove(document)
    if missing := [one for one in wanted if one not in held]:
        raise VerificationError("participant.key_not_held", f"no private key was given for {', '.join(missing)}")
    signing = {one.signing_public: one.signing for one in (keys, former or keys)}
    hands_over = holder is not None and holder.address != controller
    return {
        "document": document,
        "signatures": [sign(document, one) for one in signing.values()],
        "proofs": [_proof(held[one], key_digest(domain, document, one)) for one in sorted(wanted)],
        "control": _proof(held[controller], control_digest(domain, document)),
        "handover": _proof(holder, handover_digest(domain, document, holder.address))
        if holder and hands_over else None,
        "sealing_proof": sealing_proof(keys.sealing, trust.regulator.sealing, document_hash(record)),
    }


def read_wire(wire: object) -> Document:
    """The document inside, its form checked and nothing else: for finding out which participant is meant."""
    WIRE(wire, "")
    document: Document = wire["document"]  # type: ignore[index]
    check(document, "participant")
    return document


def verify_wire(wire: object, trust: Trust, *, admitted: bool = True, former: Iterable[str] = ()) -> Document:
    """The record, if each of its keys signed it, and (where `admitted`) the regulator too.

    `former` are further signing keys that must have signed. The sealing key's proof is for the regulator to check.
    """
    document = read_wire(wire)
    given: Mapping[str, Any] = wire  # type: ignore[assignment]
    signers = {document["keys"]["signing"], *former, *([trust.regulator.signing] if admitted else [])}
    verify_signed({"document": document, "signatures": given["signatures"]}, type="participant", keys=signers)
    if document["id"] != trust.regulator.participant and {
            one["address"] for one in document["keys"]["approval"]} & set(trust.regulator.approvers):
        raise VerificationError("participant.regulators_account", "the record names an account of the regulator's")
    domain = participants_domain_of(trust)
    proofs = {one["key"]: one for one in given["proofs"]}
    for key in keys_to_prove(document):
        _verify(key_digest(domain, document, key), proofs.get(key), document, key)
    _verify(control_digest(domain, document), given["control"], document, controller_of(document))
    return document


def verify_next(wire: object, former: Mapping[str, Any], trust: Trust, *, lost: bool = False) -> Document:
    """A record that may follow `former`: of the same participant, signed with the keys before and by who held control.
    It changes keys alone: whoever looks at a fingerprint sees neither another name nor another role in it.

    `lost`: the keys before are lost; then none of them signs, and the chain lets their holder veto.
    """
    document = verify_wire(wire, trust, admitted=False, former=[] if lost else [former["keys"]["signing"]])
    if (document["id"], document["id_salt"]) != (former["id"], former["id_salt"]):
        raise VerificationError("participant.other", "the new record is another participant's")
    if document["number"] <= former["number"]:
        raise VerificationError("participant.stale_number", "the number of a later record is higher")
    if (document["name"], document["admitted_as"]) != (former["name"], former["admitted_as"]):
        raise VerificationError("participant.other_role", "a later record changes keys, no name and no role")
    holder, given = controller_of(former), wire
    if not lost and holder != controller_of(document):
        handover = given["handover"]  # type: ignore[index]
        _verify(handover_digest(participants_domain_of(trust), document, holder), handover, former, holder)
    return document


def verify_sealing(wire: Mapping[str, Any], regulator: X25519PrivateKey) -> None:
    """Whoever made this record holds its sealing key; only the regulator, with its own, can tell."""
    document = read_wire(wire)
    expected = sealing_proof(regulator, document["keys"]["sealing"], document_hash(document))
    if not hmac.compare_digest(expected, wire["sealing_proof"]):
        raise VerificationError("participant.sealing_not_held", "the record's sealing key is not the applicant's")


def sealing_proof(own: X25519PrivateKey, their_public: str, record_hash: str) -> str:
    """HMAC of the record's hash under what both sides' sealing keys have in common."""
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(their_public)))
    except ValueError as trouble:
        raise VerificationError("participant.sealing_not_held", "the sealing key is of small order") from trouble
    key = HKDF(SHA256(), 32, salt=None, info=SEALING_INFO).derive(shared)
    return hmac.new(key, bytes.fromhex(record_hash), sha256).hexdigest()


def keys_to_prove(document: Mapping[str, Any]) -> list[str]:
    """The addresses in a record: approval keys, controller first, and the service key."""
    keys = document["keys"]
    held = [one["address"] for one in keys["approval"]] + ([keys["service"]] if keys["service"] else [])
    return list(dict.fromkeys(held))


def controller_of(document: Mapping[str, Any]) -> str:
    """Whose signature the chain asks for when the record changes: the first approval key."""
    return str(document["keys"]["approval"][0]["address"])


def record_chain_id(document: Mapping[str, Any]) -> str:
    """How the participant appears on chain."""
    return chain_id_of(document["id"], document["id_salt"])


def key_digest(domain: Domain, document: Mapping[str, Any], key: str) -> bytes:
    """What a key of the record signs to show that it is held."""
    return digest(domain, RECORD_KEY_TYPE, record_chain_id(document), "0x" + document_hash(document), key)


def control_digest(domain: Domain, document: Mapping[str, Any]) -> bytes:
    """What the controller signs: this record, under this number, is controlled by its first approval key."""
    return digest(domain, CONTROL_TYPE, record_chain_id(document), "0x" + document_hash(document), document["number"],
                  controller_of(document))


def handover_digest(domain: Domain, document: Mapping[str, Any], holder: str) -> bytes:
    """What the controller until now signs to hand over to the record's own."""
    return digest(domain, HANDOVER_TYPE, record_chain_id(document), "0x" + document_hash(document), document["number"],
                  controller_of(document), holder)


def passkeys_of(*records: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The keys behind each account of a person's passkeys that these records name."""
    return {one["address"]: one["keys"] for record in records for one in record["keys"]["approval"]
            if one["scheme"] == "passkey"}


def record_keys(keys: KeyFile, approvers: Sequence[Approver]) -> dict[str, Any]:
    """The `keys` of a record, its controller first."""
    named: list[dict[str, Any]] = [
        {"scheme": "secp256k1", "address": one.address} if isinstance(one, EthKey) else
        {"scheme": "passkey", "address": one.address, "keys": [dict(key) for key in one.keys]} for one in approvers]
    return {**keys.public_record_keys(), "approval": named}


def _proof(key: Approver, value: bytes) -> dict[str, str]:
    made = signed_by(key, value) if isinstance(key, EthKey) else signed_by_passkey(key.address, key.ask(value))
    return {"key": made.pop("decider"), **made}


def _verify(value: bytes, proof: Mapping[str, Any] | None, record: Mapping[str, Any], key: str) -> None:
    """`proof` is the signature of the key with this address, in the scheme that the record names for it."""
    approval = record["keys"]["approval"]
    scheme = next((one["scheme"] for one in approval if one["address"] == key), "secp256k1")
    if proof is None or proof["key"] != key:
        raise VerificationError("participant.key_not_proven", "a key of the record did not sign it")
    if proof["scheme"] != scheme:
        raise VerificationError("participant.key_not_proven", "a key signed by another scheme than its record says")
    try:
        verify_digest(value, {**proof, "decider": key}, passkeys_of(record))
    except VerificationError as trouble:
        raise VerificationError("participant.key_not_proven", "a key of the record is not who shows it") from trouble
