"""Receipts: every level apart, nothing unchecked called valid, and not one bit that may change."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures import state_trie
from ledger.anchor import log_id_of
from ledger.approval import approve, consent, domain_of
from ledger.chainproof import block_hash, encode, read_header, root_slot
from ledger.checkpoint import AnchorSeen, cosign, sign_checkpoint
from ledger.documents import canonical, document_hash, from_b64, new_id, public_hex, timestamp, to_b64
from ledger.ecdsa import keccak256
from ledger.entry import grants_named, leaf_hash, new_entry
from ledger.errors import ChainUnavailable, DocumentError, LedgerError, VerificationError
from ledger.keys import EthKey
from ledger.log import Log, MemoryStore
from ledger.receipt import GIVEN_FIELDS, LEVELS, Level, chain_leg, make_receipt, spelled, verify_receipt
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from tests.unit.ledger.people import People

GOLDEN = Path(__file__).resolve().parents[3] / "fixtures" / "golden"


def golden_trust() -> Trust:
    facts = json.loads((GOLDEN / "facts.json").read_text())
    return load_trust(GOLDEN / "trust.json", fingerprint=facts["trust_fingerprint"])


def approved(grants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"terms": one["terms"], "signatures": [{name: one[half][name] for name in GIVEN_FIELDS}
                                                   for half in ("consent", "approval")]} for one in grants]


def on_chain(trust: Trust, log: Log, log_key: Ed25519PrivateKey, *, index: int = 0, size: int = 0,
             root: bytes | None = None, code: str | None = None, **header: Any) -> tuple[dict[str, Any], str]:
    """A chain leg over a state that holds the root of this log's first leaves, and a note that names its block."""
    anchor, size = trust.chain.contracts["anchor"], size or log.size
    slot, address = root_slot(log_id_of(trust.log.origin), size), bytes.fromhex(anchor.address[2:])
    storage = {slot: log.root(size) if root is None else root, b"1" * 32: b"2" * 32}
    state = {address: state_trie.account(storage, bytes.fromhex((code or anchor.code_hash)[2:])),
             b"3" * 20: state_trie.account({}, bytes(32))}
    raw = state_trie.header(state_trie.trie_root(state), 9, 1_795_332_000, **header)
    seen = AnchorSeen(trust.chain.id, size, 9, block_hash(read_header(raw), trust.chain.profile))
    note = sign_checkpoint(trust.log.origin, log.size, log.root(), log_key, [seen.line()])
    return chain_leg(trust, size=size, inclusion=log.inclusion(index, size), header=raw,
                     account_proof=state_trie.trie_proof(state, address),
                     storage_proof=state_trie.trie_proof(state_trie.slots(storage), slot)), note


def bare(leg: dict[str, Any]) -> dict[str, Any]:
    """The same leg of a chain that cannot prove its state."""
    return {**leg, "header": None, "account_proof": [], "storage_proof": []}


@pytest.fixture
def case(people: People) -> tuple[People, dict[str, Any], Log]:
    grants = people.grants()
    entry = new_entry("job.released", subject=("job", new_id()), participant=None, body={
        "grants": grants_named({one["terms"]["id"]: document_hash(one["terms"]) for one in grants})})
    log = Log(MemoryStore())
    log.append([bytes([number]) * 32 for number in range(5)])
    log.append([leaf_hash(entry)])
    log.append([b"x" * 32] * 3)
    leg, note = on_chain(people.trust, log, people.log_key, index=5, size=7)
    receipt = make_receipt(entry, space_id=people.trust.space_id, index=5, inclusion=log.inclusion(5),
                           checkpoint=note, approvals=approved(grants), chain=leg)
    return people, receipt, log


Case = tuple[People, dict[str, Any], Log]


