"""Additive sharing over Z_2^256 by per-pair keystreams, and sealing to the consumer's key.

[x] is x held in shares. For the total of one integer vector that every party holds:
1. Each pair of parties agrees on a key: X25519 of their fresh exchange keys, HKDF bound to session and pair.
2. Party i sends nothing: its share is its own vector plus the pair's keystream towards higher seats, minus it towards
   lower seats. All keystreams cancel in the sum; n-1 shares together say nothing about the last party's vector.
3. The low 64 bits of such shares are shares of the same total modulo 2^64: the gate reads the very numbers that
   may later be opened.
Keys live in memory for one session. A keystream is drawn once for one label: `PairKeys` refuses a second draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.errors import NotOpenable, ProtocolBroken, RangeExceeded

WIDTH = 32
RING = 1 << (8 * WIDTH)
HALF = RING >> 1
WORD = 1 << 64
SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


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

    def zero_share(self, count: int, *, label: str, width: int = WIDTH) -> list[int]:
        """This seat's shares of `count` zeros modulo 2^(8*width)."""
        if label in self._drawn:
            raise ProtocolBroken("a keystream is never used twice")
        self._drawn.add(label)
        modulus = 1 << (8 * width)
        total = [0] * count
        for other, key in self._keys.items():
            sign = 1 if other > self.seat else -1
            for index, value in enumerate(_keystream(key, label, count, width)):
                total[index] = (total[index] + sign * value) % modulus
        return total

    def derive(self, other: int, label: str) -> bytes:
        """A key for another use by the same pair."""
        info = f"xinglin/derived/v1|{label}".encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._keys[other])

    def erase(self) -> None:
        self._keys.clear()
        self._drawn.add("")


def _keystream(key: bytes, label: str, count: int, width: int) -> list[int]:
    info = f"xinglin/keystream/v1|{label}|{width}".encode()
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key)
    stream = Cipher(algorithms.AES(derived), modes.CTR(bytes(16))).encryptor().update(bytes(count * width))
    return [int.from_bytes(stream[at : at + width], "big") for at in range(0, count * width, width)]


def share_total(values: Sequence[int], keys: PairKeys, *, label: str = "total") -> list[int]:
    """This seat's shares of the sum, over all seats, of these vectors."""
    if any(not -HALF <= value < HALF for value in values):
        raise RangeExceeded("a value does not fit the ring")
    zeros = keys.zero_share(len(values), label=label)
    return [(value + zero) % RING for value, zero in zip(values, zeros, strict=True)]


def share_own(values: Sequence[int], keys: PairKeys, parties: int, *, label: str = "own") -> list[list[int]]:
    """This seat's 64-bit shares of every seat's own vector: row i shares what seat i holds."""
    width = len(values)
    zeros = keys.zero_share(parties * width, label=label, width=8)
    rows = [zeros[at * width : (at + 1) * width] for at in range(parties)]
    rows[keys.seat] = [(value + zero) % WORD for value, zero in zip(values, rows[keys.seat], strict=True)]
    return rows


def low_words(shares: Sequence[int]) -> list[int]:
    """The same shares modulo 2^64."""
    return [share % WORD for share in shares]


def combine(vectors: Sequence[Sequence[int]]) -> list[int]:
    """Open a total from the shares of every party: signed integers."""
    sums = [sum(column) % RING for column in zip(*vectors, strict=True)]
    return [value - RING if value >= HALF else value for value in sums]


def pack(shares: Sequence[int]) -> bytes:
    return b"".join(share.to_bytes(WIDTH, "big") for share in shares)


def unpack(data: bytes) -> list[int]:
    if len(data) % WIDTH:
        raise NotOpenable("shares are cut short")
    return [int.from_bytes(data[at : at + WIDTH], "big") for at in range(0, len(data), WIDTH)]


def seal(plain: bytes, *, recipient_key: str, info: bytes) -> bytes:
    """HPKE base mode (X25519, HKDF-SHA256, AES-256-GCM), one message: encapsulated key, then ciphertext."""
    return SUITE.encrypt(plain, X25519PublicKey.from_public_bytes(bytes.fromhex(recipient_key)), info)


def open_sealed(sealed: bytes, *, private: X25519PrivateKey, info: bytes) -> bytes:
    try:
        return SUITE.decrypt(sealed, private, info)
    except (InvalidTag, ValueError) as trouble:
        raise NotOpenable("the envelope does not open: other key, other session, or altered") from trouble
