"""Which anchor is due, from a log and the chain's head alone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ledger.anchor import log_id_of, next_anchor
from ledger.errors import VerificationError
from ledger.log import Log, MemoryStore
from ledger.merkle import leaf_hash, verify_consistency


@dataclass(frozen=True)
class Head:
    root: str
    size: int


EMPTY = Head("0x" + "00" * 32, 0)


def log_of(count: int, *, word: str = "leaf") -> Log:
    log = Log(MemoryStore())
    log.append([leaf_hash(f"{word} {number}".encode()) for number in range(count)])
    return log


def head_of(log: Log, size: int) -> Head:
    return Head("0x" + log.root(size).hex(), size)


def test_it_works() -> None:
    log = log_of(11)
    first = next_anchor(log, 4, EMPTY, origin="xinglin/a")
    assert first is not None
    assert (first.log_id, first.prev_size, first.size, first.proof) == (log_id_of("xinglin/a"), 0, 4, ())
    then = next_anchor(log, 11, head_of(log, 4), origin="xinglin/a")
    assert then is not None
    verify_consistency(4, 11, [bytes.fromhex(step[2:]) for step in then.proof], old_root=log.root(4),
                       new_root=bytes.fromhex(then.root[2:]))


def test_nothing_is_due_when_the_chain_holds_all() -> None:
    log = log_of(5)
    assert next_anchor(log, 5, head_of(log, 5), origin="xinglin/a") is None
    assert next_anchor(log_of(0), 0, EMPTY, origin="xinglin/a") is None


def test_a_log_that_lost_leaves_is_not_anchored() -> None:
    with pytest.raises(VerificationError) as caught:
        next_anchor(log_of(4), 4, head_of(log_of(9), 9), origin="xinglin/a")
    assert caught.value.code == "anchor.rewound"


@pytest.mark.parametrize("size", [9, 12])
def test_a_log_with_another_history_is_not_anchored(size: int) -> None:
    with pytest.raises(VerificationError) as caught:
        next_anchor(log_of(size, word="other"), size, head_of(log_of(9), 9), origin="xinglin/a")
    assert caught.value.code == "anchor.forked"
