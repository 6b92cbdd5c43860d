"""Anybody can mirror the whole log: a client of the C2SP forms, written here from the specification alone, that fetches
only what lies below /log/ and computes the root itself.
"""

from base64 import b64decode
from hashlib import sha256

import pytest
from django.test import Client

from dataspace.provenance import followers
from dataspace.provenance.models import Event
from tests.simulators.portal_space import Space
from tests.unit.provenance.test_record_and_anchor import happened

Tiles = dict[tuple[int, int], list[bytes]]


def fetch(path: str) -> bytes:
    answer = Client().get(f"/log/{path}")
    assert answer.status_code == 200, path
    return b"".join(answer) if answer.streaming else answer.content


def path_of(number: int) -> str:
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at:at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{one}" for one in groups[:-1]), groups[-1]])


def mirror() -> tuple[int, bytes, Tiles, list[bytes]]:
    """Size and root of the checkpoint, every tile and every leaf."""
    _, size_line, root_line, *_ = fetch("checkpoint").decode().split("\n")
    size, tiles, leaves = int(size_line), dict[tuple[int, int], list[bytes]](), list[bytes]()
    level, count = 0, int(size_line)
    while count:
        for number in range(-(-count // 256)):
            width = min(256, count - number * 256)
            name = path_of(number) + ("" if width == 256 else f".p/{width}")
            data = fetch(f"tile/{level}/{name}")
            assert len(data) == 32 * width
            tiles[level, number] = [data[at:at + 32] for at in range(0, len(data), 32)]
            if level == 0:
                rest = fetch(f"tile/entries/{name}")
                while rest:
                    length = int.from_bytes(rest[:2])
                    leaves.append(rest[2:2 + length])
                    rest = rest[2 + length:]
        level, count = level + 1, count // 256
    return size, b64decode(root_line), tiles, leaves


def root_of(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, over leaf hashes."""
    if len(hashes) == 1:
        return hashes[0]
    at = 1 << (len(hashes) - 1).bit_length() - 1
    return sha256(b"\x01" + root_of(hashes[:at]) + root_of(hashes[at:])).digest()


@pytest.mark.parametrize("batches", [(1,), (255, 1), (256, 44, 230)])
def test_a_mirror_computes_the_signed_root(people: Space, batches: tuple[int, ...]) -> None:
    for count in batches:
        happened(count)
        followers.run_all()
    size, root, tiles, leaves = mirror()
    assert size == sum(batches) == len(leaves)
    hashes = [sha256(b"\x00" + leaf).digest() for leaf in leaves]
    assert root_of(hashes) == root
    assert [one for number in range(-(-size // 256)) for one in tiles[0, number]] == hashes
    for number in range(size // 256):
        assert tiles[1, number // 256][number % 256] == root_of(tiles[0, number])
    kept = {bytes.fromhex(one) for one in Event.objects.values_list("commitment", flat=True)}
    assert set(leaves) == kept, "a leaf is a commitment, and says nothing of its entry"


def test_only_what_is_published_is_shown_and_in_one_spelling(people: Space) -> None:
    client = Client()
    assert client.get("/log/checkpoint").status_code == 404
    happened(300)
    followers.run_all()
    for path in ("tile/0/000", "tile/0/001.p/44", "tile/0/001.p/7", "tile/1/000.p/1", "tile/entries/001.p/44"):
        answer = client.get(f"/log/{path}")
        assert answer.status_code == 200, path
        assert "immutable" in answer["Cache-Control"]
    for path in ("tile/0/001", "tile/0/001.p/45", "tile/0/001.p/0", "tile/0/001.p/044", "tile/0/x000/001.p/44",
                 "tile/0/1.p/44", "tile/00/000", "tile/1/000", "tile/2/000.p/1", "tile/64/000", "tile/-1/000",
                 "tile/entries/001", "tile/entries/../0", "tile/0/" + "x000/" * 9 + "000", "tile/0/٠٠٠", "tile"):
        assert client.get(f"/log/{path}").status_code == 404, path
    assert client.post("/log/checkpoint").status_code in (403, 405)
