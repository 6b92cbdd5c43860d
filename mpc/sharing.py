"""Additive sharing over Z_2^256 by per-pair keystreams, and sealing to the consumer's key.

[x] is x held in shares. For the total of one integer vector that every party holds:
1. Each pair of parties agrees on a key: X25519 of their fresh exchange keys, HKDF bound to session and pair.
2. Party i sends nothing: its share is its own vector plus the pair's keystream towards higher seats, minus it towards
   lower seats. All keystreams cancel in the sum; n-1 shares together say nothing about the last party's vector.
3. The low 64 bits of such shares are shares of the same total modulo 2^64: the gate reads the very numbers that
   may later be opened.
Keys live in memory for one session. A keystream is drawn once for one label: `PairKeys` refuses a second draw.

A vector of n ring elements is a numpy array (n, 4) of 64-bit limbs, the lowest first, negative numbers in two's
complement; each limb's column lies in one piece. Where dictionary and record prove that no total needs them all
(`Plan.limbs`), the lower limbs alone are shared: numbers modulo 2^64 follow from those modulo 2^256, so what is opened
stays the same. Limb l of element i gets word i of the pair's AES-256-CTR stream that starts at counter l * 2^96. Work
goes by chunks that stay in the cache, so beyond the vector itself no memory is used.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import NotOpenable, ProtocolBroken, RangeExceeded

LIMBS = 4
CHUNK = 1 << 14
DIGIT = np.uint64(0xFFFFFFFF)
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)

Limbs = npt.NDArray[np.uint64]
Words = npt.NDArray[np.uint64]
Integers = Sequence[int] | npt.NDArray[np.int64] | npt.NDArray[np.uint64]


def pair_key(private: X25519PrivateKey, peer: bytes, *, session: str, seat: int, peer_seat: int) -> bytes:
    """32 bytes that only these two seats know, other ones in every session."""
    if seat == peer_seat:
        raise ProtocolBroken("a party has no pair with itself")
    low, high = sorted((seat, peer_seat))
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError as trouble:
        raise ProtocolBroken("a peer's exchange key is no key", about_seat=peer_seat) from trouble
    info = f"xinglin/pair/v1|{low}|{high}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=bytes.fromhex(session), info=info).derive(secret)


class PairKeys:
    """The keys one seat shares with every other seat of the session; draws each label's zero-sharing once."""

    def __init__(self, seat: int, keys: Mapping[int, bytes]) -> None:
        if seat in keys:
            raise ProtocolBroken("a party has no pair with itself")
        self.seat = seat
        self._keys = dict(keys)
        self._drawn: set[str] = set()

    @classmethod
    def agree(cls, private: X25519PrivateKey, peers: Mapping[int, bytes], *, session: str, seat: int) -> PairKeys:
        return cls(seat, {
            other: pair_key(private, public, session=session, seat=seat, peer_seat=other)
            for other, public in peers.items() if other != seat
        })

    def hide(self, columns: Words, *, label: str) -> None:
        """Add this seat's shares of zeros, in place. A row of `columns` is one limb of all elements, the lowest first;
        the sum over all seats is unchanged modulo 2^(64 * limbs)."""
        if label in self._drawn:
            raise ProtocolBroken("a keystream is never used twice")
        if not self._keys:
            raise ProtocolBroken("a party without peers has nothing to hide behind")
        self._drawn.add(label)
        limbs, count = columns.shape
        adder = _Adder(min(count, CHUNK))
        pairs = [(adder.add if other > self.seat else adder.subtract, _streams(key, label, limbs))
                 for other, key in self._keys.items()]
        for at in range(0, count, CHUNK):
            part = columns[:, at : at + CHUNK]
            for apply, streams in pairs:
                apply(part, _drawn(streams, part.shape[1]))

    def derive(self, other: int, label: str) -> bytes:
        """A key for another use by the same pair."""
        info = f"xinglin/derived/v1|{label}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._keys[other])

    def erase(self) -> None:
        """Nothing is hidden, and nothing derived, from here on."""
        self._keys.clear()


def _streams(key: bytes, label: str, limbs: int) -> list[CipherContext]:
    info = f"xinglin/keystream/v1|{label}|{8 * limbs}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)
    return [Cipher(algorithms.AES(derived), modes.CTR((limb << 96).to_bytes(16, "big"))).encryptor()
            for limb in range(limbs)]


