"""Revocations that reach this node outside the portal: one signed JSON file each, dropped into `inbox/`.

Taken into the book, where they stay for ever, and moved aside. Whether a revocation counts (whose key, which terms) is
judged where the terms are at hand, so that a forged file does nothing.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.documents import canonical, check, load_json, sha256_hex
from ledger.errors import DocumentError
from mpc.node.book import Book
from mpc.node.logs import note

_taking = threading.Lock()


def drop(inbox: Path, revocation: Mapping[str, Any]) -> Path:
    """Hand a signed revocation to a node: written aside, then renamed, so that it is read whole or not at all."""
    inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = inbox / f"{sha256_hex(canonical(dict(revocation)))}.json"
    part = place.with_suffix(".part")
    part.write_bytes(canonical(dict(revocation)))
    part.replace(place)
    return place


def take(inbox: Path, book: Book) -> int:
    """Read what lies in the inbox into the book; returns how many were taken."""
    taken = 0
    if not inbox.is_dir():
        return 0
    with _taking:
        for place in sorted(inbox.glob("*.json")):
            try:
                revocation = load_json(place.read_bytes())
                check(revocation, "revocation")
            except FileNotFoundError:
                continue
            except (OSError, DocumentError):
                note("inbox.refused", file=place.name)
                _aside(place, "refused")
                continue
            book.add_revocation(revocation["grant"], revocation)
            _aside(place, "taken")
            note("inbox.taken", grant=revocation["grant"])
            taken += 1
    return taken


def _aside(place: Path, folder: str) -> None:
    there = place.parent / folder
    there.mkdir(exist_ok=True, mode=0o700)
    os.replace(place, there / place.name)
