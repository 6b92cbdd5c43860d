"""The one door to the chain: what a space's contracts hold, and calls to them, signed to be kept and then sent.

Reads speak of one block and are refused where `ledger.blockchain` refuses. Nothing here holds a key, a nonce or a row.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ledger import abi
from ledger.abi import RawTx, bytes32
from ledger.approval import grant_chain_id, seconds
from ledger.blockchain import Blockchain, TxReceipt
from ledger.documents import document_hash
from ledger.errors import ChainRefused, VerificationError
from ledger.keys import EthKey, keccak256
from ledger.passkey import key_id
from ledger.rpc import Block, BlockTag
from ledger.trust import Trust

__all__ = ["AnchorHead", "Block", "Chain", "GrantOnChain", "PasskeyAccountOnChain", "ProposalOnChain", "RawTx",
           "RecordOnChain", "TxReceipt"]

ERC1271 = bytes.fromhex("1626ba7e")
NOBODY = "0x" + "00" * 20
ACCOUNT_DELAY = 24 * 3600
"""Seconds that a person has, at least, to veto a change of their account."""


@dataclass(frozen=True)
class AnchorHead:
    root: str
    size: int
    time: int
    count: int


@dataclass(frozen=True)
class GrantOnChain:
    """What the chain says of a registered grant; addresses and hashes 0x, times in Unix seconds."""

    terms_hash: str
    dataset_id: str
    purpose: str
    grantee: str
    not_before: int
    not_after: int
    regulator: str
    max_uses: int
    uses: int
    custodian: str
    revoked: bool
    suspended_by_regulator: bool
    suspended_by_custodian: bool
    service: str
    registered_block: int

    @property
    def suspended(self) -> bool:
        return self.suspended_by_regulator or self.suspended_by_custodian


@dataclass(frozen=True)
class RecordOnChain:
    """A participant's current record; `controller` must sign the next one."""

    record_hash: str
    number: int
    controller: str = ""
    suspended: bool = False


@dataclass(frozen=True)
class ProposalOnChain:
    """A record that takes effect at `ripe` (Unix seconds) unless its holder, or any regulator, vetoes it."""

    record_hash: str
    controller: str
    number: int
    decider: str
    ripe: int


@dataclass(frozen=True)
class PasskeyAccountOnChain:
    """One person's account: whose keys may speak for it, each on one origin only."""

    guardian: str
    device_bound: bool
    delay: int
    keys: Mapping[str, str]