def _drawn(streams: Sequence[CipherContext], size: int) -> Iterator[Words]:
    """The next words of each limb's keystream; each is to be used before the next is asked for."""
    zeros, space = bytes(8 * size), bytearray(8 * size)
    for stream in streams:
        stream.update_into(zeros, space)
        yield np.frombuffer(space, np.uint64)


class _Adder:
    """Additions in the ring, in place, limb after limb with carries; holds the room that they need beside."""

    def __init__(self, size: int) -> None:
        self._over, self._again = np.empty(size, np.bool_), np.empty(size, np.bool_)
        self._carry = np.empty(size, np.uint64)

    def add(self, columns: Words, others: Iterable[Words], *, into: Words | None = None) -> None:
        """Into `columns` themselves, or elsewhere."""
        last, size = len(columns) - 1, columns.shape[1]
        over, again, carry = self._over[:size], self._again[:size], self._carry[:size]
        sums = columns if into is None else into
        for at, (limb, other, found) in enumerate(zip(columns, others, sums, strict=True)):
            np.add(limb, other, out=found)
            if at < last:
                np.less(found, other, out=over)
            if at:
                np.add(found, carry, out=found)
            if 0 < at < last:
                np.logical_or(over, np.less(found, carry, out=again), out=over)
            if at < last:
                np.copyto(carry, over)

    def subtract(self, columns: Words, others: Iterable[Words]) -> None:
        last, size = len(columns) - 1, columns.shape[1]
        under, again, borrow = self._over[:size], self._again[:size], self._carry[:size]
        for at, (limb, other) in enumerate(zip(columns, others, strict=True)):
            if at < last:
                np.less(limb, other, out=under)
            np.subtract(limb, other, out=limb)
            if 0 < at < last:
                np.logical_or(under, np.less(limb, borrow, out=again), out=under)
            if at:
                np.subtract(limb, borrow, out=limb)
            if at < last:
                np.copyto(borrow, under)


def words(values: Integers) -> npt.NDArray[np.int64]:
    """Whole numbers as int64, exactly or not at all."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise RangeExceeded("a vector of whole numbers is needed")
        if values.dtype == np.uint64 and values.size and int(values.max()) >= 1 << 63:
            raise RangeExceeded("a value does not fit a word")
        return values.astype(np.int64, copy=False)
    try:
        return np.frombuffer(array("q", values), dtype=np.int64)
    except OverflowError as trouble:
        raise RangeExceeded("a value does not fit a word") from trouble


def limbs(values: Integers, count: int = LIMBS) -> Limbs:
    """Signed whole numbers as ring elements of so many limbs."""
    if not isinstance(values, np.ndarray):
        try:
            return _short_limbs(words(values), count)
        except RangeExceeded:
            return _long_limbs(values, count)
    if values.dtype == np.uint64 and values.ndim == 1 and count > 1:
        return _short_limbs(values.view(np.int64), count, signed=False)
    return _short_limbs(words(values), count)


def _short_limbs(low: npt.NDArray[np.int64], count: int, *, signed: bool = True) -> Limbs:
    columns = np.empty((count, len(low)), np.uint64)
    columns[0] = low.view(np.uint64)
    columns[1:] = (low >> 63).view(np.uint64) if signed else 0
    return columns.T


def _long_limbs(values: Sequence[int], count: int) -> Limbs:
    """The same where some values take more than a word: only those are written out one by one."""
    if not {int, bool} >= set(map(type, values)):
        raise TypeError("a vector of whole numbers is needed")
    whole = np.array(values, dtype=object)
    try:
        long = np.flatnonzero(np.abs(whole.astype(np.float64)) >= 2.0**63)
        data = b"".join([value.to_bytes(8 * count, "little", signed=True) for value in whole[long].tolist()])
    except OverflowError as trouble:
        raise RangeExceeded("a value does not fit the ring") from trouble
    whole[long] = 0
    found = _short_limbs(whole.astype(np.int64), count)
    found[long] = np.frombuffer(data, "<u8").reshape(-1, count)
    return found


def share_total(values: Integers, keys: PairKeys, *, wide: int = LIMBS, label: str = "total") -> Limbs:
    """This seat's shares of the sum, over all seats, of these vectors."""
    shares = limbs(values, wide)
    keys.hide(shares.T, label=label)
    return shares


