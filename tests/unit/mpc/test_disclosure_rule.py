"""The gate's rule, the transcript that binds it, and the opening of a result from all envelopes or none."""

from dataclasses import replace

import pytest

from mpc.disclosure import Opening, Told, gate_hash, gate_key, open_result, passes, strictest, told_of
from mpc.engines.cleartext import withhold
from mpc.errors import FloorTooLow, NotOpenable, ProtocolBroken
from mpc.sharing import integers, limbs

SESSION = "ab" * 32
KEY = gate_key([bytes([seat]) * 32 for seat in range(3)])
PATTERN, SEEN = (True, False), bytes(31) + b"!"
SPANS = ((0, 2), (1, 3))
TOLD = told_of(SPANS)


def openings(*values: int) -> list[Opening]:
    """Two bits, four numbers; each party has a third of the numbers that open."""
    return [Opening(seat, 10, KEY, SEEN, limbs(values or (int(seat == 1), 0, 9 + seat, 0, 100, 0)), TOLD)
            for seat in range(3)]


def opened(parts: list[Opening], digest: str | None = None) -> tuple[tuple[bool, ...], list[int]]:
    return open_result([part.to_bytes() for part in parts], parties=3, session=SESSION,
                       gate_hash_hex=digest or gate_hash(KEY, SESSION, SEEN), spans=SPANS, limbs=4)


def test_it_works() -> None:
    assert opened(openings()) == (PATTERN, [30, 0, 300, 0])


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
    shares = limbs([1, 2, 3, 4])
    assert integers(withhold(shares, PATTERN, SPANS, first=True)) == [1, 0, 1, 0, 3, 0]
    assert integers(withhold(shares, PATTERN, SPANS, first=False)) == [0, 0, 1, 0, 3, 0]
    assert integers(withhold(shares, (False, False), SPANS, first=True)) == [0] * 6


def test_the_pattern_does_not_show_in_the_length() -> None:
    open_all = replace(openings()[0], shares=limbs([-(2**255)] * 6))
    assert len(open_all.to_bytes()) == len(openings()[0].to_bytes())


def test_the_hash_depends_on_key_session_and_what_was_seen() -> None:
    hashes = {gate_hash(KEY, SESSION, SEEN), gate_hash(bytes(32), SESSION, SEEN), gate_hash(KEY, "ac" * 32, SEEN),
              gate_hash(KEY, SESSION, bytes(32))}
    assert len(hashes) == 4


@pytest.mark.parametrize("values", [
    (1, 0, 10, 0, 7, 0),  # three times yes
    (2**63, 0, 10, 0, 7, 0),
    (0, 0, 10, 0, 7, 0),  # closed, and not empty
    (0, 0, 0, 0, 7, 0),
    (0, 0, 0, 1, 0, 0),
])
def test_parts_that_do_not_fit_together_open_nothing(values: tuple[int, ...]) -> None:
    with pytest.raises(NotOpenable, match="do not fit together"):
        opened(openings(*values))


def test_a_cell_under_the_floor_is_not_taken_for_open() -> None:
    """A party that turns its share of a bit opens nothing: what it opens holds zeros."""
    parts = openings()
    turned = parts[0].shares.copy()
    turned[1, 0] += 1
    with pytest.raises(NotOpenable, match="under the floor"):
        opened([replace(parts[0], shares=turned), *parts[1:]])


def test_every_contribution_counts_and_has_its_length() -> None:
    parts = [bytes([seat]) * 32 for seat in range(3)]
    assert gate_key(parts) != gate_key(parts[::-1])
    with pytest.raises(ProtocolBroken):
        gate_key([b"short"])


@pytest.mark.parametrize("lie", [
    lambda parts: parts[:2],
    lambda parts: [*parts, parts[0]],
    lambda parts: [parts[0], parts[1], replace(parts[2], seat=1)],
    lambda parts: [parts[0], parts[1], replace(parts[2], seen=bytes(32))],
    lambda parts: [parts[0], parts[1], replace(parts[2], floor=3)],
    lambda parts: [parts[0], parts[1], replace(parts[2], key=bytes(32))],
    lambda parts: [replace(part, seen=bytes(32)) for part in parts],
    lambda parts: [replace(part, shares=part.shares[:5]) for part in parts],
    lambda parts: [replace(part, shares=part.shares[:, :1]) for part in parts],
    lambda parts: [parts[0], parts[1], replace(parts[2], shares=parts[2].shares[:, :3])],
    lambda parts: [*parts[:2], replace(parts[2], told=(*TOLD, Told("one count", "parties", 1)))],
    lambda parts: [replace(part, told=TOLD[:1]) for part in parts],
    lambda parts: [replace(part, told=(TOLD[0], Told("gate", "parties", 2), TOLD[2])) for part in parts],
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
    WHOLE[1:], WHOLE.replace(b'"values":6', b'"values":5'), WHOLE.replace(b'"seen":"00', b'"seen":"0x'),
    WHOLE.replace(b'"version":2', b'"version":1'),
    WHOLE.replace(b'"floor":10', b'"floor": 10'), WHOLE.replace(b'"seat":0', b'"seat":"0"'),
])
def test_a_malformed_part_is_refused(plain: bytes) -> None:
    with pytest.raises(NotOpenable):
        Opening.from_bytes(plain)
