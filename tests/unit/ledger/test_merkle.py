"""The tree against RFC 6962's vectors, a recursive definition, a second implementation, and every small size."""

from __future__ import annotations

import secrets
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from ledger.errors import VerificationError
from ledger.log import Log, MemoryStore
from ledger.merkle import EMPTY_ROOT, leaf_hash, root_from_path, split, verify_consistency, verify_inclusion

RFC6962_LEAVES = [bytes.fromhex(one) for one in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]
RFC6962_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"]
SMALL = 33
LARGEST = 257


def log_of(count: int) -> tuple[Log, list[bytes]]:
    leaves = [leaf_hash(number.to_bytes(4)) for number in range(count)]
    log = Log(MemoryStore())
    log.append(leaves)
    return log, leaves


def test_it_works() -> None:
    log, leaves = log_of(7)
    verify_inclusion(leaves[3], 3, 7, log.inclusion(3), root=log.root())
    verify_consistency(3, 7, log.consistency(3), old_root=log.root(3), new_root=log.root())


def test_rfc6962_vectors() -> None:
    log = Log(MemoryStore())
    assert log.root() == EMPTY_ROOT == sha256(b"").digest()
    for data, root in zip(RFC6962_LEAVES, RFC6962_ROOTS, strict=True):
        log.append([leaf_hash(data)])
        assert log.root().hex() == root


