"""What may be opened, to whom, and how all parties prove that they mean the same decision.

The rule, in persons. The cells of a table are the leaves of a binary tree, fixed by the dictionary alone; a node stands
for all persons of its cells. For every party the *others'* persons are what counts ("leave one out").
1. A node is strong if for every party the others' persons reach the floor k. A cell that holds sums of a number column
   is strong only if for every party the two largest contributions among the others' persons make up at most 90 % of
   the others' sum: NK(2, 0.9), of squares, and of magnitudes where that does not follow (`Plan.powers`).
2. A node opens its two halves only if both are strong; else every cell under it stays closed. A cell opens if the root
   is strong and every node above the cell opens its halves.
3. The number of missing values of a column opens if the root is strong, and both sides are, persons that lack it and
   persons that have it.
So case and control, zero and full, stay closed together, and of all cells that stay closed within one node nobody can
tell which was too small. No total is opened, of a line or of the table. What this proves: `docs/adr/0006-splits.md`.

The decision is a pattern, one bit a cell, which the consumer alone learns, by putting all sealed parts together: each
holds shares of the bits, and of every number times the bit of its cell. So a number that stays closed is zero in the
sum, and no party knows which are. All parties mean the same decision if they opened the same masked numbers on the way:
outside travels gate_hash = HMAC(gate_key, session || a keyed hash of those); both keys come from 32 random bytes of
each party, and the sealed parts hold gate_key alone.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import combinations
from typing import Any, NamedTuple

from ledger.documents import canonical, load_json
from ledger.errors import LedgerError
from mpc.errors import FloorTooLow, NotOpenable, ProtocolBroken
from mpc.sharing import Limbs, add_up, integers, pack, unpack

Pattern = tuple[bool, ...]
Tree = int | tuple["Tree", "Tree"]
Node = tuple[int, ...]
SHARE_OF_TWO = (9, 10)


def strictest(*floors: int) -> int:
    """k: the largest of all that have a say (spec, grants, local policies, the function itself)."""
    if not floors or min(floors) < 1:
        raise FloorTooLow("a floor is a number from 1")
    return max(floors)


def passes(total: int, own: Sequence[int], floor: int) -> bool:
    """Strong, in the clear: used by the oracle and by tests, never on real counts."""
    return all(total - count >= floor for count in own)


def dominated(contributions: Sequence[Sequence[int]], totals: Sequence[int] | None = None) -> bool:
    """NK(2, 0.9) in the clear, from every person's contribution, by party: for some party two of the others' persons
    hold more than nine tenths of the others' totals. Those are the sums, but on a coarser grid, where contributions are
    rounded up and totals down. Used by the oracle and by tests."""
    part, whole = SHARE_OF_TWO
    totals = list(map(sum, contributions)) if totals is None else totals
    for left in range(len(contributions)):
        others = sorted(value for at, values in enumerate(contributions) if at != left for value in values)
        if whole * sum(others[-2:]) > part * (sum(totals) - totals[left]):
            return True
    return False


def balanced(parts: Sequence[Tree]) -> Tree:
    """The tree over these parts in their order, halved again and again."""
    if len(parts) == 1:
        return parts[0]
    half = (len(parts) + 1) // 2
    return balanced(parts[:half]), balanced(parts[half:])


def leaves(tree: Tree) -> Node:
    """The cells under a node."""
    return (tree,) if isinstance(tree, int) else leaves(tree[0]) + leaves(tree[1])


def nodes(tree: Tree) -> list[Node]:
    """Every node as its cells, the root first."""
    return [leaves(tree)] if isinstance(tree, int) else [leaves(tree), *nodes(tree[0]), *nodes(tree[1])]


def open_leaves(tree: Tree, strong: Callable[[Node], bool]) -> frozenset[int]:
    """The cells that open, by the rule as it is written above; for the oracles."""
    def below(node: Tree) -> frozenset[int]:
        if isinstance(node, int):
            return frozenset({node})
        if not all(strong(leaves(half)) for half in node):
            return frozenset()
        return below(node[0]) | below(node[1])

    return below(tree) if strong(leaves(tree)) else frozenset()


@dataclass(frozen=True)
class Gate:
    """What the parties compare in secret: public, from the plan alone.

    Each party brings one vector of numbers: `counts` numbers of persons, then `tops` triples (sum of contributions,
    largest, second largest). Condition c < counts: count c is strong; the others: triple c - counts is not dominated.
    `needs` names for each cell its conditions, all of which must hold. With cell c open so many numbers as `opens`
    says, its count first, of so many `limbs`.
    """

    counts: int
    tops: int
    needs: tuple[tuple[int, ...], ...]
    opens: tuple[int, ...]
    limbs: int

    @property
    def width(self) -> int:
        """How many numbers each party brings."""
        return self.counts + 3 * self.tops

    @cached_property
    def spans(self) -> tuple[tuple[int, ...], ...]:
        """For each cell the indices of the numbers that open with it: all counts stand first, then the other numbers of
        each cell in turn."""
        spans, at = [], len(self.opens)
        for cell, numbers in enumerate(self.opens):
            spans.append((cell, *range(at, at + numbers - 1)))
            at += numbers - 1
        return tuple(spans)

    def comparisons(self, parties: int) -> int:
        """How many numbers are compared with zero: for each party left out, counts and all that may be the top two."""
        return parties * (self.counts + self.tops * parties * (parties - 1) // 2)

    def decide(self, own: Sequence[Sequence[int]], floor: int) -> Pattern:
        """The same comparisons in the clear, from each party's numbers: for the cleartext engine, not for real data."""
        held = [passes(sum(column), column, floor)
                for column in zip(*(numbers[: self.counts] for numbers in own), strict=True)]
        for at in range(self.counts, self.width, 3):
            held.append(all(margin >= 0 for margin in _margins([numbers[at : at + 3] for numbers in own])))
        return tuple(all(held[condition] for condition in needed) for needed in self.needs)