class Chain(Blockchain):
    """One chain and the contracts of one space on it."""

    def __init__(self, rpc_urls: Sequence[str], *, quorum: int = 1, expected_chain_id: int | None = None,
                 expected_genesis: str | None = None, contracts: Mapping[str, str] | None = None,
                 timeout: float = 10.0, profile_name: str = "embedded", production: bool = False,
                 now: Callable[[], float] = time.time, proxy: Callable[[str], str | None] | None = None) -> None:
        super().__init__(rpc_urls, quorum=quorum, expected_chain_id=expected_chain_id, timeout=timeout, now=now,
                         expected_genesis=expected_genesis, profile_name=profile_name, production=production,
                         proxy=proxy)
        self.contracts = {name: address.lower() for name, address in (contracts or {}).items()}

    @classmethod
    def from_trust(cls, trust: Trust, *, rpc_urls: Sequence[str] | None = None, timeout: float = 10.0,
                   production: bool = False, proxy: Callable[[str], str | None] | None = None) -> Chain:
        """The chain the trust file names; other endpoints may be given, never another chain.

        Fewer of them than the trust file's quorum must all agree: who gives one alone relies on that one. In
        production a development chain is refused. `proxy` names the HTTP proxy on the way to an endpoint, if any.
        """
        urls = tuple(rpc_urls or trust.chain.rpc)
        return cls(urls, quorum=min(trust.chain.quorum, len(urls)), profile_name=trust.chain.profile,
                   production=production, expected_chain_id=trust.chain.id, expected_genesis=trust.chain.genesis,
                   timeout=timeout, proxy=proxy,
                   contracts={name: one.address for name, one in trust.chain.contracts.items()})

    def check_contracts(self, trust: Trust) -> None:
        """Chain id, genesis, and every contract's code against the trust file and the committed artifact."""
        if self.chain_id != trust.chain.id or self.genesis_hash() != trust.chain.genesis.lower():
            raise VerificationError("chain.wrong", "the endpoint is of another chain than the trust file's")
        for name, one in trust.chain.contracts.items():
            if self.code_hash(one.address) != one.code_hash.lower():
                raise VerificationError("chain.wrong", f"the code of {name} is not the one the trust file names")
            self.check_artifact(name, one.address)

    def check_roles(self, trust: Trust, *, operator: str | None = None) -> None:
        """On chain nobody decides or anchors but whom the trust file and we know: no deployer, no forgotten key.

        For the portal's start and for an auditor. A node goes by the trust file, whatever roles the chain gives.
        """
        for name in trust.chain.contracts:
            admins, regulators = (set(self.role_members(name, role)) for role in ("DEFAULT_ADMIN_ROLE",
                                                                                  "REGULATOR_ROLE"))
            operators = set(self.role_members(name, "ANCHOR_ROLE"))
            if len(admins) != 1 or regulators - set(trust.regulator.approvers):
                raise VerificationError("chain.roles", f"of {name} somebody decides whom the trust file does not name")
            if (operators - {operator} if operator else operators & regulators) or operators & admins:
                raise VerificationError("chain.roles", f"somebody else may write to {name} as operator")

    # --- reads

    def anchor_head(self, log_id: str, block: BlockTag = "latest") -> AnchorHead:
        root, size, when, count = self._read("anchor", "heads", [bytes32(log_id)], block)
        return AnchorHead("0x" + root.hex(), size, when, count)

    def root_at(self, log_id: str, size: int, block: BlockTag = "latest") -> str | None:
        """The root anchored for this size, 0x; None if there is none."""
        (root,) = self._read("anchor", "rootAt", [bytes32(log_id), size], block)
        return "0x" + root.hex() if any(root) else None

    def grant(self, grant_id: str, block: BlockTag = "finalized") -> GrantOnChain | None:
        (found,) = self._read("grants", "grants", [bytes32(grant_id)], block)
        if found[-1] == 0:
            return None
        fields: list[Any] = ["0x" + value.hex() if isinstance(value, bytes) else value for value in found]
        return GrantOnChain(*fields)

    def is_revoked(self, grant_id: str, deciders: Sequence[str] = ()) -> bool:
        """Revoked, or barred before registration, finally or just now; `deciders`: whose tombstones count as well."""
        checks: list[tuple[str, list[Any]]] = [("isRevoked", [bytes32(grant_id)])]
        checks += [("tombstones", [bytes32(grant_id), one.lower()]) for one in deciders]
        return any(self._read("grants", name, arguments, block)[0]
                   for block in ("latest", "finalized") for name, arguments in checks)

    def is_active(self, grant_id: str, block: BlockTag = "latest") -> bool:
        return bool(self._read("grants", "isActive", [bytes32(grant_id)], block)[0])

    def is_active_for(self, grant_id: str, grantee: str, dataset_id: str, purpose: str,
                      block: BlockTag = "latest") -> bool:
        """Active, and for exactly this grantee (address), dataset and purpose (as on chain)."""
        return bool(self._read("grants", "isActiveFor", [
            bytes32(grant_id), grantee, bytes32(dataset_id), bytes32(purpose)], block)[0])

    def is_cancelled(self, grant_id: str, decider: str, nonce: str, block: BlockTag = "latest") -> bool:
        return bool(self._read("grants", "cancelled", [bytes32(grant_id), decider, bytes32(nonce)], block)[0])

    def used(self, grant_id: str, job_hash: str, block: BlockTag = "finalized") -> bool:
        return bool(self._read("grants", "used", [bytes32(grant_id), bytes32(job_hash)], block)[0])

    def owner_of(self, dataset_id: str, block: BlockTag = "finalized") -> str | None:
        (owner,) = self._read("grants", "ownerOf", [bytes32(dataset_id)], block)
        return str(owner).lower() if int(owner, 16) else None

    def participant_record(self, participant_id: str, block: BlockTag = "finalized") -> RecordOnChain | None:
        found = self._read("participants", "recordOf", [bytes32(participant_id)], block)
        record_hash, number, controller, suspended = found
        return RecordOnChain("0x" + record_hash.hex(), number, str(controller).lower(), suspended) if number else None

    def participant_proposal(self, participant_id: str, block: BlockTag = "latest") -> ProposalOnChain | None:
        (found,) = self._read("participants", "proposalOf", [bytes32(participant_id)], block)
        record_hash, controller, number, decider, ripe = found
        if not number:
            return None
        return ProposalOnChain("0x" + record_hash.hex(), str(controller).lower(), number, str(decider).lower(), ripe)

    def participant_suspensions(self, participant_id: str, block: BlockTag = "latest") -> int:
        """The number of the last suspension or restoration; the next one's is higher."""
        return int(self._read("participants", "suspensionsOf", [bytes32(participant_id)], block)[0])

    def grant_suspensions(self, grant_id: str, *, by_custodian: bool, block: BlockTag = "latest") -> int:
        """The same for a grant, of which either side counts its own."""
        return int(self._read("grants", "suspensions", [bytes32(grant_id), by_custodian], block)[0])

    def passkey_account(self, address: str, block: BlockTag = "finalized") -> PasskeyAccountOnChain:
        """The account at this address, if its code is ours: its keys by id, with the origin of each."""
        self.check_artifact("passkey", address)
        ids, origins = self._read("passkey", "enrolled", [], block, to=address)
        (guardian,), (bound,), (delay,) = (
            self._read("passkey", name, [], block, to=address) for name in ("guardian", "deviceBound", "delay"))
        keys = {"0x" + one.hex(): origin for one, origin in zip(ids, origins, strict=True)}
        return PasskeyAccountOnChain(str(guardian).lower(), bound, delay, MappingProxyType(keys))

    def check_passkey_account(self, address: str, keys: Sequence[Mapping[str, Any]], *,
                              guardians: Sequence[str] = (), least_delay: int = ACCOUNT_DELAY,
                              block: BlockTag = "finalized") -> None:
        """The account's keys are exactly these (as a participant record names them), each on its own page; its guardian
        is nobody or one of `guardians`, and its changes take `least_delay` seconds at least.

        To be asked before an account is taken for somebody's: whoever deployed it could have slipped a key in, or have
        kept a way to do so later.
        """
        found = self.passkey_account(address, block)
        if dict(found.keys) != {key_id(one["x"] + one["y"]): one["origin"] for one in keys}:
            raise VerificationError("passkey.other_account", "the account has other keys, or on other pages")
        if any(one["device_bound"] != found.device_bound for one in keys):
            raise VerificationError("passkey.other_account", "the account has another rule about synced keys")
        if found.guardian not in (NOBODY, *(one.lower() for one in guardians)) or found.delay < least_delay:
            raise VerificationError("passkey.other_account", "the account has a strange guardian, or too short a delay")

    def account_accepts(self, address: str, digest: bytes, signature: str, block: BlockTag = "latest") -> bool:
        """ERC-1271: whether this account contract takes the signature, as GrantRegistry would ask it."""
        try:
            (magic,) = self._read("passkey", "isValidSignature", [digest, _blob(signature)], block, to=address)
        except ChainRefused:
            return False
        return bool(magic == ERC1271)

    def has_role(self, name: str, role: str, account: str) -> bool:
        """`role`: ANCHOR_ROLE, REGULATOR_ROLE or DEFAULT_ADMIN_ROLE."""
        return bool(self._read(name, "hasRole", [_role_id(role), account], "latest")[0])

    def role_members(self, name: str, role: str) -> tuple[str, ...]:
        """Everybody who has the role now."""
        return tuple(str(one).lower() for one in self._read(name, "getRoleMembers", [_role_id(role)], "latest")[0])

    # --- writes: sign, keep, send

    def sign_anchor(self, key: EthKey, nonce: int, *, log_id: str, prev_size: int, size: int, root: str,
                    proof: Sequence[str]) -> RawTx:
        return self._sign(key, nonce, "anchor", "anchor", [
            bytes32(log_id), prev_size, size, bytes32(root), [bytes32(step) for step in proof]])

    def sign_register(self, key: EthKey, nonce: int, *, terms: Mapping[str, Any], approval: Mapping[str, Any],
                      consent: Mapping[str, Any]) -> RawTx:
        """Grant terms with the regulator's and the custodian's signatures, all three as on the wire."""
        struct = (bytes32(grant_chain_id(terms)), bytes32(document_hash(terms)), bytes32(terms["dataset_chain_id"]),
                  bytes32(terms["purpose_hash"]), terms["grantee_address"], seconds(terms["not_before"]),
                  seconds(terms["not_after"]), terms["max_uses"])
        first = (approval["decider"], bytes32(approval["nonce"]), approval["sign_by"], _blob(approval["signature"]))
        second = (consent["decider"], bytes32(consent["nonce"]), consent["sign_by"], consent["service"],
                  _blob(consent["signature"]))
        return self._sign(key, nonce, "grants", "register", [struct, first, second])

    def sign_revoke(self, key: EthKey, nonce: int, *, grant_id: str, reason_hash: str, decider: str,
                    signature: str) -> RawTx:
        return self._sign(key, nonce, "grants", "revoke", [
            bytes32(grant_id), bytes32(reason_hash), decider, _blob(signature)])

    def sign_consume(self, key: EthKey, nonce: int, *, grant_id: str, job_hash: str, signature: str) -> RawTx:
        return self._sign(key, nonce, "grants", "consume", [bytes32(grant_id), bytes32(job_hash), _blob(signature)])

    def sign_cancel(self, key: EthKey, nonce: int, *, grant_id: str, approval_nonce: str, decider: str,
                    signature: str) -> RawTx:
        return self._sign(key, nonce, "grants", "cancel", [
            bytes32(grant_id), bytes32(approval_nonce), decider, _blob(signature)])

    def sign_suspend_grant(self, key: EthKey, nonce: int, *, grant_id: str, suspended: bool, number: int,
                           decider: str, signature: str) -> RawTx:
        return self._sign(key, nonce, "grants", "suspend", [
            bytes32(grant_id), suspended, number, decider, _blob(signature)])

    def sign_put_participant(self, key: EthKey, nonce: int, *, participant_id: str, record_hash: str, number: int,
                             controller: str, decider: str, sign_by: int, signature: str, control: str,
                             handover: str = "0x") -> RawTx:
        """`control` is signed by the controller; `handover` by who held the record before, if it was another."""
        return self._sign(key, nonce, "participants", "put", [
            (bytes32(participant_id), bytes32(record_hash), number, controller),
            (decider, sign_by, _blob(signature)), _blob(control), _blob(handover)])

    def sign_propose_participant(self, key: EthKey, nonce: int, *, participant_id: str, record_hash: str, number: int,
                                 controller: str, decider: str, sign_by: int, signature: str, control: str) -> RawTx:
        return self._sign(key, nonce, "participants", "propose", [
            (bytes32(participant_id), bytes32(record_hash), number, controller),
            (decider, sign_by, _blob(signature)), _blob(control)])

    def sign_veto_participant(self, key: EthKey, nonce: int, *, participant_id: str, number: int, decider: str,
                              signature: str) -> RawTx:
        return self._sign(key, nonce, "participants", "veto", [
            bytes32(participant_id), number, decider, _blob(signature)])

    def sign_finish_participant(self, key: EthKey, nonce: int, *, participant_id: str) -> RawTx:
        return self._sign(key, nonce, "participants", "finish", [bytes32(participant_id)])

    def sign_suspend_participant(self, key: EthKey, nonce: int, *, participant_id: str, suspended: bool, number: int,
                                 decider: str, signature: str) -> RawTx:
        return self._sign(key, nonce, "participants", "suspend", [
            bytes32(participant_id), suspended, number, decider, _blob(signature)])

    def _sign(self, key: EthKey, nonce: int, name: str, function: str, arguments: Sequence[Any]) -> RawTx:
        return abi.sign_transaction(key, chain_id=self.chain_id, nonce=nonce, to=self._address(name),
                                    data=abi.calldata(name, function, arguments), gas=abi.CALL_GAS,
                                    gas_price=self.gas_price())

    def _read(self, name: str, function: str, arguments: Sequence[Any], block: BlockTag, *,
              to: str | None = None) -> tuple[Any, ...]:
        self.require_fresh()
        data = abi.calldata(name, function, arguments)
        return abi.returned(name, function, self._call({"to": to or self._address(name), "data": data}, block))

    def _address(self, name: str) -> str:
        if name not in self.contracts:
            raise VerificationError("chain.wrong", f"no address is known for the {name} contract")
        return self.contracts[name]


def _role_id(role: str) -> bytes:
    return bytes(32) if role == "DEFAULT_ADMIN_ROLE" else keccak256(role.encode())


def _blob(value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError as trouble:
        raise VerificationError("chain.form", "a signature is not hexadecimal") from trouble
