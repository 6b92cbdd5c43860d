"""The one door to the chain: what the contracts hold, and transactions signed elsewhere or here, sent as they are.

Reads speak of one block ("latest", "finalized" or a number) and refuse a stale head, disagreeing endpoints and a
stranger's chain. A write is signed first, kept by the caller, then sent; sending it again is always safe. Nothing here
holds a key, a nonce or a row: whoever sends does (ledger.rpc speaks JSON-RPC, ledger.abi makes the bytes).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import abi
from ledger.abi import RawTx, address_bytes, bytes32
from ledger.approval import grant_chain_id, seconds
from ledger.documents import document_hash
from ledger.errors import ChainRefused, ChainUnavailable, VerificationError
from ledger.keys import EthKey, keccak256
from ledger.rpc import Block, BlockTag, Rpc, RpcError, hex_bytes, quantity
from ledger.trust import Trust

__all__ = ["AnchorHead", "Block", "Chain", "GrantOnChain", "RawTx", "RecordOnChain", "TxReceipt", "deploy_contracts"]

POLL_EVERY = 0.05


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
    grantee: str
    not_before: int
    not_after: int
    regulator: str
    max_uses: int
    uses: int
    custodian: str
    revoked: bool
    service: str
    registered_block: int


@dataclass(frozen=True)
class RecordOnChain:
    record_hash: str
    number: int


@dataclass(frozen=True)
class TxReceipt:
    hash: str
    status: int
    block: int
    block_hash: str
    contract: str | None = None


class Chain:
    """One chain and the contracts of one space on it."""

    def __init__(self, rpc_urls: Sequence[str], *, quorum: int = 1, expected_chain_id: int | None = None,
                 expected_genesis: str | None = None, contracts: Mapping[str, str] | None = None,
                 timeout: float = 10.0, now: Callable[[], float] = time.time) -> None:
        self.rpc = Rpc(rpc_urls, quorum=quorum, chain_id=expected_chain_id, genesis=expected_genesis,
                       timeout=timeout, now=now)
        self._chain_id = expected_chain_id
        self.contracts = {name: address.lower() for name, address in (contracts or {}).items()}

    @classmethod
    def from_trust(cls, trust: Trust, *, rpc_urls: Sequence[str] | None = None, timeout: float = 10.0) -> Chain:
        """The chain the trust file names; other endpoints may be given, never another chain.

        Fewer of them than the trust file's quorum must all agree: who gives one alone relies on that one.
        """
        urls = tuple(rpc_urls or trust.chain.rpc)
        return cls(urls, quorum=min(trust.chain.quorum, len(urls)),
                   expected_chain_id=trust.chain.id, expected_genesis=trust.chain.genesis, timeout=timeout,
                   contracts={name: one.address for name, one in trust.chain.contracts.items()})

    def close(self) -> None:
        self.rpc.close()

    # --- the chain itself

    @property
    def chain_id(self) -> int:
        if self._chain_id is None:
            self._chain_id = quantity(self.rpc.value("eth_chainId"))
        return self._chain_id

    def genesis_hash(self) -> str:
        return self.rpc.block(0).hash

    def head(self) -> Block:
        return self.rpc.block("latest")

    def finalized(self) -> Block:
        return self.rpc.block("finalized")

    def code_hash(self, address: str) -> str:
        """keccak256 of the deployed code, as the trust file names it."""
        return "0x" + keccak256(bytes.fromhex(self._code(address).removeprefix("0x"))).hex()

    def check_artifact(self, name: str, address: str) -> None:
        """The deployed code is what our sources compile to."""
        if not abi.matches_artifact(name, self._code(address)):
            raise VerificationError("chain.wrong", f"the code at {address} is not our {abi.CONTRACTS[name]}")

    def check_contracts(self, trust: Trust) -> None:
        """Chain id, genesis, and every contract's code against the trust file and the committed artifact."""
        if self.chain_id != trust.chain.id or self.genesis_hash() != trust.chain.genesis.lower():
            raise VerificationError("chain.wrong", "the endpoint is of another chain than the trust file's")
        for name, one in trust.chain.contracts.items():
            if self.code_hash(one.address) != one.code_hash.lower():
                raise VerificationError("chain.wrong", f"the code of {name} is not the one the trust file names")
            self.check_artifact(name, one.address)

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

    def used(self, grant_id: str, job_hash: str, block: BlockTag = "finalized") -> bool:
        return bool(self._read("grants", "used", [bytes32(grant_id), bytes32(job_hash)], block)[0])

    def owner_of(self, dataset_id: str, block: BlockTag = "finalized") -> str | None:
        (owner,) = self._read("grants", "ownerOf", [bytes32(dataset_id)], block)
        return str(owner).lower() if int(owner, 16) else None

    def participant_record(self, participant_id: str, block: BlockTag = "finalized") -> RecordOnChain | None:
        record_hash, number = self._read("participants", "recordOf", [bytes32(participant_id)], block)
        return RecordOnChain("0x" + record_hash.hex(), number) if number else None

    def has_role(self, name: str, role: str, account: str) -> bool:
        """`role`: ANCHOR_ROLE, REGULATOR_ROLE or DEFAULT_ADMIN_ROLE."""
        role_id = bytes(32) if role == "DEFAULT_ADMIN_ROLE" else keccak256(role.encode())
        return bool(self._read(name, "hasRole", [role_id, account], "latest")[0])

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

    def sign_put_participant(self, key: EthKey, nonce: int, *, participant_id: str, record_hash: str, number: int,
                             decider: str, signature: str) -> RawTx:
        return self._sign(key, nonce, "participants", "put", [
            bytes32(participant_id), bytes32(record_hash), number, decider, _blob(signature)])

    def account_nonce(self, address: str, block: BlockTag = "latest") -> int:
        """Transactions of this account in the chain so far; those that wait are the sender's own to count."""
        return quantity(self.rpc.value("eth_getTransactionCount", [address, self.rpc.pinned(block)]))

    def preflight(self, tx: RawTx) -> None:
        """Raises ChainRefused if the contract would refuse this now. The nonce does not matter."""
        self._call({"from": tx.sender, "to": tx.to, "data": tx.data}, "latest")

    def send_raw(self, raw: str) -> str:
        """Send these bytes, again if need be; the hash once an endpoint has them or the chain holds them already."""
        tx = abi.read_transaction(raw)
        trouble: Exception | None = None
        taken = False
        for url in self.rpc.urls:
            try:
                answer = self.rpc.ask(url, "eth_sendRawTransaction", [tx.raw])
            except ChainUnavailable as error:
                trouble = trouble or error
                continue
            outcome = self._sent(tx, answer)
            taken = taken or outcome is None
            trouble = trouble or outcome
        if not taken:
            raise trouble or ChainUnavailable("chain.unavailable", "no endpoint took the transaction")
        return tx.hash

    def receipt(self, tx_hash: str) -> TxReceipt | None:
        found = self.rpc.value("eth_getTransactionReceipt", [tx_hash])
        if not isinstance(found, dict) or not found.get("blockNumber"):
            return None
        created = found.get("contractAddress")
        return TxReceipt(tx_hash, quantity(found.get("status")), quantity(found["blockNumber"]),
                         hex_bytes(found.get("blockHash")), hex_bytes(created) if created else None)

    def is_final(self, receipt: TxReceipt) -> bool:
        """Whether the transaction's block is final, and still the one it was."""
        if self.finalized().number < receipt.block:
            return False
        return self.rpc.block(receipt.block).hash == receipt.block_hash

    def wait(self, tx_hash: str, *, seconds: float, final: bool = False) -> TxReceipt:
        """The receipt, once mined (or final). ChainRefused if it reverted; `chain.timeout` when the time is up.

        An endpoint that is away for a moment is waited for like a block; whose absence lasts is told at the end.
        """
        deadline = time.monotonic() + seconds
        while True:
            trouble = ChainUnavailable("chain.timeout", f"transaction {tx_hash} is not in the chain yet")
            try:
                receipt = self.receipt(tx_hash)
                if receipt is not None and receipt.status != 1:
                    raise self.explain(receipt)
                if receipt is not None and (not final or self.is_final(receipt)):
                    return receipt
            except ChainUnavailable as error:
                trouble = error
            if time.monotonic() >= deadline:
                raise trouble
            time.sleep(POLL_EVERY)

    def explain(self, receipt: TxReceipt) -> ChainRefused:
        """Why a mined transaction reverted, found by calling it again on the block before.

        That it reverted is known, also when an endpoint keeps no state that old and cannot say why.
        """
        try:
            found = self.rpc.value("eth_getTransactionByHash", [receipt.hash])
            if isinstance(found, dict) and found.get("to"):
                self._call({"from": found.get("from"), "to": found["to"], "data": found.get("input")},
                           receipt.block - 1)
        except ChainRefused as refused:
            return refused
        except ChainUnavailable as unknown:
            return ChainRefused("chain.refused", f"transaction {receipt.hash} reverted; why is not known: {unknown}")
        return ChainRefused("chain.refused", f"transaction {receipt.hash} reverted")

    def _sent(self, tx: RawTx, answer: Any) -> Exception | None:
        """None if the endpoint has the transaction, new or known; else what stands against it."""
        if not isinstance(answer, RpcError):
            return None
        said = answer.message.lower()
        if "already" in said and ("known" in said or "imported" in said):
            return None
        if "nonce too low" in said or "nonce is too low" in said:
            if self.rpc.value("eth_getTransactionByHash", [tx.hash]):
                return None
            return ChainRefused("chain.nonce_taken", f"nonce {tx.nonce} went to another transaction")
        return ChainRefused("chain.refused", f"the chain does not take the transaction: {answer.message[:200]}")

    def _sign(self, key: EthKey, nonce: int, name: str, function: str, arguments: Sequence[Any]) -> RawTx:
        return abi.sign_transaction(key, chain_id=self.chain_id, nonce=nonce, to=self._address(name),
                                    data=abi.calldata(name, function, arguments), gas=abi.CALL_GAS)

    def _read(self, name: str, function: str, arguments: Sequence[Any], block: BlockTag) -> tuple[Any, ...]:
        self.rpc.require_fresh()
        data = abi.calldata(name, function, arguments)
        return abi.returned(name, function, self._call({"to": self._address(name), "data": data}, block))

    def _call(self, call: Mapping[str, Any], block: BlockTag) -> str:
        answer = self.rpc.agree("eth_call", [dict(call), self.rpc.pinned(block)])
        if isinstance(answer, RpcError):
            if answer.reverted:
                raise abi.refusal(answer.data, answer.message)
            raise ChainUnavailable("chain.rpc", f"eth_call: {answer.message[:200]}")
        return hex_bytes(answer)

    def _code(self, address: str) -> str:
        address_bytes(address)
        return hex_bytes(self.rpc.value("eth_getCode", [address, self.rpc.pinned("latest")]))

    def _address(self, name: str) -> str:
        if name not in self.contracts:
            raise VerificationError("chain.wrong", f"no address is known for the {name} contract")
        return self.contracts[name]


