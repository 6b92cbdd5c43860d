"""Receipts: an entry with the proof that it is in the log, the approvals behind it, and where the chain anchors it.

A receipt's file is the one spelling of it (`ledger.packing`) and nothing else, so no bit of it can be changed and still
verify; what is judged is the receipt in full, a mapping. Each of six levels is judged apart and what was not checked is
never called valid. Needs the standard library, `cryptography` and a keccak; no network: the chain is asked only through
an object that the caller brings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from ledger import chainproof
from ledger import entry as entries
from ledger.anchor import log_id_of
from ledger.approval import domain_of, seconds, terms_digest
from ledger.chainproof import Header
from ledger.checkpoint import Checkpoint, anchor_seen, parse_note, verify_checkpoint, verify_cosignatures
from ledger.documents import Document, canonical, check, document_hash, from_b64, load_json, to_b64
from ledger.ecdsa import verify_by
from ledger.errors import ChainUnavailable, VerificationError
from ledger.merkle import root_from_path, verify_inclusion
from ledger.packing import pack, unpack
from ledger.passkey import Assertion, check_one_of
from ledger.profiles import PROFILES
from ledger.schemas import receipt_whole
from ledger.trust import Trust

__all__ = [
    "GIVEN_FIELDS", "LEVELS", "ChainView", "Level", "Levels", "chain_leg", "make_receipt", "pack", "read_receipt",
    "spelled", "verify_receipt",
]

LEVELS = ("inclusion", "log_signature", "witnesses", "approvals", "chain_proof", "chain_header")
NEED_CONSENT = "job."
"""Entries of these kinds name a whole roster's grants and need both approvals of each; grants' own entries may be
older than the consent."""
USES = ("grant.used", "job.accepted", "job.started", "job.released")
"""Entries that say a grant was used: they lie within its period."""
GIVEN = ("grant.approved", "grant.consented")
"""Entries that say an approval was given: they lie before it lapsed."""
GIVEN_FIELDS = ("role", "decider", "nonce", "sign_by", "service", "signature")
"""What a receipt says of a signature; scheme and public key follow from it."""


class ChainView(Protocol):
    """One or several endpoints of the chain, by whose word a level can be valid. Unknown raises ChainUnavailable."""

    def final_hash(self, number: int) -> str:
        """The hash (0x) of this block, if it is final."""

    def root_at(self, log_id: str, size: int) -> str:
        """The root (0x) that the anchor holds for this size at the newest final block."""


class Level(StrEnum):
    VALID = "valid"
    INVALID = "invalid"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Levels:
    """What was found, level by level, with a sentence for each that is not simply valid.

    `required`: the levels that must be valid unless somebody asks for more.
    """

    inclusion: Level
    log_signature: Level
    witnesses: Level
    approvals: Level
    chain_proof: Level
    chain_header: Level
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    required: tuple[str, ...] = ("inclusion", "log_signature")

    def as_dict(self) -> dict[str, str]:
        return {name: str(getattr(self, name)) for name in LEVELS}

    def holds(self, required: Collection[str] | None = None) -> bool:
        """Nothing is invalid, and the required levels are valid."""
        found, needed = self.as_dict(), self.required if required is None else required
        return Level.INVALID not in found.values() and all(found[name] == Level.VALID for name in needed)

    def require(self, required: Collection[str] | None = None) -> Levels:
        """Itself, if it holds. ChainUnavailable if only what the chain would say is wanting: unknown, not wrong."""
        if self.holds(required):
            return self
        said = "; ".join(f"{name}: {value}" for name, value in self.as_dict().items())
        needed = self.required if required is None else required
        if self.holds([name for name in needed if not name.startswith("chain_")]):
            raise ChainUnavailable("receipt.chain_not_checked", said)
        raise VerificationError("receipt.invalid", said)


def make_receipt(entry: Mapping[str, Any], *, space_id: str, index: int, inclusion: Sequence[bytes], checkpoint: str,
                 approvals: Sequence[Mapping[str, Any]] = (), chain: Mapping[str, Any] | None = None) -> Document:
    """Put a receipt together; `approvals` are {terms, signatures}, one for each grant. `spelled` makes its file."""
    found = {str(one["terms"]["id"]): {"terms": dict(one["terms"]), "signatures": sorted((
        {name: by[name] for name in GIVEN_FIELDS} for by in one["signatures"]), key=lambda by: str(by["role"]))}
        for one in approvals if one["signatures"]}
    receipt = {"space_id": space_id, "entry": dict(entry), "index": index, "checkpoint": checkpoint,
               "inclusion": [one.hex() for one in inclusion], "chain": dict(chain) if chain else None,
               "approvals": [found[id] for id in sorted(found)]}
    receipt_whole(receipt, "")
    return receipt


def chain_leg(trust: Trust, *, size: int, inclusion: Sequence[bytes], header: bytes | None = None,
              account_proof: Sequence[bytes] = (), storage_proof: Sequence[bytes] = ()) -> dict[str, Any]:
    """A receipt's `chain`: where the log of `size` leaves is anchored, the entry's path in it, and what proves it. The
    receipt's checkpoint is one that names the header's block.
    """
    return {"chain_id": trust.chain.id, "profile": trust.chain.profile, "log_id": log_id_of(trust.log.origin),
            "contract": trust.chain.contracts["anchor"].address, "size": size,
            "inclusion": [one.hex() for one in inclusion], "header": to_b64(header) if header else None,
            "account_proof": [to_b64(one) for one in account_proof],
            "storage_proof": [to_b64(one) for one in storage_proof]}


def spelled(receipt: Mapping[str, Any]) -> bytes:
    """The bytes of a receipt's file."""
    return canonical(pack(receipt))


