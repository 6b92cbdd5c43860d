"""Keccak and the checking of secp256k1 signatures, for who verifies: standard library, `cryptography` and a keccak.

`cryptography` judges a signature; the arithmetic here only finds which key of the two it was made with, so a fault in
it could refuse and never accept. Nothing here signs, and no private key ever comes in: running time tells nothing.
"""

from __future__ import annotations

from Crypto.Hash import keccak as _keccak
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ledger.errors import VerificationError

FIELD = 2**256 - 2**32 - 977
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
             0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8)
Affine = tuple[int, int]
Jacobian = tuple[int, int, int]
INFINITY: Jacobian = (0, 0, 0)


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash, which is not SHA3-256."""
    return _keccak.new(digest_bits=256, data=data).digest()


def address_of(public: str) -> str:
    """The account of an uncompressed public key (hex, 64 bytes, without the leading 04)."""
    return "0x" + keccak256(bytes.fromhex(public))[-20:].hex()


def read_signature(signature: bytes) -> tuple[int, int, int]:
    """r, s and the parity of a signature of 65 bytes; only the lower s and v 27 or 28 are taken."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise VerificationError("signature.invalid", "not a signature of 65 bytes with v 27 or 28")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:64])
    if not 0 < r < CURVE_ORDER or not 0 < s <= CURVE_ORDER // 2:
        raise VerificationError("signature.invalid", "r or s is out of range, or the signature has the higher s")
    return r, s, signature[64] - 27


def verify_digest(digest: bytes, signature: bytes, public: str) -> None:
    """That this key (hex, 64 bytes) made this very signature over these 32 bytes, v included."""
    _judge(digest, signature, public)
    if recover_key(digest, signature) != public:
        raise VerificationError("signature.invalid", "the signature names another key in its last byte")


def verify_by(digest: bytes, signature: bytes, address: str) -> None:
    """That the key of this account (0x) made this very signature over these 32 bytes, v included."""
    public = recover_key(digest, signature)
    if address_of(public) != address:
        raise VerificationError("signature.invalid", "the signature is not this account's, or not over this")
    _judge(digest, signature, public)


def _judge(digest: bytes, signature: bytes, public: str) -> None:
    """What `cryptography` says of it."""
    r, s, _ = read_signature(signature)
    try:
        key = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), b"\x04" + bytes.fromhex(public))
        key.verify(encode_dss_signature(r, s), digest, ECDSA(Prehashed(SHA256())))
    except (InvalidSignature, ValueError) as trouble:
        raise VerificationError("signature.invalid", "the signature is not this key's, or not over this") from trouble


def recover_key(digest: bytes, signature: bytes) -> str:
    """The public key (hex, 64 bytes) that made this signature."""
    r, s, parity = read_signature(signature)
    if len(digest) != 32:
        raise VerificationError("signature.invalid", "a digest has 32 bytes")
    y = pow(r * r * r + 7, (FIELD + 1) // 4, FIELD)
    if y * y % FIELD != (r * r * r + 7) % FIELD:
        raise VerificationError("signature.invalid", "no key could have made this signature")
    point = (r, y if y & 1 == parity else FIELD - y)
    inverse = pow(r, -1, CURVE_ORDER)
    found = _combine(-int.from_bytes(digest) * inverse % CURVE_ORDER, s * inverse % CURVE_ORDER, point)
    if not found[2]:
        raise VerificationError("signature.invalid", "no key could have made this signature")
    x, y = _flat([found])[0]
    return (x.to_bytes(32) + y.to_bytes(32)).hex()


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    square = y * y % FIELD
    shift, slope = 4 * x * square % FIELD, 3 * x * x % FIELD
    new = (slope * slope - 2 * shift) % FIELD
    return new, (slope * (shift - new) - 8 * square * square) % FIELD, 2 * y * z % FIELD


def _add(point: Jacobian, other: Affine) -> Jacobian:
    x, y, z = point
    if not z:
        return other[0], other[1], 1
    square = z * z % FIELD
    across, slope = (other[0] * square - x) % FIELD, (other[1] * square % FIELD * z - y) % FIELD
    if not across:
        return INFINITY if slope else _double(point)
    second = across * across % FIELD
    third, shift = across * second % FIELD, x * second % FIELD
    new = (slope * slope - third - 2 * shift) % FIELD
    return new, (slope * (shift - new) - y * third) % FIELD, z * across % FIELD


def _flat(points: list[Jacobian]) -> list[Affine]:
    """Affine coordinates of points none of which is infinity, with one inversion for all."""
    products = [1]
    for point in points:
        products.append(products[-1] * point[2] % FIELD)
    inverse, found = pow(products[-1], -1, FIELD), list[Affine]()
    for before, (x, y, z) in zip(products[-2::-1], points[::-1], strict=True):
        one, inverse = inverse * before % FIELD, inverse * z % FIELD
        square = one * one % FIELD
        found.append((x * square % FIELD, y * square % FIELD * one % FIELD))
    return found[::-1]


def _odd_multiples(point: Affine) -> list[Affine]:
    """1, 3, ... 15 times the point; the order is prime, so none of them is infinity."""
    twice = _flat([_double((*point, 1))])[0]
    found: list[Jacobian] = [(*point, 1)]
    for _ in range(7):
        found.append(_add(found[-1], twice))
    return _flat(found)


_GENERATORS = _odd_multiples(GENERATOR)


def _digits(scalar: int) -> list[int]:
    """The scalar in odd digits of -15 to 15 with zeros between them, lowest first."""
    found = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = (scalar & 31) - (32 if scalar & 16 else 0)
            scalar -= digit
        found.append(digit)
        scalar >>= 1
    return found


def _combine(first: int, second: int, point: Affine) -> Jacobian:
    """first times the generator plus second times the point."""
    rows = [(_digits(first), _GENERATORS), (_digits(second), _odd_multiples(point))]
    found = INFINITY
    for place in range(max(len(digits) for digits, _ in rows) - 1, -1, -1):
        if found[2]:
            found = _double(found)
        for digits, multiples in rows:
            digit = digits[place] if place < len(digits) else 0
            if digit > 0:
                found = _add(found, multiples[digit >> 1])
            elif digit:
                x, y = multiples[-digit >> 1]
                found = _add(found, (x, FIELD - y))
    return found
