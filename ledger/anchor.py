"""What the next anchor says: pure, from the log we hold and the head the chain holds.

A log shorter than what the chain has anchored (a database restored from an old backup) or with another root at that
size is never anchored over: it raises, and somebody has to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.documents import sha256_hex
from ledger.errors import VerificationError


class Roots(Protocol):
    """What is asked of a log: roots and consistency proofs, as bytes."""

    def root(self, size: int) -> bytes: ...

    def consistency(self, old: int, new: int) -> Sequence[bytes]: ...


class Head(Protocol):
    """The chain's newest anchor (ledger.chain.AnchorHead)."""

    @property
    def root(self) -> str: ...

    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class AnchorCall:
    """The arguments of `Anchor.anchor`, 0x where bytes."""

    log_id: str
    prev_size: int
    size: int
    root: str
    proof: tuple[str, ...]


def log_id_of(origin: str) -> str:
    """The log's name on chain."""
    return "0x" + sha256_hex(origin.encode())


def next_anchor(log: Roots, size: int, head: Head, *, origin: str) -> AnchorCall | None:
    """From what is anchored to `size` leaves; None if the chain holds all of it already."""
    if head.size > size:
        raise VerificationError("anchor.rewound", f"the chain holds {head.size} leaves, our log only {size}")
    if head.size and "0x" + log.root(head.size).hex() != head.root.lower():
        raise VerificationError("anchor.forked", f"the chain holds another root at size {head.size} than our log")
    if head.size == size:
        return None
    proof = log.consistency(head.size, size) if head.size else ()
    return AnchorCall(log_id_of(origin), head.size, size, "0x" + log.root(size).hex(),
                      tuple("0x" + step.hex() for step in proof))
