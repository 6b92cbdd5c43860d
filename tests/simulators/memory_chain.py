"""A chain in memory: real signed bytes, no contracts. It mines on demand, and can be switched off or forget."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from ledger import abi
from ledger.chain import AnchorHead, Block, Chain, ProposalOnChain, RecordOnChain, TxReceipt
from ledger.errors import ChainRefused, ChainUnavailable
from ledger.trust import Trust
from tests.simulators.memory_registry import Registry

FINAL_AFTER = 2


@dataclass
class Switches:
    """What goes wrong, on cue."""

    on: bool = True
    mining: bool = True
    reverting: bool = False


@dataclass
class Mined:
    """What the chain holds."""

    receipts: dict[str, TxReceipt] = field(default_factory=dict)
    waiting: list[abi.RawTx] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    nonces: dict[str, int] = field(default_factory=dict)
    senders: dict[str, str] = field(default_factory=dict)
    registry: Registry = field(default_factory=Registry)
    height: int = 10
    branches: list[int] = field(default_factory=list)

    def hash_of(self, height: int) -> str:
        """Another one on each branch that begins at or under this height."""
        return f"0x{sum(1 for start in self.branches if start <= height):08x}{height:056x}"
    roots: dict[tuple[str, int], str] = field(default_factory=dict)


class MemoryChain(Chain):
    """The portal's door to a chain that exists only here."""

    def __init__(self, trust: Trust) -> None:
        super().__init__(
            ["http://127.0.0.1:1"],
            expected_chain_id=trust.chain.id,
            contracts={name: one.address for name, one in trust.chain.contracts.items()},
        )
        self.profile = replace(self.profile, proofs=False)  # its blocks have a name and no state
        self.switches = Switches()
        self.state = Mined()

    def _asked(self) -> None:
        if not self.switches.on:
            raise ChainUnavailable("chain.unavailable", "switched off")

    def check_contracts(self, trust: Trust) -> None:
        self._asked()

    def check_roles(self, trust: Trust, *, operator: str | None = None) -> None:
        self._asked()

    def head(self) -> Block:
        return self.block(self.state.height)

    def finalized(self) -> Block:
        return self.block(self.state.height - FINAL_AFTER)

    def block(self, number: int) -> Block:
        """A block a second, the newest one now."""
        self._asked()
        return Block(number, self.state.hash_of(number), int(time.time()) - (self.state.height - number))

    def mine(self, blocks: int = 1) -> None:
        """Blocks pass; what waits is in the first of them, unless an earlier nonce is missing."""
        self.state.height += 1
        waiting, self.state.waiting = sorted(self.state.waiting, key=lambda one: one.nonce), []
        for tx in waiting:
            if tx.nonce > self.state.nonces.get(tx.sender, 0):
                self.state.waiting.append(tx)
                continue
            status = 0 if self.switches.reverting else 1
            block_hash = self.state.hash_of(self.state.height)
            self.state.receipts[tx.hash] = TxReceipt(tx.hash, status, self.state.height, block_hash)
            self.state.nonces[tx.sender] = tx.nonce + 1
            self.state.senders[tx.hash] = tx.sender
            if status and tx.to == self.contracts["participants"]:
                done = self.state.registry.apply(tx.data, height=self.state.height, now=int(time.time()))
                status = int(done)
                self.state.receipts[tx.hash] = TxReceipt(tx.hash, status, self.state.height, block_hash)
            if status and tx.to == self.contracts["anchor"]:
                self._anchor(bytes.fromhex(tx.data[10:]))
        self.state.height += blocks - 1

    def _anchor(self, arguments: bytes) -> None:
        """Keep what `Anchor.anchor` was called with; nothing is verified here."""
        log_id, _, size, root = (arguments[at:at + 32] for at in range(0, 128, 32))
        self.state.roots["0x" + log_id.hex(), int.from_bytes(size)] = "0x" + root.hex()

    def anchor_head(self, log_id: str, block: str | int = "latest") -> AnchorHead:
        self._asked()
        sizes = [size for known, size in self.state.roots if known == log_id]
        size = max(sizes, default=0)
        return AnchorHead(self.state.roots.get((log_id, size), "0x" + "00" * 32), size, 0, len(sizes))

    def participant_record(self, participant_id: str, block: str | int = "finalized") -> RecordOnChain | None:
        self._asked()
        return self.state.registry.record(participant_id, self._height(block))

    def participant_proposal(self, participant_id: str, block: str | int = "latest") -> ProposalOnChain | None:
        self._asked()
        return self.state.registry.proposal(participant_id, self._height(block))

    def _height(self, block: str | int) -> int:
        """A height, for a tag."""
        return {"finalized": self.state.height - FINAL_AFTER, "latest": self.state.height}.get(str(block), int(
            block if isinstance(block, int) else 0))

    def root_at(self, log_id: str, size: int, block: str | int = "latest") -> str | None:
        self._asked()
        return self.state.roots.get((log_id, size))

    def account_nonce(self, address: str, block: str | int = "latest") -> int:
        self._asked()
        return self.state.nonces.get(address, 0)

    def send_raw(self, raw: str) -> str:
        self._asked()
        tx = abi.read_transaction(raw)
        self.state.sent.append(tx.hash)
        if tx.hash in self.state.receipts:
            return tx.hash
        if tx.nonce < self.state.nonces.get(tx.sender, 0):
            raise ChainRefused("chain.nonce_taken", "taken")
        self.state.waiting.append(tx)
        if self.switches.mining:
            self.mine()
        return tx.hash

    def receipt(self, tx_hash: str) -> TxReceipt | None:
        self._asked()
        return self.state.receipts.get(tx_hash)

    def reorganise(self, depth: int) -> None:
        """Other blocks take the place of the newest ones; what they held is in no pool either."""
        lost = self.state.height - depth
        gone = [one for one, receipt in self.state.receipts.items() if receipt.block > lost]
        for tx_hash in gone:
            del self.state.receipts[tx_hash]
        for sender in self.state.nonces:
            self.state.nonces[sender] = sum(1 for one in self.state.receipts if self.state.senders[one] == sender)
        self.state.branches.append(lost + 1)

    def forget(self) -> None:
        """Come back from the very beginning, as after a lost snapshot."""
        self.state.branches.append(0)
        self.state.receipts.clear()
        self.state.nonces.clear()
        self.state.roots.clear()
        self.state.height = 10