class Definition:
    """RFC 6962, sections 2.1 to 2.1.2, word for word over D[0:n]; each subtree's hash is computed once."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self.known: dict[tuple[int, int], bytes] = {}

    def mth(self, start: int, end: int) -> bytes:
        if (start, end) not in self.known:
            if end - start == 1:
                return self.leaves[start]
            k = self.k(end - start)
            whole = b"\x01" + self.mth(start, start + k) + self.mth(start + k, end)
            self.known[start, end] = sha256(whole).digest()
        return self.known[start, end]

    def path(self, m: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        k = self.k(end - start)
        if m < k:
            return [*self.path(m, start, start + k), self.mth(start + k, end)]
        return [*self.path(m - k, start + k, end), self.mth(start, start + k)]

    def subproof(self, m: int, start: int, end: int, known: bool) -> list[bytes]:
        if m == end - start:
            return [] if known else [self.mth(start, end)]
        k = self.k(end - start)
        if m <= k:
            return [*self.subproof(m, start, start + k, known), self.mth(start + k, end)]
        return [*self.subproof(m - k, start + k, end, False), self.mth(start, start + k)]

    @staticmethod
    def k(n: int) -> int:
        k = 1
        while k * 2 < n:
            k *= 2
        return k


def test_every_tree_up_to_257_proves_every_leaf_and_every_ancestor_as_defined() -> None:
    """All 33,153 inclusion and 33,153 consistency proofs: the same hashes as the RFC's own recursion gives, and each
    is accepted. 257 crosses the first tile. The verifiers run on every proof of every third size and of the last."""
    log, leaves = log_of(LARGEST)
    rfc = Definition(leaves)
    proofs = 0
    for size in range(1, LARGEST + 1):
        root = rfc.mth(0, size)
        assert log.root(size) == root
        verified = size % 3 == 0 or size >= 255
        for number in range(size):
            path, steps = log.inclusion(number, size), log.consistency(number + 1, size)
            assert path == rfc.path(number, 0, size)
            assert steps == rfc.subproof(number + 1, 0, size, True)
            proofs += 2
            if verified:
                verify_inclusion(leaves[number], number, size, path, root=root)
                verify_consistency(number + 1, size, steps, old_root=rfc.mth(0, number + 1), new_root=root)
    assert proofs == LARGEST * (LARGEST + 1)


def test_no_path_proves_another_leaf_or_place() -> None:
    log, leaves = log_of(13)
    for index in range(13):
        path = log.inclusion(index)
        for other in range(13):
            if other == index:
                continue
            for leaf, place in ((leaves[other], index), (leaves[index], other)):
                with pytest.raises(VerificationError):
                    verify_inclusion(leaf, place, 13, path, root=log.root())


def test_a_longer_or_shorter_path_is_refused() -> None:
    log, leaves = log_of(13)
    path = log.inclusion(5)
    for wrong in (path[:-1], path[1:], [*path, path[0]], [], [*path[:-1], path[-1][:31]]):
        with pytest.raises(VerificationError):
            verify_inclusion(leaves[5], 5, 13, wrong, root=log.root())


def test_a_rewritten_history_is_not_consistent() -> None:
    log, leaves = log_of(20)
    for changed in range(9):
        forged = Log(MemoryStore())
        forged.append([leaf_hash(b"forged") if at == changed else leaf for at, leaf in enumerate(leaves)])
        with pytest.raises(VerificationError):
            verify_consistency(9, 20, forged.consistency(9), old_root=log.root(9), new_root=forged.root())


def test_empty_and_equal_trees_take_no_proof() -> None:
    log, _ = log_of(4)
    verify_consistency(0, 4, [], old_root=EMPTY_ROOT, new_root=log.root())
    verify_consistency(4, 4, [], old_root=log.root(), new_root=log.root())
    for old, proof, old_root in ((0, [EMPTY_ROOT], EMPTY_ROOT), (4, [log.root()], log.root()),
                                 (4, [], log.root(3)), (0, [], log.root(1)), (5, [], log.root())):
        with pytest.raises(VerificationError):
            verify_consistency(old, 4, proof, old_root=old_root, new_root=log.root())


def test_pymerkle_makes_the_same_roots_and_paths() -> None:
    tree, log = InmemoryTree(algorithm="sha256"), Log(MemoryStore())
    for number in range(SMALL):
        data = secrets.token_bytes(number)
        tree.append_entry(data)
        log.append([leaf_hash(data)])
    for size in range(1, SMALL + 1):
        assert log.root(size) == tree.get_root(size)
        for index in range(size):
            assert log.inclusion(index, size) == tree.prove_inclusion(index + 1, size).path[1:]


@given(st.integers(1, 2**48), st.data())
def test_split_is_the_power_below(size: int, data: st.DataObject) -> None:
    if size > 1:
        assert split(size) < size <= 2 * split(size)
        assert split(size) & (split(size) - 1) == 0
    index = data.draw(st.integers(0, size - 1))
    with pytest.raises(VerificationError):
        root_from_path(bytes(32), index, size, [bytes(32)] * 64)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=5), st.data())
def test_batches_make_the_same_log_as_one_append(batches: list[int], data: st.DataObject) -> None:
    """Tiles of 256 hashes fill and are crossed; where the batches end leaves no trace."""
    log, (whole, leaves) = Log(MemoryStore()), log_of(sum(batches))
    ends = [0]
    for count in batches:
        ends.append(log.append(leaves[ends[-1]:ends[-1] + count]))
        assert log.root() == whole.root(ends[-1])
    for old, new in pairwise(ends):
        verify_consistency(old, new, log.consistency(old, new), old_root=log.root(old), new_root=log.root(new))
    if leaves:
        index = data.draw(st.integers(0, len(leaves) - 1))
        verify_inclusion(leaves[index], index, len(leaves), log.inclusion(index), root=log.root())
        assert log.leaves(index, 2) == leaves[index:index + 2]


def test_a_damaged_tile_is_found() -> None:
    store = MemoryStore()
    log = Log(store)
    log.append([leaf_hash(b"x")] * 300)
    store.tiles[(0, 1)] = store.tiles[(0, 1)][:-32]
    with pytest.raises(VerificationError, match=r"log\.damaged"):
        log.root()
    with pytest.raises(VerificationError, match=r"log\.damaged"):
        log.append([leaf_hash(b"y")])
