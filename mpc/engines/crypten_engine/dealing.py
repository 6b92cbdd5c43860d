"""Correlated randomness, dealt ahead: what the plan needs, in what order, and how little of it is out at any time.

The plan of a job fixes every piece that it takes: the script, which both sides derive for themselves. Party i and the
dealer share a keystream (from their exchange keys and the session). For every piece of the script, in order:
1. Each party draws its shares of the piece's free numbers from its keystream; all but party 0 also draw their shares of
   the numbers bound by them (the product of a triple, the bits of a mask).
2. The dealer draws the same, computes the bound numbers, and sends party 0 its shares of those. Nobody asks for it.
3. Party 0 takes the piece when its own computation comes to it, says so in an empty message, and waits for nothing.
At most `AHEAD` pieces are out that were not taken. So the dealer's memory and the link's are bounded, its delay is not
on the way of any round, and a revocation that its agent tells it ends the session in its middle. The agent looks at its
book ten times a second, the worker before every piece and at the end at what the agent said: with what is out, and what
is dealt within that tenth, the parties may go on, and nothing is sealed.
A computation that asks for another piece than the script's next ends at once, on every side.
The dealer learns nothing but that a piece was taken; it never sees a message between parties.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc.engines.crypten_engine.kernel import Keystream, int_matmul
from mpc.errors import EngineUnfit, ProtocolBroken
from mpc.sharing import LIMBS, put_columns, take_columns
from mpc.transport.mesh import Mesh

Numbers = np.ndarray[Any, Any]
PIECE, TAKEN = b"T", b"N"
AHEAD = 4
# What a session may have a party or the dealer draw: of one piece, and in all. A gate of 2^20 comparisons takes 2^26.
MOST_BYTES, MOST_IN_ALL = 1 << 26, 1 << 28
MOST_PIECES = 1 << 16
LEAST_WIDTH, MOST_WIDTH = 3, 24  # of a table: whole bytes, and within the quota
WORDS: dict[int, type] = {4: np.uint32, 8: np.uint64}
ADD, XOR = np.add, np.bitwise_xor


@dataclass(frozen=True)
class Field:
    """Numbers of one type and shape, shared by addition modulo their size or by xor; `wide`: elements of the ring of
    totals, a row a limb."""

    shape: tuple[int, ...]
    dtype: type = np.uint64
    xor: bool = False
    wide: bool = False

    @property
    def size(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def drawn(self, stream: Keystream) -> Numbers:
        return stream.draw(self.size).view(self.dtype).reshape(self.shape)

    def read(self, body: memoryview) -> Numbers:
        return np.frombuffer(body, dtype=self.dtype).reshape(self.shape)

    def put(self, into: Numbers, other: Numbers) -> None:
        """Add a share."""
        if self.wide:
            put_columns(into, other)
        else:
            (XOR if self.xor else ADD)(into, other, out=into)

    def take(self, into: Numbers, other: Numbers) -> None:
        """Take a share away."""
        if self.wide:
            take_columns(into, other)
        else:
            (XOR if self.xor else np.subtract)(into, other, out=into)


Layout = tuple[tuple[Field, ...], tuple[Field, ...]]


@dataclass(frozen=True)
class Piece:
    """One entry of a script."""

    kind: str
    shape: tuple[int, ...]

    @property
    def layout(self) -> Layout:
        """Its free and its bound numbers."""
        if self.kind not in KINDS:
            raise EngineUnfit("the dealer does not deal that")
        dimensions, layout, _ = KINDS[self.kind]
        if len(self.shape) != dimensions or any(type(part) is not int or not 0 < part < 2**31 for part in self.shape):
            raise EngineUnfit("a piece of the script has no such shape")
        return layout(*self.shape)

    @property
    def size(self) -> int:
        """Bytes of its message to party 0."""
        return sum(field.size for field in self.layout[1])

    @property
    def drawn(self) -> int:
        """Bytes that each party holds of it, free and bound: what it costs, however little of it is sent."""
        return sum(field.size for fields in self.layout for field in fields)


Script = Sequence[Piece]


def mask(count: int) -> Piece:
    """r of 64 bits shared by addition; by xor its bits in the order of `comparison`, and products of neighbours."""
    return Piece("mask", (count,))


def both(factors: int, size: int) -> Piece:
    """ANDs, bit by bit, of `size` bytes with each of so many others."""
    return Piece("both", (factors, size))


def bit(count: int, octets: int) -> Piece:
    """Bits by xor (eight a byte) and by addition, in words of 4 or 8 bytes."""
    return Piece("bit", (count, octets))


def lookup(count: int, width: int) -> Piece:
    """r of 32 bits by addition; by xor 2^width bits for each r, of which the one at place r modulo 2^width is 1."""
    return Piece("lookup", (count, width))


def choice(cells: int, each: int, limbs: int) -> Piece:
    """Bits r by xor, one a cell, and for each so many a in a ring of so many limbs; by addition there also r, r a."""
    return Piece("choice", (cells, each, limbs))


def product(count: int) -> Piece:
    return Piece("product", (count,))


def matrices(rows: int, inner: int, columns: int) -> Piece:
    return Piece("matrices", (rows, inner, columns))


def truncation(count: int, precision: int) -> Piece:
    """r; r shifted down by the precision; the highest bit of r."""
    if not 0 < precision < 62:
        raise EngineUnfit("no such precision")
    return Piece("truncation", (count, precision))


def _mask_layout(count: int) -> Layout:
    word = Field((count,), np.uint32, xor=True)
    return (Field((count,)),), (word, word, word)


def _make_mask(shape: Sequence[int], free: Sequence[Numbers]) -> list[Numbers]:
    spread = spread_bits(free[0])
    high, low = (spread >> np.uint64(32)).astype(np.uint32), spread.astype(np.uint32)
    return [high, low, high & low & np.uint32(0x7FFFFFFF)]


def _both_layout(factors: int, size: int) -> Layout:
    row, rows = Field((size,), np.uint8, xor=True), Field((factors, size), np.uint8, xor=True)
    return (row, rows), (rows,)


def _bit_layout(count: int, octets: int) -> Layout:
    if octets not in WORDS:
        raise EngineUnfit("no such words")
    return (Field(((count + 7) // 8,), np.uint8, xor=True),), (Field((count,), WORDS[octets]),)


def _lookup_layout(count: int, width: int) -> Layout:
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise EngineUnfit("no such table")
    return (Field((count,), np.uint32),), (Field((count, 1 << width - 3), np.uint8, xor=True),)


def _make_lookup(shape: Sequence[int], free: Sequence[Numbers]) -> list[Numbers]:
    count, width = shape
    at, table = free[0] & np.uint32((1 << width) - 1), np.zeros((count, 1 << width - 3), dtype=np.uint8)
    table[np.arange(count), at >> np.uint32(3)] = np.uint8(128) >> (at & np.uint32(7)).astype(np.uint8)
    return [table]


def _choice_layout(cells: int, each: int, limbs: int) -> Layout:
    if limbs > LIMBS:
        raise EngineUnfit("no such ring")
    numbers = Field((limbs, cells * each), wide=True)
    return (Field(((cells + 7) // 8,), np.uint8, xor=True), numbers), (Field((limbs, cells), wide=True), numbers)


def _make_choice(shape: Sequence[int], free: Sequence[Numbers]) -> list[Numbers]:
    cells, each, limbs = shape
    r = np.zeros((limbs, cells), dtype=np.uint64)
    r[0] = np.unpackbits(free[0], count=cells)
    return [r, free[1] * np.repeat(r[0], each)]


def _truncation_layout(count: int, precision: int) -> Layout:
    return (Field((count,)),), (Field((count,)), Field((count,)))


# What is dealt: how many dimensions, which numbers, and how the bound ones follow from the free ones. Nothing else is.
KINDS: dict[str, tuple[int, Callable[..., Layout], Callable[[Sequence[int], Sequence[Numbers]], list[Numbers]]]] = {
    "mask": (1, _mask_layout, _make_mask),
    "both": (2, _both_layout, lambda shape, free: [free[0] & free[1]]),
    "bit": (2, _bit_layout, lambda shape, free: [np.unpackbits(free[0], count=shape[0]).astype(WORDS[shape[1]])]),
    "lookup": (2, _lookup_layout, _make_lookup),
    "choice": (3, _choice_layout, _make_choice),
    "product": (1, lambda count: ((Field((count,)), Field((count,))), (Field((count,)),)),
                lambda shape, free: [free[0] * free[1]]),
    "matrices": (3, lambda rows, inner, columns: (
        (Field((rows, inner)), Field((inner, columns))), (Field((rows, columns)),)),
        lambda shape, free: [int_matmul(free[0], free[1])]),
    "truncation": (2, _truncation_layout, lambda shape, free: [
        free[0] >> np.uint64(shape[1]), free[0] >> np.uint64(63)]),
}


def spread_bits(words: Numbers) -> Numbers:
    """Bit i of each word goes where the six bits of i, read backwards, point: neighbours end a half apart, and so
    again in each half. Three exchanges of two bits of the place."""
    out = words.copy()
    spare = np.empty(min(len(out), 1 << 14), dtype=np.uint64)
    for start in range(0, len(out), 1 << 14):
        part = out[start : start + (1 << 14)]
        moved = spare[: len(part)]
        for shift, kept in ((31, 0x00000000AAAAAAAA), (14, 0x0000CCCC0000CCCC), (4, 0x00F000F000F000F0)):
            np.right_shift(part, np.uint64(shift), out=moved)
            np.bitwise_xor(moved, part, out=moved)
            np.bitwise_and(moved, np.uint64(kept), out=moved)
            np.bitwise_xor(part, moved, out=part)
            np.left_shift(moved, np.uint64(shift), out=moved)
            np.bitwise_xor(part, moved, out=part)
    return out


def check_script(script: Iterable[Piece]) -> list[Piece]:
    """The script as a list, every piece of a kind on the list, of a lawful shape, within the quotas."""
    found, whole = [], 0
    for piece in script:
        found.append(piece)
        whole += piece.drawn
        if len(found) > MOST_PIECES or piece.drawn > MOST_BYTES or whole > MOST_IN_ALL:
            raise EngineUnfit("a script asks for more than is dealt in one session")
    return found


class Supply:
    """A party's side: takes the pieces in the order of the script, and no other."""

    def __init__(self, mesh: Mesh, stream: Keystream, script: Iterable[Piece]) -> None:
        self._mesh, self._stream, self._script, self._at = mesh, stream, check_script(script), 0

    def take(self, piece: Piece) -> list[Numbers]:
        """This party's shares of the next piece: the free numbers, then the bound ones."""
        if self._at >= len(self._script) or self._script[self._at] != piece:
            raise EngineUnfit("the computation asks for another piece than its plan foresees")
        self._at += 1
        free, bound = piece.layout
        shares = [field.drawn(self._stream) for field in free]
        if self._mesh.seat:
            return shares + [field.drawn(self._stream) for field in bound]
        body, at = memoryview(self._mesh.recv(self._mesh.dealer, PIECE, limit=piece.size)), 0
        for field in bound:
            shares.append(field.read(body[at : at + field.size]))
            at += field.size
        self._mesh.send(self._mesh.dealer, TAKEN, b"")
        return shares

    def finish(self) -> None:
        """Nothing that was foreseen is left over."""
        if self._at != len(self._script):
            raise EngineUnfit("the computation ended before its plan did")


