"""Receipts: an entry with the proof that it is in the log, the approvals behind it, and where the chain anchors it.

A receipt file is the canonical bytes of its document and nothing else, so no bit of it can be changed and still
verify. Each level is judged apart and an unchecked level is never called valid. No Django, no web3; the chain is asked
through a function that the caller brings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from ledger import entry as entries
from ledger.anchor import log_id_of
from ledger.approval import domain_of, verify_approval
from ledger.checkpoint import Checkpoint, cosigners, parse_note, verify_checkpoint
from ledger.documents import Document, canonical, check, document_hash, load_json, new_document
from ledger.errors import ChainUnavailable, VerificationError
from ledger.merkle import verify_inclusion
from ledger.trust import Trust

__all__ = [
    "NEED_CONSENT", "ChainRoot", "Level", "Levels", "chain_leg", "log_id_of", "make_receipt", "read_receipt",
    "verify_receipt",
]

ChainRoot = Callable[[str, int], str]
"""Takes log id (0x) and size; answers the anchored root (0x). VerificationError: wrong; ChainUnavailable: unknown."""
NEED_CONSENT = "job."
"""Entries of these kinds name a whole roster's grants and need both approvals of each; grants' own entries may be
older than the consent."""
NOTHING = "0x" + "00" * 32
"""What the contract answers where nothing is anchored."""


class Level(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Levels:
    """What was found, level by level, with a sentence for each that is not simply valid."""

    inclusion: Level
    log_signature: Level
    approvals: Level
    witnesses: Level
    chain_state: Level
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def as_dict(self) -> dict[str, str]:
        return {name: str(getattr(self, name))
                for name in ("inclusion", "log_signature", "approvals", "witnesses", "chain_state")}

    def holds(self, *, with_chain: bool = False) -> bool:
        """Nothing is invalid; inclusion and log signature (and the chain's state, if asked) are valid."""
        needed = [self.inclusion, self.log_signature] + ([self.chain_state] if with_chain else [])
        return Level.INVALID not in self.as_dict().values() and all(one is Level.VALID for one in needed)

    def require(self, *, with_chain: bool = False) -> Levels:
        """Itself, if it holds. ChainUnavailable if only the chain's word is wanting: that is unknown, not wrong."""
        if self.holds(with_chain=with_chain):
            return self
        said = "; ".join(f"{name}: {value}" for name, value in self.as_dict().items())
        if self.holds():
            raise ChainUnavailable("receipt.chain_not_checked", said)
        raise VerificationError("receipt.invalid", said)


def make_receipt(entry: Mapping[str, Any], *, space_id: str, index: int, inclusion: Sequence[bytes], checkpoint: str,
                 approvals: Sequence[Mapping[str, Any]] = (), chain: Mapping[str, Any] | None = None) -> Document:
    """Put a receipt together; `approvals` are {terms, approval}, one for each signature."""
    return new_document(
        "receipt", space_id=space_id, entry=dict(entry), index=index, inclusion=[one.hex() for one in inclusion],
        checkpoint=checkpoint, chain=dict(chain) if chain else None,
        approvals=[{"terms": dict(one["terms"]), "approval": dict(one["approval"])} for one in approvals])


def chain_leg(trust: Trust) -> dict[str, Any]:
    """A receipt's `chain`: where its checkpoint is anchored."""
    return {"chain_id": trust.chain.id, "contract": trust.chain.contracts["anchor"].address,
            "log_id": log_id_of(trust.log.origin), "profile": trust.chain.profile}


def read_receipt(data: bytes | Mapping[str, Any]) -> Document:
    """A receipt of the right form; bytes must be the canonical ones. Nothing is verified."""
    receipt: Document = load_json(data) if isinstance(data, bytes) else dict(data)
    check(receipt, "receipt")
    if isinstance(data, bytes) and canonical(receipt) != data:
        raise VerificationError("receipt.not_canonical", "the file is not the one spelling of its receipt")
    return receipt


def verify_receipt(data: bytes | Mapping[str, Any], trust: Trust, *, chain_root: ChainRoot | None = None) -> Levels:
    """Judge a receipt against a trust file; a file that is no receipt of this space raises instead."""
    receipt = read_receipt(data)
    if receipt["space_id"] != trust.space_id:
        raise VerificationError("receipt.other_space", "the receipt is of another space")
    claimed = parse_note(receipt["checkpoint"]).checkpoint
    judged: dict[str, Level] = {}
    reasons: dict[str, str] = {}
    for name, judge in (("inclusion", _inclusion), ("log_signature", _log_signature), ("approvals", _approvals),
                        ("witnesses", _witnesses)):
        try:
            judged[name], reason = judge(receipt, claimed, trust)
        except VerificationError as wrong:
            judged[name], reason = Level.INVALID, str(wrong)
        if reason:
            reasons[name] = reason
    judged["chain_state"], reason = _chain_state(receipt, claimed, trust, chain_root)
    if reason:
        reasons["chain_state"] = reason
    return Levels(**judged, reasons=MappingProxyType(reasons))


Judgement = tuple[Level, str]


def _inclusion(receipt: Document, claimed: Checkpoint, trust: Trust) -> Judgement:
    path = [bytes.fromhex(one) for one in receipt["inclusion"]]
    verify_inclusion(entries.leaf_hash(receipt["entry"]), receipt["index"], claimed.size, path, root=claimed.root)
    return Level.VALID, ""


def _log_signature(receipt: Document, claimed: Checkpoint, trust: Trust) -> Judgement:
    verify_checkpoint(receipt["checkpoint"], origin=trust.log.origin, key=trust.log.key)
    return Level.VALID, ""


def _approvals(receipt: Document, claimed: Checkpoint, trust: Trust) -> Judgement:
    named = entries.grants_of(receipt["entry"])
    seen: set[tuple[str, str]] = set()
    for one in receipt["approvals"]:
        terms, approval = one["terms"], one["approval"]
        slot = (terms["id"], approval["role"])
        if named.get(terms["id"]) != document_hash(terms) or slot in seen:
            raise VerificationError("receipt.approvals", "an approval is double, or of a grant not named")
        _check_decider(terms, approval, trust)
        seen.add(slot)
    missing = 2 * len(named) - len(seen)
    if receipt["entry"]["kind"].startswith(NEED_CONSENT):
        if not named:
            raise VerificationError("receipt.approvals", "an entry about a job names no grants")
        if missing:
            raise VerificationError("receipt.approvals", f"{missing} approvals of the job's grants are missing")
        _check_roster([one["terms"] for one in receipt["approvals"] if one["approval"]["role"] == "custodian"])
    if not named:
        return Level.NOT_CHECKED, "the entry names no grants"
    if missing:
        return Level.NOT_CHECKED, f"{missing} approvals of the entry's grants are not in the receipt"
    return Level.VALID, ""


def _check_decider(terms: Document, approval: Document, trust: Trust) -> None:
    if terms["space_id"] != trust.space_id or terms["dealer"] != trust.dealer.participant:
        raise VerificationError("receipt.approvals", "terms of another space or dealer")
    decider = verify_approval(terms, approval, domain=domain_of(trust))
    is_regulator = decider in trust.regulator.approvers
    if approval["role"] == "regulator" and not is_regulator:
        raise VerificationError("receipt.approvals", "the trust file names no such approver of the regulator")
    if approval["role"] == "custodian" and is_regulator:
        raise VerificationError("receipt.approvals", "the regulator's approver stands in the custodian's place")


def _check_roster(terms: Sequence[Document]) -> None:
    """A job's grants are those of one application, one for each dataset of the roster that all of them name."""
    held = sorted(({"dataset": one["dataset"], "provider": one["custodian"]} for one in terms),
                  key=lambda one: one["dataset"])
    if any(one["roster"] != held for one in terms):
        raise VerificationError("receipt.approvals", "the job's grants are not those of the granted roster")
    if len({(one["scenario_hash"], one["grantee"]) for one in terms}) != 1:
        raise VerificationError("receipt.approvals", "the job's grants are of different applications")


def _witnesses(receipt: Document, claimed: Checkpoint, trust: Trust) -> Judgement:
    found = cosigners(receipt["checkpoint"], trust.witnesses.keys)
    if len(parse_note(receipt["checkpoint"]).signatures) != 1 + len(found):
        raise VerificationError("receipt.witnesses", "a signature on the checkpoint is nobody's in the trust file")
    if trust.witnesses.k == 0:
        return Level.NOT_CHECKED, "the trust file asks for no witnesses"
    if len(found) < trust.witnesses.k:
        raise VerificationError("receipt.witnesses", f"{len(found)} of {trust.witnesses.k} witnesses have cosigned")
    return Level.VALID, ""


def _chain_state(receipt: Document, claimed: Checkpoint, trust: Trust, chain_root: ChainRoot | None) -> Judgement:
    leg = receipt["chain"]
    if leg is None:
        return Level.NOT_CHECKED, "the receipt says of no chain"
    if leg != chain_leg(trust):
        return Level.INVALID, "the receipt says another chain, contract or log than the trust file"
    note = "development chain: the operator's word" if trust.chain.profile == "embedded" else ""
    if chain_root is None:
        return Level.NOT_CHECKED, "no endpoint was given to ask"
    try:
        root = chain_root(leg["log_id"], claimed.size)
    except ChainUnavailable as unknown:
        return Level.NOT_CHECKED, str(unknown)
    except VerificationError as wrong:
        return Level.INVALID, str(wrong)
    if root.lower() == NOTHING:
        return Level.INVALID, f"the chain has nothing anchored at size {claimed.size}"
    if root.lower() != "0x" + claimed.root.hex():
        return Level.INVALID, f"the chain has another root at size {claimed.size}"
    return Level.VALID, note
