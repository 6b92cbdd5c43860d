"""Whether a log is whole: every root built anew from its leaves and compared with tiles, checkpoints and outside heads.

Leaves come in order, and nothing is held but one path of the tree and the tiles being filled. Pure; where leaves,
tiles and notes come from (SQL, an exported folder) is its caller's part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from ledger.checkpoint import Checkpoint, verify_checkpoint, verify_cosignatures
from ledger.errors import VerificationError
from ledger.log import TILE_HEIGHT, TILE_WIDTH
from ledger.merkle import EMPTY_ROOT, HASH_SIZE

TileReader = Callable[[int, int], bytes]
MOST_FINDINGS = 1000


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


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    code: str
    message: str


@dataclass
class Report:
    """What was found over so many leaves, and the root that they make."""

    size: int = 0
    root: bytes = EMPTY_ROOT
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.findings

    def add(self, code: str, message: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(Finding(code, message))


def check_not_behind(log: Roots, heads: Iterable[Head]) -> None:
    """Raise `ledger.behind_<where>` if the log is shorter than a head, or has another root at its size."""
    size = log.size
    for head in heads:
        if head.size > size:
            raise VerificationError(f"ledger.behind_{head.where}", (
                f"{_who(head.where)} of {head.size} leaves, this database holds {size}: it was restored from an old "
                "backup, or is another space's. Nothing is written. See docs/how-to/rescue-the-ledger.md"))
        if head.root is not None and head.size and log.root(head.size) != head.root:
            raise VerificationError(f"ledger.behind_{head.where}", (
                f"{_who(head.where)} with another root at size {head.size}: this database holds another history. "
                "Nothing is written. See docs/how-to/rescue-the-ledger.md"))


def _who(where: str) -> str:
    return {"chain": "the chain holds a log", "witnesses": "the witnesses have seen a log",
            "mark": "the mark beside the portal's keys is of a log"}.get(where, f"{where} knows a log")


class Builder:
    """A tree that grows leaf by leaf: the roots of its perfect subtrees, and its tiles as they fill."""

    def __init__(self) -> None:
        self.size = 0
        self._path: list[bytes] = []  # of the perfect subtrees, largest first
        self.tiles: list[bytearray] = [bytearray()]

    def add(self, leaf_hash: bytes) -> list[tuple[int, int, bytes]]:
        """One more leaf; the tiles that it filled, as (level, index, hashes)."""
        filled: list[tuple[int, int, bytes]] = []
        height, value, position = 0, leaf_hash, self.size
        self._fill(0, value, filled)
        while position & 1:
            value = sha256(b"\x01" + self._path.pop() + value).digest()
            position, height = position >> 1, height + 1
            if height % TILE_HEIGHT == 0:
                self._fill(height // TILE_HEIGHT, value, filled)
        self._path.append(value)
        self.size += 1
        return filled

    def _fill(self, level: int, value: bytes, filled: list[tuple[int, int, bytes]]) -> None:
        if level == len(self.tiles):
            self.tiles.append(bytearray())
        tile = self.tiles[level]
        tile += value
        if len(tile) == TILE_WIDTH * HASH_SIZE:
            filled.append((level, self.size >> (TILE_HEIGHT * (level + 1)), bytes(tile)))
            tile.clear()

    def root(self) -> bytes:
        if not self._path:
            return EMPTY_ROOT
        value = self._path[-1]
        for one in reversed(self._path[:-1]):
            value = sha256(b"\x01" + one + value).digest()
        return value


def rebuild(leaf_hashes: Iterable[bytes], *, tile: TileReader, claims: Mapping[int, Sequence[tuple[str, bytes]]],
            report: Report | None = None) -> Report:
    """Build the tree anew; `claims` are roots that somebody signed or anchored, by size, each with a word for whose."""
    report, builder, left = report or Report(), Builder(), set(claims)
    for leaf_hash in leaf_hashes:
        for level, index, hashes in builder.add(leaf_hash):
            _compare(report, level, index, hashes, tile(level, index))
        if builder.size in left:
            left.discard(builder.size)
            _compare_roots(report, builder, claims[builder.size])
    for level, rest in enumerate(builder.tiles):
        _compare(report, level, builder.size >> (TILE_HEIGHT * (level + 1)), bytes(rest),
                 tile(level, builder.size >> (TILE_HEIGHT * (level + 1))))
    for size in sorted(left):
        if size:
            whose = ", ".join(sorted({word for word, _ in claims[size]}))
            report.add("log.short", f"{whose}: size {size}, but there are only {builder.size} leaves")
    report.size, report.root = builder.size, builder.root()
    return report


def _compare(report: Report, level: int, index: int, expected: bytes, found: bytes) -> None:
    if found != expected:
        what = "is missing" if not found else "does not hold what the leaves say"
        report.add("log.tile", f"tile {level}/{index} {what}")


def _compare_roots(report: Report, builder: Builder, claimed: Sequence[tuple[str, bytes]]) -> None:
    root = builder.root()
    for word, claim in claimed:
        if claim != root:
            report.add("log.root", f"{word}: another root at size {builder.size} than the leaves make")


def check_note(note: str, *, origin: str, key: str, witnesses: Sequence[str] = (), k: int = 0) -> Checkpoint:
    """A checkpoint that the log signed and, if `k` asks for it, enough witnesses cosigned; or it raises."""
    checkpoint = verify_checkpoint(note, origin=origin, key=key)
    found = verify_cosignatures(note, witnesses)
    if len(found) < k:
        raise VerificationError("checkpoint.witnesses", f"{len(found)} of {k} witnesses have cosigned")
    return checkpoint
