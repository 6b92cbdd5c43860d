"""RFC 8785 for the values our documents are made of: objects, lists, text, true, false, null and whole numbers.

Fractions have more than one spelling in the world and no place in a document; they are refused, as are whole numbers
beyond 2^53, names that are not text, and halves of surrogate pairs. Standard library alone.
"""

from __future__ import annotations

import json

SAFE_INT = 2**53 - 1
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")).encode


def dumps(value: object) -> bytes:
    """The one spelling of a value. ValueError if it has none."""
    return _encode(_sorted(value)).encode()


def _sorted(value: object) -> object:
    """The same value with every object's names in the order of their UTF-16 units."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        if not -SAFE_INT <= value <= SAFE_INT:
            raise ValueError("a whole number beyond 2^53")
        return int(value)
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in _names(value)}
    if isinstance(value, list | tuple):
        return [_sorted(one) for one in value]
    raise ValueError(f"no document holds a {type(value).__name__}")


def _names(value: dict[object, object]) -> list[str]:
    names: list[str] = []
    for name in value:
        if not isinstance(name, str):
            raise ValueError("a name that is not text")
        names.append(name)
    if all(name.isascii() for name in names):
        return sorted(names)
    return sorted(names, key=lambda name: name.encode("utf-16-be"))
