"""A passkey in software: true signatures over whatever bytes a test likes, and the rows of hostile ones.

The rows are met by the Python check, and by the contract: each is bytes that a lax verifier takes.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256

from ledger.passkey import CURVE_ORDER, Assertion

ORIGIN, HOST = "https://office.example", "office.example"


def client_data(challenge: bytes, origin: str = ORIGIN, *, rest: str = ',"crossOrigin":false}') -> bytes:
    encoded = urlsafe_b64encode(challenge).rstrip(b"=").decode()
    return f'{{"type":"webauthn.get","challenge":"{encoded}","origin":"{origin}"{rest}'.encode()


def authenticator_data(host: str = HOST, flags: int = 0x05, counter: int = 7) -> bytes:
    return sha256(host.encode()).digest() + bytes([flags]) + counter.to_bytes(4)


@dataclass(frozen=True)
class SoftKey:
    """One P-256 key, used on one page."""

    private: EllipticCurvePrivateKey
    origin: str = ORIGIN
    host: str = HOST

    @classmethod
    def create(cls, origin: str = ORIGIN, host: str = HOST) -> SoftKey:
        return cls(generate_private_key(SECP256R1()), origin, host)

    @property
    def public(self) -> dict[str, Any]:
        """As a participant record has it."""
        numbers = self.private.public_key().public_numbers()
        return {"x": f"{numbers.x:064x}", "y": f"{numbers.y:064x}", "rp_id": self.host, "origin": self.origin,
                "device_bound": True}

    def answer(self, challenge: bytes) -> tuple[bytes, bytes, bytes]:
        """DER signature, authenticator data, client data: what a browser hands over."""
        data, client = authenticator_data(self.host), client_data(challenge, self.origin)
        return self.private.sign(data + sha256(client).digest(), ECDSA(SHA256())), data, client

    def sign(self, challenge: bytes, *, flags: int = 0x05, host: str | None = None) -> Assertion:
        return self.sign_raw(authenticator_data(host or self.host, flags), client_data(challenge, self.origin))

    def sign_raw(self, data: bytes | None = None, client: bytes = b"") -> Assertion:
        """A true signature over any bytes, with the lower s."""
        data = authenticator_data(self.host) if data is None else data
        der = self.private.sign(data + sha256(client).digest(), ECDSA(SHA256()))
        public = self.public["x"] + self.public["y"]
        return Assertion.from_browser(public, signature=der, authenticator_data=data, client_data=client)


Row = Callable[[SoftKey, bytes], Assertion]


def _client(make: Callable[[bytes], bytes]) -> Row:
    """A row that changes the client data; `make` gets the bytes up to and with the origin."""
    return lambda key, challenge: key.sign_raw(client=make(client_data(challenge, key.origin, rest="")))


def _data(make: Callable[[bytes], bytes]) -> Row:
    return lambda key, challenge: key.sign_raw(make(authenticator_data(key.host)), client_data(challenge, key.origin))


def _flags(flags: int) -> Row:
    return lambda key, challenge: key.sign(challenge, flags=flags)


def _unused_bits(start: bytes) -> bytes:
    """Another last sign of the challenge that decodes to the same bytes."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = start.index(b'","origin"') - 1
    return start[:place] + bytes([alphabet[alphabet.index(start[place]) ^ 1]]) + start[place + 1:]


def _high_s(key: SoftKey, challenge: bytes) -> Assertion:
    low = key.sign(challenge)
    return replace(low, s=CURVE_ORDER - low.s)


END = b',"crossOrigin":false}'
SOUND: Mapping[str, Row] = MappingProxyType({
    "crossOrigin": _client(lambda start: start + END),
    "no crossOrigin": _client(lambda start: start + b"}"),
    "members behind": _client(lambda start: start + b',"crossOrigin":false,"other_keys_can_be_added_here":"do not '
                              b'compare clientDataJSON against a template. See https://goo.gl/yabPex"}'),
    "extensions": _data(lambda data: data[:32] + b"\x85" + data[33:] + b"\xa0"),
})
HOSTILE: Mapping[str, Row] = MappingProxyType({
    "other challenge": lambda key, challenge: key.sign(sha256(challenge).digest()),
    "other host": lambda key, challenge: key.sign(challenge, host="other.example"),
    "parent domain": lambda key, challenge: key.sign(challenge, host="example"),
    "not verified": _flags(0x01),
    "not present": _flags(0x04),
    "backed up, not eligible": _flags(0x15),
    "synced": _flags(0x1D),
    "may be synced": _flags(0x0D),
    "36 bytes of authenticator data": _data(lambda data: data[:36]),
    "webauthn.create": _client(lambda start: start.replace(b"webauthn.get", b"webauthn.create") + END),
    "empty client data": _client(lambda start: b""),
    "60 bytes of client data": _client(lambda start: (start + END)[:60]),
    "challenge hidden in a string": _client(lambda start: b'{"x":"' + start.replace(b'"', b'\\"') + b'"}'),
    "high s": _high_s,
    "injected in front": _client(lambda start: b'{"a":1,' + start[1:] + END),
    "injected before challenge": _client(lambda start: start.replace(b'"challenge"', b'"a":1,"challenge"') + END),
    "injected before crossOrigin": _client(lambda start: start + b',"a":1' + END),
    "challenge twice, the first another's": _client(
        lambda start: start.replace(b'"challenge"', b'"challenge":"AAAA","challenge"') + END),
    "blanks": _client(lambda start: start.replace(b":", b": ") + END),
    "last brace cut off": _client(lambda start: start + END[:-1]),
    "last brace cut off behind a member": _client(lambda start: start + b',"crossOrigin":false,"a":1'),
    "garbage behind": _client(lambda start: start + END + b"x"),
    "brace behind": _client(lambda start: start + END + b"}"),
    "other origin": _client(lambda start: start.replace(b"office.example", b"other.example") + END),
    "longer origin": _client(lambda start: start.replace(b"office.example", b"office.example.evil.example") + END),
    "other port": _client(lambda start: start.replace(b"office.example", b"office.example:8443") + END),
    "crossOrigin true": _client(lambda start: start + b',"crossOrigin":true}'),
    "base64 with padding": _client(lambda start: start.replace(b'","origin"', b'=","origin"') + END),
    "base64 with changed unused bits": _client(lambda start: _unused_bits(start) + END),
})