@dataclass
class View:
    """Endpoints that say what a test wants them to."""

    name: str = ""
    root: str = ""
    wrong: Exception | None = None
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def final_hash(self, number: int) -> str:
        return self._say(self.name, number)

    def root_at(self, log_id: str, size: int) -> str:
        return self._say(self.root, log_id, size)

    def _say(self, value: str, *what: Any) -> str:
        self.asked.append(what)
        if self.wrong is not None:
            raise self.wrong
        return value


def named(receipt: dict[str, Any]) -> str:
    return block_hash(read_header(from_b64(receipt["chain"]["header"])))


def with_witnesses(people: People, count: int, k: int, **chain: Any) -> tuple[Trust, list[Ed25519PrivateKey]]:
    document = people.trust_wire["document"]
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    wire = make_trust(people.root, space_id=document["space_id"], name="t", chain={**document["chain"], **chain},
                      log_key=document["log"]["key"], dealer=document["dealer"], regulator=document["regulator"],
                      witnesses={"k": k, "keys": [public_hex(one) for one in keys]})
    return load_trust(wire, fingerprint=fingerprint_of_root(public_hex(people.root))), keys


def by(note: str, keys: list[Ed25519PrivateKey]) -> str:
    for number, key in enumerate(keys):
        note = cosign(note, key, name=f"witness-{number}", now=1_795_332_000 + number)
    return note


def test_it_works(case: Case) -> None:
    people, receipt, _ = case
    levels = verify_receipt(spelled(receipt), people.trust, chain=View(named(receipt)))
    assert levels.as_dict() == {"inclusion": "valid", "log_signature": "valid", "witnesses": "not checked",
                                "approvals": "valid", "chain_proof": "valid", "chain_header": "valid"}
    assert levels.require(LEVELS[:2] + LEVELS[3:]) is levels
    assert levels.required == ("inclusion", "log_signature")
    assert "one operator" in levels.reasons["chain_proof"]
    assert "one operator" in levels.reasons["chain_header"]


def test_with_witnesses_all_six_are_valid_offline(case: Case) -> None:
    people, receipt, _ = case
    trust, keys = with_witnesses(people, 3, 2)
    full = {**receipt, "checkpoint": by(receipt["checkpoint"], keys[:2])}
    levels = verify_receipt(spelled(full), trust)
    assert set(levels.as_dict().values()) == {"valid"}
    assert levels.required == ("inclusion", "log_signature", "witnesses")
    for few in ({**full, "checkpoint": by(receipt["checkpoint"], keys[:1])},
                {**full, "checkpoint": by(receipt["checkpoint"], [keys[0]] * 2)}):
        levels = verify_receipt(few, trust)
        assert (levels.witnesses, levels.chain_header) == (Level.INVALID, Level.INVALID)
        assert not levels.holds()


def test_without_witness_or_endpoint_nobody_vouches_for_the_header(case: Case) -> None:
    people, receipt, _ = case
    levels = verify_receipt(receipt, people.trust)
    assert (levels.chain_proof, levels.chain_header) == (Level.VALID, Level.NOT_CHECKED)
    assert "only the log" in levels.reasons["chain_header"]
    assert levels.holds()
    with pytest.raises(ChainUnavailable, match=r"receipt\.chain_not_checked"):  # unknown, and so not wrong
        levels.require(["inclusion", "chain_header"])
    with pytest.raises(VerificationError, match=r"receipt\.invalid"):
        levels.require(["witnesses"])
    with pytest.raises(VerificationError, match=r"receipt\.invalid"):
        verify_receipt({**receipt, "index": 4}, people.trust).require(["inclusion", "chain_header"])


def test_what_the_chain_does_not_say_is_unknown_and_what_it_denies_is_invalid(case: Case) -> None:
    people, receipt, _ = case
    for view, level in ((View(wrong=ChainUnavailable("chain.stale_head", "old")), Level.NOT_CHECKED),
                        (View(wrong=VerificationError("chain.wrong", "another chain")), Level.INVALID),
                        (View("0x" + "00" * 32), Level.INVALID)):
        levels = verify_receipt(receipt, people.trust, chain=view)
        assert levels.chain_header is level
        assert not levels.holds(["chain_header"])
        assert view.asked == [(9,)]


