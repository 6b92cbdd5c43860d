"""The form of every document of the space, field by field (DESIGN section 4). Data only: no reading, no signing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ledger.shapes import (
    Check,
    address,
    blob,
    boolean,
    both_languages,
    code,
    column_rule,
    currency,
    decimal,
    digest,
    distinct_keys,
    earlier,
    event_kind,
    fields,
    function_key,
    hex0x,
    hexadecimal,
    integer,
    items,
    job_times,
    json_object,
    label,
    literal,
    mapping_of,
    nullable,
    packed_proof_rule,
    paillier_key,
    persons_rule,
    proof_rule,
    salt,
    signature0x,
    signing_key,
    tagged,
    text,
    uuid,
    when,
    word,
)

VERSION = 1
ROLES = ("provider", "consumer", "service_firm", "regulator", "dealer")
JOB_HOURS, JOB_DAYS = 72, 31
SEATS = 63
RESULT_BYTES = 8_000_000


_names: dict[str, frozenset[str]] = {}
FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(_names)


def _document(kind: str, shape: Mapping[str, Check], *rules: Check, may: Mapping[str, Check] | None = None) -> Check:
    _names[kind] = frozenset(shape)
    return fields({"type": literal(kind), "version": literal(VERSION), **shape}, *rules, may=may)


contract = fields({"address": address, "code_hash": hex0x(32)})
dataset_ref = fields({"id": uuid, "provider": uuid, "hash": digest})
grant_ref = fields({"id": uuid, "terms_hash": digest, "dataset": uuid})
function_name = fields({"name": word, "version": integer(1, 10**6)})
function_exact = fields({"name": word, "version": integer(1, 10**6), "digest": digest})
price = fields({"amount": integer(), "currency": currency})
column = fields({
    "name": label, "label": both_languages, "kind": literal("number", "category", "identifier", "text"),
    "unit": nullable(label), "min": nullable(decimal), "max": nullable(decimal), "step": nullable(decimal),
    "codes": nullable(items(label, 1, 10_000, unique=True)),
}, column_rule)
scheme = literal("secp256k1", "passkey")
# A person's key: an account of its own, or the small account contract behind that person's passkeys.
passkey = fields({"x": hexadecimal(32), "y": hexadecimal(32), "rp_id": label, "origin": label,
                  "device_bound": boolean})
approval_key = tagged("scheme", {
    "secp256k1": fields({"scheme": literal("secp256k1"), "address": address}),
    "passkey": fields({"scheme": literal("passkey"), "address": address, "keys": items(passkey, 1, 8)}),
})
participant_keys = fields({
    "signing": signing_key, "sealing": hexadecimal(32), "approval": items(approval_key, 1, 8),
    "service": nullable(address),
}, distinct_keys)
uses_uint32 = integer(1, 2**32 - 1)
# The columns that filters may name; absent where a scenario allows no filter.
filterable = {"filter_columns": items(label, 1, 1000, unique=True)}

trust = _document("trust", {
    "serial": integer(1), "space_id": uuid, "name": text(1, 200), "root": signing_key, "issued_at": when,
    "chain": fields({
        "id": integer(1), "profile": word, "genesis": hex0x(32), "rpc": items(text(1, 500), 1, 16, unique=True),
        "quorum": integer(1, 16),
        "contracts": fields({"anchor": contract, "grants": contract, "participants": contract}),
    }, may={"validators": items(address, 1, 64, unique=True)}),
    "log": fields({"origin": text(1, 200), "key": signing_key}),
    "witnesses": fields({"k": integer(0, 32), "keys": items(signing_key, 0, 32, unique=True)}),
    "regulator": fields({"participant": uuid, "signing": signing_key, "sealing": hexadecimal(32),
                         "approvers": items(address, 1, 32, unique=True),
                         "passkeys": items(fields({"address": address, "keys": items(passkey, 1, 8)}), 0, 32,
                                           by="address")}),
    "dealer": fields({"participant": uuid, "signing": signing_key}),
    "release": fields({"keys": items(signing_key, 0, 16, unique=True)}),
})

participant = _document("participant", {
    "id": uuid, "number": integer(1), "name": both_languages,
    "admitted_as": items(literal(*ROLES), 1, len(ROLES), unique=True), "keys": participant_keys,
    "id_salt": salt, "salt": salt, "issued_at": when,
})

# One key of a record signed the record; and the record with everything its holders, and then the regulator, signed.
proof = fields({"key": address, "scheme": scheme, "public_key": hexadecimal(64),
                "signature": signature0x})
participant_wire = fields({
    "document": lambda value, pointer: None,
    "signatures": items(fields({"key": signing_key, "value": text(86, 86)}), 0, 8),
    "proofs": items(proof, 1, 9, by="key"), "control": proof, "handover": nullable(proof),
    "sealing_proof": hexadecimal(32),
})

dataset = _document("dataset", {
    "id": uuid, "provider": uuid, "number": integer(1), "name": label, "title": both_languages,
    "columns": items(column, 1, 5000), "rows_max": integer(1, 2**45), "fingerprint": digest, "id_salt": salt,
    "salt": salt, "issued_at": when,
}, persons_rule, may={"one_person_per_row": literal(True)})

product = _document("product", {
    "id": uuid, "title": both_languages, "summary": both_languages, "lead": uuid,
    "datasets": items(dataset_ref, 1, SEATS, by="id"), "functions": items(function_key, 1, 32, unique=True),
    "price": price, "salt": salt, "issued_at": when,
})

product_confirmation = _document("product_confirmation", {
    "product": uuid, "product_hash": digest, "participant": uuid, "issued_at": when,
})

product_listing = _document("product_listing", {
    "product": uuid, "product_hash": digest, "participant": uuid, "decision": literal("list", "delist", "return"),
    "note": text(0), "issued_at": when,
})

scenario = _document("scenario", {
    "id": uuid, "title": both_languages, "purpose": text(), "consumer": uuid,
    "functions": items(function_name, 1, 32, by="name"), "floor": integer(1, 10**9), "by_institution": boolean,
    "max_uses": uses_uint32, "not_before": when, "not_after": when, "datasets": items(dataset_ref, 1, SEATS, by="id"),
    "persons": items(label, 0, 1000, unique=True), "salt": salt, "issued_at": when,
}, earlier("not_before", "not_after"), may=filterable)

scenario_decision = _document("scenario_decision", {
    "scenario": uuid, "scenario_hash": digest, "decision": literal("approve", "return", "reject"), "note": text(0),
    "participant": uuid, "issued_at": when,
})

grant_terms = _document("grant_terms", {
    "id": uuid, "space_id": uuid, "scenario": uuid, "scenario_hash": digest, "dataset": uuid, "dataset_hash": digest,
    "dataset_chain_id": hex0x(32), "custodian": uuid, "custodian_approver": address,
    "roster": items(fields({"dataset": uuid, "provider": uuid}), 1, SEATS, by="dataset"), "dealer": uuid,
    "grantee": uuid, "grantee_address": address, "purpose_hash": hex0x(32),
    "functions": items(function_exact, 1, 32, by="name"), "floor": integer(1, 10**9), "by_institution": boolean,
    "max_uses": uses_uint32, "not_before": when, "not_after": when, "salt": salt,
}, earlier("not_before", "not_after"), may=filterable)

agreement = _document("agreement", {
    "id": uuid, "product": uuid, "product_hash": digest, "scenario": uuid, "scenario_hash": digest, "consumer": uuid,
    "provider": uuid, "price": price, "grants": items(grant_ref, 1, SEATS, by="dataset"), "salt": salt,
    "issued_at": when,
})

job_spec = _document("job_spec", {
    "id": uuid, "agreement": uuid, "agreement_hash": digest, "grants": items(grant_ref, 1, SEATS, by="dataset"),
    "function": function_exact, "parameters": json_object, "filter": nullable(json_object),
    "inputs": items(fields({"dataset": uuid, "dataset_hash": digest, "provider": uuid}), 1, SEATS, by="dataset"),
    "roster": items(fields({"seat": integer(0, SEATS - 1), "participant": uuid, "signing": hexadecimal(32),
                            "record_hash": digest}), 1, SEATS, by="seat"),
    "dealer": fields({"participant": uuid, "signing": hexadecimal(32)}),
    "engine": literal("crypten/1", "paillier/1"),
    "disclosure": fields({"floor": integer(1, 10**9)}),
    "recipient": fields({"participant": uuid, "sealing": hexadecimal(32)}), "issued_at": when, "deadline": when,
    "nonce": salt,
}, job_times(JOB_HOURS, JOB_DAYS), may={"contributions": fields({
    "by": when, "minimum": integer(2, SEATS), "ciphertexts": integer(1, 10**4), "key": paillier_key})})

verdict = _document("verdict", {
    "job": uuid, "job_hash": digest, "attempt": integer(1, 10**6), "participant": uuid, "seat": integer(0, SEATS),
    "decision": literal("accept", "hold", "refuse"), "code": nullable(code), "rule": nullable(text(0, 500)),
    "who_must_act": nullable(text(0, 500)), "grant_block": nullable(integer()), "policy_hash": digest,
    "session": nullable(fields({"certificate": blob(8000), "exchange": hexadecimal(32)})),
    "issued_at": when,
}, may={"without": items(integer(0, SEATS - 1), 1, SEATS, unique=True)})  # whose contributions are not to be frozen

result_envelope = _document("result_envelope", {
    "job": uuid, "job_hash": digest, "attempt": integer(1, 10**6), "session": digest, "sender": uuid,
    "seat": integer(0, SEATS - 1), "recipient": uuid, "recipient_key": hexadecimal(32), "gate_hash": digest,
    "sealed": blob(RESULT_BYTES), "engine": mapping_of(label), "issued_at": when,
})

# What a hospital hands in for a job whose parties are not online together; its ciphertexts travel beside it.
contribution = _document("contribution", {
    "job": uuid, "job_hash": digest, "participant": uuid, "seat": integer(0, SEATS - 1), "question": digest,
    "dealer_key": hexadecimal(32), "ciphertexts": digest, "seed": blob(200), "engine": mapping_of(label),
    "issued_at": when,
})

# A hospital takes back what it handed in, until the set is frozen.
withdrawal = _document("withdrawal", {
    "job": uuid, "job_hash": digest, "participant": uuid, "seat": integer(0, SEATS - 1), "issued_at": when,
})

# The dealer's word: these contributions and no others, with the total of their masks sealed to the consumer.
frozen_set = _document("frozen_set", {
    "job": uuid, "job_hash": digest, "participant": uuid, "question": digest,
    "members": items(fields({"seat": integer(0, SEATS - 1), "participant": uuid, "contribution": digest}), 1, SEATS,
                     by="seat"),
    "recipient": uuid, "recipient_key": hexadecimal(32), "masks": blob(RESULT_BYTES), "issued_at": when,
})

job_failure = _document("job_failure", {
    "job": uuid, "job_hash": digest, "attempt": integer(1, 10**6), "participant": uuid, "code": code,
    "about": nullable(uuid), "issued_at": when,
})

entry = _document("entry", {
    "id": uuid, "kind": event_kind, "subject": fields({"kind": word, "id": text(1, 100)}),
    "actor": fields({"participant": nullable(uuid), "person": nullable(text(1, 100))}), "at": when,
    "body": json_object, "salt": salt,
})

revocation = _document("revocation", {
    "grant": uuid, "terms_hash": digest, "by": literal("regulator", "custodian"), "decider": address,
    "reason_hash": hex0x(32), "scheme": scheme, "public_key": hexadecimal(64), "signature": signature0x,
})

# Not a document of its own: an EIP-712 signature over grant terms, with what the digest needs beside them.
approval = fields({
    "role": literal("regulator", "custodian"), "decider": address, "nonce": hex0x(32),
    "sign_by": integer(1, 2**48 - 1), "service": nullable(address), "scheme": scheme,
    "public_key": hexadecimal(64), "signature": signature0x,
})

# Signatures that the registries take: of a regulator over one record, of a decider over what it holds or takes back.
decided = {"decider": address, "scheme": scheme, "public_key": hexadecimal(64), "signature": signature0x}
admission = fields({"number": integer(1), "sign_by": integer(1, 2**48 - 1), **decided})
veto = fields({"number": integer(1), **decided})
suspension = fields({"suspended": boolean, "number": integer(1), **decided})
# A suspension handed over outside the portal, with what it is about: its digest names only an id of the chain.
hold = fields({"type": literal("hold"), "version": literal(VERSION), "about": literal("grant", "participant"),
               "subject": uuid, "suspension": suspension})
cancellation = fields({"nonce": hex0x(32), **decided})

# A receipt as a verifier judges it, with everything in its own words.
trie_nodes = items(blob(1000), 0, 64)
chain_leg = fields({
    "chain_id": integer(1), "profile": word, "contract": address, "log_id": hex0x(32), "size": integer(1),
    "inclusion": items(digest, 0, 64), "header": nullable(blob(8000)), "account_proof": trie_nodes,
    "storage_proof": trie_nodes,
}, proof_rule)
given = fields({
    "role": literal("regulator", "custodian"), "decider": address, "nonce": hex0x(32),
    "sign_by": integer(1, 2**48 - 1), "service": nullable(address), "signature": signature0x,
})
receipt_whole = fields({
    "space_id": uuid, "entry": entry, "index": integer(), "inclusion": items(digest, 0, 64),
    "checkpoint": text(1, 8000), "chain": nullable(chain_leg),
    "approvals": items(fields({"terms": grant_terms, "signatures": items(given, 1, 2, by="role")}), 0, 64),
})

# The same receipt as it is written down (ledger.packing, which knows what stands in the objects left open here).
packed_leg = fields({
    "chain_id": integer(1), "profile": word, "contract": blob(20), "size": integer(1), "inclusion": blob(2048),
    "header": nullable(blob(8000)), "account": nullable(blob(65_000)), "storage": nullable(blob(65_000)),
}, packed_proof_rule)
packed_grant = fields({"terms": json_object, "custodian": nullable(json_object), "regulator": nullable(json_object)})
packed_approvals = fields({"terms": json_object, "custodian": json_object, "regulator": json_object,
                           "grants": items(nullable(packed_grant), 1, 64)})
receipt = _document("receipt", {
    "space_id": uuid, "entry": entry, "index": integer(), "inclusion": blob(2048), "checkpoint": text(1, 8000),
    "approvals": nullable(packed_approvals), "chain": nullable(packed_leg),
})

SCHEMAS: Mapping[str, Check] = MappingProxyType({
    "trust": trust, "participant": participant, "dataset": dataset, "product": product,
    "product_confirmation": product_confirmation, "product_listing": product_listing, "scenario": scenario,
    "scenario_decision": scenario_decision, "grant_terms": grant_terms, "agreement": agreement, "job_spec": job_spec,
    "verdict": verdict, "result_envelope": result_envelope, "contribution": contribution, "frozen_set": frozen_set,
    "withdrawal": withdrawal,
    "job_failure": job_failure, "entry": entry, "revocation": revocation, "receipt": receipt,
})
