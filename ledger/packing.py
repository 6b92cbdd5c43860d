"""How a receipt is written down: every value once, bytes in base64url, what follows from the rest left out.

`pack` and `unpack` undo each other and judge nothing. What is left out is worked out again from the file itself, and
nothing counts before its hash or signature does; so a file can say less here, but never something else. A receipt that
has no such spelling is refused, and a file that is not the one that `pack` makes, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from ledger import entry as entries
from ledger.anchor import log_id_of
from ledger.chainproof import decode, encode, lengthen, long_header, root_slot, short_header, shorten
from ledger.checkpoint import parse_note
from ledger.documents import Document, canonical, check, from_b64, to_b64
from ledger.ecdsa import keccak256
from ledger.errors import VerificationError
from ledger.merkle import inclusion_ranges, root_from_path
from ledger.schemas import VERSION, receipt_whole
from ledger.shapes import malformed

AS_IT_IS = ("space_id", "entry", "index", "checkpoint")
ROLES = ("custodian", "regulator")
HEX = frozenset({"scenario_hash", "dataset_hash", "salt"})
HEX_0X = frozenset({"dataset_chain_id", "purpose_hash", "custodian_approver", "grantee_address", "decider", "nonce",
                    "service", "signature"})
IDS = frozenset({"scenario", "dealer", "grantee"})
ANY_LENGTH = 0
OWN: Mapping[str, Mapping[str, int]] = MappingProxyType({
    "terms": {"custodian_approver": 20, "dataset_chain_id": 32, "dataset_hash": 32, "dealer": 16, "grantee": 16,
              "grantee_address": 20, "purpose_hash": 32, "salt": 32, "scenario": 16, "scenario_hash": 32},
    "custodian": {"nonce": 32, "service": 20, "signature": ANY_LENGTH},
    "regulator": {"decider": 20, "nonce": 32, "signature": ANY_LENGTH}})
"""Fields of bytes and their lengths. Those that the grants do not say alike stand in this order, one behind the other,
in each grant's `own`."""


def pack(receipt: Mapping[str, Any]) -> Document:
    """The document of a receipt's file."""
    receipt_whole(dict(receipt), "")
    found = _packed(receipt)
    if canonical(unpack(found, once=False)) != canonical(dict(receipt)):
        raise malformed("", "has no spelling as a receipt's file")
    return found


def unpack(file: Mapping[str, Any], *, once: bool = True) -> Document:
    """The receipt that a file says. `once`: no other file may say it."""
    check(dict(file), "receipt")
    receipt = {name: file[name] for name in AS_IT_IS}
    receipt |= {"inclusion": _parted(file["inclusion"]), "approvals": _unpack_approvals(file), "chain": None}
    if file["chain"] is not None:
        receipt["chain"] = _unpack_leg(file["chain"], receipt)
    receipt_whole(receipt, "")
    if once and canonical(_packed(receipt)) != canonical(dict(file)):
        raise VerificationError("receipt.not_canonical", "the file is not the one spelling of its receipt")
    return receipt


def _packed(receipt: Mapping[str, Any]) -> Document:
    try:
        return {"type": "receipt", "version": VERSION, **{name: receipt[name] for name in AS_IT_IS},
                "inclusion": _joined(receipt["inclusion"]), "approvals": _pack_approvals(receipt),
                "chain": _pack_leg(receipt)}
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as trouble:
        raise malformed("", "has no spelling as a receipt's file") from trouble


def _joined(hashes: Sequence[str]) -> str:
    return to_b64(b"".join(bytes.fromhex(one) for one in hashes))


def _parted(blob: str) -> list[str]:
    raw = from_b64(blob)
    if len(raw) % 32:
        raise malformed("/inclusion", "is not made of hashes")
    return [raw[at:at + 32].hex() for at in range(0, len(raw), 32)]


# --- approvals


def _short(name: str, value: Any) -> Any:
    if name in HEX:
        return to_b64(bytes.fromhex(value))
    if name in HEX_0X:
        return to_b64(bytes.fromhex(value[2:]))
    if name in IDS:
        return to_b64(UUID(value).bytes)
    if name == "functions":
        return [{**one, "digest": to_b64(bytes.fromhex(one["digest"]))} for one in value]
    if name == "roster":
        return to_b64(b"".join(UUID(one[who]).bytes for one in value for who in ("dataset", "provider")))
    return value