def test_a_chain_without_proofs_is_asked_for_the_root(case: Case) -> None:
    """By an endpoint's word the header's level is judged; a proof is valid only where there is one."""
    people, receipt, log = case
    without = {**receipt, "chain": bare(receipt["chain"])}
    levels = verify_receipt(spelled(without), people.trust)
    assert (levels.chain_proof, levels.chain_header) == (Level.NOT_CHECKED, Level.NOT_CHECKED)
    for root, level in (("0x" + log.root(7).hex(), Level.VALID), ("0x" + "00" * 32, Level.INVALID),
                        ("0x" + "11" * 32, Level.INVALID), ("0x" + log.root().hex(), Level.INVALID)):
        view = View(root=root)
        levels = verify_receipt(without, people.trust, chain=view)
        assert (levels.chain_proof, levels.chain_header) == (Level.NOT_CHECKED, level)
        assert view.asked == [(log_id_of(people.trust.log.origin), 7)]


def test_endpoints_that_contradict_each_other_are_wrong(case: Case) -> None:
    people, receipt, _ = case
    for one in (receipt, {**receipt, "chain": bare(receipt["chain"])}):
        levels = verify_receipt(one, people.trust, chain=View(wrong=ChainUnavailable("chain.disagree", "they differ")))
        assert levels.chain_header is Level.INVALID
        assert not levels.holds()


def test_the_state_must_hold_this_root_under_this_code(case: Case) -> None:
    people, receipt, log = case
    for wrong in ({"root": b"\x07" * 32}, {"code": "0x" + "07" * 32}):
        leg, _ = on_chain(people.trust, log, people.log_key, index=5, **wrong)  # type: ignore[arg-type]
        assert verify_receipt({**receipt, "chain": leg}, people.trust).chain_proof is Level.INVALID


def test_a_proof_of_another_size_is_not_of_this_leg(case: Case) -> None:
    """An inclusion proof does not bind the tree's size: the slot that is proved is that of the size which is said."""
    people, receipt, log = case
    leg, _ = on_chain(people.trust, log, people.log_key, index=5)
    for wrong in ({**receipt["chain"], "size": 8}, {**leg, "size": 7},
                  {**receipt["chain"], "size": 9, "inclusion": leg["inclusion"]}):
        assert verify_receipt({**receipt, "chain": wrong}, people.trust).chain_proof is Level.INVALID


def test_nothing_is_anchored_beyond_the_checkpoint(case: Case) -> None:
    """Else the anchor of a later log would stand under a note that knows nothing of it."""
    people, receipt, log = case
    note = sign_checkpoint(people.trust.log.origin, log.size, log.root(), people.log_key)
    inclusion = log.inclusion(5)
    log.append([b"later" + bytes(27)])
    leg, _ = on_chain(people.trust, log, people.log_key, index=5)
    levels = verify_receipt({**receipt, "checkpoint": note, "chain": leg,
                             "inclusion": [one.hex() for one in inclusion]}, people.trust)
    assert (levels.inclusion, levels.chain_proof) == (Level.VALID, Level.INVALID)


def test_a_note_that_names_another_block_contradicts_the_header(case: Case) -> None:
    people, receipt, log = case
    trust, keys = with_witnesses(people, 1, 1)
    origin, size, root = trust.log.origin, log.size, log.root()
    true = named(receipt)
    for seen, level in ((AnchorSeen(trust.chain.id, 7, 9, true), Level.VALID),
                        (AnchorSeen(trust.chain.id, size, 9, true), Level.VALID),
                        (AnchorSeen(trust.chain.id, 7, 8, true), Level.INVALID),
                        (AnchorSeen(trust.chain.id + 1, 7, 9, true), Level.INVALID),
                        (AnchorSeen(trust.chain.id, 7, 9, "0x" + "00" * 32), Level.INVALID),
                        (AnchorSeen(trust.chain.id, 6, 9, true), Level.NOT_CHECKED), (None, Level.NOT_CHECKED)):
        note = sign_checkpoint(origin, size, root, people.log_key, [seen.line()] if seen else ())
        judged = verify_receipt({**receipt, "checkpoint": by(note, keys)}, trust)
        assert judged.chain_header is level


