"""The log's tiles in SQL: the store that `ledger.log` works over. Appending is for the leader, in its transaction."""

from collections.abc import Mapping

from django.db.models import Max

from dataspace.provenance.models import Leaf, Tile
from ledger.log import Log, TileKey


class SqlStore:
    """Tiles and size; a leaf row is written beside, by the recorder, before the tiles are saved."""

    def size(self) -> int:
        last = Leaf.objects.aggregate(last=Max("index"))["last"]
        return 0 if last is None else int(last) + 1

    def tile(self, level: int, index: int) -> bytes:
        row = Tile.objects.filter(level=level, position=index).first()
        return b"" if row is None else bytes(row.data)

    def save(self, size: int, tiles: Mapping[TileKey, bytes]) -> None:
        for (level, index), data in tiles.items():
            Tile.objects.update_or_create(level=level, position=index, defaults={"data": data})


def log() -> Log:
    """The space's log."""
    return Log(SqlStore())
