"""What differs between the chains a space may stand on: when a block is final, what a transaction pays, what can be
proved. A table, and nothing else: the door (ledger.blockchain) acts by it.

`embedded` runs here, under every test. The others were never run here, for no node of theirs can be had: their rows
follow the projects' own documents, and the door's behaviour is tested against answers written after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from ledger.errors import VerificationError

DEVELOPMENT_CLIENTS = ("anvil", "hardhat", "ganache", "ethereumjs", "testrpc")


class Finality(StrEnum):
    """How the newest final block is found."""

    TAG = "tag"  # the node knows: the block tag "finalized"
    INSTANT = "instant"  # a block is final as soon as it is there
    DEPTH = "depth"  # so many blocks under the head


class Fee(StrEnum):
    """What a transaction pays for gas."""

    ZERO = "zero"
    FIXED = "fixed"
    HISTORY = "history"  # twice the newest base fee and a tip, both asked once, when the transaction is signed


@dataclass(frozen=True)
class Profile:
    """One kind of chain.

    `proofs`: eth_getProof, and a header whose Keccak hash is the block's. `sealed_headers`: the hash leaves out the
    validators' seals, which extraData carries. `idle_blocks`: blocks come also when nobody sends anything, so that an
    old head means a stale endpoint; where they do not, only agreeing endpoints can show that one is not left behind.
    """

    name: str
    finality: Finality
    fee: Fee
    proofs: bool
    depth: int = 0
    gas_price: int = 0
    sealed_headers: bool = False
    idle_blocks: bool = True
    label: str = ""

    @property
    def development(self) -> bool:
        return self.name == "embedded"


PROFILES: Mapping[str, Profile] = MappingProxyType({one.name: one for one in (
    Profile("embedded", Finality.TAG, Fee.ZERO, proofs=True, label="development chain, one operator"),
    Profile("qbft", Finality.INSTANT, Fee.ZERO, proofs=True, sealed_headers=True,
            label="consortium chain, QBFT"),
    Profile("clique", Finality.DEPTH, Fee.ZERO, proofs=True, depth=12, label="consortium chain, Clique"),
    Profile("fisco", Finality.INSTANT, Fee.ZERO, proofs=False, idle_blocks=False, label="consortium chain, FISCO BCOS"),
    Profile("public", Finality.TAG, Fee.HISTORY, proofs=True, label="public chain"),
)})  # fmt: skip


def profile(name: str) -> Profile:
    """The row of this name; a name nobody knows is wrong, never guessed at."""
    if name not in PROFILES:
        raise VerificationError("chain.profile", f"no chain profile is called {name[:40]}")
    return PROFILES[name]


PORT_OPEN = "(its port is open)"
"""What the embedded chain adds to its name where other processes of the machine can reach past its door."""


def refuse_development(name: str, client: str = "") -> None:
    """For production: neither the embedded profile nor a development node under another name."""
    if profile(name).development:
        raise VerificationError("chain.development", "production does not run on the embedded development chain")
    if client.lower().startswith(DEVELOPMENT_CLIENTS):
        raise VerificationError("chain.development", f"production does not run on {client[:40]}")