def _long(name: str, value: Any) -> Any:
    if name == "functions" and isinstance(value, list):
        return [{**one, "digest": _long("salt", one.get("digest"))} if isinstance(one, dict) else one for one in value]
    if name not in HEX | HEX_0X | IDS | {"roster"}:
        return value
    raw = from_b64(_text(value))
    if name in HEX:
        return raw.hex()
    if name in HEX_0X:
        return "0x" + raw.hex()
    ids = [str(UUID(bytes=raw[at:at + 16].ljust(16, b"\0"))) for at in range(0, len(raw), 16)]
    if len(raw) % (32 if name == "roster" else 16) or (name in IDS and len(ids) != 1):
        raise malformed(f"/approvals/{name}", "is not made of ids")
    if name in IDS:
        return ids[0]
    return [{"dataset": ids[at], "provider": ids[at + 1]} for at in range(0, len(ids), 2)]


def _pack_approvals(receipt: Mapping[str, Any]) -> Document | None:
    """Once for all grants, what all say alike; then what each says, null for a grant that nobody has signed."""
    if not receipt["approvals"]:
        return None
    held = {one["terms"]["id"]: one for one in receipt["approvals"]}
    grants = [_pack_grant(held.get(id)) for id in entries.grants_of(receipt["entry"])]
    alike: dict[str, Any] = {}
    for part in ("terms", *ROLES):
        said = [one[part] for one in grants if one and one[part] is not None]
        alike[part] = {name: value for name, value in (said[0] if said else {}).items()
                       if all(name in one and one[name] == value for one in said)}
        for one in grants:
            if one and one[part] is not None:
                one[part] = _own(part, {name: value for name, value in one[part].items() if name not in alike[part]})
    return {**alike, "grants": grants}


