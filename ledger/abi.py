"""Bytes for the contracts: calldata, what a call returned, why it reverted, and signed transactions.

Pure: no network, no clock. The one importer of `eth_abi` and `rlp`; the contracts' interface comes from the committed
artifact. Transactions are legacy ones with EIP-155: every EVM chain takes that form. What gas costs is the caller's to
say, zero where nobody says anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from ledger.errors import ChainRefused, VerificationError
from ledger.keys import EthKey, keccak256, recover

CONTRACTS: Mapping[str, str] = MappingProxyType(
    {"anchor": "Anchor", "grants": "GrantRegistry", "participants": "ParticipantRegistry",
     "passkey": "PasskeyAccount"})
CALL_GAS = 2_000_000
DEPLOY_GAS = 6_000_000


@dataclass(frozen=True)
class RawTx:
    """A signed transaction; sending the same bytes again is always safe."""

    hash: str
    raw: str
    nonce: int
    sender: str
    to: str | None
    data: str


@cache
def artifact() -> dict[str, Any]:
    """The committed build of the contracts."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "contracts" / "artifact.json").read_text())
    return found


def contract(name: str) -> dict[str, Any]:
    """Of the trust file's names (anchor, grants, participants), or passkey: one person's account."""
    found: dict[str, Any] = artifact()["contracts"][CONTRACTS[name]]
    return found


def _type(field: Mapping[str, Any]) -> str:
    if str(field["type"]).startswith("tuple"):
        inner = ",".join(_type(one) for one in field["components"])
        return f"({inner}){str(field['type'])[5:]}"
    return str(field["type"])


@cache
def _function(name: str, function: str) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    """Selector, types taken, types returned."""
    for entry in contract(name)["abi"]:
        if entry["type"] == "function" and entry["name"] == function:
            takes = tuple(_type(field) for field in entry["inputs"])
            returns = tuple(_type(field) for field in entry["outputs"])
            return keccak256(f"{function}({','.join(takes)})".encode())[:4], takes, returns
    raise KeyError(f"{name}.{function}")


@cache
def _errors() -> dict[bytes, tuple[str, tuple[str, ...]]]:
    found = {}
    for name in CONTRACTS:
        for entry in contract(name)["abi"]:
            if entry["type"] == "error":
                takes = tuple(_type(field) for field in entry["inputs"])
                found[keccak256(f"{entry['name']}({','.join(takes)})".encode())[:4]] = (entry["name"], takes)
    return found


def bytes32(value: str) -> bytes:
    """From hex with or without 0x."""
    return _fixed(value, 32)


def address_bytes(value: str) -> bytes:
    return _fixed(value, 20)


def _fixed(value: str, length: int) -> bytes:
    try:
        raw = bytes.fromhex(value.removeprefix("0x"))
    except ValueError as trouble:
        raise VerificationError("chain.form", "not hexadecimal") from trouble
    if len(raw) != length:
        raise VerificationError("chain.form", f"{length} bytes are needed, not {len(raw)}")
    return raw


def calldata(name: str, function: str, arguments: Sequence[Any]) -> str:
    selector, takes, _ = _function(name, function)
    return "0x" + (selector + _encode(takes, arguments)).hex()


def returned(name: str, function: str, data: str) -> tuple[Any, ...]:
    """What a view said. No bytes at all (nothing is deployed there) is refused too."""
    try:
        return tuple(decode(_function(name, function)[2], bytes.fromhex(data.removeprefix("0x"))))
    except (DecodingError, ValueError) as trouble:
        raise VerificationError("chain.wrong", f"no {CONTRACTS[name]} stands at that address") from trouble


def creation(name: str, arguments: Sequence[Any]) -> str:
    """The data of the transaction that deploys a contract."""
    takes = next(tuple(_type(field) for field in entry["inputs"])
                 for entry in contract(name)["abi"] if entry["type"] == "constructor")
    return str(contract(name)["bytecode"]) + _encode(takes, arguments).hex()


def _encode(takes: Sequence[str], arguments: Sequence[Any]) -> bytes:
    try:
        return bytes(encode(takes, arguments))
    except EncodingError as trouble:
        raise VerificationError("chain.form", f"a value does not fit its type: {trouble}") from trouble


def refusal(data: str, message: str) -> ChainRefused:
    """A revert's bytes as an error with a stable code: `UsedUp` is `chain.refused.used_up`."""
    raw = bytes.fromhex(data.removeprefix("0x")) if re.fullmatch(r"0x[0-9a-fA-F]*", data) else b""
    known = _errors().get(raw[:4])
    if known is None:
        return ChainRefused("chain.refused", f"the contract refused: {message[:200]}")
    name, takes = known
    try:
        values = decode(takes, raw[4:])
    except DecodingError:
        values = ()
    shown = ", ".join("0x" + value.hex() if isinstance(value, bytes) else str(value) for value in values)
    code = "chain.refused." + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return ChainRefused(code, f"the contract refused: {name}({shown})")


def matches_artifact(name: str, code: str) -> bool:
    """Whether deployed code is ours, the words that the constructor filled in left aside."""
    ours = bytearray.fromhex(contract(name)["deployedBytecode"][2:])
    theirs = bytearray.fromhex(code.removeprefix("0x"))
    if len(ours) != len(theirs):
        return False
    for place in contract(name)["immutableReferences"]:
        span = slice(place["start"], place["start"] + place["length"])
        ours[span] = theirs[span] = bytes(place["length"])
    return ours == theirs


def sign_transaction(key: EthKey, *, chain_id: int, nonce: int, to: str | None, data: str, gas: int,
                     gas_price: int = 0) -> RawTx:
    """The same values give the same bytes and hash (RFC 6979), however often they are signed."""
    fields: list[Any] = [nonce, gas_price, gas, address_bytes(to) if to else b"", 0,
                         bytes.fromhex(data.removeprefix("0x"))]
    signature = key.sign_digest(keccak256(rlp.encode([*fields, chain_id, b"", b""])))
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    raw = rlp.encode([*fields, signature[64] - 27 + 35 + 2 * chain_id, r, s])
    return RawTx("0x" + keccak256(raw).hex(), "0x" + raw.hex(), nonce, key.address, to, data)


def read_transaction(raw: str) -> RawTx:
    """A transaction that `sign_transaction` made, from its bytes."""
    body = bytes.fromhex(raw.removeprefix("0x"))
    try:
        *fields, v, r, s = rlp.decode(body)
        nonce, to, data, recovery = fields[0], fields[3], fields[5], int.from_bytes(v) - 35
    except (rlp.DecodingError, ValueError, IndexError, TypeError) as trouble:
        raise VerificationError("chain.form", "not a legacy transaction") from trouble
    digest = keccak256(rlp.encode([*fields, recovery // 2, b"", b""]))
    sender = recover(digest, r.rjust(32, b"\0") + s.rjust(32, b"\0") + bytes([27 + recovery % 2]))
    return RawTx("0x" + keccak256(body).hex(), "0x" + body.hex(), int.from_bytes(nonce), sender,
                 "0x" + to.hex() if to else None, "0x" + data.hex())
