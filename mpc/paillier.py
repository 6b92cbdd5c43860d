"""Paillier with short exponents (Damgård, Jurik, Nielsen 2010, section 4.2): keys, encryption, slots, opening.

Key: p and q are primes, both 3 modulo 4, with gcd(p-1, q-1) = 2; h = -x^2 mod n for a random unit x; hs = h^n mod n^2.
[m] = (1 + m*n) * hs^a mod n^2, with a of 448 bits for n of 2,048 and 512 bits for n of 3,072: twice the security level
and more, so that generic searches for a cost no less than factoring n. Only keys made here have these properties;
a key from elsewhere (phe's, say) must never be used with short exponents, which is why `Secret` is made by `generate`.
Encryption looks tables up by digits of `a`: do not run it beside a process that may watch the caches.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context

from gmpy2 import gcd, invert, is_prime, mpz, powmod, powmod_base_list

from mpc.ciphertext import SIZES, PublicKey, Vector
from mpc.errors import RangeExceeded

EXPONENT_BITS = {2048: 448, 3072: 512}
WINDOW = 8
ROUNDS = 40


@dataclass(frozen=True)
class Layout:
    """How `count` whole numbers lie in plaintexts: slots of 64*limbs bits, each with room for `parties` summands.

    A slot holds a number modulo 2^ring, ring = 64*limbs - ceil(log2 parties). The sum of `parties` such numbers is
    below 2^(64*limbs), so no slot ever carries into its neighbour; and slots fill at most bits-1 bits, so a plaintext's
    sum is below n. Numbers are signed, and each is below 2^(ring-1) / 2^ceil(log2 parties), so no total wraps.
    """

    count: int
    parties: int
    limbs: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or not 1 <= self.parties <= 1 << 10 or not 1 <= self.limbs <= 4:
            raise RangeExceeded("no such layout: 1 to 1,024 parties, 1 to 4 limbs")

    @property
    def slot(self) -> int:
        return 64 * self.limbs

    @property
    def ring(self) -> int:
        return self.slot - (self.parties - 1).bit_length()

    @property
    def limit(self) -> int:
        """Every single value lies in -limit <= x < limit."""
        return 1 << (self.ring - 1 - (self.parties - 1).bit_length())

    def per_plaintext(self, bits: int) -> int:
        return (bits - 1) // self.slot

    def plaintexts(self, bits: int) -> int:
        return -(-self.count // self.per_plaintext(bits))

    def pack(self, residues: Sequence[int], bits: int) -> list[int]:
        """Residues modulo 2^ring into plaintexts, the first in the lowest bits."""
        if len(residues) != self.count or any(not 0 <= one < 1 << self.ring for one in residues):
            raise RangeExceeded("not as many residues as slots, or one outside its ring")
        size, step = self.slot // 8, self.per_plaintext(bits)
        return [int.from_bytes(b"".join(one.to_bytes(size, "little") for one in residues[at : at + step]), "little")
                for at in range(0, self.count, step)]

    def unpack(self, plaintexts: Sequence[int], bits: int) -> list[int]:
        """Slots of summed plaintexts, reduced modulo 2^ring."""
        size, step, mask = self.slot // 8, self.per_plaintext(bits), (1 << self.ring) - 1
        found: list[int] = []
        for at, plain in enumerate(plaintexts):
            here = min(step, self.count - at * step)
            if plain.bit_length() > here * self.slot:
                raise RangeExceeded("a plaintext is wider than its slots")
            data = plain.to_bytes(here * size, "little")
            found += [int.from_bytes(data[one * size : (one + 1) * size], "little") & mask for one in range(here)]
        return found

    def residue(self, value: int) -> int:
        if not -self.limit <= value < self.limit:
            raise RangeExceeded("a value does not fit its slot")
        return value % (1 << self.ring)

    def signed(self, residue: int) -> int:
        return residue - (1 << self.ring) if residue >> (self.ring - 1) else residue


@dataclass(frozen=True)
class Secret:
    """The key holder's part. Opens; never leaves the consumer."""

    p: int = field(repr=False)
    q: int = field(repr=False)
    hs: int = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.p * self.q, self.hs)

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


def _prime(bits: int) -> int:
    """A random prime, 3 modulo 4, with its two highest bits set (so that a product of two has twice the bits)."""
    while True:
        candidate = secrets.randbits(bits) | 3 << (bits - 2) | 3
        if is_prime(candidate, ROUNDS):
            return candidate


def generate(bits: int = 2048) -> Secret:
    """A fresh key of 2,048 or 3,072 bits. Seconds of work."""
    if bits not in SIZES:
        raise RangeExceeded("a Paillier key has 2048 or 3072 bits")
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        if gcd(p - 1, q - 1) == 2 and abs(p - q).bit_length() > bits // 2 - 100:
            break
    n = p * q
    while True:
        x = secrets.randbelow(n)
        if gcd(x, n) == 1:
            return Secret(p, q, int(powmod(-x * x, n, mpz(n) * n)))


class Encryptor:
    """Encrypts under one public key, with a table of powers of hs (7 MB at 2,048 bits)."""

    def __init__(self, public: PublicKey) -> None:
        self.public = public
        self._n, self._square = mpz(public.n), public.square
        self._bytes = EXPONENT_BITS[public.bits] // WINDOW
        self._table = []
        base = mpz(public.hs)
        for _ in range(self._bytes):
            row = [mpz(1)]
            for _ in range((1 << WINDOW) - 1):
                row.append(row[-1] * base % self._square)
            self._table.append(row)
            base = row[-1] * base % self._square

    def randomness(self) -> mpz:
        """hs^a for a fresh a: drawn once for one ciphertext, never kept."""
        power, square = mpz(1), self._square
        for row, digit in zip(self._table, secrets.token_bytes(self._bytes), strict=True):
            power = power * row[digit] % square
        return power

    def encrypt(self, plaintexts: Sequence[int]) -> Vector:
        n, square = self._n, self._square
        if any(not 0 <= plain < n for plain in plaintexts):
            raise RangeExceeded("a plaintext does not fit the key")
        return [(1 + plain * n) * self.randomness() % square for plain in plaintexts]


@lru_cache(maxsize=2)
def _encryptor(public: PublicKey) -> Encryptor:
    return Encryptor(public)


def _encrypt(public: PublicKey, plaintexts: list[int]) -> Vector:
    return _encryptor(public).encrypt(plaintexts)


def encrypt(public: PublicKey, plaintexts: Sequence[int], *, processes: int = 1) -> Vector:
    """Ciphertexts of the plaintexts; in several processes where there are enough of them to pay for starting those."""
    if processes < 2 or len(plaintexts) < 512:
        return _encrypt(public, list(plaintexts))
    step = -(-len(plaintexts) // processes)
    parts = [list(plaintexts[at : at + step]) for at in range(0, len(plaintexts), step)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [one for part in pool.map(_encrypt, [public] * len(parts), parts) for one in part]