def read_receipt(data: bytes | Mapping[str, Any]) -> Document:
    """A receipt in full, of the right form; bytes must be its one spelling. Nothing is verified."""
    if isinstance(data, bytes):
        file = load_json(data)
        check(file, "receipt")
        if canonical(file) != data:
            raise VerificationError("receipt.not_canonical", "the file is not the one spelling of its receipt")
        return unpack(file)
    receipt: Document = dict(data)
    receipt_whole(receipt, "")
    return receipt


def verify_receipt(data: bytes | Mapping[str, Any], trust: Trust, *, chain: ChainView | None = None) -> Levels:
    """Judge a receipt against a trust file; a file that is no receipt of this space raises instead."""
    receipt = read_receipt(data)
    if receipt["space_id"] != trust.space_id:
        raise VerificationError("receipt.other_space", "the receipt is of another space")
    case = _Case(receipt, parse_note(receipt["checkpoint"]).checkpoint, trust, chain)
    judged: dict[str, Level] = {}
    reasons: dict[str, str] = {}
    for name, judge in _JUDGES.items():
        try:
            judged[name], reason = judge(case)
        except VerificationError as wrong:
            judged[name], reason = Level.INVALID, str(wrong)
        except ChainUnavailable as unknown:
            judged[name], reason = Level.NOT_CHECKED, str(unknown)
        if reason:
            reasons[name] = reason
    required = ("inclusion", "log_signature", *(("witnesses",) if trust.witnesses.k else ()))
    return Levels(**judged, reasons=MappingProxyType(reasons), required=required)


@dataclass(frozen=True)
class _Case:
    receipt: Document
    claimed: Checkpoint
    """Size and root, taken as one pair from the note: an inclusion proof does not bind the size of its tree."""
    trust: Trust
    chain: ChainView | None


Judgement = tuple[Level, str]


def _inclusion(case: _Case) -> Judgement:
    path = [bytes.fromhex(one) for one in case.receipt["inclusion"]]
    verify_inclusion(entries.leaf_hash(case.receipt["entry"]), case.receipt["index"], case.claimed.size, path,
                     root=case.claimed.root)
    return Level.VALID, ""