def test_seals_of_pinned_validators_vouch_for_a_qbft_header(case: Case) -> None:
    people, receipt, log = case
    validators = [EthKey.create() for _ in range(4)]
    trust, _ = with_witnesses(people, 0, 0, profile="qbft", validators=[one.address for one in validators])
    unpinned, _ = with_witnesses(people, 0, 0, profile="qbft")
    extra: list[Any] = [bytes(32), [bytes.fromhex(one.address[2:]) for one in validators], [], b"", []]
    plain, note = on_chain(trust, log, people.log_key, index=5, extra=encode(extra))
    header = read_header(from_b64(plain["header"]))
    seals = [one.sign_digest(keccak256(header.raw)) for one in validators]

    def leg(count: int) -> dict[str, Any]:
        put = [one[:64] + bytes([one[64] - 27]) for one in seals[:count]]
        return {**plain, "header": to_b64(header.with_extra(encode([*extra[:4], put])))}
    for chain, roots, level in ((leg(4), trust, Level.VALID), (leg(3), trust, Level.VALID),
                                (leg(2), trust, Level.INVALID), (plain, trust, Level.INVALID),
                                (plain, unpinned, Level.NOT_CHECKED), (leg(4), unpinned, Level.INVALID)):
        judged = verify_receipt({**receipt, "checkpoint": note, "chain": chain}, roots)
        assert judged.chain_header is level, judged.reasons
        assert judged.chain_proof is Level.VALID


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
    (("approvals",), [], "approvals"), (("chain", "chain_id"), 1, "chain_proof"),
    (("chain", "profile"), "qbft", "chain_header"), (("chain", "contract"), "0x" + "00" * 20, "chain_proof"),
    (("chain", "log_id"), "0x" + "00" * 32, "chain_proof"), (("chain", "storage_proof"), ["gA"], "chain_proof"),
    (("chain", "size"), 6, "chain_proof"), (("chain", "inclusion", 0), "00" * 32, "chain_proof"),
    (("chain", "size"), 10**9, "chain_proof"), (("chain", "inclusion"), [], "chain_proof"),
    (("approvals", 0, "signatures", 0, "service"), None, "approvals"),
    (("approvals", 0, "signatures", 1, "service"), "0x" + "07" * 20, "approvals"),
    (("chain", "header"), "wIA", "chain_header"), (("approvals", 0, "signatures", 0, "sign_by"), 1, "approvals"),
])
def test_a_lie_is_found_at_its_level(case: Case, path: tuple[str | int, ...], value: Any, level: str) -> None:
    people, receipt, _ = case
    levels = verify_receipt(change(receipt, path, value), people.trust, chain=View())
    assert getattr(levels, level) is Level.INVALID
    assert not levels.holds()


def test_approvals_must_be_all_and_only_those_of_the_entry(case: Case) -> None:
    people, receipt, _ = case
    approvals = receipt["approvals"]
    first, strange = approvals[0], approved(people.grants())[0]
    half = {**first, "signatures": first["signatures"][:1]}
    forged = change(first, ("signatures", 0, "decider"), people.approver("outsider").address)
    for wrong in (approvals[1:], approvals[:-1], approvals + approvals[:1], [*approvals, strange],
                  [strange, *approvals[1:]], [forged, *approvals[1:]], [half, *approvals[1:]]):
        levels = verify_receipt({**receipt, "approvals": wrong}, people.trust)
        assert levels.approvals is Level.INVALID
        assert not levels.holds()
    twice = {**first, "signatures": first["signatures"][:1] * 2}
    with pytest.raises(DocumentError):
        verify_receipt({**receipt, "approvals": [twice, *approvals[1:]]}, people.trust)


