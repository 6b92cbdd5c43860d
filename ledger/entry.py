"""Entries: what the log says happened, and the leaf each of them makes.

A leaf of the log is an entry's commitment, the SHA-256 of its canonical bytes. An entry carries a salt, so that the
commitment tells nothing and the whole log can be public; erasing body and salt later leaves the log whole. Free
text, counts and names of columns have no place in a body that is shown to others; who may see an entry is the
portal's to decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from ledger import merkle
from ledger.documents import Document, canonical, check, new_document, new_id, new_salt, timestamp
from ledger.schemas import VERSION
from ledger.shapes import digest, event_kind, fields, items, uuid, word

GRANTS = items(fields({"id": uuid, "terms_hash": digest}), 1, 64, by="id")


def new_entry(kind: str, *, subject: tuple[str, str], participant: str | None, person: str | None = None,
              body: Mapping[str, Any] | None = None, at: str | None = None, id: str | None = None,
              salt: str | None = None) -> Document:
    """An entry; `subject` is (kind, id). Entries about grants or a job name them in `body.grants` (`grants_named`)."""
    entry = new_document(
        "entry", id=id or new_id(), kind=kind, subject={"kind": subject[0], "id": subject[1]},
        actor={"participant": participant, "person": person}, at=at or timestamp(), body=dict(body or {}),
        salt=salt or new_salt())
    grants_of(entry)
    return entry


def written(kind: str, *, id: str, subject: tuple[str, str], participant: str | None, person: str | None, at: str,
            body: Mapping[str, Any], salt: str) -> bytes:
    """The canonical bytes of an entry, fast, for a writer of many who has made ids, time and salt itself and checked
    the words (`check_parts`): none of these needs escaping. Only the body is sorted and spelled here.
    """
    who, whom = (f'"{one}"' if one else "null" for one in (participant, person))
    return b"".join((
        f'{{"actor":{{"participant":{who},"person":{whom}}},"at":"{at}","body":'.encode(),
        canonical(body) if body else b"{}",
        f',"id":"{id}","kind":"{kind}","salt":"{salt}","subject":{{"id":"{subject[1]}","kind":"{subject[0]}"}},'
        f'"type":"entry","version":{VERSION}}}'.encode()))


def check_parts(kind: str, subject_kind: str) -> None:
    """The words of an entry; ids, times and salts are made, not given, and a body's form shows when it is written."""
    event_kind(kind, "/kind")
    word(subject_kind, "/subject/kind")


def grants_named(grants: Mapping[str, str]) -> list[dict[str, str]]:
    """The `grants` of an entry's body, from grant ids and terms hashes."""
    return [{"id": id, "terms_hash": grants[id]} for id in sorted(grants)]


def grants_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """The grants an entry names: id to terms hash. None at all for an entry about something else."""
    named = entry["body"].get("grants")
    if named is None:
        return {}
    GRANTS(named, "/body/grants")
    return {one["id"]: one["terms_hash"] for one in named}


def commitment(entry: Mapping[str, Any]) -> bytes:
    """The leaf: 32 bytes that anybody may see, and nobody without the salt can tell from others."""
    check(dict(entry), "entry")
    return sha256(canonical(dict(entry))).digest()


def leaf_hash(entry: Mapping[str, Any]) -> bytes:
    return merkle.leaf_hash(commitment(entry))
