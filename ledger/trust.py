"""The trust file: every root a node or an SDK relies on, signed by the regulator's offline root key.

Its fingerprint (SHA-256 of the root's public key) reaches people outside the portal; no value of it is ever taken from
the portal. Reading it is all that happens here: no network, no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import load_json, new_document, public_hex, read_signed, sha256_hex, signed, verify_signed
from ledger.errors import VerificationError


@dataclass(frozen=True)
class ContractTrust:
    address: str
    code_hash: str


@dataclass(frozen=True)
class ChainTrust:
    id: int
    profile: str
    genesis: str
    rpc: tuple[str, ...]
    quorum: int
    contracts: Mapping[str, ContractTrust]
    validators: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogTrust:
    origin: str
    key: str


@dataclass(frozen=True)
class WitnessTrust:
    k: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class RegulatorTrust:
    participant: str
    signing: str
    sealing: str
    approvers: tuple[str, ...]
    passkeys: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class DealerTrust:
    participant: str
    signing: str


@dataclass(frozen=True)
class Trust:
    """A verified trust file."""

    serial: int
    space_id: str
    name: str
    root: str
    issued_at: str
    chain: ChainTrust
    log: LogTrust
    witnesses: WitnessTrust
    regulator: RegulatorTrust
    dealer: DealerTrust
    release_keys: tuple[str, ...]
    document: dict[str, Any] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of_root(self.root)


def fingerprint_of_root(root: str) -> str:
    return sha256_hex(bytes.fromhex(root))


def origin_of(space_id: str) -> str:
    """The name of the space's log."""
    return f"xinglin/{space_id}"


def load_trust(source: str | Path | Mapping[str, Any], *, fingerprint: str) -> Trust:
    """Read a signed trust file (a path or its parsed JSON) and verify it against the fingerprint."""
    wire = dict(source) if isinstance(source, Mapping) else load_json(Path(source).read_bytes())
    root = read_signed(wire, "trust")["root"]
    if fingerprint_of_root(root) != fingerprint.strip().lower():
        raise VerificationError("trust.fingerprint", "the trust file is of another root key than the fingerprint says")
    document = verify_signed(wire, type="trust", keys=[root])
    if document["log"]["origin"] != origin_of(document["space_id"]):
        raise VerificationError("trust.origin", "the trust file names the log of another space")
    if document["chain"]["quorum"] > len(document["chain"]["rpc"]):
        raise VerificationError("trust.quorum", "the quorum is larger than the number of endpoints")
    if document["witnesses"]["k"] > len(document["witnesses"]["keys"]):
        raise VerificationError("trust.witnesses", "more witnesses are asked for than are named")
    if 0 < 2 * document["witnesses"]["k"] <= len(document["witnesses"]["keys"]):
        raise VerificationError("trust.witnesses", "two halves of the witnesses could cosign two histories")
    if {one["address"] for one in document["regulator"]["passkeys"]} - set(document["regulator"]["approvers"]):
        raise VerificationError("trust.passkeys", "keys are named of an account that is no approver")
    return _from_document(document)


def _from_document(document: dict[str, Any]) -> Trust:
    chain, regulator, dealer = document["chain"], document["regulator"], document["dealer"]
    contracts = {name: ContractTrust(**one) for name, one in chain["contracts"].items()}
    accounts = {one["address"]: tuple(one["keys"]) for one in regulator["passkeys"]}
    return Trust(
        serial=document["serial"], space_id=document["space_id"], name=document["name"], root=document["root"],
        issued_at=document["issued_at"],
        chain=ChainTrust(chain["id"], chain["profile"], chain["genesis"], tuple(chain["rpc"]), chain["quorum"],
                         MappingProxyType(contracts), tuple(chain.get("validators", ()))),
        log=LogTrust(**document["log"]),
        witnesses=WitnessTrust(document["witnesses"]["k"], tuple(document["witnesses"]["keys"])),
        regulator=RegulatorTrust(regulator["participant"], regulator["signing"], regulator["sealing"],
                                 tuple(regulator["approvers"]), MappingProxyType(accounts)),
        dealer=DealerTrust(dealer["participant"], dealer["signing"]),
        release_keys=tuple(document["release"]["keys"]), document=document,
    )


def make_trust(root: Ed25519PrivateKey, *, space_id: str, name: str, chain: Mapping[str, Any], log_key: str,
               regulator: Mapping[str, Any], dealer: Mapping[str, Any], serial: int = 1,
               witnesses: Mapping[str, Any] | None = None, release_keys: Sequence[str] = (),
               issued_at: str | None = None) -> dict[str, Any]:
    """The signed trust file of a space; `chain`, `regulator`, `dealer` in the form of the document."""
    values = {"issued_at": issued_at} if issued_at else {}
    document = new_document(
        "trust", serial=serial, space_id=space_id, name=name, root=public_hex(root), chain=dict(chain),
        log={"origin": origin_of(space_id), "key": log_key},
        witnesses=dict(witnesses or {"k": 0, "keys": []}), regulator={"passkeys": [], **regulator}, dealer=dict(dealer),
        release={"keys": list(release_keys)}, **values)
    return signed(document, root)
