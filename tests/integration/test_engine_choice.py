"""Totals of the cells that open, zeros elsewhere, and no party knows which: exact, even on the wire, and closed to a
dealer that talks to the buyer."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Sequence
from functools import reduce
from hashlib import sha256

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.disclosure import gate_key, seen_by
from mpc.engines.crypten_engine import choice
from mpc.engines.crypten_engine.dealing import Numbers, Piece
from mpc.engines.crypten_engine.kernel import Keystream
from mpc.sharing import PairKeys, combine, limbs
from tests.simulators.wired_parties import Played

Spans = tuple[tuple[int, ...], ...]
Opened = tuple[list[int], list[int]]


def xor_shares(bits: Sequence[int], parties: int) -> list[Numbers]:
    noise = [np.frombuffer(secrets.token_bytes(len(bits)), np.uint8) & 1 for _ in range(parties - 1)]
    return [reduce(np.bitwise_xor, noise, np.array(bits, dtype=np.uint8)), *noise]


def ring_shares(values: Sequence[int], wide: int, parties: int) -> list[Numbers]:
    """A row a limb, a column a number, as the engine has them."""
    ring = 1 << 64 * wide
    noise = [[secrets.randbelow(ring) for _ in values] for _ in range(parties - 1)]
    last = [(value - sum(column)) % ring for value, column in zip(values, zip(*noise, strict=True), strict=True)]
    return [limbs([(one + ring // 2) % ring - ring // 2 for one in row], wide).T.copy() for row in (*noise, last)]


def played(bits: Sequence[int], values: Sequence[int], spans: Spans, wide: int, parties: int,
           keys: Sequence[bytes] | None = None) -> Played:
    own_bits, own = xor_shares(bits, parties), ring_shares(values, wide, parties)
    return Played(parties, choice.script(spans, wide),
                  lambda of: choice.chosen(of, own_bits[of.seat], own[of.seat], spans), keys=keys)


def opened(run: Played, cells: int) -> Opened:
    assert len({seen for _, seen in run.answers}) == 1
    both = combine([share.T for share, _ in run.answers])
    return both[:cells], both[cells:]


def kept(bits: Sequence[int], values: Sequence[int], spans: Spans) -> list[int]:
    open_at = {at for bit, span in zip(bits, spans, strict=True) if bit for at in span}
    return [value if at in open_at else 0 for at, value in enumerate(values)]


TABLE: Spans = ((0, 5, 6), (1, 7, 8), (2, 9, 10), (3,), (4,))
VALUES = [31, 0, 7, 12, 5, -4, 2**40, 2**63 - 1, -(2**63), -1, 1]


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("wide", [1, 2, 4])
def test_it_works(parties: int, wide: int) -> None:
    values = [value << 64 * (wide - 1) for value in VALUES]
    for bits in ([1, 0, 1, 0, 1], [0] * 5, [1] * 5):
        run = played(bits, values, TABLE, wide, parties)
        assert opened(run, 5) == (bits, kept(bits, values, TABLE))
        assert (run.rounds, run.dealt) == (1, 2)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_table_opens_as_in_the_clear(data: st.DataObject) -> None:
    wide, parties = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 4))
    more = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=12))
    spans, at = [], len(more)
    for cell, numbers in enumerate(more):
        spans.append((cell, *range(at, at + numbers)))
        at += numbers
    half = 1 << 64 * wide - 1
    values = data.draw(st.lists(st.integers(-half, half - 1), min_size=at, max_size=at))
    bits = data.draw(st.lists(st.integers(0, 1), min_size=len(more), max_size=len(more)))
    table = tuple(spans)
    assert opened(played(bits, values, table, wide, parties), len(more)) == (bits, kept(bits, values, table))


# -- what a party sees

def bias(body: bytes) -> float:
    """How far the share of ones is from one half, in standard deviations."""
    bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8))
    return float(abs(2 * int(bits.sum()) - len(bits)) / len(bits) ** 0.5)


def pattern_bytes(body: bytes, cells: int) -> bytes:
    """The bits of a message, eight a byte; what follows are numbers."""
    return np.packbits(np.frombuffer(body[:cells], np.uint8)).tobytes()


def test_naive_parties_read_the_pattern_and_ours_read_noise() -> None:
    """Naive: the parties open the bits to each other, before anybody seals. Ours open as many bytes, whichever cells
    open: noise, other noise each time, whoever holds the bits and the numbers bare."""
    cells, parties, spans = 4096, 3, tuple((at,) for at in range(4096))

    def naive(bits: list[int]) -> Numbers:
        shares = xor_shares(bits, parties)
        return Played(parties, [], lambda of: of.exchange(shares[of.seat], xor=True)).answers[0]

    def ours(bits: list[int], whose: int) -> list[bytes]:
        bare = [np.array(bits if seat == whose else [0] * cells, dtype=np.uint8) for seat in range(parties)]
        fives = [np.full((1, cells), 5 if seat == whose else 0, dtype=np.uint64) for seat in range(parties)]
        run = Played(parties, choice.script(spans, 1),
                     lambda of: choice.chosen(of, bare[of.seat], fives[of.seat], spans))
        return [next(body for body in run.sent[seat] if body) for seat in range(parties)]

    shut, alternate = [0] * cells, [0, 1] * (cells // 2)
    assert naive(shut).tolist() == shut and naive(alternate).tolist() == alternate
    for whose in (0, 1):
        runs = [ours(shut, whose), ours(shut, whose), ours(alternate, whose)]
        assert len({len(body) for run in runs for body in run}) == 1
        for run in runs:
            together = reduce(np.bitwise_xor, [np.frombuffer(body[:cells], np.uint8) for body in run])
            assert bias(np.packbits(together).tobytes()) < 6, "v"
            total = reduce(np.add, [np.frombuffer(body[cells:], np.uint64) for body in run])
            assert bias(total.tobytes()) < 6, "d"
            for body in run:
                assert bias(pattern_bytes(body, cells)) < 6 and bias(body[cells:]) < 6
        for one, two in zip(*runs[:2], strict=True):
            again = bytes(np.frombuffer(one, np.uint8) ^ np.frombuffer(two, np.uint8))
            assert bias(pattern_bytes(again, cells)) < 6 and bias(again[cells:]) < 6


# -- what the dealer and the buyer can put together

def dealt(keys: Sequence[bytes], script: Sequence[Piece]) -> list[list[Numbers]]:
    """Every party's part of the last piece of a script, as the dealer knows it; of party 0 the free numbers alone."""
    drawn: list[list[Numbers]] = []
    for seat, key in enumerate(keys):
        stream = Keystream(key)
        for piece in script:
            free, bound = piece.layout
            last = [field.drawn(stream) for field in (*free, *(bound if seat else ()))]
        drawn.append(last)
    return drawn


