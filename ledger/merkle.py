"""The arithmetic of RFC 6962 and RFC 9162 trees: hashes, which subtrees make a proof, and the two verifications.

A proof does not bind the size of its tree: take size and root as one pair, from one checkpoint. Verifications return
nothing and raise, so that a forgotten `if` cannot accept a forgery. Pure: no storage, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from ledger.errors import VerificationError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
Range = tuple[int, int]


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two below `size`, where a tree of more than one leaf is divided."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees [from, to) whose roots are the path of leaf `index`, nearest first."""
    if not 0 <= index < size:
        raise VerificationError("proof.form", f"no leaf {index} in a tree of {size}")
    start, end, found = 0, size, list[Range]()
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The subtrees [from, to) whose roots prove that the tree of `new` leaves begins with that of `old`."""
    if not 0 <= old <= new:
        raise VerificationError("proof.form", f"a tree of {new} cannot have grown out of one of {old}")
    if old in (0, new):
        return []
    start, end, known, found = 0, new, True, list[Range]()
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, known = middle, False
    if not known:
        found.append((start, end))
    return found[::-1]


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a leaf's hash and its path lead to."""
    return path_hashes(leaf, index, size, path)[-1]


def path_hashes(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> list[bytes]:
    """Every node on the way: the leaf's hash first, the root last (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or any(len(one) != HASH_SIZE for one in path):
        raise VerificationError("proof.form", "the inclusion proof is not of this tree")
    position, last, way = index, size - 1, [leaf]
    for sibling in path:
        if last == 0:
            raise VerificationError("proof.form", "the inclusion proof is too long")
        if position & 1 or position == last:
            way.append(node_hash(sibling, way[-1]))
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            way.append(node_hash(way[-1], sibling))
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError("proof.form", "the inclusion proof is too short")
    return way


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], *, root: bytes) -> None:
    if root_from_path(leaf, index, size, path) != root:
        raise VerificationError("proof.inclusion", "the path leads to another root")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], *, old_root: bytes, new_root: bytes) -> None:
    """That the tree of `new` leaves begins with the tree of `old` ones, unchanged."""
    if not 0 <= old <= new or any(len(one) != HASH_SIZE for one in proof):
        raise VerificationError("proof.form", "the consistency proof is not of these trees")
    if old in (0, new):
        if proof or (old == new and old_root != new_root) or (old == 0 and old_root != EMPTY_ROOT):
            raise VerificationError("proof.consistency", "trees of these sizes are joined otherwise")
        return
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        raise VerificationError("proof.form", "the consistency proof is too short")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_seen = new_seen = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise VerificationError("proof.form", "the consistency proof is too long")
        if position & 1 or position == last:
            old_seen, new_seen = node_hash(sibling, old_seen), node_hash(sibling, new_seen)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_seen = node_hash(new_seen, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise VerificationError("proof.form", "the consistency proof is too short")
    if old_seen != old_root or new_seen != new_root:
        raise VerificationError("proof.consistency", "the later tree does not begin with the earlier one")
