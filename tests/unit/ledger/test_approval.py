"""Approvals: only the right key, over exactly these terms, in its own slot."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from ledger import approval as ap
from ledger.approval import (
    Domain,
    approve,
    consent,
    digest,
    domain_of,
    participants_domain_of,
    sign_record,
    sign_revocation,
    sign_use,
    sign_veto,
    terms_digest,
    verify_approval,
    verify_record,
    verify_revocation,
    verify_use,
    verify_veto,
)
from ledger.documents import document_hash
from ledger.errors import VerificationError
from ledger.keys import CURVE_ORDER, EthKey, keccak256, recover
from tests.unit.ledger.people import People

NONCE = "0x" + "07" * 32
SIGN_BY = 1_795_420_800


@pytest.fixture
def grant(people: People) -> dict[str, Any]:
    return people.grants()[0]


@pytest.fixture
def custodian(people: People, grant: dict[str, Any]) -> EthKey:
    name = next(name for name, keys in people.keys.items() if keys.participant == grant["terms"]["custodian"])
    return people.approver(name)


def typed(domain: Domain, type: str, values: list[Any]) -> bytes:
    """The digest as eth_account makes it: the second implementation."""
    name, _, rest = type.partition("(")
    members = [dict(zip(("type", "name"), one.split(" "), strict=True)) for one in rest.rstrip(")").split(",")]
    message = encode_typed_data(full_message={
        "types": {"EIP712Domain": [
            {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"},
            {"name": "salt", "type": "bytes32"}], name: members},
        "primaryType": name,
        "domain": {"name": domain.name, "version": domain.version, "chainId": domain.chain_id,
                   "verifyingContract": domain.contract, "salt": bytes.fromhex(domain.salt[2:])},
        "message": {member["name"]: bytes.fromhex(value[2:]) if member["type"] == "bytes32" else value
                    for member, value in zip(members, values, strict=True)}})
    return keccak256(b"\x19" + message.version + message.header + message.body)


def test_it_works(people: People, grant: dict[str, Any], custodian: EthKey) -> None:
    domain = domain_of(people.trust)
    assert verify_approval(grant["terms"], grant["approval"], domain=domain, role="regulator") \
        == people.approver("office").address
    assert verify_approval(grant["terms"], grant["consent"], domain=domain, role="custodian") == custodian.address


def test_the_digests_are_those_of_eth_account(people: People, grant: dict[str, Any]) -> None:
    terms, domain, decider = grant["terms"], domain_of(people.trust), people.approver("office").address
    common = [ap.grant_chain_id(terms), "0x" + document_hash(terms), terms["dataset_chain_id"],
              terms["purpose_hash"], terms["grantee_address"], decider, ap.seconds(terms["not_before"]),
              ap.seconds(terms["not_after"]), terms["max_uses"], NONCE, SIGN_BY]
    service = people.service("hospital_a")
    for role, type, values in (("regulator", ap.APPROVAL_TYPE, [*common, terms["custodian_approver"]]),
                               ("custodian", ap.CONSENT_TYPE, [*common, service])):
        ours = terms_digest(domain, terms, role=role, decider=decider, nonce=NONCE, sign_by=SIGN_BY, service=service)
        assert ours == typed(domain, type, values)
    for where, type, values in (
            (domain, ap.REVOCATION_TYPE, [NONCE, NONCE, decider]), (domain, ap.USE_TYPE, [NONCE, NONCE]),
            (domain, ap.CANCELLATION_TYPE, [NONCE, NONCE, decider]),
            (domain, ap.GRANT_SUSPENSION_TYPE, [NONCE, True, 3, decider]),
            (participants_domain_of(people.trust), ap.PARTICIPANT_SUSPENSION_TYPE, [NONCE, False, 3, decider]),
            (participants_domain_of(people.trust), ap.VETO_TYPE, [NONCE, NONCE, 3, decider, decider]),
            *((participants_domain_of(people.trust), one, [NONCE, NONCE, 3, decider, SIGN_BY, decider])
              for one in (ap.RECORD_TYPE, ap.PROPOSAL_TYPE))):
        assert digest(where, type, *values) == typed(where, type, values)


def test_signatures_are_those_of_eth_account(people: People) -> None:
    key = people.approver("office")
    value = bytes(range(32))
    theirs = Account.unsafe_sign_hash(value, key.secret)
    assert key.sign_digest(value) == bytes(theirs.signature)
    assert key.address == Account.from_key(key.secret).address.lower()


def test_one_signature_cannot_fill_both_slots(people: People, grant: dict[str, Any], custodian: EthKey) -> None:
    """Even one person who held both keys must sign twice."""
    domain, terms = domain_of(people.trust), grant["terms"]
    given = consent(terms, custodian, service=people.service("hospital_a"), domain=domain, nonce=NONCE,
                    sign_by=SIGN_BY)
    moved = {**given, "role": "regulator", "service": None}
    with pytest.raises(VerificationError, match=r"approval\.signature"):
        verify_approval(terms, moved, domain=domain)
    approved = approve(terms, custodian, domain=domain, nonce=NONCE, sign_by=SIGN_BY)
    for service in (None, "0x" + "00" * 20, people.service("hospital_a")):
        with pytest.raises(VerificationError):
            verify_approval(terms, {**approved, "role": "custodian", "service": service}, domain=domain)
    with pytest.raises(VerificationError, match=r"approval\.wrong_role"):
        verify_approval(terms, approved, domain=domain, role="custodian")


CHANGES = {
    "id": "11111111-1111-4111-8111-111111111111", "dataset_chain_id": "0x" + "01" * 32, "dataset_hash": "01" * 32,
    "purpose_hash": "0x" + "01" * 32, "grantee_address": "0x" + "01" * 20, "floor": 5, "by_institution": True,
    "max_uses": 11, "not_before": "2025-01-01T00:00:00Z", "not_after": "2029-01-01T00:00:00Z", "salt": "01" * 32,
    "dealer": "11111111-1111-4111-8111-111111111111", "scenario_hash": "01" * 32}


@pytest.mark.parametrize("name", CHANGES)
def test_altered_terms_are_refused(people: People, grant: dict[str, Any], name: str) -> None:
    altered = {**grant["terms"], name: CHANGES[name]}
    for given in (grant["approval"], grant["consent"]):
        with pytest.raises(VerificationError):
            verify_approval(altered, given, domain=domain_of(people.trust))


def test_a_wrong_signer_is_refused(people: People, grant: dict[str, Any], custodian: EthKey) -> None:
    domain, outsider = domain_of(people.trust), people.approver("outsider")
    forged = approve(grant["terms"], outsider, domain=domain, nonce=NONCE, sign_by=SIGN_BY)
    assert verify_approval(grant["terms"], forged, domain=domain) == outsider.address, "its own name is its own"
    for lie in ({"decider": people.approver("office").address},
                {"decider": people.approver("office").address, "public_key": people.approver("office").public}):
        with pytest.raises(VerificationError):
            verify_approval(grant["terms"], {**forged, **lie}, domain=domain)
    with pytest.raises(VerificationError, match=r"approval\.wrong_custodian"):
        consent(grant["terms"], outsider, service=people.service("outsider"), domain=domain, nonce=NONCE,
                sign_by=SIGN_BY)
    with pytest.raises(VerificationError, match=r"approval\.wrong_custodian"):
        verify_approval(grant["terms"], {**grant["consent"], "decider": outsider.address}, domain=domain)


@pytest.mark.parametrize("change", [{"nonce": "0x" + "08" * 32}, {"sign_by": SIGN_BY + 1},
                                    {"service": "0x" + "01" * 20}, {"service": None}])
def test_what_stands_beside_the_terms_is_signed_too(people: People, grant: dict[str, Any],
                                                    change: dict[str, Any]) -> None:
    with pytest.raises(VerificationError):
        verify_approval(grant["terms"], {**grant["consent"], **change}, domain=domain_of(people.trust))


@pytest.mark.parametrize("other", [
    {"chain_id": 1}, {"contract": "0x" + "01" * 20}, {"salt": "0x" + "01" * 32}, {"name": "Other"}, {"version": "2"}])
def test_another_chain_contract_or_space_is_refused(people: People, grant: dict[str, Any],
                                                    other: dict[str, Any]) -> None:
    domain = domain_of(people.trust)
    elsewhere = Domain(**{**domain.__dict__, **other})
    with pytest.raises(VerificationError):
        verify_approval(grant["terms"], grant["approval"], domain=elsewhere)


def test_a_signature_has_one_form(people: People, grant: dict[str, Any]) -> None:
    """Higher s and other v would recover the same key, or be taken by one verifier and not by another."""
    raw = bytes.fromhex(grant["approval"]["signature"][2:])
    higher = (CURVE_ORDER - int.from_bytes(raw[32:64])).to_bytes(32)
    for wrong in (raw[:32] + higher + bytes([55 - raw[64]]), raw[:64] + bytes([55 - raw[64]]),
                  raw[:64] + bytes([raw[64] - 27]), bytes(65), raw[:64] + b"\x1d"):
        with pytest.raises(VerificationError):
            verify_approval(grant["terms"], {**grant["approval"], "signature": "0x" + wrong.hex()},
                            domain=domain_of(people.trust))


def test_a_revocation_is_of_one_grant_by_one_key(people: People, grant: dict[str, Any], custodian: EthKey) -> None:
    terms, domain = grant["terms"], domain_of(people.trust)
    for key, by in ((people.approver("office"), "regulator"), (custodian, "custodian")):
        revocation = sign_revocation(terms, key, by=by, reason="停止", domain=domain)
        assert verify_revocation(terms, revocation, domain=domain) == key.address
        for change in ({"reason_hash": NONCE}, {"decider": people.approver("outsider").address},
                       {"public_key": people.approver("outsider").public}):
            with pytest.raises(VerificationError):
                verify_revocation(terms, {**revocation, **change}, domain=domain)
        with pytest.raises(VerificationError, match=r"revocation\.other_grant"):
            verify_revocation({**terms, "max_uses": 1}, revocation, domain=domain)
    forged = sign_revocation(terms, people.approver("outsider"), by="custodian", reason="x", domain=domain)
    with pytest.raises(VerificationError, match=r"revocation\.wrong_custodian"):
        verify_revocation(terms, forged, domain=domain)


def test_uses_and_records_name_their_signer(people: People) -> None:
    key, domain = people.approver("office"), domain_of(people.trust)
    signature = sign_use(NONCE, "09" * 32, key, domain)
    assert verify_use(NONCE, "09" * 32, signature, domain=domain) == key.address
    assert verify_use(NONCE, "0a" * 32, signature, domain=domain) != key.address
    for grant_id, job, shown in ((NONCE, "09" * 32, "0xzz"), (NONCE, "nonsense", signature),
                                 ("0x01", NONCE, signature)):
        with pytest.raises(VerificationError):
            verify_use(grant_id, job, shown, domain=domain)
    registry = participants_domain_of(people.trust)
    controller = people.approver("hospital_a").address
    for type in (ap.RECORD_TYPE, ap.PROPOSAL_TYPE):
        admission = sign_record(NONCE, "09" * 32, 1, key, registry, controller=controller, type=type, sign_by=SIGN_BY)
        say = {"domain": registry, "controller": controller, "type": type}
        assert verify_record(NONCE, "09" * 32, admission, **say) == key.address
        for wrong in ({**admission, "number": 2}, {**admission, "decider": people.approver("outsider").address},
                      {**admission, "sign_by": SIGN_BY + 1}, {**admission, "number": True},
                      {**admission, "public_key": "zz" * 64}, {**admission, "more": 1},
                      {}, {**admission, "scheme": "passkey"}, {**admission, "scheme": "none"}):
            with pytest.raises(VerificationError):
                verify_record(NONCE, "09" * 32, wrong, **say)
        for other in ({"controller": key.address}, {"type": ap.PROPOSAL_TYPE if type == ap.RECORD_TYPE else
                                                    ap.RECORD_TYPE}):
            with pytest.raises(VerificationError):
                verify_record(NONCE, "09" * 32, admission, **{**say, **other})
    against = sign_veto(NONCE, "09" * 32, 1, key, registry, controller=controller)
    assert verify_veto(NONCE, "09" * 32, against, domain=registry, controller=controller) == key.address
    for wrong in ({**against, "number": 2}, {**against, "sign_by": SIGN_BY}, {}):
        with pytest.raises(VerificationError):
            verify_veto(NONCE, "09" * 32, wrong, domain=registry, controller=controller)
    with pytest.raises(VerificationError):
        verify_veto(NONCE, "08" * 32, against, domain=registry, controller=controller)
    with pytest.raises(VerificationError):
        recover(bytes(31), bytes(65))


def test_suspensions_and_cancellations_name_their_signer(people: People, grant: dict[str, Any]) -> None:
    key, terms = people.approver("office"), grant["terms"]
    grants, registry = domain_of(people.trust), participants_domain_of(people.trust)
    for domain, other in ((grants, registry), (registry, grants)):
        signed = ap.sign_suspension(NONCE, True, 7, key, domain)
        assert ap.verify_suspension(NONCE, signed, domain=domain) == key.address
        for change in ({"suspended": False}, {"number": 8}, {"decider": people.approver("outsider").address}, {"x": 1}):
            with pytest.raises(VerificationError):
                ap.verify_suspension(NONCE, {**signed, **change}, domain=domain)
        for subject, where in (("0x" + "08" * 32, domain), (NONCE, other)):
            with pytest.raises(VerificationError):
                ap.verify_suspension(subject, signed, domain=where)
    signed = ap.sign_cancellation(terms, NONCE, key, grants)
    assert ap.verify_cancellation(terms, signed, domain=grants) == key.address
    for change in ({"nonce": "0x" + "08" * 32}, {"decider": people.approver("outsider").address}, {"more": 1}):
        with pytest.raises(VerificationError):
            ap.verify_cancellation(terms, {**signed, **change}, domain=grants)
