"""Mutations that leave JSON to be JSON: what libFuzzer does to bytes breaks it nearly always, and nothing that comes
after a parser is reached. Deterministic in `draw`."""

import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 10**30, 1.5, 1e308, "", "0", "\0", "x" * 300, "../x", "0x", "ff" * 32,
    "0x" + "ff" * 32, "2026-99-99T99:99:99Z", "2999-01-01T00:00:00Z", "00000000-0000-4000-8000-000000000000", [], {},
    [[]], {"document": None}, [None], "describe", "crypten/1", "paillier/1")
DEEP = 8


def mutated(draw: random.Random, body: bytes) -> bytes | None:
    """The same document with one to three values changed, moved or left out; None if it is no JSON."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        value = _changed(draw, value, _leaves(value))
    return json.dumps(value, ensure_ascii=True).encode()


def _leaves(value: Any) -> list[Any]:
    """Values of the document itself: one in the place of another says more than junk."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in _leaves(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _leaves(inner)]
    return [value]


def _changed(draw: random.Random, value: Any, others: list[Any], depth: int = 0) -> Any:
    """One step down a random branch, until something is changed."""
    if isinstance(value, dict) and value and depth < DEEP and draw.random() < 0.93:
        name, made = draw.choice(list(value)), dict(value)
        how = draw.random()
        if how < 0.05:
            del made[name]
        elif how < 0.08:
            made[f"{name}x"] = draw.choice(ODD)
        elif how < 0.11:
            made[draw.choice(list(value))] = value[name]
        else:
            made[name] = _changed(draw, value[name], others, depth + 1)
        return made
    if isinstance(value, list) and value and depth < DEEP and draw.random() < 0.93:
        at, made_list = draw.randrange(len(value)), list(value)
        how = draw.random()
        if how < 0.1:
            del made_list[at]
        elif how < 0.2:
            made_list.insert(draw.randrange(len(value) + 1), value[at])
        elif how < 0.25:
            draw.shuffle(made_list)
        else:
            made_list[at] = _changed(draw, value[at], others, depth + 1)
        return made_list
    return _leaf(draw, value, others)


def _leaf(draw: random.Random, value: Any, others: list[Any]) -> Any:
    how = draw.random()
    if how < 0.3 and others:
        return draw.choice(others)
    if how < 0.6 and isinstance(value, str) and value:
        at = draw.randrange(len(value))
        return value[:at] + draw.choice("0123456789abcdefzZ.-_ 中") + value[at + draw.choice((0, 1)):]
    if how < 0.6 and isinstance(value, int):
        return value + draw.choice((-1, 1, 2**16))
    return draw.choice(ODD)
