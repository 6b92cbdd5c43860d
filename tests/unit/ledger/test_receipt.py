"""Receipts: every level apart, nothing unchecked called valid, and not one bit that may change."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.anchor import log_id_of
from ledger.approval import approve, consent, domain_of
from ledger.checkpoint import cosign, sign_checkpoint
from ledger.documents import canonical, document_hash, new_id, public_hex
from ledger.entry import grants_named, leaf_hash, new_entry
from ledger.errors import ChainUnavailable, DocumentError, LedgerError, VerificationError
from ledger.log import Log, MemoryStore
from ledger.receipt import Level, chain_leg, make_receipt, verify_receipt
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from tests.unit.ledger.people import People

GOLDEN = Path(__file__).resolve().parents[3] / "fixtures" / "golden"


def golden_trust() -> Trust:
    facts = json.loads((GOLDEN / "facts.json").read_text())
    return load_trust(GOLDEN / "trust.json", fingerprint=facts["trust_fingerprint"])


@pytest.fixture
def case(people: People) -> tuple[People, dict[str, Any], Log]:
    grants = people.grants()
    entry = new_entry("job.released", subject=("job", new_id()), participant=None, body={
        "grants": grants_named({one["terms"]["id"]: document_hash(one["terms"]) for one in grants})})
    log = Log(MemoryStore())
    log.append([bytes([number]) * 32 for number in range(5)])
    log.append([leaf_hash(entry)])
    log.append([b"x" * 32] * 3)
    receipt = make_receipt(
        entry, space_id=people.trust.space_id, index=5, inclusion=log.inclusion(5),
        checkpoint=sign_checkpoint(people.trust.log.origin, log.size, log.root(), people.log_key),
        approvals=[{"terms": one["terms"], "approval": one[which]} for one in grants
                   for which in ("approval", "consent")],
        chain=chain_leg(people.trust))
    return people, receipt, log


Case = tuple[People, dict[str, Any], Log]


def anchored(log: Log) -> Callable[[str, int], str]:
    return lambda log_id, size: "0x" + log.root(size).hex()


def test_it_works(case: Case) -> None:
    people, receipt, log = case
    levels = verify_receipt(canonical(receipt), people.trust, chain_root=anchored(log))
    assert levels.as_dict() == {"inclusion": "valid", "log_signature": "valid", "approvals": "valid",
                                "witnesses": "not checked", "chain_state": "valid"}
    assert levels.require(with_chain=True) is levels
    assert "operator" in levels.reasons["chain_state"]


def test_without_an_endpoint_the_chain_is_not_checked(case: Case) -> None:
    people, receipt, _ = case
    levels = verify_receipt(receipt, people.trust)
    assert levels.chain_state is Level.NOT_CHECKED
    assert levels.holds()
    assert not levels.holds(with_chain=True)
    with pytest.raises(ChainUnavailable, match=r"receipt\.chain_not_checked"):  # unknown, and so not wrong
        levels.require(with_chain=True)
    with pytest.raises(VerificationError, match=r"receipt\.invalid"):
        verify_receipt({**receipt, "index": 4}, people.trust).require(with_chain=True)


def test_what_the_chain_does_not_say_is_unknown_and_what_it_denies_is_invalid(case: Case) -> None:
    people, receipt, _ = case

    def away(log_id: str, size: int) -> str:
        raise ChainUnavailable("chain.unavailable", "away")

    def stranger(log_id: str, size: int) -> str:
        raise VerificationError("chain.wrong", "another chain")
    for reader, level in ((away, Level.NOT_CHECKED), (stranger, Level.INVALID),
                          (lambda log_id, size: "0x" + "00" * 32, Level.INVALID)):
        levels = verify_receipt(receipt, people.trust, chain_root=reader)
        assert levels.chain_state is level
        assert not levels.holds(with_chain=True)


def test_an_anchor_of_nothing_is_not_the_root_of_zeros(case: Case) -> None:
    """What the contract answers for a size it does not hold must not pass for a checkpoint that says just that."""
    people, receipt, log = case
    zeros = sign_checkpoint(people.trust.log.origin, log.size, bytes(32), people.log_key)
    levels = verify_receipt({**receipt, "checkpoint": zeros}, people.trust, chain_root=lambda *_: "0x" + "00" * 32)
    assert levels.chain_state is Level.INVALID


def test_the_chain_is_asked_for_this_log_and_size(case: Case) -> None:
    people, receipt, log = case
    asked = []
    verify_receipt(receipt, people.trust, chain_root=lambda *what: asked.append(what) or "0x")  # type: ignore[func-returns-value]
    assert asked == [(log_id_of(people.trust.log.origin), log.size)]


def change(receipt: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(receipt)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize(("path", "value", "level"), [
    (("index",), 4, "inclusion"), (("inclusion", 0), "00" * 32, "inclusion"), (("inclusion",), [], "inclusion"),
    (("entry", "salt"), "00" * 32, "inclusion"), (("entry", "kind"), "job.failed", "inclusion"),
    (("entry", "at"), "2020-01-01T00:00:00Z", "inclusion"), (("entry", "body", "more"), 1, "inclusion"),
    (("approvals",), [], "approvals"), (("chain", "chain_id"), 1, "chain_state"),
    (("chain", "profile"), "qbft", "chain_state"), (("chain", "contract"), "0x" + "00" * 20, "chain_state"),
    (("chain", "log_id"), "0x" + "00" * 32, "chain_state"),
])
def test_a_lie_is_found_at_its_level(case: Case, path: tuple[str | int, ...], value: Any, level: str) -> None:
    people, receipt, log = case
    levels = verify_receipt(change(receipt, path, value), people.trust, chain_root=anchored(log))
    assert getattr(levels, level) is Level.INVALID
    assert not levels.holds()


def test_approvals_must_be_all_and_only_those_of_the_entry(case: Case) -> None:
    people, receipt, _ = case
    approvals = receipt["approvals"]
    foreign = people.grants()[0]
    strange = {"terms": foreign["terms"], "approval": foreign["approval"]}
    forged = change(approvals[0], ("approval", "decider"), people.approver("outsider").address)
    for wrong in (approvals[1:], approvals[:-1], approvals + approvals[:1], [*approvals, strange],
                  [strange, *approvals[1:]], [forged, *approvals[1:]]):
        levels = verify_receipt({**receipt, "approvals": wrong}, people.trust)
        assert levels.approvals is Level.INVALID
        assert not levels.holds()


def with_entry(people: People, receipt: dict[str, Any], kind: str, grants: list[dict[str, Any]]) -> dict[str, Any]:
    """The receipt of a log that was made to say this: what the operator alone can bring about."""
    named = grants_named({one["terms"]["id"]: document_hash(one["terms"]) for one in grants})
    entry = new_entry(kind, subject=("job", new_id()), participant=None, body={"grants": named} if named else {})
    log = Log(MemoryStore())
    log.append([leaf_hash(entry)])
    return {**receipt, "entry": entry, "index": 0, "inclusion": [],
            "checkpoint": sign_checkpoint(people.trust.log.origin, 1, log.root(), people.log_key),
            "approvals": [{"terms": one["terms"], "approval": one[which]} for one in grants
                          for which in ("approval", "consent")]}


def test_a_job_needs_the_grants_of_its_whole_roster_and_of_one_application(case: Case) -> None:
    people, receipt, _ = case
    ours, others = people.grants(), people.grants()
    assert verify_receipt(with_entry(people, receipt, "job.released", ours), people.trust).approvals is Level.VALID
    for wrong in ([], ours[:1], ours[1:], [ours[0], others[1]], ours + others):
        levels = verify_receipt(with_entry(people, receipt, "job.released", wrong), people.trust)
        assert levels.approvals is Level.INVALID
        assert not levels.holds()
    assert verify_receipt(with_entry(people, receipt, "grant.active", ours[:1]), people.trust).approvals is Level.VALID


def test_the_regulator_does_not_consent_for_a_custodian(case: Case) -> None:
    """The contract refuses it; so does who never asks the contract."""
    people, receipt, _ = case
    office, grant = people.approver("office"), people.grants()[0]
    terms = {**grant["terms"], "custodian_approver": office.address}
    domain, nonce = domain_of(people.trust), "0x" + "07" * 32
    alone = {"terms": terms, "approval": approve(terms, office, domain=domain, nonce=nonce, sign_by=1_795_420_800),
             "consent": consent(terms, office, domain=domain, nonce=nonce, sign_by=1_795_420_800,
                                service=people.service("office"))}
    levels = verify_receipt(with_entry(people, receipt, "grant.active", [alone]), people.trust)
    assert levels.approvals is Level.INVALID
    assert "place" in levels.reasons["approvals"]


def test_an_approver_the_trust_file_does_not_name_is_invalid(case: Case) -> None:
    people, receipt, _ = case
    document = people.trust_wire["document"]
    wire = make_trust(people.root, space_id=document["space_id"], name="t", chain=document["chain"],
                      log_key=document["log"]["key"], dealer=document["dealer"],
                      regulator={**document["regulator"], "approvers": [people.approver("outsider").address]})
    other = load_trust(wire, fingerprint=fingerprint_of_root(public_hex(people.root)))
    assert verify_receipt(receipt, other).approvals is Level.INVALID


def test_an_entry_about_no_grant_has_no_approvals_to_check(people: People) -> None:
    entry = new_entry("participant.admitted", subject=("participant", new_id()), participant=None)
    log = Log(MemoryStore())
    log.append([leaf_hash(entry)])
    note = sign_checkpoint(people.trust.log.origin, 1, log.root(), people.log_key)
    levels = verify_receipt(make_receipt(entry, space_id=people.trust.space_id, index=0, inclusion=[],
                                         checkpoint=note), people.trust)
    assert levels.approvals is Level.NOT_CHECKED
    assert levels.holds()


def test_an_early_entry_is_not_called_valid_for_want_of_consent(people: People) -> None:
    grant = people.grants()[0]
    entry = new_entry("grant.submitted", subject=("grant", grant["terms"]["id"]), participant=None, body={
        "grants": grants_named({grant["terms"]["id"]: document_hash(grant["terms"])})})
    log = Log(MemoryStore())
    log.append([leaf_hash(entry)])
    note = sign_checkpoint(people.trust.log.origin, 1, log.root(), people.log_key)
    levels = verify_receipt(
        make_receipt(entry, space_id=people.trust.space_id, index=0, inclusion=[], checkpoint=note,
                     approvals=[{"terms": grant["terms"], "approval": grant["approval"]}]), people.trust)
    assert levels.approvals is Level.NOT_CHECKED


def test_a_checkpoint_of_another_key_or_a_stray_line_is_invalid(case: Case) -> None:
    people, receipt, log = case
    stranger = Ed25519PrivateKey.generate()
    forged = sign_checkpoint(people.trust.log.origin, log.size, log.root(), stranger)
    levels = verify_receipt({**receipt, "checkpoint": forged}, people.trust)
    assert levels.log_signature is Level.INVALID
    stray = cosign(receipt["checkpoint"], stranger, name="somebody", now=1)
    assert verify_receipt({**receipt, "checkpoint": stray}, people.trust).witnesses is Level.INVALID


def test_witnesses_are_needed_when_the_trust_file_says_so(case: Case) -> None:
    people, receipt, _ = case
    document = people.trust_wire["document"]
    witness = Ed25519PrivateKey.generate()
    wire = make_trust(people.root, space_id=document["space_id"], name="t", chain=document["chain"],
                      log_key=document["log"]["key"], dealer=document["dealer"], regulator=document["regulator"],
                      witnesses={"k": 1, "keys": [public_hex(witness)]})
    trust = load_trust(wire, fingerprint=fingerprint_of_root(public_hex(people.root)))
    assert verify_receipt(receipt, trust).witnesses is Level.INVALID
    seen = {**receipt, "checkpoint": cosign(receipt["checkpoint"], witness, name="witness", now=1_795_332_000)}
    assert verify_receipt(seen, trust).witnesses is Level.VALID


def test_a_receipt_of_another_space_is_none_of_ours(case: Case) -> None:
    _, receipt, _ = case
    with pytest.raises(VerificationError, match=r"receipt\.other_space"):
        verify_receipt(receipt, golden_trust())


def test_only_the_canonical_bytes_are_a_receipt(case: Case) -> None:
    people, receipt, _ = case
    data = canonical(receipt)
    for wrong in (data + b"\n", b" " + data, json.dumps(receipt).encode(), data.replace(b'"index":5', b'"index":5.0')):
        with pytest.raises(VerificationError):
            verify_receipt(wrong, people.trust)
    for wrong in (b"", b"[]", b"null", data[:-1]):
        with pytest.raises(DocumentError):
            verify_receipt(wrong, people.trust)


def refusal(data: bytes, trust: Trust) -> str:
    """The code with which the bytes are refused, "" if they hold; anything but a LedgerError is a fault of ours."""
    try:
        verify_receipt(data, trust).require()
    except LedgerError as error:
        return error.code
    return ""


def flips(name: str, step: int) -> set[str]:
    """The codes with which the changed bits were refused; "" would be a change that went unnoticed."""
    trust, data = golden_trust(), (GOLDEN / name).read_bytes()
    assert refusal(data, trust) == ""
    codes = set()
    for bit in range(0, len(data) * 8, step):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        codes.add(refusal(bytes(changed), trust))
    return codes


WRONG = {
    "receipt.invalid", "receipt.not_canonical", "receipt.other_space", "checkpoint.malformed", "document.malformed",
}  # fmt: skip


def test_every_single_bit_flip_of_a_receipt_is_noticed() -> None:
    assert flips("receipt.small.json", 1) == WRONG


def test_bit_flips_of_a_jobs_receipt_are_noticed() -> None:
    codes = flips("receipt.json", 89)
    assert "receipt.invalid" in codes
    assert codes <= WRONG
