"""A moment of fire on every parser: only declared errors escape. The long run is `./run bench fuzz --seconds N`."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import PARSERS, Target, offend

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([-1, 0, 2**63, 10**400, 1e308, 5e-324, float("1e999")]),
    st.text(max_size=20), st.sampled_from(["", "\0", "\ud800", "../x", "0x", "9" * 5000, "2026-99-99T99:99:99Z"]),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.just([[[[]]]]), st.just({"document": None}))
QUICK = settings(max_examples=25, deadline=None, database=None, derandomize=True,
                 suppress_health_check=list(HealthCheck))


def hit(target: Target, body: bytes) -> None:
    error = offend(target, body)
    assert error is None, f"{type(error).__name__} escaped: {error!r:.300} on {body[:300]!r}"


@pytest.mark.parametrize("name", PARSERS)
@QUICK
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))))
def test_it_works(name: str, body: bytes) -> None:
    """Bytes that nobody ever meant for it."""
    hit(PARSERS[name], body)


@pytest.mark.parametrize("name", PARSERS)
@QUICK
@given(data=st.data())
def test_one_value_is_another(name: str, data: st.DataObject) -> None:
    """What is right but for one place: a value of another kind, a field more or less, a byte flipped, an end cut."""
    seeds = PARSERS[name].seeds()
    body = data.draw(st.sampled_from(seeds))
    try:
        value = json.loads(body)
    except ValueError:
        hit(PARSERS[name], _bytes(data, body))
        return
    hit(PARSERS[name], json.dumps(_changed(data, value), ensure_ascii=False).encode("utf-8", "surrogatepass"))


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


def test_every_seed_is_read_without_a_finding() -> None:
    assert [name for name, target in PARSERS.items() for seed in target.seeds() if offend(target, seed)] == []


def test_a_finding_is_found() -> None:
    def naive(body: bytes) -> Any:
        return json.loads(body)["document"]
    careless = Target(naive, (ValueError,), lambda: [b"{}"])
    assert isinstance(offend(careless, b"[]"), TypeError) and isinstance(offend(careless, b"{}"), KeyError)
    assert offend(careless, b"{") is None
