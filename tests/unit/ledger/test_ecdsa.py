"""Checking secp256k1 signatures without coincurve, beside coincurve."""

from __future__ import annotations

import secrets

import pytest

from ledger.ecdsa import CURVE_ORDER, recover_key, verify_digest
from ledger.errors import VerificationError
from ledger.keys import EthKey, recover_public


def test_it_works() -> None:
    for _ in range(20):
        key, digest = EthKey.create(), secrets.token_bytes(32)
        signature = key.sign_digest(digest)
        assert recover_key(digest, signature) == recover_public(digest, signature) == key.public
        verify_digest(digest, signature, key.public)


def test_every_bit_of_a_signature_counts() -> None:
    key, digest = EthKey.create(), secrets.token_bytes(32)
    signature = key.sign_digest(digest)
    for bit in [*range(0, 512, 23), *range(512, 520)]:
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VerificationError, match=r"signature\.invalid"):
            verify_digest(digest, bytes(changed), key.public)


def test_the_twin_of_a_signature_is_not_it() -> None:
    """(r, n - s) with the other v is as true to the curve; only one of the two is taken."""
    key, digest = EthKey.create(), secrets.token_bytes(32)
    signature = key.sign_digest(digest)
    s = CURVE_ORDER - int.from_bytes(signature[32:64])
    twin = signature[:32] + s.to_bytes(32) + bytes([55 - signature[64]])
    with pytest.raises(VerificationError, match="higher s"):
        verify_digest(digest, twin, key.public)


def test_the_wrong_v_names_another_key() -> None:
    key, digest = EthKey.create(), secrets.token_bytes(32)
    signature = key.sign_digest(digest)
    other = signature[:64] + bytes([55 - signature[64]])
    assert recover_key(digest, other) == recover_public(digest, other) != key.public
    with pytest.raises(VerificationError, match="last byte"):
        verify_digest(digest, other, key.public)


def test_points_that_are_none_are_refused() -> None:
    digest = secrets.token_bytes(32)
    off = next(r for r in range(1, 99) if pow(r**3 + 7, (2**256 - 2**32 - 978) // 2, 2**256 - 2**32 - 977) != 1)
    for r, s in ((0, 1), (1, 0), (CURVE_ORDER, 1), (off, 1)):
        with pytest.raises(VerificationError):
            recover_key(digest, r.to_bytes(32) + s.to_bytes(32) + b"\x1b")
    with pytest.raises(VerificationError):
        verify_digest(digest, b"\x01" * 64 + b"\x1b", "00" * 64)
