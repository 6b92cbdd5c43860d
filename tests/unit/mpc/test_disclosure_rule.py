"""The gate's rule, the transcript that binds it, and the opening of a result from all envelopes or none."""

from dataclasses import replace

import pytest

from mpc.disclosure import Opening, Told, gate_hash, gate_key, open_result, passes, strictest, told_of, withhold
from mpc.errors import FloorTooLow, NotOpenable, ProtocolBroken
from mpc.sharing import integers, limbs

SESSION = "ab" * 32
KEY = gate_key([bytes([seat]) * 32 for seat in range(3)])
PATTERN = (True, False)
TOLD = told_of(2)
SPANS = ((0, 2), (1, 3))


def openings() -> list[Opening]:
    return [Opening(seat, 10, KEY, PATTERN, limbs([seat, 0, 100, 0]), TOLD) for seat in range(3)]


def opened(parts: list[Opening], digest: str | None = None) -> tuple[tuple[bool, ...], list[int]]:
    return open_result([part.to_bytes() for part in parts], parties=3, session=SESSION,
                       gate_hash_hex=digest or gate_hash(KEY, SESSION, PATTERN), spans=SPANS, limbs=4)


def test_it_works() -> None:
    assert opened(openings()) == (PATTERN, [3, 0, 300, 0])


def test_the_others_must_reach_the_floor_for_every_hospital() -> None:
    assert passes(30, [10, 10, 10], 20)
    assert not passes(30, [11, 10, 9], 20)
    assert not passes(1000, [995, 3, 2], 10)


def test_the_strictest_floor_counts() -> None:
    assert strictest(10, 5, 20) == 20
    for bad in ((), (10, 0)):
        with pytest.raises(FloorTooLow):
            strictest(*bad)


def test_withheld_shares_become_zeros_of_the_same_length() -> None:
    assert integers(withhold(limbs([1, 2, 3, 4]), PATTERN, SPANS)) == [1, 0, 3, 0]
    assert integers(withhold(limbs([1, 2, 3, 4]), (False, False), SPANS)) == [0, 0, 0, 0]


def test_the_pattern_does_not_show_in_the_length() -> None:
    open_all = replace(openings()[0], pattern=(True, True), shares=limbs([-(2**255)] * 4))
    assert len(open_all.to_bytes()) == len(openings()[0].to_bytes())


def test_the_hash_depends_on_key_session_and_pattern() -> None:
    hashes = {gate_hash(KEY, SESSION, PATTERN), gate_hash(bytes(32), SESSION, PATTERN),
              gate_hash(KEY, "ac" * 32, PATTERN), gate_hash(KEY, SESSION, (True, True))}
    assert len(hashes) == 4


def test_every_contribution_counts_and_has_its_length() -> None:
    parts = [bytes([seat]) * 32 for seat in range(3)]
    assert gate_key(parts) != gate_key(parts[::-1])
    with pytest.raises(ProtocolBroken):
        gate_key([b"short"])


@pytest.mark.parametrize("lie", [
    lambda parts: parts[:2],
    lambda parts: [*parts, parts[0]],
    lambda parts: [parts[0], parts[1], replace(parts[2], seat=1)],
    lambda parts: [parts[0], parts[1], replace(parts[2], pattern=(True, True))],
    lambda parts: [parts[0], parts[1], replace(parts[2], floor=3)],
    lambda parts: [parts[0], parts[1], replace(parts[2], key=bytes(32))],
    lambda parts: [replace(part, pattern=(True, True)) for part in parts],
    lambda parts: [replace(part, shares=limbs([1, 2, 3])) for part in parts],
    lambda parts: [replace(part, shares=limbs([1, 2, 3, 4], 1)) for part in parts],
    lambda parts: [parts[0], parts[1], replace(parts[2], shares=limbs([1, 2, 3, 4], 3))],
    lambda parts: [*parts[:2], replace(parts[2], told=(*TOLD, Told("one count", "parties", 1)))],
    lambda parts: [replace(part, told=TOLD[:1]) for part in parts],
    lambda parts: [replace(part, told=(TOLD[0], Told("gate", "consumer", 2))) for part in parts],
])
def test_anything_less_than_every_partys_envelope_opens_nothing(lie) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotOpenable):
        opened(lie(openings()))


def test_another_gate_hash_opens_nothing() -> None:
    with pytest.raises(NotOpenable):
        opened(openings(), "00" * 32)


WHOLE = openings()[0].to_bytes()


@pytest.mark.parametrize("plain", [
    b"", b"\n", b"{}", b"[]", b"\xff", WHOLE + b" ", WHOLE + b"\n", b"\n" + WHOLE, WHOLE[32:], bytes(32) + WHOLE,
    WHOLE[1:], WHOLE.replace(b'"values":4', b'"values":5'), WHOLE.replace(b'"pattern":"10"', b'"pattern":"12"'),
    WHOLE.replace(b'"floor":10', b'"floor": 10'), WHOLE.replace(b'"seat":0', b'"seat":"0"'),
])
def test_a_malformed_part_is_refused(plain: bytes) -> None:
    with pytest.raises(NotOpenable):
        Opening.from_bytes(plain)
