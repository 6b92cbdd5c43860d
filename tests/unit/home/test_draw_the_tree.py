"""The picture of a proof says what the proof says: sides, hashes, and a root on top."""

import pytest

from ledger.log import Log, MemoryStore
from ledger.merkle import leaf_hash, node_hash, path_hashes
from marketplace.home.tree import BOX, Picture, picture, siblings_left


def grown(size: int) -> Log:
    log = Log(MemoryStore())
    log.append([leaf_hash(bytes([one])) for one in range(size)])
    return log


def drawn(index: int, size: int) -> tuple[Picture, list[bytes], list[bytes]]:
    log = grown(size)
    path = log.inclusion(index, size)
    way = path_hashes(leaf_hash(bytes([index])), index, size, path)
    made = picture(index=index, size=size, hashes=[one.hex() for one in way], path=[one.hex() for one in path])
    return made, way, path


@pytest.mark.parametrize("size", range(1, 34))
def test_it_works(size: int) -> None:
    for index in range(size):
        made, way, path = drawn(index, size)
        for level, left in enumerate(siblings_left(index, size, len(path))):
            pair = (path[level], way[level]) if left else (way[level], path[level])
            assert node_hash(*pair) == way[level + 1]
            own, given = made.boxes[2 * level], made.boxes[2 * level + 1]
            assert (own.hash, given.hash) == (way[level].hex(), path[level].hex())
            assert own.y == given.y and (given.x < own.x) == left and abs(own.x - given.x) >= BOX
        assert made.boxes[-1].hash == grown(size).root().hex()
        assert made.boxes[-1].y == min(box.y for box in made.boxes)
        assert all(0 <= box.x <= made.width - made.box and box.y + made.tall <= made.height for box in made.boxes)


def test_one_entry_is_its_own_root() -> None:
    made, _, _ = drawn(0, 1)
    assert [box.kind for box in made.boxes] == ["leaf"] and not made.lines
