"""Names and forms of a log's public files: c2sp.org/tlog-tiles. Pure.

`tile/<level>/<N>[.p/<width>]` holds hashes, `tile/entries/<N>[.p/<width>]` the leaves, each after its length. N is
written in groups of three digits, all but the last after an x: 1234067 is x001/x234/067.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ledger.errors import VerificationError
from ledger.log import TILE_HEIGHT, TILE_WIDTH

INDEX = re.compile(r"(?:x[0-9]{3}/)*[0-9]{3}")
NAME = re.compile(rf"({INDEX.pattern})(?:\.p/([1-9][0-9]{{0,2}}))?")
LENGTH = 2


def index_path(index: int) -> str:
    """How a tile's number is spelled in a path."""
    last, rest = f"{index % 1000:03}", index // 1000
    while rest:
        last, rest = f"x{rest % 1000:03}/{last}", rest // 1000
    return last


def name_of(index: int, width: int) -> str:
    """The last part of a tile's path; `width` is 1 to 256, and 256 is a full one."""
    return index_path(index) if width == TILE_WIDTH else f"{index_path(index)}.p/{width}"


def read_name(name: str) -> tuple[int, int]:
    """A tile's number and width, from the last part of its path; in its one spelling, or it is refused."""
    found = NAME.fullmatch(name)
    if found is not None and len(name) <= 40:
        index = int(found[1].replace("x", "").replace("/", ""))
        width = int(found[2]) if found[2] else TILE_WIDTH
        if width <= TILE_WIDTH and name_of(index, width) == name:
            return index, width
    raise VerificationError("log.path", "this is no tile's path")


def width_at(size: int, level: int, index: int) -> int:
    """How many hashes the tile has in a log of this size; level 0 also counts the leaves of a bundle."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def all_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """(level, index, width) of every tile of a log of this size, partial ones as that size has them."""
    level = 0
    while size >> (TILE_HEIGHT * level):
        count = size >> (TILE_HEIGHT * level)
        for index in range((count + TILE_WIDTH - 1) // TILE_WIDTH):
            yield level, index, width_at(size, level, index)
        level += 1


def bundle(leaves: Iterable[bytes]) -> bytes:
    """An entry bundle."""
    return b"".join(len(one).to_bytes(LENGTH) + one for one in leaves)


def read_bundle(data: bytes) -> list[bytes]:
    """The leaves of a bundle."""
    leaves, at = [], 0
    while at < len(data):
        end = at + LENGTH + int.from_bytes(data[at:at + LENGTH])
        if end > len(data):
            raise VerificationError("log.damaged", "an entry bundle ends in the middle of a leaf")
        leaves.append(data[at + LENGTH:end])
        at = end
    return leaves
