"""A search for values in whatever was written: quotes, separators, hex and base64 do not hide them."""

from __future__ import annotations

import base64
import binascii
import gzip
import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

_HEX = re.compile(r"[0-9a-fA-F]{16,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}")
_ESCAPE = re.compile(r"\\+[nrt]")
_WHOLE = re.compile(r"(?<=\d)\.0+(?!\d)")
_BETWEEN = re.compile(r"[^\w.+-]+")


def read(path: Path) -> str:
    """A file as text, unpacked if it is packed."""
    data = path.read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8", "replace")


def unpacked(text: str) -> str:
    """The text, and after it what its runs of hex and base64 stand for."""
    parts = [text]
    for run in _HEX.findall(text):
        parts.append(bytes.fromhex(run[: len(run) // 2 * 2]).decode("latin-1"))
    for run in _BASE64.findall(text):
        try:
            raw = base64.b64decode(run.replace("-", "+").replace("_", "/") + "=" * (-len(run) % 4))
        except binascii.Error:
            continue
        parts.append(raw.decode("latin-1"))
    return "\n".join(parts)


def words(text: str) -> list[str]:
    """The words and numbers of a text in one spelling: 145.0 is 145, Male is male."""
    return _BETWEEN.sub(" ", _WHOLE.sub("", _ESCAPE.sub(" ", text)).lower()).split()


def found(needles: Iterable[str], text: str) -> list[str]:
    """Which of the needles (each of two words or more) stand in the text, word by word."""
    by_start: dict[tuple[str, str], list[list[str]]] = defaultdict(list)
    for needle in needles:
        wanted = words(needle)
        if len(wanted) < 2:
            raise ValueError(f"{needle!r} is too short to tell anything")
        by_start[wanted[0], wanted[1]].append(wanted)
    said = words(text)
    hits = []
    for at, start in enumerate(pairwise(said)):
        hits += [" ".join(one) for one in by_start.get(start, ()) if said[at : at + len(one)] == one]
    return hits
