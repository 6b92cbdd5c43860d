"""Passkeys: whether a WebAuthn assertion is one person's signature over 32 bytes, given on one page; and its wire form.

The list of checks is that of `contracts/Passkey.sol`, with one more: the client data is JSON to its end and names no
member twice. The wire form is the ABI encoding that a PasskeyAccount takes, and has one spelling. Standard library,
`cryptography` and our own hashing only: whoever verifies a receipt needs this file. Nothing here signs.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from ledger.documents import load_json
from ledger.ecdsa import keccak256
from ledger.errors import DocumentError, VerificationError

CURVE_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PRESENT_AND_VERIFIED, BACKUP_ELIGIBLE, BACKED_UP = 0x05, 0x08, 0x10
LONGEST = 4096
ORIGIN = re.compile(r"(?:https://([a-z0-9.\-]+)|http://(localhost))(?::[1-9][0-9]{0,4})?")
BEHIND = re.compile(rb'\}|,"crossOrigin":false(?:\}|,.*\})', re.DOTALL)


@dataclass(frozen=True)
class Assertion:
    """What an authenticator gave, as the chain takes it: numbers for the signature, its lower s."""

    x: int
    y: int
    r: int
    s: int
    authenticator_data: bytes
    client_data: bytes

    @classmethod
    def from_browser(cls, public_key: str, *, signature: bytes, authenticator_data: bytes,
                     client_data: bytes) -> Assertion:
        """From navigator.credentials.get(): its DER signature may have the higher s, which is turned to the lower."""
        try:
            r, s = decode_dss_signature(signature)
        except ValueError as trouble:
            raise refused("form", "the signature is not DER") from trouble
        if not 0 < r < CURVE_ORDER or not 0 < s < CURVE_ORDER:
            raise refused("signature", "r or s is out of range")
        x, y = coordinates(public_key)
        return cls(x, y, r, min(s, CURVE_ORDER - s), authenticator_data, client_data)

    @property
    def public_key(self) -> str:
        """x and y, 64 bytes of hex."""
        return f"{self.x:064x}{self.y:064x}"

    @property
    def key_id(self) -> str:
        """How the account contract knows this key, 0x."""
        return key_id(self.public_key)

    def encode(self) -> bytes:
        """ABI encoding of the contract's struct."""
        numbers = b"".join(one.to_bytes(32) for one in (self.x, self.y, self.r, self.s))
        data = _padded(self.authenticator_data)
        return (_word(32) + numbers + _word(192) + _word(192 + len(data)) + data + _padded(self.client_data))

    @classmethod
    def decode(cls, blob: bytes) -> Assertion:
        """From its ABI encoding; any other spelling of the same values is refused."""
        words = [int.from_bytes(blob[start:start + 32]) for start in range(0, 224, 32)]
        try:
            found = cls(words[1], words[2], words[3], words[4], _tail(blob, words[5]), _tail(blob, words[6]))
        except IndexError as trouble:
            raise refused("form", "not the encoding of an assertion") from trouble
        if found.encode() != blob:
            raise refused("form", "not the encoding of an assertion, or not its one spelling")
        return found


def refused(why: str, message: str) -> VerificationError:
    return VerificationError(f"passkey.{why}", message)


def check(assertion: Assertion, key: Mapping[str, Any], *, challenge: bytes) -> None:
    """That this key (x, y, rp_id, origin, device_bound, as a participant record has it) signed these 32 bytes."""
    if assertion.public_key != key["x"] + key["y"]:
        raise refused("other_key", "the assertion is of another key")
    if host_of(key["origin"]) != key["rp_id"]:
        raise refused("rp_id", "the key's RP id is not the exact host of its origin")
    _check_authenticator_data(assertion.authenticator_data, key["rp_id"], key.get("device_bound", True))
    _check_client_data(assertion.client_data, challenge, key["origin"])
    if not 0 < assertion.r < CURVE_ORDER or not 0 < assertion.s <= CURVE_ORDER // 2:
        raise refused("signature", "r or s is out of range, or the signature has the higher s")
    signed = assertion.authenticator_data + sha256(assertion.client_data).digest()
    try:
        public = EllipticCurvePublicNumbers(assertion.x, assertion.y, SECP256R1()).public_key()
        public.verify(encode_dss_signature(assertion.r, assertion.s), signed, ECDSA(SHA256()))
    except (ValueError, InvalidSignature) as trouble:
        raise refused("signature", "the signature is not this key's, or not over this") from trouble


def check_one_of(assertion: Assertion, keys: Iterable[Mapping[str, Any]], *, challenge: bytes) -> None:
    """As `check`, by whichever of a person's keys the assertion is of."""
    key = next((one for one in keys if one["x"] + one["y"] == assertion.public_key), None)
    if key is None:
        raise refused("other_key", "the assertion is of a key that this person does not have")
    check(assertion, key, challenge=challenge)


def host_of(origin: str) -> str:
    """The exact host of an origin, which is the RP id of every key used there: https, or http on localhost."""
    found = ORIGIN.fullmatch(origin)
    if found is None or len(origin) > 128:
        raise refused("origin", "not an origin that a passkey may be used on")
    return found[1] or found[2]


def coordinates(public_key: str) -> tuple[int, int]:
    return int(public_key[:64], 16), int(public_key[64:], 16)


def key_id(public_key: str) -> str:
    return "0x" + keccak256(bytes.fromhex(public_key)).hex()


def _check_authenticator_data(data: bytes, rp_id: str, device_bound: bool) -> None:
    if not 37 <= len(data) <= LONGEST or data[:32] != sha256(rp_id.encode()).digest():
        raise refused("rp_id", "the key was used for another host")
    flags = data[32]
    if flags & PRESENT_AND_VERIFIED != PRESENT_AND_VERIFIED:
        raise refused("not_verified", "the authenticator did not verify the person")
    if flags & BACKED_UP and not flags & BACKUP_ELIGIBLE:
        raise refused("flags", "the authenticator says what cannot be")
    if device_bound and flags & BACKUP_ELIGIBLE:
        raise refused("not_device_bound", "the key may be copied to other devices")


def _check_client_data(data: bytes, challenge: bytes, origin: str) -> None:
    """The beginning must be there to the byte (WebAuthn 5.8.1.2); behind crossOrigin a browser may add members."""
    encoded = urlsafe_b64encode(challenge).rstrip(b"=").decode()
    start = f'{{"type":"webauthn.get","challenge":"{encoded}","origin":"{origin}"'.encode()
    if len(data) > LONGEST or not data.startswith(start) or not BEHIND.fullmatch(data[len(start):]):
        raise refused("client_data", "not signed over this, or not on this page")
    try:
        load_json(data)  # well-formed to its end, no member twice
    except DocumentError as trouble:
        raise refused("client_data", "the client data is not JSON, or names a member twice") from trouble


def _word(value: int) -> bytes:
    return value.to_bytes(32)


def _padded(data: bytes) -> bytes:
    return _word(len(data)) + data + bytes(-len(data) % 32)


def _tail(blob: bytes, offset: int) -> bytes:
    start = 32 + offset
    if start + 32 > len(blob):
        raise IndexError(offset)
    length = int.from_bytes(blob[start:start + 32])
    return blob[start + 32:start + 32 + min(length, len(blob))]
