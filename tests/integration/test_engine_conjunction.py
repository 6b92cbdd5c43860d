"""Groups of shared bits that are all zero: exact for every pattern and mask, in two rounds that say nothing."""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.crypten_engine import conjunction
from mpc.engines.crypten_engine.conjunction import Groups
from mpc.engines.crypten_engine.dealing import Numbers, Piece
from mpc.errors import EngineUnfit
from tests.simulators.wired_parties import Played


def split(bits: list[int], parties: int) -> list[Numbers]:
    noise = [np.frombuffer(np.random.default_rng(seat).bytes(len(bits)), np.uint8) & 1 for seat in range(parties - 1)]
    return [reduce(np.bitwise_xor, noise, np.array(bits, dtype=np.uint8)), *noise]


def played(bits: list[int], parts: Groups, groups: Groups, parties: int) -> Played:
    shares = split(bits, parties)
    return Played(parties, conjunction.script(parts, groups),
                  lambda of: conjunction.none_of(of, shares[of.seat], parts, groups))


def found(bits: list[int], parts: Groups, groups: Groups, parties: int = 3) -> list[int]:
    answers: Numbers = reduce(np.bitwise_xor, played(bits, parts, groups, parties).answers)
    return list(answers.tolist())


def expected(bits: list[int], parts: Groups, groups: Groups) -> list[int]:
    return [int(not any(bits[place] for part in group for place in parts[part])) for group in groups]


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_it_works(parties: int) -> None:
    bits, parts = [0, 0, 1, 0, 0], [range(2), range(2, 3), range(3, 5)]
    groups = [[0], [1], [2], [0, 2], [0, 1], [0, 1, 2]]
    assert found(bits, parts, groups, parties) == [1, 0, 1, 1, 0, 0]
    assert played(bits, parts, groups, parties).rounds == 2


def test_every_pattern_of_seven_bits_in_one_table_of_eight() -> None:
    """The count reaches 7, the last place of the table; no pattern is read as another."""
    patterns = list(product((0, 1), repeat=7))
    bits = [bit for pattern in patterns for bit in pattern]
    parts = [range(7 * at, 7 * at + 7) for at in range(len(patterns))]
    groups = [[at] for at in range(len(patterns))]
    assert found(bits, parts, groups) == [1] + [0] * 127


@pytest.mark.parametrize("size", [1, 7, 8, 9, 255, 256, 257])
def test_counts_at_the_edges_of_a_table(size: int) -> None:
    """All ones: a count of 2^w must not come round to zero."""
    assert found([1] * size, [range(size)], [[0]], 2) == [0]
    assert found([0] * size, [range(size)], [[0]], 2) == [1]
    assert found([0] * (size - 1) + [1], [range(size)], [[0]], 2) == [0]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_parts_and_groups(data: st.DataObject) -> None:
    bits = data.draw(st.lists(st.sampled_from([0, 0, 0, 1]), min_size=1, max_size=30))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(bits)), max_size=6)) | {len(bits)})
    parts = [range(low, high) for low, high in zip([0, *cuts[:-1]], cuts, strict=True)]
    some = st.lists(st.sampled_from(range(len(parts))), min_size=1, unique=True)
    groups = data.draw(st.lists(some, min_size=1, max_size=9))
    assert found(bits, parts, groups, data.draw(st.integers(2, 4))) == expected(bits, parts, groups)


def test_a_thousand_masks_of_one_count() -> None:
    parts = [range(at, at + 3) for at in range(0, 3000, 3)]
    bits = [0, 0, 0, 1, 0, 1] * 500
    assert found(bits, parts, [[at] for at in range(1000)]) == [1, 0] * 500


def bias(body: bytes) -> float:
    bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8))
    return float(abs(2 * int(bits.sum()) - len(bits)) / len(bits) ** 0.5)


def test_what_a_party_sends_says_nothing_about_the_bits() -> None:
    """One party holds all bits bare. What every party sends is even, other each time, and as long for any bits; also
    what party 0 sends, which alone is dealt the tables."""
    count = 8000
    parts = [range(at, at + 4) for at in range(0, count, 4)]
    groups = [[at] for at in range(len(parts))]
    script = conjunction.script(parts, groups)

    def sent(whose: int, ones: int) -> list[bytes]:
        bare = [np.full(count, ones if seat == whose else 0, dtype=np.uint8) for seat in range(3)]
        run = Played(3, script, lambda of: conjunction.none_of(of, bare[of.seat], parts, groups))
        return [body for seat in range(3) for body in run.sent[seat] if body]

    for whose in (0, 1):
        for one, two, three in zip(sent(whose, 1), sent(whose, 1), sent(whose, 0), strict=True):
            assert len(one) == len(two) == len(three)
            assert max(map(bias, (one, two, three))) < 6
            assert bias(bytes(np.frombuffer(one, np.uint8) ^ np.frombuffer(two, np.uint8))) < 6


def test_how_much_is_sent() -> None:
    """A bit for each bit and a word for each group to each peer; four bytes a bit and the table from the dealer."""
    run = played([0] * 800, [range(at, at + 8) for at in range(0, 800, 8)], [[at] for at in range(100)], 2)
    assert sum(map(len, run.sent[1])) == 800 // 8 + 100 * 4
    assert sum(map(len, run.sent[2])) == 800 * 4 + 100 * 2


@pytest.mark.parametrize("piece", [Piece("lookup", (1, 2)), Piece("lookup", (1, 25)), Piece("bit", (8, 2)),
                                   Piece("lookup", (8,))])
def test_no_other_table_is_dealt(piece: Piece) -> None:
    with pytest.raises(EngineUnfit):
        _ = piece.layout
