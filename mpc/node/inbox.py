"""Revocations, suspensions and (at the dealer's office) withdrawals that reach this node outside the portal: one signed
JSON file each, put into `inbox/`.

Taken into the book, where they stay for ever, and moved aside. Whether one counts (whose key, which terms) is judged
where the terms are at hand, so that a forged file does nothing. A suspension's number is the clock of who signed it:
one that lies more than a day ahead is refused, so that a stolen key does not use the numbers up.
"""

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ledger.approval import latest_number
from ledger.documents import canonical, check, load_json, read_signed, sha256_hex
from ledger.errors import DocumentError
from ledger.schemas import hold as HOLD
from ledger.shapes import malformed
from mpc.node.book import Book
from mpc.node.logs import note

CLOCKS = 3600  # by how much ours may differ from the chain's
WITHDRAWALS = "withdrawals"  # of this node itself, for the dealer's office: beside the inbox
_taking = threading.Lock()
_told: set[tuple[str, Path]] = set()


def drop(inbox: Path, signed: Mapping[str, Any]) -> Path:
    """Hand what was signed to a node: written aside, then renamed, so that it is read whole or not at all."""
    inbox.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = inbox / f"{sha256_hex(canonical(dict(signed)))}.json"
    part = place.with_suffix(".part")
    part.write_bytes(canonical(dict(signed)))
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
                signed = load_json(place.read_bytes())
                subject = _subject(signed)
            except FileNotFoundError:
                continue
            except (DocumentError, IsADirectoryError):
                note("inbox.refused", file=place.name)
                _aside(place, "refused")
                continue
            except OSError as error:  # no handle, a disk in trouble: it may be a good one, and is read again
                _once("inbox.unread", place, error)
                continue
            book.add_revocation(subject, signed)
            _aside(place, "taken")
            note("inbox.taken", subject=subject)
            taken += 1
    return taken


def _subject(signed: Any) -> str:
    """The grant, participant or job that a file of the right form is about."""
    if isinstance(signed, dict) and "document" in signed:
        return str(read_signed(signed, "withdrawal")["job"])
    if isinstance(signed, dict) and signed.get("type") == "hold":
        HOLD(signed, "")
        if signed["suspension"]["number"] > latest_number(time.time() + CLOCKS):
            raise malformed("/suspension/number", "lies too far ahead")
        return str(signed["subject"])
    check(signed, "revocation")
    return str(signed["grant"])


def _aside(place: Path, folder: str) -> None:
    """Where it cannot be moved it is read again: what is in the book is there once."""
    there = place.parent / folder
    try:
        there.mkdir(exist_ok=True, mode=0o700)
        os.replace(place, there / place.name)
    except OSError as error:
        _once("inbox.unmoved", place, error)


def _once(what: str, place: Path, error: OSError) -> None:
    """A line in the log; not one more at every look, many times a second."""
    if (what, place) not in _told:
        _told.add((what, place))
        note(what, file=place.name, error=type(error).__name__)
