"""Paillier ciphertexts as anybody may handle them: read, check, multiply. Holds no key, opens nothing.

A ciphertext lies in the units modulo n^2; the product of two is a ciphertext of the sum of what they hold. The portal
multiplies with this file alone, and the consumer multiplies again with it: nobody need believe a product.
Bytes are big-endian of fixed width, so that equal vectors have equal hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from gmpy2 import gcd, mpz

from mpc.errors import ProtocolBroken

SIZES = (2048, 3072)
Vector = list[mpz]


@dataclass(frozen=True)
class PublicKey:
    """n of 2,048 or 3,072 bits, and hs = h^n mod n^2, the base of all randomness (Damgård, Jurik, Nielsen 2010)."""

    n: int
    hs: int

    def __post_init__(self) -> None:
        if self.n < 0 or self.n.bit_length() not in SIZES or self.n % 2 == 0:
            raise ProtocolBroken("a Paillier key has 2048 or 3072 bits")
        check(self, [mpz(self.hs)])
        if self.hs % self.n in (1, self.n - 1):  # no randomness at all: every ciphertext says what it holds
            raise ProtocolBroken("the base of a Paillier key's randomness is none")

    @property
    def bits(self) -> int:
        return self.n.bit_length()

    @property
    def square(self) -> mpz:
        return mpz(self.n) * self.n

    @property
    def width(self) -> int:
        """Bytes of one ciphertext."""
        return self.bits // 4

    def document(self) -> dict[str, str]:
        return {"n": f"{self.n:x}", "hs": f"{self.hs:x}"}

    @classmethod
    def read(cls, document: object) -> PublicKey:
        """A key from a signed document; whatever is no key is refused."""
        if not isinstance(document, dict) or set(document) != {"n", "hs"}:
            raise ProtocolBroken("a Paillier key has n and hs")
        try:
            key = cls(*(int(document[name], 16) for name in ("n", "hs")))
        except (TypeError, ValueError) as trouble:
            raise ProtocolBroken("a Paillier key is two hexadecimal numbers") from trouble
        if key.document() != document:
            raise ProtocolBroken("a Paillier key is written in one way only")
        return key


def check(key: PublicKey, vector: Iterable[mpz]) -> None:
    """Refuse what is no ciphertext: out of range, or sharing a factor with n (which would give the key away)."""
    square, n, together = key.square, mpz(key.n), mpz(1)
    for one in vector:
        if not 0 < one < square:
            raise ProtocolBroken("not a ciphertext of this key")
        together = together * one % n
    if gcd(together, n) != 1:  # a factor that one shares, their product shares
        raise ProtocolBroken("not a ciphertext of this key")


def product(key: PublicKey, vectors: Sequence[Sequence[mpz]]) -> Vector:
    """Slot by slot, the ciphertext of the sum. All vectors of one length; at least one."""
    if not vectors or len({len(vector) for vector in vectors}) != 1:
        raise ProtocolBroken("contributions of different lengths do not add up")
    square = key.square
    total = [mpz(one) for one in vectors[0]]
    for vector in vectors[1:]:
        total = [have * more % square for have, more in zip(total, vector, strict=True)]
    return total


def to_bytes(key: PublicKey, vector: Iterable[mpz]) -> bytes:
    width = key.width
    return b"".join(int(one).to_bytes(width, "big") for one in vector)


def numbers(key: PublicKey, data: bytes) -> Vector:
    """What `to_bytes` wrote, unchecked: for bytes that are our own."""
    width = key.width
    return [mpz(int.from_bytes(data[at : at + width], "big")) for at in range(0, len(data), width)]


def from_bytes(key: PublicKey, data: bytes, *, count: int) -> Vector:
    """Exactly `count` ciphertexts of this key, each checked."""
    if len(data) != count * key.width:
        raise ProtocolBroken("a contribution has another length than the function")
    vector = numbers(key, data)
    check(key, vector)
    return vector


def hash_of(data: bytes) -> str:
    """What a contributor signs over its ciphertexts."""
    return sha256(b"xinglin/ciphertexts/v1\n" + data).hexdigest()