def _own(part: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What one grant says for itself, its bytes joined."""
    found = {name: value for name, value in said.items() if name not in OWN[part]}
    joined = b"".join(from_b64(said[name]) for name in OWN[part] if name in said)
    return {**found, "own": to_b64(joined)} if joined else found


def _whole(part: str, alike: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What a grant says, from what all say and what it says for itself; each value as the receipt in full spells it."""
    found = {**alike, **{name: value for name, value in said.items() if name != "own"}}
    raw = from_b64(_text(said.get("own", "")))
    for name, size in OWN[part].items():
        if name not in alike:
            found[name], raw = to_b64(raw[:size or None]), raw[size:] if size else b""
    if raw:
        raise malformed(f"/approvals/grants/{part}", "has bytes behind its own")
    return {name: _long(name, value) for name, value in found.items()}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise malformed("/approvals", "a field is not base64url")
    return value


def _pack_grant(held: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if held is None:
        return None
    terms, signed = held["terms"], {one["role"]: one for one in held["signatures"]}
    left_out = {"type", "version", "id", "space_id", "dataset", "custodian"}
    short = {name: _short(name, value) for name, value in terms.items() if name not in left_out}
    short["seat"] = terms["roster"].index({"dataset": terms["dataset"], "provider": terms["custodian"]})
    found: dict[str, Any] = {"terms": short}
    for role in ROLES:
        names = ["nonce", "sign_by", "signature", "service" if role == "custodian" else "decider"]
        found[role] = {name: _short(name, signed[role][name]) for name in names} if role in signed else None
    return found


def _unpack_approvals(file: Mapping[str, Any]) -> list[Document]:
    packed = file["approvals"]
    if packed is None:
        return []
    named = list(entries.grants_of(file["entry"]))
    if len(named) != len(packed["grants"]):
        raise malformed("/approvals/grants", "are not as many as the entry names")
    found = []
    for id, one in zip(named, packed["grants"], strict=True):
        if one is None:
            continue
        terms = _whole("terms", packed["terms"], one["terms"])
        seat, roster = terms.pop("seat", -1), terms.get("roster", [])
        if type(seat) is not int or not isinstance(roster, list) or not 0 <= seat < len(roster):
            raise malformed("/approvals/grants/seat", "is not of the roster")
        terms |= {"type": "grant_terms", "version": VERSION, "id": id, "space_id": file["space_id"],
                  "dataset": roster[seat]["dataset"], "custodian": roster[seat]["provider"]}
        signed = []
        for role in ROLES:
            if one[role] is not None:
                given = _whole(role, packed[role], one[role])
                other = {"service": None} if role == "regulator" else {"decider": terms.get("custodian_approver")}
                signed.append({"role": role, **given, **other})
        found.append({"terms": terms, "signatures": signed})
    return found


# --- the chain leg


def _paths(receipt: Mapping[str, Any], size: int) -> tuple[list[str | None], int]:
    """The leaf's path in the tree of `size` leaves as far as `inclusion` says it, and how many hashes are wanting."""
    ranges = inclusion_ranges(receipt["index"], parse_note(receipt["checkpoint"]).checkpoint.size)
    known = dict(zip(ranges, receipt["inclusion"], strict=False))
    path = [known.get(one) for one in inclusion_ranges(receipt["index"], size)]
    return path, path.count(None)


def _foot(receipt: Mapping[str, Any], leg: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The storage slot of the anchored root, and its value as the trie holds it."""
    root = root_from_path(entries.leaf_hash(receipt["entry"]), receipt["index"], leg["size"],
                          [bytes.fromhex(one) for one in leg["inclusion"]])
    return root_slot(leg["log_id"], leg["size"]), encode(root.lstrip(b"\0"))


def _pack_leg(receipt: Mapping[str, Any]) -> Document | None:
    leg = receipt["chain"]
    if leg is None:
        return None
    more = [one for one, known in zip(leg["inclusion"], _paths(receipt, leg["size"])[0], strict=True) if known is None]
    found = {"chain_id": leg["chain_id"], "profile": leg["profile"], "size": leg["size"], "inclusion": _joined(more),
             "contract": _short("service", leg["contract"]), "header": None, "account": None, "storage": None}
    if leg["header"] is not None:
        slot, _ = _foot(receipt, leg)
        storage, _ = shorten(slot, [from_b64(one) for one in leg["storage_proof"]])
        nodes, account = shorten(bytes.fromhex(leg["contract"][2:]), [from_b64(one) for one in leg["account_proof"]])
        nonce, balance, _, code = decode(account)
        found |= {"header": to_b64(short_header(from_b64(leg["header"]))), "storage": to_b64(encode(list(storage))),
                  "account": to_b64(encode([nonce, balance, code, list(nodes)]))}
    return found


def _unpack_leg(packed: Mapping[str, Any], receipt: Mapping[str, Any]) -> Document:
    path, wanting = _paths(receipt, packed["size"])
    more = _parted(packed["inclusion"])
    if len(more) != wanting:
        raise malformed("/chain/inclusion", "is not what the other path leaves open")
    rest = iter(more)
    leg = {"chain_id": packed["chain_id"], "profile": packed["profile"],
           "contract": _long("service", packed["contract"]),
           "log_id": log_id_of(parse_note(receipt["checkpoint"]).checkpoint.origin), "size": packed["size"],
           "inclusion": [next(rest) if one is None else one for one in path],
           "header": None, "account_proof": [], "storage_proof": []}
    if packed["header"] is not None:
        slot, value = _foot(receipt, leg)
        storage = lengthen(slot, decode(from_b64(packed["storage"])), value)
        account = decode(from_b64(packed["account"]))
        if not isinstance(account, list) or len(account) != 4 or any(isinstance(one, list) for one in account[:3]):
            raise malformed("/chain/account", "is not an account and its proof")
        nonce, balance, code, nodes = account
        held = encode([nonce, balance, keccak256(storage[0]), code])
        leg |= {"header": to_b64(long_header(from_b64(packed["header"]))),
                "storage_proof": [to_b64(one) for one in storage],
                "account_proof": [to_b64(one) for one in lengthen(bytes.fromhex(leg["contract"][2:]), nodes, held)]}
    return leg
