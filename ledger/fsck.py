"""Whether a log is whole: every root built anew from its leaves and compared with tiles, checkpoints and outside heads.

Streams: leaves come in order, nothing is held but one frontier and the tiles being filled. Pure; where leaves, tiles
and notes come from (SQL, an exported folder) is its caller's part.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from ledger.errors import VerificationError


class Roots(Protocol):
    """What is asked of a log: its size, and its root at a size."""

    @property
    def size(self) -> int: ...

    def root(self, size: int | None = None) -> bytes: ...


@dataclass(frozen=True)
class Head:
    """How long somebody outside knows the log to be; `root` where they know it. `where`: chain, witnesses or mark."""

    where: str
    size: int
    root: bytes | None


def check_not_behind(log: Roots, heads: Iterable[Head]) -> None:
    """Raise `ledger.behind_<where>` if the log is shorter than a head, or has another root at its size."""
    size = log.size
    for head in heads:
        if head.size > size:
            raise VerificationError(f"ledger.behind_{head.where}", (
                f"the {head.where} know(s) a log of {head.size} leaves, this database only {size}: it was restored "
                "from an old backup, or is another space's. Nothing is written. Restore the newest backup, or see "
                "docs/how-to/rescue-the-ledger.md"))
        if head.root is not None and head.size and log.root(head.size) != head.root:
            raise VerificationError(f"ledger.behind_{head.where}", (
                f"the {head.where} know(s) another root at size {head.size}: this database holds another history. "
                "Nothing is written. See docs/how-to/rescue-the-ledger.md"))
