"""The transparency log over whatever keeps its tiles: append, root, inclusion, consistency.

A tile (level, index) is up to 256 hashes of 32 bytes, one after the other: those of the perfect subtrees of 256^level
leaves that begin at index * 256^(level + 1). Full tiles never change. Nothing here locks: appending is for one
at a time, inside the store's transaction, and the store's owner sees to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from ledger.errors import VerificationError
from ledger.merkle import (
    EMPTY_ROOT,
    HASH_SIZE,
    consistency_ranges,
    inclusion_ranges,
    node_hash,
    split,
)

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_SIZE
TileKey = tuple[int, int]
Rows = tuple[bytes, ...]
KEPT_TILES = 4096  # with the hashes above them: 16 kB each


class Store(Protocol):
    """Where a log's tiles live."""

    def size(self) -> int:
        """How many leaves there are."""
        ...

    def tile(self, level: int, index: int) -> bytes:
        """The tile's hashes, or b"" when it is not there."""
        ...

    def save(self, size: int, tiles: Mapping[TileKey, bytes]) -> None:
        """Keep the new size and the tiles that changed, all or nothing."""
        ...


class MemoryStore:
    """A store for tests and for checking a log that somebody else keeps."""

    def __init__(self) -> None:
        self._size = 0
        self.tiles: dict[TileKey, bytes] = {}

    def size(self) -> int:
        return self._size

    def tile(self, level: int, index: int) -> bytes:
        return self.tiles.get((level, index), b"")

    def save(self, size: int, tiles: Mapping[TileKey, bytes]) -> None:
        self._size = size
        self.tiles.update(tiles)


class Log:
    """One log. `size` defaults to all of it; a smaller one looks back at what the log was."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: dict[TileKey, Rows] = {}

    @property
    def size(self) -> int:
        return self._store.size()

    def append(self, leaf_hashes: Sequence[bytes]) -> int:
        """Add leaves in this order; answers the new size, so the first of them got index `new size - count`."""
        changed: dict[TileKey, bytes] = {}
        size = self._store.size()
        for offset, leaf in enumerate(leaf_hashes):
            if len(leaf) != HASH_SIZE:
                raise VerificationError("log.leaf", "a leaf hash has 32 bytes")
            self._put(changed, 0, size + offset, leaf)
        size += len(leaf_hashes)
        if changed:
            self._store.save(size, changed)
        return size

    def _put(self, changed: dict[TileKey, bytes], level: int, position: int, value: bytes) -> None:
        index, inside = divmod(position, TILE_WIDTH)
        key = (level, index)
        tile = changed[key] if key in changed else self._store.tile(level, index) if inside else b""
        if len(tile) != inside * HASH_SIZE:
            raise VerificationError("log.damaged", f"tile {level}/{index} does not hold what the size says")
        changed[key] = tile + value
        if len(changed[key]) == TILE_BYTES:
            self._put(changed, level + 1, index, _perfect_root(changed[key]))

    def root(self, size: int | None = None) -> bytes:
        size = self._known(size)
        return self._reader().range_root(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        reader = self._reader()
        return [reader.range_root(*one) for one in inclusion_ranges(index, self._known(size))]

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        reader = self._reader()
        return [reader.range_root(*one) for one in consistency_ranges(old, self._known(new))]

    def tile(self, level: int, index: int, width: int) -> bytes:
        """The first `width` hashes of a tile."""
        data = self._store.tile(level, index)[:width * HASH_SIZE]
        if len(data) != width * HASH_SIZE:
            raise VerificationError("log.damaged", f"tile {level}/{index} does not hold what the size says")
        return data

    def leaves(self, start: int, count: int) -> list[bytes]:
        """Leaf hashes from `start`, at most `count`."""
        reader, end = self._reader(), min(start + count, self.size)
        return [reader.perfect(0, index) for index in range(start, end)]

    def _reader(self) -> _Reader:
        return _Reader(self._store, self._rows)

    def _known(self, size: int | None) -> int:
        have = self._store.size()
        if size is not None and not 0 <= size <= have:
            raise VerificationError("log.size", f"the log has {have} leaves, not {size}")
        return have if size is None else size


class _Reader:
    """Reads each tile once for one question, and full ones, which never change, once for one log."""

    def __init__(self, store: Store, known: dict[TileKey, Rows]) -> None:
        self._store = store
        self._known = known
        self._seen: dict[TileKey, Rows] = {}

    def perfect(self, height: int, index: int) -> bytes:
        """The root of the perfect subtree of 2^height leaves, the index-th of its height."""
        level, rest = divmod(height, TILE_HEIGHT)
        at = index & (TILE_WIDTH >> rest) - 1
        key = (level, index >> TILE_HEIGHT - rest)
        found = self._rows(key)[rest][at * HASH_SIZE:(at + 1) * HASH_SIZE]
        if len(found) != HASH_SIZE:
            raise VerificationError("log.damaged", f"tile {key[0]}/{key[1]} does not hold what the size says")
        return found

    def _rows(self, key: TileKey) -> Rows:
        found = self._seen.get(key)
        if found is None:
            known = self._known.get(key, (b"",))
            if len(known[0]) == TILE_BYTES:
                return known
            data = self._store.tile(*key)
            found = self._seen[key] = known if known[0] == data else _rows(data)
            self._known.pop(key, None)
            if len(self._known) >= KEPT_TILES:
                del self._known[next(iter(self._known))]
            self._known[key] = found
        return found

    def range_root(self, start: int, end: int) -> bytes:
        width = end - start
        if width & (width - 1) == 0:
            height = width.bit_length() - 1
            return self.perfect(height, start >> height)
        middle = start + split(width)
        return node_hash(self.range_root(start, middle), self.range_root(middle, end))


def _rows(hashes: bytes) -> Rows:
    """The tile's hashes, and row by row the roots of the perfect subtrees above them."""
    rows = [hashes]
    for _ in range(TILE_HEIGHT - 1):
        row = rows[-1]
        pairs = range(0, len(row) // (2 * HASH_SIZE) * 2 * HASH_SIZE, 2 * HASH_SIZE)
        rows.append(b"".join([sha256(b"\x01" + row[at:at + 2 * HASH_SIZE]).digest() for at in pairs]))
    return tuple(rows)


def _perfect_root(hashes: bytes) -> bytes:
    """The root of a full tile."""
    return sha256(b"\x01" + _rows(hashes)[-1]).digest()