def through_the_share(keys: Sequence[bytes], of_one: Numbers, spans: Spans,
                      script: Sequence[Piece] | None = None) -> dict[int, int]:
    """The attack of a dealer and a buyer that talk: numbers that stayed closed, by their place. The dealer knows r, a
    and every party's shares of r and r a; the buyer has party 1's sealed share. Where r is 0 that share is
    [r a] + d [r], so d follows, if [r] is odd, and a + d is the number."""
    cells, drawn = len(spans), dealt(keys, script or choice.script(spans, 1))
    r = np.unpackbits(reduce(np.bitwise_xor, [one[0] for one in drawn]), count=cells)
    a = reduce(np.add, [one[1] for one in drawn])[0]
    wide, products = drawn[1][2][0], drawn[1][3][0]
    found = {}
    for at in range(cells):
        if r[at] == 0 and int(wide[at]) % 2:
            d = (int(of_one[0, cells + at]) - int(products[at])) * pow(int(wide[at]), -1, 2**64)
            found[at] = (d + int(a[at])) % 2**64
    return found


def test_a_dealer_that_talks_to_the_buyer_sees_through_bare_shares_and_not_through_ours() -> None:
    cells, parties = 64, 3
    spans, values = tuple((at,) for at in range(cells)), [1000 + at for at in range(cells)]
    keys = [secrets.token_bytes(32) for _ in range(parties)]
    run = played([0] * cells, values, spans, 1, parties, keys)
    assert opened(run, cells) == ([0] * cells, [0] * cells), "all of them are closed"
    shares = [share for share, _ in run.answers]
    found = through_the_share(keys, shares[1], spans)
    assert len(found) > 4 and found == {at: values[at] for at in found}, "the naive party seals what it has"
    private = [X25519PrivateKey.generate() for _ in range(parties)]
    public = {seat: key.public_key().public_bytes_raw() for seat, key in enumerate(private)}
    for seat, share in enumerate(shares):
        PairKeys.agree(private[seat], public, session="ab" * 32, seat=seat).hide(share, label="chosen")
    found = through_the_share(keys, shares[1], spans)
    assert [at for at in found if found[at] == values[at]] == []
    assert combine([share.T for share in shares]) == [0] * (2 * cells), "and the buyer reads the same as before"


def test_a_guess_at_what_stayed_closed_can_be_tried_on_a_bare_hash_and_not_on_ours() -> None:
    """Dealer and buyer know r, a, and b, so v, and for each guess at t also d = t - a. Naive: the sealed part holds a
    hash of v and d. Ours is keyed by what the parties told each other; the buyer has but the gate's key, made of the
    same."""
    parties, spans, secret = 3, ((0,), (1,)), 137
    keys = [secrets.token_bytes(32) for _ in range(parties)]
    run = played([0, 1], [secret, 40], spans, 1, parties, keys)
    masked = run.answers[0][1]
    contributions = [secrets.token_bytes(32) for _ in range(parties)]
    known = gate_key(contributions)
    drawn = dealt(keys, choice.script(spans, 1))
    r = np.unpackbits(reduce(np.bitwise_xor, [one[0] for one in drawn]), count=2)
    a = reduce(np.add, [one[1] for one in drawn])[0]
    v = np.array([0, 1], np.uint8) ^ r

    def tried(found: Callable[[bytes], bytes], held: bytes) -> list[int]:
        return [guess for guess in range(1000)
                if found(v.tobytes() + (np.array([guess, 40], np.uint64) - a).tobytes()) == held]

    def bare(body: bytes) -> bytes:
        return sha256(body).digest()

    assert tried(bare, bare(masked)) == [secret], "naive"
    ours = seen_by(contributions, masked)
    assert tried(lambda body: seen_by(contributions, body), ours) == [secret], "a party could"
    for found in (bare, lambda body: hmac.digest(known, body, "sha256"), lambda body: seen_by([known], body),
                  lambda body: seen_by([bytes(32)] * parties, body)):
        assert tried(found, ours) == []


def test_how_much_is_sent() -> None:
    """A byte a cell and a word a number to each peer; from the dealer to party 0 a word for each of both."""
    spans = tuple((at,) for at in range(800))
    run = played([1] * 800, [9] * 800, spans, 1, 2)
    assert sum(map(len, run.sent[1])) == 800 * (1 + 8)
    assert sum(map(len, run.sent[2])) == 800 * (8 + 8)