def _log_signature(case: _Case) -> Judgement:
    log = case.trust.log
    verify_checkpoint(case.receipt["checkpoint"], origin=log.origin, key=log.key)
    return Level.VALID, ""


def _witnesses(case: _Case) -> Judgement:
    return _cosigned(case.receipt["checkpoint"], case.trust)


def _cosigned(note: str, trust: Trust) -> Judgement:
    """Whether as many witnesses as the trust file asks for, and nobody else, have cosigned this note."""
    found, named = verify_cosignatures(note, trust.witnesses.keys), trust.witnesses
    if len(parse_note(note).signatures) != 1 + len(found):
        raise VerificationError("receipt.witnesses", "a signature on the checkpoint is nobody's in the trust file")
    if named.k == 0:
        return Level.NOT_CHECKED, "the trust file asks for no witnesses"
    said = f"{len(found)} of {len(named.keys)} witnesses have cosigned, {named.k} are asked for"
    return (Level.VALID if len(found) >= named.k else Level.INVALID), said


def _approvals(case: _Case) -> Judgement:
    receipt, named = case.receipt, entries.grants_of(case.receipt["entry"])
    terms = [one["terms"] for one in receipt["approvals"]]
    if len({one["id"] for one in terms}) != len(terms) or any(named.get(one["id"]) != document_hash(one)
                                                            for one in terms):
        raise VerificationError("receipt.approvals", "an approval is double, or of a grant not named")
    unknown = ""
    for one in receipt["approvals"]:
        for approval in one["signatures"]:
            unknown = _check_decider(one["terms"], approval, case.trust) or unknown
            _check_time(receipt["entry"], one["terms"], approval)
    missing = 2 * len(named) - sum(len(one["signatures"]) for one in receipt["approvals"])
    if receipt["entry"]["kind"].startswith(NEED_CONSENT):
        if not named:
            raise VerificationError("receipt.approvals", "an entry about a job names no grants")
        if missing:
            raise VerificationError("receipt.approvals", f"{missing} approvals of the job's grants are missing")
        _check_roster(terms)
    if not named:
        return Level.NOT_CHECKED, "the entry names no grants"
    if missing:
        return Level.NOT_CHECKED, f"{missing} approvals of the entry's grants are not in the receipt"
    return (Level.NOT_CHECKED, unknown) if unknown else (Level.VALID, "")


def _check_decider(terms: Document, approval: Document, trust: Trust) -> str:
    """That who decided may; what cannot be known from here is said."""
    if terms["space_id"] != trust.space_id or terms["dealer"] != trust.dealer.participant:
        raise VerificationError("receipt.approvals", "terms of another space or dealer")
    if terms["not_before"] < "1970":
        raise VerificationError("receipt.approvals", "the chain knows no time before 1970")
    is_regulator = approval["decider"] in trust.regulator.approvers
    if approval["role"] == "regulator" and not is_regulator:
        raise VerificationError("receipt.approvals", "the trust file names no such approver of the regulator")
    if approval["role"] == "custodian" and is_regulator:
        raise VerificationError("receipt.approvals", "the regulator's approver stands in the custodian's place")
    if (approval["role"] == "custodian") != (approval["service"] is not None):
        raise VerificationError("receipt.approvals", "the custodian names a service key, the regulator none")
    if approval["role"] == "custodian" and approval["decider"] != terms["custodian_approver"]:
        raise VerificationError("receipt.approvals", "the terms name another account for this custodian")
    if approval["role"] == "custodian" and _is_passkey(approval):
        return "whose keys are in a custodian's passkey account stands on the chain, and no trust file says it"
    value = terms_digest(domain_of(trust), terms, role=approval["role"], decider=approval["decider"],
                         nonce=approval["nonce"], sign_by=approval["sign_by"], service=approval["service"])
    keys = trust.regulator.passkeys.get(approval["decider"])
    if _is_passkey(approval) != (keys is not None):
        raise VerificationError("receipt.approvals", "the trust file names another kind of key for this approver")
    signature = bytes.fromhex(approval["signature"][2:])
    if keys is not None:
        check_one_of(Assertion.decode(signature), keys, challenge=value)
    else:
        verify_by(value, signature, approval["decider"])
    return ""