def deal(mesh: Mesh, streams: Sequence[Keystream], script: Iterable[Piece], *, check: Callable[[], None]) -> int:
    """Serve one session until party 0 has taken everything; `check` is asked before every piece and at the end, and may
    raise. Returns the number of pieces."""
    pieces, taken = check_script(script), 0
    for at, piece in enumerate(pieces):
        while at - taken >= AHEAD:
            taken = _taken(mesh, taken)
        check()
        mesh.send(0, PIECE, made(piece, streams))
    while taken < len(pieces):
        taken = _taken(mesh, taken)
    check()
    return len(pieces)


def _taken(mesh: Mesh, before: int) -> int:
    if mesh.recv(0, TAKEN, limit=0):
        raise ProtocolBroken("party 0 tells the dealer more than that it took a piece", about_seat=0)
    return before + 1


def made(piece: Piece, streams: Sequence[Keystream]) -> bytes:
    """Party 0's shares of the bound numbers."""
    free, bound = piece.layout
    totals: list[Numbers] = []
    shares: list[list[Numbers]] = []
    for seat, stream in enumerate(streams):
        for at, field in enumerate(free):
            if seat:
                field.put(totals[at], field.drawn(stream))
            else:
                totals.append(field.drawn(stream))
        shares.append([field.drawn(stream) for field in bound] if seat else [])
    results = KINDS[piece.kind][2](piece.shape, totals)
    for drawn in shares[1:]:
        for field, result, share in zip(bound, results, drawn, strict=True):
            field.take(result, share)
    return b"".join(result.tobytes() for result in results)