def share_own(values: Integers, keys: PairKeys, parties: int, *, label: str = "own") -> Words:
    """This seat's 64-bit shares of every seat's own vector: row i shares what seat i holds."""
    own = words(values)
    shares = np.zeros((1, parties * len(own)), np.uint64)
    shares[0, keys.seat * len(own) : (keys.seat + 1) * len(own)] = own.view(np.uint64)
    keys.hide(shares, label=label)
    return shares.reshape(parties, len(own))


def put_columns(columns: Words, others: Words) -> None:
    """Ring elements added in place; both as `PairKeys.hide` takes them, a row a limb, the lowest first."""
    _Adder(columns.shape[1]).add(columns, others)


def take_columns(columns: Words, others: Words) -> None:
    """The same, taken away."""
    _Adder(columns.shape[1]).subtract(columns, others)


def times(columns: Words, factors: Words) -> Words:
    """Products in the ring, element by element: by hand, in digits of 32 bits, since a product of two words takes two.
    A digit's product, the digit that stands there and what is carried make at most 2^64 - 1 together."""
    one, other = _digits(columns), _digits(factors)
    found = np.zeros_like(one)
    for at, digit in enumerate(one):
        carried: Words = np.zeros(one.shape[1], np.uint64)
        for place in range(at, len(one)):
            whole = digit * other[place - at] + found[place] + carried
            found[place], carried = whole & DIGIT, whole >> np.uint64(32)
    return found[0::2] | (found[1::2] << np.uint64(32))


def _digits(columns: Words) -> Words:
    """Twice as many rows, of 32 bits each."""
    return np.stack([columns & DIGIT, columns >> np.uint64(32)], axis=1).reshape(-1, columns.shape[1])


def low_words(shares: Limbs) -> Words:
    """The same shares modulo 2^64."""
    return shares[:, 0].copy()


def add_up(vectors: Sequence[Limbs]) -> Limbs:
    """The sum of these vectors in the ring."""
    first, *others = vectors
    if any(vector.shape != first.shape for vector in others):
        raise NotOpenable("shares of different lengths")
    if not others:
        return first.copy(order="F")
    total = np.empty(first.shape, np.uint64, order="F")
    adder = _Adder(min(len(total), CHUNK))
    for at in range(0, len(total), CHUNK):
        part, summed = slice(at, at + CHUNK), first.T[:, at : at + CHUNK]
        for vector in others:
            adder.add(summed, vector.T[:, part], into=total.T[:, part])
            summed = total.T[:, part]
    return total


def integers(elements: Limbs) -> list[int]:
    """Ring elements as the signed whole numbers they stand for."""
    low = elements[:, 0].view(np.int64)
    found: list[int] = low.tolist()
    long = (elements[:, 1:] != (low >> 63).view(np.uint64)[:, np.newaxis]).any(axis=1)
    places, size = np.flatnonzero(long), 8 * elements.shape[1]
    data = np.ascontiguousarray(elements[places], "<u8").tobytes()
    for at, start in zip(places.tolist(), range(0, len(data), size), strict=True):
        found[at] = int.from_bytes(data[start : start + size], "little", signed=True)
    return found


def combine(vectors: Sequence[Limbs]) -> list[int]:
    """Open a total from the shares of every party: signed integers."""
    return integers(add_up(vectors))


def pack(shares: Limbs) -> memoryview:
    """Each limb's column after the other, the lowest first, 8 bytes a word, the lowest first: the vector's own memory,
    if it lies so already."""
    return np.ascontiguousarray(shares.T, "<u8").reshape(-1).view(np.uint8).data


def unpack(data: bytes | memoryview, count: int) -> Limbs:
    """So many elements, of as many limbs as there are."""
    found, rest = divmod(len(data), 8 * count) if count > 0 else (0, 1)
    if rest or not 0 < found <= LIMBS:
        raise NotOpenable("shares are cut short")
    return np.frombuffer(data, "<u8").reshape(found, count).T.astype(np.uint64, copy=False)


def seal(plain: bytes, *, recipient_key: str, info: bytes) -> bytes:
    """HPKE base mode (X25519, HKDF-SHA256, AES-256-GCM), one message: encapsulated key, then ciphertext."""
    return SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(bytes.fromhex(recipient_key)), info)


def open_sealed(sealed: bytes, *, private: X25519PrivateKey, info: bytes) -> bytes:
    try:
        return SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError) as trouble:
        raise NotOpenable("the envelope does not open: other key, other session, or altered") from trouble
