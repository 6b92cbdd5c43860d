"""The log's tiles in SQL: the store that `ledger.log` works over. Appending is for the leader, in its transaction."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

from django.db.models import Max

from dataspace.provenance.bulk import copy
from dataspace.provenance.models import Leaf, Tile
from ledger.log import TILE_WIDTH, Log, TileKey


class SqlStore:
    """Tiles and size; leaf rows are written beside, by the recorder."""

    def size(self) -> int:
        last = Leaf.objects.aggregate(last=Max("index"))["last"]
        return 0 if last is None else int(last) + 1

    def tile(self, level: int, index: int) -> bytes:
        data = Tile.objects.filter(level=level, position=index).values_list("data", flat=True).first()
        return b"" if data is None else bytes(data)

    def save(self, size: int, tiles: Mapping[TileKey, bytes]) -> None:
        Tile.objects.bulk_create(
            [Tile(level=level, position=index, data=data) for (level, index), data in tiles.items()],
            update_conflicts=True,
            unique_fields=["level", "position"],
            update_fields=["data"],
        )


def log() -> Log:
    """The space's log."""
    return Log(SqlStore())


def leaves(position: int) -> list[bytes]:
    """The commitments of the `position`-th bundle of 256, as many as there are."""
    start = position * TILE_WIDTH
    rows = Leaf.objects.filter(index__gte=start, index__lt=start + TILE_WIDTH).order_by("index")
    return [bytes.fromhex(one) for one in rows.values_list("event__commitment", flat=True)]


def append(commitments: Sequence[tuple[int, str]]) -> tuple[int, bytes]:
    """Give events, as (number, commitment in hex), the next places; answers the new size and its root."""
    space_log = log()
    hashes = [sha256(b"\x00" + bytes.fromhex(one)).digest() for _, one in commitments]
    size = space_log.append(hashes)
    start = size - len(hashes)
    rows = ((start + offset, number, hashes[offset].hex()) for offset, (number, _) in enumerate(commitments))
    copy(Leaf, ("index", "event_id", "hash"), rows)
    return size, space_log.root(size)