def with_entry(people: People, receipt: dict[str, Any], kind: str, grants: list[dict[str, Any]],
               at: str | None = None) -> dict[str, Any]:
    """The receipt of a log that was made to say this: what the operator alone can bring about."""
    named = grants_named({one["terms"]["id"]: document_hash(one["terms"]) for one in grants})
    entry = new_entry(kind, subject=("job", new_id()), participant=None, at=at,
                      body={"grants": named} if named else {})
    log = Log(MemoryStore())
    log.append([leaf_hash(entry)])
    return {**receipt, "entry": entry, "index": 0, "inclusion": [],
            "checkpoint": sign_checkpoint(people.trust.log.origin, 1, log.root(), people.log_key),
            "chain": None, "approvals": approved(grants)}


def test_a_use_lies_in_the_period_and_an_approval_before_it_lapsed(case: Case) -> None:
    people, receipt, _ = case
    grants = people.grants()
    terms, lapse = grants[0]["terms"], grants[0]["approval"]["sign_by"]
    late = timestamp(datetime.fromtimestamp(lapse + 1, UTC))
    over = datetime.fromisoformat(terms["not_after"])
    for kind, at, level in (("job.released", terms["not_after"], Level.VALID),
                            ("job.released", timestamp(over + timedelta(seconds=1)), Level.INVALID),
                            ("job.accepted", "2025-12-31T23:59:59Z", Level.INVALID),
                            ("job.settled", timestamp(over + timedelta(days=31)), Level.VALID),
                            ("grant.approved", late, Level.INVALID), ("grant.registered", late, Level.VALID)):
        levels = verify_receipt(with_entry(people, receipt, kind, grants, at), people.trust)
        assert levels.approvals is level, (kind, levels.reasons)


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
                     approvals=[{"terms": grant["terms"], "signatures": [grant["approval"]]}]), people.trust)
    assert levels.approvals is Level.NOT_CHECKED


def test_a_checkpoint_of_another_key_or_a_stray_line_is_invalid(case: Case) -> None:
    people, receipt, log = case
    stranger = Ed25519PrivateKey.generate()
    forged = sign_checkpoint(people.trust.log.origin, log.size, log.root(), stranger)
    levels = verify_receipt({**receipt, "checkpoint": forged}, people.trust)
    assert levels.log_signature is Level.INVALID
    stray = cosign(receipt["checkpoint"], stranger, name="somebody", now=1)
    assert verify_receipt({**receipt, "checkpoint": stray}, people.trust).witnesses is Level.INVALID


def test_a_receipt_of_another_space_is_none_of_ours(case: Case) -> None:
    _, receipt, _ = case
    with pytest.raises(VerificationError, match=r"receipt\.other_space"):
        verify_receipt(receipt, golden_trust())


def test_only_the_canonical_bytes_are_a_receipt(case: Case) -> None:
    people, receipt, _ = case
    data = spelled(receipt)
    for wrong in (data + b"\n", b" " + data, json.dumps(json.loads(data)).encode(), canonical(receipt),
                  data.replace(b'"index":5', b'"index":5.0')):
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
    "proof.malformed", "proof.trie", "proof.form",
}  # fmt: skip


@pytest.mark.parametrize(("name", "step"), [("receipt.small.json", 41), ("receipt.json", 211)])
def test_bit_flips_of_a_receipt_are_noticed(name: str, step: int) -> None:
    """Every 41st and 211th bit; each single one, in both verifiers, with `./run bench receipts`."""
    codes = flips(name, step)
    assert "receipt.invalid" in codes
    assert codes <= WRONG