def _margins(triples: Sequence[Sequence[int]]) -> list[int]:
    """9/10 of the others' sum less any two that may be their largest, times ten, for every party left out."""
    part, whole = SHARE_OF_TWO
    found = []
    for left in range(len(triples)):
        others = [triple for at, triple in enumerate(triples) if at != left]
        total = part * sum(triple[0] for triple in others)
        found += [total - whole * (triple[1] + triple[2]) for triple in others]
        found += [total - whole * (one[1] + other[1]) for one, other in combinations(others, 2)]
    return found


def gate_of(tree: Tree, *, missing: int, tops: int, moments: int = 0, limbs: int = 1) -> Gate:
    """The gate of a table: its tree, then so many columns' missing values (two counts each: without it, with it); every
    leaf has so many triples, and so many numbers beside its count. Counts stand in the order of `nodes`, triples in the
    order of cells."""
    of = {node: at for at, node in enumerate(nodes(tree))}
    cells, counts = len(leaves(tree)), len(of) + 2 * missing
    needs: list[tuple[int, ...]] = [()] * cells

    def conditions(node: Tree) -> tuple[int, ...]:
        own = tuple(range(counts + node * tops, counts + (node + 1) * tops)) if isinstance(node, int) else ()
        return (of[leaves(node)], *own)

    def below(node: Tree, above: tuple[int, ...]) -> None:
        if isinstance(node, int):
            needs[node] = above
            return
        both = above + conditions(node[0]) + conditions(node[1])
        below(node[0], both)
        below(node[1], both)

    below(tree, conditions(tree))
    root = of[leaves(tree)]  # else missing values of two columns bound the persons of a table that stays closed
    pairs = [(root, len(of) + 2 * at, len(of) + 2 * at + 1) for at in range(missing)]
    return Gate(counts, cells * tops, (*needs, *pairs), (1 + moments,) * cells + (1,) * missing, limbs)


class Told(NamedTuple):
    """Something that the computation made known: what, to whom, how many numbers. Never the numbers."""

    what: str
    to: str
    numbers: int


PARTIES_ALL, CONSUMER = "parties", "consumer"
DIFFERENCE, GATE, TOTALS = "own counts minus total", "gate", "totals of open cells"


def told_of(spans: Sequence[Sequence[int]]) -> tuple[Told, ...]:
    """All that the protocol makes known: zeros to the parties, if every one counted right; to the consumer the pattern,
    and the numbers of cells that open, zeros for the others."""
    cells = len(spans)
    return (Told(DIFFERENCE, PARTIES_ALL, cells), Told(GATE, CONSUMER, cells),
            Told(TOTALS, CONSUMER, sum(map(len, spans))))


@dataclass(frozen=True, eq=False)
class Chosen:
    """What one party may seal: shares of all cells' bits, then of every number times the bit of its cell. `masked`:
    what the parties opened to each other for it, the same for all of them. It leaves no party: who knows the masks
    would read the numbers from it."""

    shares: Limbs
    masked: bytes


