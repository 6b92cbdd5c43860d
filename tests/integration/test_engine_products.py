"""Products of shared fixed-point numbers: right to the last place, where CrypTen's own way fails by chance."""

from __future__ import annotations

import math
import secrets

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.engines.crypten_engine import products
from mpc.engines.crypten_engine.dealing import Numbers
from mpc.engines.crypten_engine.products import decode, encode
from mpc.errors import RangeExceeded
from tests.simulators.wired_parties import Played, added, shared

F = 16
UNIT = 2.0**-F


def secret(values: Numbers, parties: int, precision: int = F) -> list[Numbers]:
    values = np.asarray(values, dtype=np.float64)
    words = encode(values, precision).view(np.int64).reshape(-1).tolist()
    return [one.reshape(values.shape) for one in shared(words, parties)]


def real(played: Played, precision: int = F) -> Numbers:
    return decode(np.array(added(played.answers), dtype=np.int64), precision)


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_it_works(parties: int) -> None:
    left, right = np.array([1.5, -2.25, 0.0, 1000.125, -3e4]), np.array([2.0, 4.0, 9.0, -1000.0, -3e4])
    one, other = secret(left, parties), secret(right, parties)
    played = Played(parties, products.multiply_script(5, F),
                    lambda of: products.multiply(of, one[of.seat], other[of.seat], F))
    assert np.abs(real(played) - left * right).max() <= UNIT
    assert played.rounds == 2


LARGEST = 2**62 - 1
EDGES = sorted({sign * (2**power + off) for power in range(62) for sign in (1, -1) for off in (-1, 0, 1)}
               | {0, LARGEST, -LARGEST})


@pytest.mark.parametrize(("parties", "precision"), [(2, 1), (2, 16), (3, 20), (4, 33), (5, 61)])
def test_truncation_is_right_to_one_unit_at_every_edge(parties: int, precision: int) -> None:
    values = EDGES * 4
    shares = shared(values, parties)
    played = Played(parties, products.truncate_script(len(values), precision),
                    lambda of: products.truncate(of, shares[of.seat], precision))
    assert all(found - (value >> precision) in (0, 1)
               for value, found in zip(values, added(played.answers), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-LARGEST, LARGEST), min_size=1, max_size=30), st.integers(1, 40), st.integers(2, 4))
def test_truncation_of_any_number(values: list[int], precision: int, parties: int) -> None:
    shares = shared(values, parties)
    played = Played(parties, products.truncate_script(len(values), precision),
                    lambda of: products.truncate(of, shares[of.seat], precision))
    assert all(found - (value >> precision) in (0, 1)
               for value, found in zip(values, added(played.answers), strict=True))


def test_matrices() -> None:
    draw = np.random.default_rng(3)
    left, right = draw.normal(size=(7, 11)) * 50, draw.normal(size=(11, 5)) * 50
    one, other = secret(left, 3), secret(right, 3)
    played = Played(3, products.matmul_script(7, 11, 5, F),
                    lambda of: products.matmul(of, one[of.seat], other[of.seat], F))
    grids = np.rint(left / UNIT) * UNIT, np.rint(right / UNIT) * UNIT
    assert np.abs(real(played).reshape(7, 5) - grids[0] @ grids[1]).max() <= UNIT


def test_bits_become_numbers() -> None:
    bits = np.array([secrets.randbelow(2) for _ in range(37)], dtype=np.uint8)
    noise = np.array([secrets.randbelow(2) for _ in range(37)], dtype=np.uint8)
    own = [bits ^ noise, noise, np.zeros(37, dtype=np.uint8)]
    played = Played(3, [products.bit(37, 8)], lambda of: of.to_words(own[of.seat], 8))
    assert added(played.answers) == bits.tolist()


def test_the_sigmoid_is_near_and_saturates() -> None:
    x = np.concatenate([np.linspace(-9, 9, 1001), [-1e6, -100, 100, 1e6]])
    shares = secret(x, 2)
    played = Played(2, products.sigmoid_script(len(x), F), lambda of: products.sigmoid(of, shares[of.seat], F))
    true = np.array([1 / (1 + math.exp(-min(max(one, -50), 50))) for one in x])
    found = real(played)
    assert np.abs(found - true).max() < 0.0036
    assert np.abs(found[-4:] - [0, 0, 1, 1]).max() < 0.001
    assert played.rounds == 9


def test_a_logistic_gradient() -> None:
    draw = np.random.default_rng(5)
    rows, columns = 200, 4
    x, weights = draw.normal(size=(rows, columns)), draw.normal(size=columns)
    labels = (draw.random(rows) < 0.5).astype(float)
    one, two, three = secret(x, 3), secret(weights, 3), secret(labels, 3)
    played = Played(3, products.gradient_script(rows, columns, F), lambda of: products.gradient(
        of, one[of.seat], two[of.seat], three[of.seat], F))
    true = x.T @ (1 / (1 + np.exp(-x @ weights)) - labels)
    assert np.abs(real(played) - true).max() < 0.0036 * np.abs(x).sum(axis=0).max()
    assert played.rounds == 13


def test_numbers_are_encoded_and_decoded_from_float64() -> None:
    """CrypTen decodes by float32, where 123456789 becomes 123456792."""
    values = np.array([123456789.0, -123456789.125, 2.0**-16, 0.0, 2.0**45])
    assert decode(encode(values, F), F).tolist() == values.tolist()
    for bad in (np.nan, np.inf, 2.0**46, -(2.0**46)):
        with pytest.raises(RangeExceeded):
            encode(np.array([1.0, bad]), F)


def test_what_a_party_sends_says_nothing_about_the_factors() -> None:
    """Both factors bare at one party: everything that all send is even all the same, and of one length for all numbers.
    Party 0 too, which alone is dealt bound numbers; its empty messages to the dealer say that it took a piece."""
    count = 4096
    for whose in (0, 1):
        sent = []
        for value in (3, 2**40):
            bare = [np.full(count, value if seat == whose else 0, dtype=np.uint64) for seat in range(3)]
            run = Played(3, products.multiply_script(count, F), lambda of, own=bare: products.multiply(
                of, own[of.seat], own[of.seat], F))
            sent.append([body for seat in range(3) for body in run.sent[seat] if body])
        for one, other in zip(*sent, strict=True):
            assert len(one) == len(other)
            for body in (one, other):
                bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8))
                assert abs(2 * int(bits.sum()) - len(bits)) < 6 * len(bits) ** 0.5
