"""Paillier with short exponents (Damgård, Jurik, Nielsen 2010, section 4.2): keys, encryption, slots, opening.

Key: p and q are primes, both 3 modulo 4, with gcd(p-1, q-1) = 2; h = -x^2 mod n for a random unit x; hs = h^n mod n^2.
[m] = (1 + m*n) * hs^a mod n^2, with a of 448 bits for n of 2,048 and 512 bits for n of 3,072: twice the security level
and more, so that generic searches for a cost no less than factoring n. Only keys made here have these properties;
a key from elsewhere (phe's, say) must never be used with short exponents, which is why `Secret` is made by `generate`.
Encryption looks tables up by digits of `a`: do not run it beside a process that may watch the caches.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from multiprocessing import get_context

import gmpy2
from gmpy2 import gcd, invert, is_prime, mpz, powmod, powmod_base_list

from mpc import ciphertext
from mpc.ciphertext import SIZES, PublicKey, Vector
from mpc.errors import ProtocolBroken, RangeExceeded

EXPONENT_BITS = {2048: 448, 3072: 512}
MOST_ENTRIES = 1 << 14  # of tables: 8 MB under a key of 2,048 bits
SQUARING = 0.8  # of a multiplication
ROUNDS = 40


@dataclass(frozen=True)
class Layout:
    """How `count` whole numbers lie in plaintexts: slots of `size` bytes, each with room for `parties` summands.

    A slot holds a number modulo 2^ring, ring = 8*size - ceil(log2 parties). The sum of `parties` such numbers is
    below 2^(8*size), so no slot ever carries into its neighbour; and slots fill at most bits-1 bits, so a plaintext's
    sum is below n. Numbers are signed, and each is below 2^(ring-1) / 2^ceil(log2 parties), so no total wraps.
    All slots together are one long integer here, the first lowest: what is done to each is done to all at once.
    """

    count: int
    parties: int
    size: int = 8

    def __post_init__(self) -> None:
        if self.count < 1 or not 2 <= self.parties <= 1 << 10 or not 2 <= self.size <= 40 or self.limit_bits < 1:
            raise RangeExceeded("no such layout: 2 to 1,024 parties, slots of 2 to 40 bytes")

    @classmethod
    def holding(cls, bound: int, *, count: int, parties: int) -> Layout:
        """The narrowest slots in which every number from -bound to bound fits."""
        spare = 2 * (parties - 1).bit_length() + 1
        return cls(count, parties, max(2, -(-(bound.bit_length() + spare) // 8)))

    @property
    def slot(self) -> int:
        return 8 * self.size

    @property
    def ring(self) -> int:
        return self.slot - (self.parties - 1).bit_length()

    @property
    def limit_bits(self) -> int:
        return self.ring - 1 - (self.parties - 1).bit_length()

    @property
    def limit(self) -> int:
        """Every single value lies in -limit <= x < limit."""
        return 1 << self.limit_bits

    @cached_property
    def full(self) -> int:
        """Every slot at its greatest: 2^ring - 1."""
        return self.repeat((1 << self.ring) - 1)

    @cached_property
    def moduli(self) -> int:
        """2^ring in every slot."""
        return self.repeat(1 << self.ring)

    def repeat(self, number: int) -> int:
        return int.from_bytes(number.to_bytes(self.size, "little") * self.count, "little")

    def per_plaintext(self, bits: int) -> int:
        return (bits - 1) // self.slot

    def plaintexts(self, bits: int) -> int:
        return -(-self.count // self.per_plaintext(bits))

    def join(self, values: Sequence[int]) -> int:
        """Signed values, each as its residue modulo 2^ring in its slot."""
        limit, modulus, size = self.limit, 1 << self.ring, self.size
        if len(values) != self.count or max(values) >= limit or min(values) < -limit:
            raise RangeExceeded("not as many values as slots, or one does not fit its slot")
        return int.from_bytes(b"".join([(one % modulus).to_bytes(size, "little") for one in values]), "little")

    def split(self, whole: int) -> list[int]:
        """Signed values again."""
        half, modulus, size = 1 << (self.ring - 1), 1 << self.ring, self.size
        data = whole.to_bytes(self.count * size, "little")
        found = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
        return [one - modulus if one >= half else one for one in found]

    def add(self, one: int, other: int) -> int:
        """Slot by slot, modulo 2^ring."""
        return (one + other) & self.full

    def subtract(self, one: int, other: int) -> int:
        return (one + self.moduli - other) & self.full

    def random(self, data: bytes) -> int:
        """Uniform slots from uniform bytes, as many as all slots have."""
        if len(data) != self.count * self.size:
            raise RangeExceeded("not as many bytes as the slots have")
        return int.from_bytes(data, "little") & self.full

    def pack(self, whole: int, bits: int) -> list[int]:
        """Into plaintexts, the first slots in the first."""
        if not 0 <= whole < 1 << (self.slot * self.count):
            raise RangeExceeded("more than the slots hold")
        data, step = whole.to_bytes(self.count * self.size, "little"), self.per_plaintext(bits) * self.size
        return [int.from_bytes(data[at : at + step], "little") for at in range(0, len(data), step)]

    def holds(self, plaintexts: Sequence[int], bits: int) -> bool:
        """Whether these are what one party packs: every slot below 2^ring, and nothing beyond the last."""
        step, rings = self.per_plaintext(bits), self.full
        for plain in plaintexts:
            if plain & ~(rings & ((1 << (step * self.slot)) - 1)):
                return False
            rings >>= step * self.slot
        return not rings

    def unpack(self, plaintexts: Sequence[int], bits: int) -> int:
        """Slots of summed plaintexts, each reduced modulo 2^ring."""
        step, parts = self.per_plaintext(bits), []
        for at, plain in enumerate(plaintexts):
            here = min(step, self.count - at * step)
            if here < 1 or plain.bit_length() > here * self.slot:
                raise RangeExceeded("a plaintext is wider than its slots")
            parts.append(plain.to_bytes(here * self.size, "little"))
        return int.from_bytes(b"".join(parts), "little") & self.full


@dataclass(frozen=True)
class Secret:
    """The key holder's part. Opens; never leaves the consumer."""

    p: int = field(repr=False)
    q: int = field(repr=False)
    hs: int = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.p * self.q, self.hs)

    def to_text(self) -> str:
        """For a file that only its owner reads."""
        return json.dumps({"p": f"{self.p:x}", "q": f"{self.q:x}", "hs": f"{self.hs:x}"})

    @classmethod
    def from_text(cls, text: str) -> Secret:
        """One that was made here and written by `to_text`; of any other key nothing is believed."""
        try:
            body = json.loads(text)
            found = cls(*(int(body[name], 16) for name in ("p", "q", "hs")))
        except (KeyError, TypeError, ValueError, RecursionError) as trouble:
            raise ProtocolBroken("not a Paillier secret") from trouble
        n = found.p * found.q
        if found.p.bit_length() != found.q.bit_length() or n.bit_length() not in SIZES or not 1 < found.hs < n * n:
            raise ProtocolBroken("not a Paillier secret of a size that is made here")
        if not _fit(found.p, found.q) or not is_prime(found.p, ROUNDS) or not is_prime(found.q, ROUNDS):
            raise ProtocolBroken("not a Paillier secret that was made here")
        return found

    def open(self, vector: Sequence[mpz], *, threads: int = 1) -> list[int]:
        """The plaintexts, 0 <= m < n: modulo p^2 and q^2 apart, then put together (CRT)."""
        halves = []
        for prime in (mpz(self.p), mpz(self.q)):
            square = prime * prime
            powers = _powers([one % square for one in vector], prime - 1, square, threads)
            scale = invert((powmod(1 + self.p * self.q, prime - 1, square) - 1) // prime, prime)
            halves.append([(power - 1) // prime * scale % prime for power in powers])
        p, q = mpz(self.p), mpz(self.q)
        lift = invert(p, q)
        return [int(low + p * ((high - low) * lift % q)) for low, high in zip(*halves, strict=True)]


def _powers(bases: list[mpz], exponent: mpz, modulus: mpz, threads: int) -> list[mpz]:
    """base^exponent for each; the batch call lets other threads run, a loop over powmod does not."""
    if threads < 2 or len(bases) < 2 * threads:
        return list(powmod_base_list(bases, exponent, modulus))
    step = -(-len(bases) // threads)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda at: powmod_base_list(bases[at : at + step], exponent, modulus),
                         range(0, len(bases), step))
        return [power for part in parts for power in part]


def versions() -> dict[str, str]:
    """What a contribution was made with."""
    return {"gmpy2": gmpy2.version(), "gmp": gmpy2.mp_version(), "xinglin-engine": "paillier/1"}


def _prime(bits: int) -> int:
    """A random prime, 3 modulo 4, with its two highest bits set (so that a product of two has twice the bits)."""
    while True:
        candidate = secrets.randbits(bits) | 3 << (bits - 2) | 3
        if is_prime(candidate, ROUNDS):
            return candidate


def _fit(p: int, q: int) -> bool:
    """What short exponents need of two primes, and that they are not close to each other."""
    return p % 4 == q % 4 == 3 and gcd(p - 1, q - 1) == 2 and abs(p - q).bit_length() > p.bit_length() - 100


def generate(bits: int = 2048) -> Secret:
    """A fresh key of 2,048 or 3,072 bits. Seconds of work."""
    if bits not in SIZES:
        raise RangeExceeded("a Paillier key has 2048 or 3072 bits")
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        if _fit(p, q):
            break
    n = p * q
    while True:
        x = secrets.randbelow(n)
        if gcd(x, n) == 1:
            return Secret(p, q, int(powmod(-x * x, n, mpz(n) * n)))


@dataclass(frozen=True)
class Comb:
    """How powers of one base are looked up (Lim and Lee 1994): the exponent in `teeth` rows of `tables` * `length`
    bits; a column is looked up in one of the tables, and what was found so far squared `length` - 1 times."""

    teeth: int
    tables: int
    length: int

    @property
    def bits(self) -> int:
        return self.teeth * self.tables * self.length

    @property
    def entries(self) -> int:
        return self.tables << self.teeth

    def cost(self, count: int) -> float:
        """In multiplications, for so many powers, tables included."""
        return self.entries + SQUARING * self.bits + count * (self.tables * self.length + SQUARING * (self.length - 1))

    @classmethod
    def for_many(cls, bits: int, count: int) -> Comb:
        """The cheapest of at least so many bits that does not fill the memory."""
        known = [cls(teeth, tables, -(-bits // (teeth * tables)))
                 for teeth in range(1, 14) for tables in range(1, 40) if tables << teeth <= MOST_ENTRIES]
        return min(known, key=lambda one: one.cost(count))


class Encryptor:
    """Encrypts under one public key, with tables of powers of hs: as large as so many ciphertexts pay for."""

    def __init__(self, public: PublicKey, *, expected: int = 1 << 14) -> None:
        self.public = public
        self._n, self._square = mpz(public.n), public.square
        self.comb = Comb.for_many(EXPONENT_BITS[public.bits], expected)
        self._tables: list[list[mpz]] = [[mpz(1)] for _ in range(self.comb.tables)]
        base = mpz(public.hs)
        for _ in range(self.comb.teeth):
            for table in self._tables:
                table += [one * base % self._square for one in table]
                base = powmod(base, 1 << self.comb.length, self._square)

    def randomness(self) -> mpz:
        """hs^a for a fresh a of as many bits as are needed, or a few more: for one ciphertext, never kept. The columns
        of a are drawn in the order in which they are looked up."""
        power, square, teeth = mpz(1), self._square, self.comb.teeth
        columns, mask = secrets.randbits(self.comb.bits), (1 << teeth) - 1
        for at in range(self.comb.length):
            if at:
                power = power * power % square
            for table in self._tables:
                power = power * table[columns & mask] % square
                columns >>= teeth
        return power

    def encrypt(self, plaintexts: Sequence[int]) -> Vector:
        n, square = self._n, self._square
        if any(not 0 <= plain < n for plain in plaintexts):
            raise RangeExceeded("a plaintext does not fit the key")
        return [(1 + plain * n) * self.randomness() % square for plain in plaintexts]


@lru_cache(maxsize=2)
def _encryptor(public: PublicKey) -> Encryptor:
    return Encryptor(public)


def _encrypt(public: PublicKey, width: int, data: bytes) -> bytes:
    """In a process of the pool: bytes in, bytes out; the table stays for the next call under this key."""
    plain = [int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]
    return ciphertext.to_bytes(public, _encryptor(public).encrypt(plain))


class Pool:
    """Processes that encrypt, kept with their tables from one call to the next. Not for a worker that is confined."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def encrypt(self, public: PublicKey, plaintexts: Sequence[int]) -> Vector:
        width = public.bits // 8
        if any(not 0 <= plain < public.n for plain in plaintexts):
            raise RangeExceeded("a plaintext does not fit the key")
        step = max(1, -(-len(plaintexts) // (4 * self.processes)))
        parts = [b"".join(plain.to_bytes(width, "little") for plain in plaintexts[at : at + step])
                 for at in range(0, len(plaintexts), step)]
        count = len(parts)
        done = self._pool.map(_encrypt, [public] * count, [width] * count, parts)
        return ciphertext.numbers(public, b"".join(done))


def encrypt(public: PublicKey, plaintexts: Sequence[int], *, pool: Pool | None = None) -> Vector:
    """Ciphertexts of the plaintexts, here or by a pool."""
    if pool is not None:
        return pool.encrypt(public, plaintexts)
    return Encryptor(public, expected=len(plaintexts)).encrypt(plaintexts)