def _is_passkey(approval: Document) -> bool:
    """A signature of secp256k1 has 65 bytes, an assertion never."""
    return len(approval["signature"]) != 2 + 2 * 65


def _check_time(entry: Document, terms: Document, approval: Document) -> None:
    """A use lies in the grant's period; an approval was not given after it had lapsed."""
    if entry["kind"] in USES and not terms["not_before"] <= entry["at"] <= terms["not_after"]:
        raise VerificationError("receipt.approvals", "the entry's time lies outside the grant's period")
    if entry["kind"] in GIVEN and seconds(entry["at"]) > approval["sign_by"]:
        raise VerificationError("receipt.approvals", "the approval had lapsed when it was given")


def _check_roster(terms: Sequence[Document]) -> None:
    """A job's grants are those of one application, one for each dataset of the roster that all of them name."""
    held = sorted(({"dataset": one["dataset"], "provider": one["custodian"]} for one in terms),
                  key=lambda one: one["dataset"])
    if any(one["roster"] != held for one in terms):
        raise VerificationError("receipt.approvals", "the job's grants are not those of the granted roster")
    if len({(one["scenario_hash"], one["grantee"]) for one in terms}) != 1:
        raise VerificationError("receipt.approvals", "the job's grants are of different applications")


def _leg(case: _Case) -> tuple[Document | None, Header | None, str]:
    """The receipt's chain leg, its header, and what has to be said of a chain of this kind."""
    leg, trust = case.receipt["chain"], case.trust
    if leg is None:
        return None, None, ""
    ours = {"chain_id": trust.chain.id, "profile": trust.chain.profile, "log_id": log_id_of(trust.log.origin),
            "contract": trust.chain.contracts["anchor"].address}
    if any(leg[name] != value for name, value in ours.items()):
        raise VerificationError("receipt.chain", "another chain, contract or log than the trust file's")
    header = None if leg["header"] is None else chainproof.read_header(from_b64(leg["header"]))
    known = PROFILES.get(trust.chain.profile)
    return leg, header, known.label if known and known.development else ""


def _anchored(case: _Case, leg: Document) -> bytes:
    """The root that the entry leads to in the anchored log, which is no larger than the checkpoint's."""
    if leg["size"] > case.claimed.size:
        raise VerificationError("receipt.chain", "the anchored log is larger than the checkpoint's")
    return root_from_path(entries.leaf_hash(case.receipt["entry"]), case.receipt["index"], leg["size"],
                          [bytes.fromhex(one) for one in leg["inclusion"]])


def _chain_proof(case: _Case) -> Judgement:
    """Valid if the state under the header holds the root that the entry leads to; nobody's word counts here."""
    leg, header, label = _leg(case)
    if leg is None:
        return Level.NOT_CHECKED, "the receipt says of no chain"
    wanted, anchor, size = _anchored(case, leg), case.trust.chain.contracts["anchor"], leg["size"]
    if header is None:
        return Level.NOT_CHECKED, "the receipt holds no proof of the chain's state"
    account_proof, storage_proof = ([from_b64(one) for one in leg[name]] for name in ("account_proof", "storage_proof"))
    account = chainproof.prove_account(header.state_root, anchor.address, account_proof)
    if "0x" + account.code_hash.hex() != anchor.code_hash:
        raise VerificationError("receipt.chain", "the contract's code is not the one the trust file names")
    slot = chainproof.root_slot(leg["log_id"], size)
    if chainproof.prove_slot(account.storage_root, slot, storage_proof) != wanted:
        raise VerificationError("receipt.chain", f"the chain has another root at size {size}")
    return Level.VALID, label


