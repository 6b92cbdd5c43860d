"""Keys and the files they live in: Ed25519 to sign, X25519 to open what is sealed, secp256k1 for the chain.

A key file is JSON, readable by its owner only, and refused otherwise. `coincurve` is imported here and nowhere else.
Nothing here prints or logs a private key, and no object of this file shows one in its `repr`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from coincurve import PrivateKey, PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import load_json, new_id, public_hex
from ledger.ecdsa import CURVE_ORDER, address_of, keccak256
from ledger.errors import VerificationError
from ledger.shapes import fields, hexadecimal, literal, nullable, uuid

__all__ = ["CURVE_ORDER", "EthKey", "KeyFile", "address_of", "keccak256", "recover", "recover_public"]

private = hexadecimal(32)
KEY_FILE = fields({"version": literal(1), "participant": uuid, "signing": private, "sealing": private,
                   "service": nullable(private), "approval": nullable(private)})


class EthKey:
    """A secp256k1 key: an approver's, a node's service key, or the operator's chain key."""

    def __init__(self, secret: str) -> None:
        try:
            self._key = PrivateKey(bytes.fromhex(secret))
        except ValueError as trouble:
            raise VerificationError("key.invalid", "this is not a secp256k1 private key") from trouble

    @classmethod
    def create(cls) -> EthKey:
        return cls(PrivateKey().secret.hex())

    def __repr__(self) -> str:
        return f"EthKey({self.address})"

    @property
    def secret(self) -> str:
        """The private key itself, for the key file and for the chain's door."""
        return self._key.secret.hex()

    @property
    def public(self) -> str:
        return self._key.public_key.format(compressed=False)[1:].hex()

    @property
    def address(self) -> str:
        return address_of(self.public)

    def sign_digest(self, digest: bytes) -> bytes:
        """r, s (the lower one), v of 27 or 28; the same digest gives the same bytes (RFC 6979)."""
        if len(digest) != 32:
            raise ValueError("a digest has 32 bytes")
        raw = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([27 + raw[64]])


def recover_public(digest: bytes, signature: bytes) -> str:
    """The public key (hex, 64 bytes) that made this signature; only the lower s and v 27 or 28 are taken."""
    if len(digest) != 32 or len(signature) != 65 or signature[64] not in (27, 28):
        raise VerificationError("signature.invalid", "not a signature of 65 bytes with v 27 or 28")
    if int.from_bytes(signature[32:64]) > CURVE_ORDER // 2:
        raise VerificationError("signature.invalid", "the signature has the higher s")
    try:
        found = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except Exception as trouble:  # coincurve raises bare Exception
        raise VerificationError("signature.invalid", "no key could have made this signature") from trouble
    return found.format(compressed=False)[1:].hex()


def recover(digest: bytes, signature: bytes) -> str:
    """The address that made this signature."""
    return address_of(recover_public(digest, signature))


@dataclass(frozen=True)
class KeyFile:
    """The keys of one organisation, or of the person who approves for it."""

    participant: str
    signing: Ed25519PrivateKey = field(repr=False)
    sealing: X25519PrivateKey = field(repr=False)
    service: EthKey | None = None
    approval: EthKey | None = None

    @classmethod
    def create(cls, path: str | Path, *, participant: str | None = None, service: bool = False,
               approval: bool = False) -> KeyFile:
        """Make fresh keys and write them; a file that is already there is never overwritten."""
        keys = cls(participant or new_id(), Ed25519PrivateKey.generate(), X25519PrivateKey.generate(),
                   EthKey.create() if service else None, EthKey.create() if approval else None)
        keys._write(path)
        return keys

    def renewed(self, path: str | Path, parts: Collection[str]) -> KeyFile:
        """The same participant's keys in another file: those in `parts` (signing, sealing, service, approval) fresh."""
        made: dict[str, Any] = {"signing": Ed25519PrivateKey.generate, "sealing": X25519PrivateKey.generate,
                                "service": EthKey.create, "approval": EthKey.create}
        keys = replace(self, **{name: made[name]() for name in parts})
        keys._write(path)
        return keys

    def _write(self, path: str | Path) -> None:
        body = json.dumps({
            "version": 1, "participant": self.participant, "signing": self.signing.private_bytes_raw().hex(),
            "sealing": self.sealing.private_bytes_raw().hex(),
            "service": self.service.secret if self.service else None,
            "approval": self.approval.secret if self.approval else None,
        }, indent=1)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(body + "\n")
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: str | Path) -> KeyFile:
        with Path(path).open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:  # of what is read, not of what the name was
                raise VerificationError("key.file_open", f"{path} can be read by others; chmod 600 it")
            value = load_json(file.read())
        KEY_FILE(value, "")
        return cls(value["participant"], Ed25519PrivateKey.from_private_bytes(bytes.fromhex(value["signing"])),
                   X25519PrivateKey.from_private_bytes(bytes.fromhex(value["sealing"])),
                   EthKey(value["service"]) if value["service"] else None,
                   EthKey(value["approval"]) if value["approval"] else None)

    @property
    def signing_public(self) -> str:
        return public_hex(self.signing)

    @property
    def sealing_public(self) -> str:
        return self.sealing.public_key().public_bytes_raw().hex()

    def public_record_keys(self, approvers: tuple[str, ...] = ()) -> dict[str, Any]:
        """The `keys` of a participant record; `approvers` are addresses held in other files."""
        held = ((self.approval.address,) if self.approval else ()) + approvers
        return {"signing": self.signing_public, "sealing": self.sealing_public,
                "approval": [{"scheme": "secp256k1", "address": one} for one in dict.fromkeys(held)],
                "service": self.service.address if self.service else None}
