"""The comparison by masked opening: exact at every edge, for any parties, and its messages say nothing."""

from __future__ import annotations

import secrets
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.crypten_engine import comparison
from mpc.engines.crypten_engine.dealing import Numbers, spread_bits
from mpc.errors import EngineUnfit
from tests.simulators.wired_parties import Played, shared

LOW, HIGH = -(2**63), 2**63 - 1
EDGES = sorted({edge for power in range(64) for sign in (1, -1) for off in (-1, 0, 1)
                if LOW <= (edge := sign * 2**power + off) <= HIGH} | {0, LOW, HIGH, 0x5555555555555555})


def compared(values: list[int], parties: int) -> tuple[Numbers, Played]:
    shares = shared(values, parties)
    played = Played(parties, comparison.script(len(values)), lambda of: comparison.negative(of, shares[of.seat]))
    return reduce(np.bitwise_xor, played.answers), played


def expected(values: list[int]) -> list[int]:
    return [int(value < 0) for value in values]


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
def test_it_works(parties: int) -> None:
    values = EDGES * 3
    found, played = compared(values, parties)
    assert found.tolist() == expected(values)
    assert (played.rounds, played.dealt) == (6, 6)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 17])
def test_any_number_of_numbers(count: int) -> None:
    values = [(-1) ** at * (at + 1) for at in range(count)]
    found, _ = compared(values, 2)
    assert found.tolist() == expected(values)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(LOW, HIGH), min_size=1, max_size=40), st.integers(2, 5))
def test_every_number_is_compared_as_in_the_clear(values: list[int], parties: int) -> None:
    assert compared(values, parties)[0].tolist() == expected(values)


def test_all_masks_there_are_for_small_numbers() -> None:
    """The same few numbers under 20,000 masks: no chance of failure is hidden in the masks."""
    values = [0, -1, 1, LOW, HIGH] * 4000
    assert compared(values, 2)[0].tolist() == expected(values)


def test_neighbouring_bits_end_half_a_word_apart() -> None:
    for at in range(64):
        place = int(f"{at:06b}"[::-1], 2)
        assert spread_bits(np.array([1 << at], dtype=np.uint64)).tolist() == [1 << place]


def bias(body: bytes) -> float:
    """How far the share of ones is from one half, in standard deviations."""
    bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8))
    return float(abs(2 * int(bits.sum()) - len(bits)) / len(bits) ** 0.5)


def spoken(count: int, shares: list[Numbers]) -> list[list[bytes]]:
    """What each party sends. Party 0 also tells the dealer, in empty messages, that it took a piece."""
    played = Played(len(shares), comparison.script(count), lambda of: comparison.negative(of, shares[of.seat]))
    assert played.sent[0].count(b"") == played.dealt
    return [[body for body in played.sent[seat] if body] for seat in range(len(shares))]


def test_what_a_party_sends_says_nothing_about_the_numbers() -> None:
    """All numbers are 5, and one party holds them as they are: its bare shares would be nearly all zeros. What it sends
    instead is even in every bit, other bits each time, and as long as for any other numbers; that of party 0, which
    alone is dealt bound numbers, as that of all others."""
    count, parties = 4096, 3
    for whose in (0, 1):
        bare = [np.full(count, 5 if seat == whose else 0, dtype=np.uint64) for seat in range(parties)]
        assert bias(bare[whose].tobytes()) > 400, "what a naive party would send is full of its number"
        other = [np.full(count, 2**64 - 9 if seat == whose else 2**40, dtype=np.uint64) for seat in range(parties)]
        runs = [spoken(count, own) for own in (bare, bare, other)]
        for seat in range(parties):
            for one, two, three in zip(*(run[seat] for run in runs), strict=True):
                assert len(one) == len(two) == len(three)
                assert bias(one) < 6 and bias(two) < 6 and bias(three) < 6
                assert bias(bytes(np.frombuffer(one, np.uint8) ^ np.frombuffer(two, np.uint8))) < 6
        columns = np.frombuffer(runs[0][whose][0], dtype=np.uint64)
        for at in range(64):
            assert bias(np.packbits((columns >> np.uint64(at)).astype(np.uint8) & np.uint8(1)).tobytes()) < 6


def test_what_is_opened_depends_on_number_and_mask_only_by_their_sum() -> None:
    """Under the same masks numbers that differ by d open to sums that differ by d: the number itself never shows."""
    keys, values = [secrets.token_bytes(32) for _ in range(2)], [17, -4, 2**50]
    seen = []
    for moved in (0, 12345):
        shares = [np.array([(value + moved) % 2**64 for value in values], dtype=np.uint64),
                  np.zeros(3, dtype=np.uint64)]
        played = Played(2, comparison.script(3), lambda of, own=shares: comparison.negative(of, own[of.seat]),
                        keys=keys)
        first = [next(body for body in played.sent[seat] if body) for seat in (0, 1)]
        seen.append(np.frombuffer(first[0], dtype=np.uint64) + np.frombuffer(first[1], dtype=np.uint64))
    assert (seen[1] - seen[0]).tolist() == [12345] * 3


def test_how_much_is_sent() -> None:
    """19.5 bytes a number to each peer, 19.6 from the dealer to party 0 alone; CrypTen's own way takes 432."""
    count = 8000
    _, played = compared([1] * count, 2)
    assert sum(map(len, played.sent[1])) == 19.5 * count
    assert sum(map(len, played.sent[2])) == 19.625 * count


def test_nothing_is_opened_to_anybody_else() -> None:
    for recipient in ("dealer", "party-1", ""):
        with pytest.raises(EngineUnfit):
            Played(2, [], lambda of, to=recipient: of.open_to(to, "x", np.zeros(1, dtype=np.uint64)))