def _blob(value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError as trouble:
        raise VerificationError("chain.form", "a signature is not hexadecimal") from trouble


def deploy_contracts(chain: Chain, deployer_key: EthKey, *, admin: str, operator: str, space_salt: str,
                     seconds: float = 30.0) -> dict[str, dict[str, str]]:
    """Deploy the three contracts and check them; the deployer keeps no role in any.

    `admin` is the regulator's approver, who alone may name other regulators and operators; `operator` may only anchor.
    """
    salt = bytes32(space_salt)
    arguments: dict[str, list[Any]] = {"anchor": [admin, operator], "grants": [admin, salt],
                                       "participants": [admin, salt]}
    nonce = chain.account_nonce(deployer_key.address)
    sent = {}
    for step, (name, given) in enumerate(arguments.items()):
        tx = abi.sign_transaction(deployer_key, chain_id=chain.chain_id, nonce=nonce + step, to=None,
                                  data=abi.creation(name, given), gas=abi.DEPLOY_GAS)
        sent[name] = chain.send_raw(tx.raw)
    deployed = {}
    for name, tx_hash in sent.items():
        address = chain.wait(tx_hash, seconds=seconds).contract
        if address is None:
            raise VerificationError("chain.wrong", "a deployment made no contract")
        chain.check_artifact(name, address)
        deployed[name] = {"address": address, "code_hash": chain.code_hash(address)}
        chain.contracts[name] = address
    return deployed
