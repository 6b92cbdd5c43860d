"""A chain as such: its blocks, code, transactions and finality, under a quorum. Nothing here knows our contracts.

Reads speak of one block ("latest", "finalized" or a number) and refuse a stale head, disagreeing endpoints and a
stranger's chain. Which block is final, and what gas costs, the chain's profile says. A transaction is signed elsewhere,
kept by the caller, then sent; sending it again is always safe.
Nothing here holds a key, a nonce or a row: whoever sends does (ledger.rpc speaks JSON-RPC, ledger.abi makes the bytes;
ledger.chain adds the contracts of a space).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger import abi
from ledger.abi import RawTx, address_bytes
from ledger.errors import ChainRefused, ChainUnavailable, VerificationError
from ledger.keys import keccak256
from ledger.poolanswers import Meaning, meaning
from ledger.profiles import Fee, Finality, profile, refuse_development
from ledger.rpc import Block, BlockTag, EndpointHealth, Rpc, RpcError, hex_bytes, quantity

POLL_EVERY = 0.05
TIP = 10**9
HIGHEST_GAS_PRICE = 500 * 10**9  # an endpoint that says more is not believed


@dataclass(frozen=True)
class TxReceipt:
    hash: str
    status: int
    block: int
    block_hash: str
    contract: str | None = None


class Blockchain:
    """One chain, seen through one or several endpoints."""

    def __init__(self, rpc_urls: Sequence[str], *, quorum: int = 1, expected_chain_id: int | None = None,
                 expected_genesis: str | None = None, timeout: float = 10.0, profile_name: str = "embedded",
                 production: bool = False, now: Callable[[], float] = time.time,
                 proxy: Callable[[str], str | None] | None = None) -> None:
        self.profile = profile(profile_name)
        if production:
            refuse_development(profile_name)
        if not self.profile.idle_blocks and quorum < 2:
            raise VerificationError("chain.quorum", "heads do not show their age here: two endpoints must agree")
        self.rpc = Rpc(rpc_urls, quorum=quorum, chain_id=expected_chain_id, genesis=expected_genesis,
                       timeout=timeout, now=now, production=production, proxy=proxy)
        self._chain_id = expected_chain_id

    def close(self) -> None:
        self.rpc.close()

    @property
    def chain_id(self) -> int:
        if self._chain_id is None:
            self._chain_id = quantity(self.rpc.value("eth_chainId"))
        return self._chain_id

    def genesis_hash(self) -> str:
        return self.rpc.block(0).hash

    def head(self) -> Block:
        return self.rpc.block("latest")

    def block(self, number: int) -> Block:
        return self.rpc.block(number)

    def finalized(self) -> Block:
        """The newest block that will stay, by the rule of the chain's profile."""
        if self.profile.finality is Finality.TAG:
            return self.rpc.block("finalized")
        head = self.rpc.block("latest")
        if self.profile.finality is Finality.INSTANT:
            return head
        return self.rpc.block(max(0, head.number - self.profile.depth))

    def health(self) -> list[EndpointHealth]:
        """Every endpoint's own head, asked now."""
        return self.rpc.health()

    def require_fresh(self) -> None:
        """Refuse to speak of a chain whose head is old, where an old head means anything."""
        if self.profile.idle_blocks:
            self.rpc.require_fresh()

    def gas_price(self) -> int:
        """What a transaction signed now pays."""
        if self.profile.fee is not Fee.HISTORY:
            return self.profile.gas_price
        prices = []
        for url in self.rpc.urls:
            try:
                found = self.rpc.ask(url, "eth_feeHistory", ["0x1", "latest", []])
            except ChainUnavailable:
                continue
            bases = found.get("baseFeePerGas") if isinstance(found, dict) else None
            if isinstance(bases, list) and bases:
                prices.append(2 * quantity(bases[-1]) + TIP)
        if len(prices) < self.rpc.quorum:
            raise ChainUnavailable("chain.fee", "too few endpoints say what gas costs")
        price = sorted(prices)[len(prices) // 2]
        if price > HIGHEST_GAS_PRICE:
            raise ChainUnavailable("chain.fee", "gas costs more than we would ever pay")
        return price

    def code_hash(self, address: str) -> str:
        """keccak256 of the deployed code, as the trust file names it."""
        return "0x" + keccak256(bytes.fromhex(self._code(address).removeprefix("0x"))).hex()

    def check_artifact(self, name: str, address: str) -> None:
        """The deployed code is what our sources compile to."""
        if not abi.matches_artifact(name, self._code(address)):
            raise VerificationError("chain.wrong", f"the code at {address} is not our {abi.CONTRACTS[name]}")

    def state_proofs(self, address: str, slot: str, number: int) -> Iterator[tuple[Any, Any]]:
        """A block and the proof of one storage slot in its state, as each endpoint that answers shows them.

        Not compared: they prove themselves, or whoever takes them refuses (`ledger.chainproof`). The slot is 32 bytes.
        """
        for url in self.rpc.urls:
            try:
                block = self.rpc.ask(url, "eth_getBlockByNumber", [hex(number), False])
                proof = self.rpc.ask(url, "eth_getProof", [address, [slot], hex(number)])
            except ChainUnavailable:
                continue
            if isinstance(block, dict) and isinstance(proof, dict):
                yield block, proof

    # --- transactions

    def account_nonce(self, address: str, block: BlockTag = "latest") -> int:
        """Transactions of this account in the chain so far; those that wait are the sender's own to count."""
        return quantity(self.rpc.value("eth_getTransactionCount", [address, self._pinned(block)]))

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
            if isinstance(answer, str) and answer.lower() == tx.hash:
                return None
            return ChainUnavailable("chain.rpc", "the endpoint took another transaction than ours, or none")
        said = meaning(answer.code, answer.message)
        if said is Meaning.KNOWN:
            return None
        if said is Meaning.NONCE_USED:
            if self.rpc.value("eth_getTransactionByHash", [tx.hash]):
                return None
            return ChainRefused("chain.nonce_taken", f"nonce {tx.nonce} went to another transaction")
        if said is Meaning.REFUSED:
            return ChainRefused("chain.refused", f"the chain does not take the transaction: {answer.message[:200]}")
        return ChainUnavailable("chain.rpc", f"the endpoint does not take it now: {answer.message[:200]}")

    def _pinned(self, block: BlockTag) -> str:
        """The block parameter of a read; "finalized" as this chain's profile understands it."""
        if block != "finalized" or self.profile.finality is Finality.TAG:
            return self.rpc.pinned(block)
        if self.profile.finality is Finality.INSTANT:
            return self.rpc.pinned("latest")
        return hex(self.finalized().number)

    def _call(self, call: Mapping[str, Any], block: BlockTag) -> str:
        answer = self.rpc.agree("eth_call", [dict(call), self._pinned(block)])
        if isinstance(answer, RpcError):
            if answer.reverted:
                raise abi.refusal(answer.data, answer.message)
            raise ChainUnavailable("chain.rpc", f"eth_call: {answer.message[:200]}")
        return hex_bytes(answer)

    def _code(self, address: str) -> str:
        address_bytes(address)
        return hex_bytes(self.rpc.value("eth_getCode", [address, self._pinned("latest")]))