def _chain_header(case: _Case) -> Judgement:
    """Valid if somebody other than the receipt vouches for its header; whoever contradicts makes it invalid.

    Where the chain cannot prove its state there is no header: what the endpoints say of the root itself stands here.
    """
    leg, header, label = _leg(case)
    if leg is None:
        return Level.NOT_CHECKED, "the receipt says of no chain"
    if header is None:
        return _root_by_endpoint(case, leg, label)
    name, by, unknown = chainproof.block_hash(header, case.trust.chain.profile), list[str](), list[str]()
    for vouch in (_by_note, _by_seals, _by_endpoint):
        try:
            level, said = vouch(case, header, name)
        except ChainUnavailable as away:
            level, said = Level.NOT_CHECKED, _unknown(away)
        (by if level is Level.VALID else unknown).append(said)
    said = "; ".join(filter(None, [*(by or unknown), label]))
    return (Level.VALID if by else Level.NOT_CHECKED), said


def _unknown(away: ChainUnavailable) -> str:
    """Why nothing is known; but endpoints that contradict each other are wrong, one of them at least."""
    if away.code == "chain.disagree":
        raise VerificationError(away.code, away.message)
    return str(away)


def _root_by_endpoint(case: _Case, leg: Document, label: str) -> Judgement:
    if case.chain is None:
        return Level.NOT_CHECKED, "the receipt holds no header of the chain"
    try:
        found = case.chain.root_at(leg["log_id"], leg["size"]).lower()
    except ChainUnavailable as away:
        return Level.NOT_CHECKED, _unknown(away)
    if found != "0x" + _anchored(case, leg).hex():
        raise VerificationError("receipt.chain", f"the chain has another root at size {leg['size']}, or none")
    return Level.VALID, "; ".join(filter(None, ("as the endpoint says, without a proof", label)))


def _by_note(case: _Case, header: Header, name: str) -> Judgement:
    """The checkpoint names the header's block, and k witnesses have cosigned it."""
    trust, note = case.trust, case.receipt["checkpoint"]
    seen = anchor_seen(verify_checkpoint(note, origin=trust.log.origin, key=trust.log.key))
    if seen is None or seen.size < case.receipt["chain"]["size"]:
        return Level.NOT_CHECKED, "the checkpoint does not name the block"
    if (seen.chain_id, seen.block, seen.block_hash) != (trust.chain.id, header.number, name):
        raise VerificationError("receipt.header", "the checkpoint names another block than the header's")
    level, said = _cosigned(note, trust)
    if level is Level.INVALID:
        raise VerificationError("receipt.header", said)
    return level, said if level is Level.VALID else "only the log names the block: " + said


def _by_seals(case: _Case, header: Header, name: str) -> Judgement:
    chain = case.trust.chain
    if chain.profile != chainproof.QBFT:
        return Level.NOT_CHECKED, ""
    if not chain.validators:
        if chainproof.unsealed(header) != header:
            raise VerificationError("receipt.header", "the header carries seals of validators nobody has named")
        return Level.NOT_CHECKED, "the trust file names no validators"
    chainproof.check_seals(header, chain.validators)
    return Level.VALID, f"sealed by {len(chainproof.sealers(header))} of {len(chain.validators)} validators"


def _by_endpoint(case: _Case, header: Header, name: str) -> Judgement:
    if case.chain is None:
        return Level.NOT_CHECKED, ""
    if case.chain.final_hash(header.number).lower() != name:
        raise VerificationError("receipt.header", f"the chain has another block {header.number}")
    return Level.VALID, "the endpoint holds the block as final"


_JUDGES = MappingProxyType({
    "inclusion": _inclusion, "log_signature": _log_signature, "witnesses": _witnesses, "approvals": _approvals,
    "chain_proof": _chain_proof, "chain_header": _chain_header})
