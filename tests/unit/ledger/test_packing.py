"""A receipt has one file: every other way to say the same is refused, and what has no spelling is not written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures import state_trie
from ledger.chainproof import decode, encode, lengthen, long_header, read_header, short_header, shorten
from ledger.documents import canonical, from_b64, to_b64
from ledger.ecdsa import keccak256
from ledger.errors import LedgerError, VerificationError
from ledger.packing import pack, unpack
from ledger.receipt import read_receipt
from tests.simulators.receipts import corpus

GOLDEN = Path(__file__).resolve().parents[3] / "fixtures" / "golden"
Change = Callable[[dict[str, Any]], object]


def golden(name: str = "receipt.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / name).read_bytes())
    return found


def test_it_works() -> None:
    whole = corpus()
    assert len(whole.receipts) > 50
    for _, receipt in whole.receipts:
        assert canonical(unpack(pack(receipt))) == canonical(receipt)


@pytest.mark.parametrize(("name", "most"), [("receipt.small.json", 4_300), ("receipt.json", 6_000)])
def test_a_receipt_stays_light(name: str, most: int) -> None:
    """Six kilobytes for a job at three hospitals, with all that proves it."""
    data = (GOLDEN / name).read_bytes()
    assert len(data) <= most
    assert canonical(pack(read_receipt(data))) == data
    assert len(canonical(read_receipt(data))) > 1.4 * len(data)


def alike_to_own(file: dict[str, Any]) -> None:
    value = file["approvals"]["terms"].pop("max_uses")
    for one in file["approvals"]["grants"]:
        one["terms"]["max_uses"] = value


def said_twice(file: dict[str, Any]) -> None:
    file["approvals"]["grants"][0]["terms"]["max_uses"] = file["approvals"]["terms"]["max_uses"]


def longer_own(file: dict[str, Any]) -> None:
    one = file["approvals"]["grants"][0]["terms"]
    one["own"] = to_b64(from_b64(one["own"]) + b"\0")


def without_seat(file: dict[str, Any]) -> None:
    del file["approvals"]["grants"][0]["terms"]["seat"]


def path_said_again(file: dict[str, Any]) -> None:
    file["chain"]["inclusion"] = to_b64(from_b64(file["inclusion"])[:32] + from_b64(file["chain"]["inclusion"]))


def node_filled_in(file: dict[str, Any]) -> None:
    node = decode(from_b64(file["chain"]["storage"]))
    assert isinstance(node, list)
    file["chain"]["storage"] = to_b64(encode([[one or bytes(32) for one in node[0][:16]] + [b""], *node[1:]]))


def whole_bloom(file: dict[str, Any]) -> None:
    file["chain"]["header"] = to_b64(long_header(from_b64(file["chain"]["header"])))


CHANGES: list[Change] = [
    alike_to_own, said_twice, longer_own, without_seat, path_said_again, node_filled_in, whole_bloom,
    lambda file: file["approvals"]["terms"].update(type="grant_terms"),
    lambda file: file["approvals"]["terms"].update(id=file["space_id"]),
    lambda file: file["approvals"]["grants"][0]["terms"].update(seat=True),
    lambda file: file["approvals"]["grants"][0]["terms"].update(seat=-1),
    lambda file: file["approvals"]["grants"][0]["terms"].update(own=7),
    lambda file: file["approvals"]["terms"].update(roster=[]),
    lambda file: file["approvals"]["terms"].update(functions={"digest": 1}),
    lambda file: file["approvals"]["terms"].update(functions=[{"digest": None}]),
    lambda file: file["approvals"]["custodian"].update(role="custodian"),
    lambda file: file["approvals"]["regulator"].update(service=""),
    lambda file: file["approvals"]["grants"].append(None),
    lambda file: file["approvals"].update(grants=[None] * 3),
    lambda file: file["chain"].update(header=None),
    lambda file: file["chain"].update(header=None, account=None, storage=None, size=2**53 - 1),
    lambda file: file["chain"].update(account="wA"), lambda file: file["chain"].update(storage="gA"),
    lambda file: file["chain"].update(header="wA"), lambda file: file["chain"].update(contract="AA"),
    lambda file: file.update(inclusion=file["inclusion"][:-1]),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_another_spelling_is_refused(change: Change) -> None:
    file = golden()
    change(file)
    with pytest.raises(VerificationError):
        read_receipt(canonical(file))


def test_what_has_no_spelling_is_not_written() -> None:
    """Terms of another space, a dataset off the roster, a grant that the entry does not name: all must be said."""
    receipt = read_receipt((GOLDEN / "receipt.json").read_bytes())
    for step in ("space_id", "dataset", "custodian", "id"):
        wrong = copy.deepcopy(receipt)
        wrong["approvals"][0]["terms"][step] = "00000000-0000-4000-8000-000000000000"
        with pytest.raises(LedgerError):
            pack(wrong)
    for name, value in (("decider", "0x" + "00" * 20), ("service", None)):
        wrong = copy.deepcopy(receipt)
        wrong["approvals"][0]["signatures"][0][name] = value
        with pytest.raises(LedgerError):
            pack(wrong)


def test_a_trie_of_any_shape_comes_back() -> None:
    """Branches, extensions, and nodes so small that they stand inside their parents."""
    for count in (1, 2, 3, 17, 300):
        rows = {bytes([number % 256, number // 256]): b"\1" * (1 + number % 40) for number in range(count)}
        root = state_trie.trie_root(rows)
        for key in list(rows)[:20]:
            proof = state_trie.trie_proof(rows, key)
            short, value = shorten(key, proof)
            assert value == rows[key]
            assert lengthen(key, short, value) == proof
            assert keccak256(lengthen(key, short, value)[0]) == root
            assert keccak256(lengthen(key, short, value + b"!")[0]) != root


def test_a_header_of_any_bloom_comes_back() -> None:
    raw = state_trie.header(bytes(32), 7, 1_795_332_000)
    fields = list(read_header(raw).fields)
    for bloom in (bytes(256), b"\xff" * 256, b"\1" + bytes(255), bytes(255) + b"\x80", b"\1" * 127 + bytes(129),
                  b"\1" * 128 + bytes(128)):
        for uncles in (keccak256(b"\xc0"), bytes(32)):
            header = encode([fields[0], uncles, *fields[2:6], bloom, *fields[7:]])
            assert long_header(short_header(header)) == header
            assert len(short_header(header)) <= len(header)
