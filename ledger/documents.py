"""Canonical bytes, hashes and Ed25519 signatures of the space's documents.

A document is a plain dict of the form that `schemas.py` gives its `type`; its bytes are RFC 8785, its hash the SHA-256
of these. What is signed names type and version before the bytes, so that no signature fits another kind of document.
Takes keys, clock and randomness from its caller; reads no file and no network.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.canonical import dumps
from ledger.errors import DocumentError, VerificationError
from ledger.schemas import FIELDS, SCHEMAS, VERSION
from ledger.shapes import TIME_FORM, fields, from_b64, items, malformed, parse_time, signing_key, text, to_b64

__all__ = [
    "canonical", "chain_id_of", "check", "document_hash", "from_b64", "load_json", "new_document", "new_id",
    "new_salt", "parse_time", "public_hex", "purpose_hash", "read_signed", "sha256_hex", "sign", "signed",
    "signed_bytes", "timestamp", "to_b64", "verify_signed",
]

Document = dict[str, Any]
MAX_DEPTH = 64
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an open one runs to the end: nothing is searched twice
BRACKETS = re.compile(r"[][{}]")
SIGNED = fields({
    "document": lambda value, pointer: None,
    "signatures": items(fields({"key": signing_key, "value": text(86, 86)}), 0, 8),
})


def canonical(value: object) -> bytes:
    """RFC 8785: the one spelling of a JSON value."""
    try:
        return dumps(value)
    except (ValueError, RecursionError) as trouble:
        raise DocumentError("document.malformed", f"/: has no canonical form: {trouble}") from trouble


def sha256_hex(data: bytes) -> str:
    return sha256(data).hexdigest()


def document_hash(document: Mapping[str, Any]) -> str:
    return sha256_hex(canonical(dict(document)))


def load_json(data: bytes | str) -> Any:
    """JSON without the traps: a name given twice, NaN and depths that exhaust the stack are refused, not resolved.

    Bytes are UTF-8 and nothing else: `json` would guess, and read another text than the one whose depth was counted.
    """
    try:
        source = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as trouble:
        raise DocumentError("document.malformed", "/: is not UTF-8") from trouble
    _check_depth(source)

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise DocumentError("document.malformed", "/: names a field twice")
        return found

    def refuse(name: str) -> float:
        raise DocumentError("document.malformed", f"/: {name} is no JSON number")
    try:
        return json.loads(source, object_pairs_hook=distinct, parse_constant=refuse)
    except (ValueError, RecursionError) as trouble:
        raise DocumentError("document.malformed", f"/: is not JSON: {trouble}") from trouble


def _check_depth(source: str) -> None:
    depth = 0
    for bracket in BRACKETS.findall(STRINGS.sub("", source)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise DocumentError("document.malformed", f"/: is nested deeper than {MAX_DEPTH}")


def check(document: object, type: str) -> None:
    """Raise DocumentError, with the JSON pointer of the field, unless this is a document of that type."""
    if type not in SCHEMAS:
        raise malformed("/type", f"no document of type {type} is known")
    SCHEMAS[type](document, "")


def signed_bytes(document: Mapping[str, Any]) -> bytes:
    head = f"xinglin/{document['type']}/v{document['version']}\n"
    return head.encode() + canonical(dict(document))


def public_hex(private: Ed25519PrivateKey) -> str:
    return private.public_key().public_bytes_raw().hex()


def sign(document: Mapping[str, Any], private: Ed25519PrivateKey) -> dict[str, str]:
    """One signature entry; a malformed document is never signed."""
    check(document, document.get("type", ""))
    return {"key": public_hex(private), "value": to_b64(private.sign(signed_bytes(document)))}


def signed(document: Mapping[str, Any], *keys: Ed25519PrivateKey) -> Document:
    return {"document": dict(document), "signatures": [sign(document, key) for key in keys]}


def read_signed(wire: object, type: str) -> Document:
    """The document inside, its form checked and **no signature**: for finding out whose keys to verify with."""
    SIGNED(wire, "")
    document: Document = wire["document"]  # type: ignore[index]
    check(document, type)
    return document


def verify_signed(wire: object, *, type: str, keys: Iterable[str]) -> Document:
    """The document, if each of `keys` has exactly one signature on it and each of these holds.

    Signatures by other keys are not looked at, and so say nothing.
    """
    document = read_signed(wire, type)
    signatures: list[dict[str, str]] = wire["signatures"]  # type: ignore[index]
    wanted = set(keys)
    if not wanted:
        raise VerificationError("signature.missing", f"nobody was named who must sign this {type}")
    for key in sorted(wanted):
        found = [one["value"] for one in signatures if one["key"] == key]
        if len(found) != 1:
            raise VerificationError("signature.missing", f"{type}: {len(found)} signatures by key {key}, not one")
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
            public.verify(from_b64(found[0], "/signatures"), signed_bytes(document))
        except (InvalidSignature, ValueError) as trouble:
            raise VerificationError("signature.invalid", f"{type}: the signature by key {key} is wrong") from trouble
    return document


def chain_id_of(id: str, id_salt: str) -> str:
    """How an id appears on chain: only who knows the salt can tell which it is."""
    return "0x" + sha256_hex(b"xinglin/id\n" + UUID(id).bytes + bytes.fromhex(id_salt))


def purpose_hash(purpose: str, scenario_salt: str) -> str:
    return "0x" + sha256_hex(b"xinglin/purpose\n" + bytes.fromhex(scenario_salt) + purpose.encode())


def new_id() -> str:
    return str(uuid4())


def new_salt() -> str:
    return secrets.token_hex(32)


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339, UTC, whole seconds (cut off, not rounded)."""
    return (moment or datetime.now(UTC)).astimezone(UTC).strftime(TIME_FORM)


def new_document(type: str, **values: Any) -> Document:
    """A document of this type, checked; `salt`, `id_salt` and `issued_at` are filled in where the form has them."""
    document: Document = {"type": type, "version": VERSION, **values}
    for name, fresh in (("salt", new_salt), ("id_salt", new_salt), ("issued_at", timestamp)):
        if name in FIELDS.get(type, ()):
            document.setdefault(name, fresh())
    check(document, type)
    return document
