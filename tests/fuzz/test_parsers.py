"""A moment of fire on every parser: only declared errors escape. The long run is `./run bench fuzz --seconds N`.

Some inputs are the same on every run, some are new: a failure tells the number to see these again, in
`XINGLIN_FUZZ_SEED`. Targets that are dear to run get fewer of both.
"""

import json
import os
import secrets
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.target import MAX_LENGTH
from tests.fuzz.targets import PARSERS, Target, offend

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([-1, 0, 2**63, 10**400, 1e308, 5e-324, float("1e999")]),
    st.text(max_size=20), st.sampled_from(["", "\0", "\ud800", "../x", "0x", "9" * 5000, "2026-99-99T99:99:99Z"]),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.just([[[[]]]]), st.just({"document": None}))
JUNK = st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
FRESH = int(os.environ.get("XINGLIN_FUZZ_SEED") or secrets.randbits(32))
NASTY = (b"", b"[1]", b"{}", b"null", b"7", b'"x"', b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000, b'"\\ud800"',
         b"\xff\xfe", b"\0" * 64, b'{"items": {}}', b'{"code": [], "about_seat": true}', b"\n" * 100)
NASTIEST = (b"", b"[1]", b"[" * 100_000, b'"\\ud800"', b'{"code": [], "about_seat": true}')  # for what is dear
MANY, FEW = (14, 10), (4, 3)  # the same on every run, and new


def hit(target: Target, body: bytes) -> None:
    error = offend(target, body)
    assert error is None, (f"{type(error).__name__} escaped: {error!r:.300} on {body[:300]!r}; "
                           f"again with XINGLIN_FUZZ_SEED={FRESH}")


def under_fire(name: str, body: Callable[[st.DataObject, Target], bytes]) -> None:
    """Some inputs that are always the same, and some that are new."""
    target = PARSERS[name]
    for fresh, count in enumerate(FEW if target.dear else MANY):
        @settings(max_examples=count, deadline=None, database=None, derandomize=not fresh,
                  suppress_health_check=list(HealthCheck))
        @given(data=st.data())
        def run(data: st.DataObject) -> None:
            hit(target, body(data, target))
        (seed(FRESH)(run) if fresh else run)()


@pytest.mark.parametrize("name", PARSERS)
def test_it_works(name: str) -> None:
    """Bytes that nobody ever meant for it."""
    under_fire(name, lambda data, target: data.draw(JUNK))


@pytest.mark.parametrize("name", PARSERS)
def test_one_value_is_another(name: str) -> None:
    """What is right but for one place: a value of another kind, a field more or less, a byte flipped, an end cut."""
    under_fire(name, _mutated)


@cache
def kept(seeds: Callable[[], list[bytes]]) -> list[bytes]:
    """Made once: a certificate made anew has another length, and one example must be the same twice."""
    return seeds()


def _mutated(data: st.DataObject, target: Target) -> bytes:
    body = data.draw(st.sampled_from(kept(target.seeds)))
    try:
        value = json.loads(body)
    except ValueError:
        return _bytes(data, body)
    return json.dumps(_changed(data, value), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _bytes(data: st.DataObject, body: bytes) -> bytes:
    at = data.draw(st.integers(0, max(0, len(body) - 1)))
    how = data.draw(st.sampled_from(["flip", "cut", "double", "insert"]))
    if how == "flip":
        return body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1:] if body else body
    if how == "cut":
        return body[:at]
    return body[:at] + (body[at:at + 40] if how == "double" else data.draw(st.binary(max_size=20))) + body[at:]


def _changed(data: st.DataObject, value: Any) -> Any:
    """One step down a random branch, until a node is changed."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        name = data.draw(st.sampled_from(sorted(value)))
        rest = {key: inner for key, inner in value.items() if key != name}
        how = data.draw(st.integers(0, 9))
        if how == 0:
            return rest
        return {**value, "surplus": 1} if how == 1 else {**rest, name: _changed(data, value[name])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], _changed(data, value[at]), *value[at + 1:]]
    return data.draw(ODD)


@pytest.mark.parametrize("name", PARSERS)
def test_what_has_felled_parsers_before(name: str) -> None:
    """Depth that exhausts the stack, a list where an object belongs, halves of characters, nothing at all."""
    for body in NASTIEST if PARSERS[name].dear else NASTY:
        hit(PARSERS[name], body)


def test_a_number_that_no_book_can_hold() -> None:
    """Papers that hold together in every other way: the attempt, which nobody signs, broke a look into the book."""
    item = json.loads(PARSERS["work item"].seeds()[0])
    for attempt in (2**63, 10**30, -1, 0, True, "1", 1.0, None):
        hit(PARSERS["work item"], json.dumps({**item, "attempt": attempt}).encode())


def test_every_seed_is_read_without_a_finding() -> None:
    assert [name for name, target in PARSERS.items() for one in target.seeds() if offend(target, one)] == []


def test_every_seed_fits_the_fuzzer() -> None:
    """libFuzzer cuts what is longer: a work item of 28 kB started as a ruin, and no paper behind it was reached."""
    assert [name for name, target in PARSERS.items() if not target.seeds()
            or max(len(one) for one in target.seeds()) > MAX_LENGTH] == []


def test_a_finding_is_found() -> None:
    def naive(body: bytes) -> Any:
        return json.loads(body)["document"]
    careless = Target(naive, (ValueError,), lambda: [b"{}"])
    assert isinstance(offend(careless, b"[]"), TypeError) and isinstance(offend(careless, b"{}"), KeyError)
    assert offend(careless, b"{") is None