def gate_key(contributions: Sequence[bytes]) -> bytes:
    """32 bytes that depend on every party's contribution, in order of seats."""
    if any(len(part) != 32 for part in contributions):
        raise ProtocolBroken("a contribution is 32 bytes")
    return sha256(b"xinglin/gate/v1\n" + b"".join(contributions)).digest()


def seen_by(contributions: Sequence[bytes], masked: bytes) -> bytes:
    """32 bytes that are the same for all parties exactly if they opened the same masked numbers. Keyed by what passed
    between parties alone: of a bare hash the dealer, who knows the masks, and the buyer, who knows what opened, could
    try one number after another for what did not."""
    return hmac.new(sha256(b"xinglin/seen/v1\n" + b"".join(contributions)).digest(), masked, sha256).digest()


def gate_hash(key: bytes, session: str, seen: bytes) -> str:
    return hmac.new(key, bytes.fromhex(session) + seen, sha256).hexdigest()


@dataclass(frozen=True, eq=False)
class Opening:
    """One sealed part: everything the consumer needs from one party. `told` is this party's own log of what it helped
    to make known. As bytes: the packed shares, a line feed, and one line of canonical JSON that tells the rest."""

    seat: int
    floor: int
    key: bytes
    seen: bytes
    shares: Limbs
    told: tuple[Told, ...]

    def to_bytes(self) -> bytes:
        return b"\n".join((pack(self.shares), self._line()))

    def _line(self) -> bytes:
        return canonical({
            "type": "xinglin/opening", "version": 2, "seat": self.seat, "floor": self.floor, "gate_key": self.key.hex(),
            "seen": self.seen.hex(), "values": len(self.shares), "limbs": self.shares.shape[1],
            "told": [list(one) for one in self.told],
        })

    @classmethod
    def from_bytes(cls, plain: bytes) -> Opening:
        end = plain.rfind(b"\n")
        try:
            body: Mapping[str, Any] = load_json(plain[end + 1 :])
            if body["type"] != "xinglin/opening" or body["version"] != 2:
                raise NotOpenable("the sealed part is of another kind")
            opening = cls(
                seat=int(body["seat"]), floor=int(body["floor"]), key=bytes.fromhex(body["gate_key"]),
                seen=bytes.fromhex(body["seen"]),
                shares=unpack(memoryview(plain)[: max(end, 0)], int(body["values"])),
                told=tuple(Told(str(what), str(to), int(numbers)) for what, to, numbers in body["told"]),
            )
        except (KeyError, TypeError, ValueError, LedgerError) as trouble:
            raise NotOpenable("the sealed part is malformed") from trouble
        if end < 0 or opening._line() != plain[end + 1 :]:
            raise NotOpenable("the sealed part is malformed")
        return opening


def open_result(plains: Sequence[bytes], *, parties: int, session: str, gate_hash_hex: str,
                spans: Sequence[Sequence[int]], limbs: int) -> tuple[Pattern, list[int]]:
    """Pattern and totals, from the opened envelopes of *every* party; anything less opens nothing. `spans` (for each
    cell the indices of its numbers, its count first) and `limbs` are the plan's."""
    openings = [Opening.from_bytes(plain) for plain in plains]
    if sorted(opening.seat for opening in openings) != list(range(parties)):
        raise NotOpenable("one envelope of every party is needed")
    first = openings[0]
    same = all((item.key, item.seen, item.floor) == (first.key, first.seen, first.floor) for item in openings)
    if not same or not hmac.compare_digest(gate_hash(first.key, session, first.seen), gate_hash_hex):
        raise NotOpenable("the parties do not mean the same decision")
    if any(item.told != told_of(spans) for item in openings):
        raise NotOpenable("a party made more known, or less, than the protocol does")
    cells, width = len(spans), sum(map(len, spans))
    if any(item.shares.shape != (cells + width, limbs) for item in openings):
        raise NotOpenable("the result has another shape than the function")
    opened = integers(add_up([item.shares for item in openings]))
    bits, totals = opened[:cells], opened[cells:]
    if not set(bits) <= {0, 1}:
        raise NotOpenable("the parties' parts do not fit together: whether a cell opens is neither yes nor no")
    for bit, span in zip(bits, spans, strict=True):
        if any(totals[at] for at in span) if not bit else totals[span[0]] < first.floor:
            raise NotOpenable("the parties' parts do not fit together: a cell that opens lies under the floor, or one "
                              "that stays closed is not empty")
    return tuple(bit == 1 for bit in bits), totals
