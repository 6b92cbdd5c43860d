"""Zero-sharings cancel, say nothing alone, are drawn once; sealed parts open only with their own info."""

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import sharing
from mpc.errors import NotOpenable, ProtocolBroken, RangeExceeded
from mpc.sharing import (
    LIMBS,
    PairKeys,
    add_up,
    combine,
    integers,
    limbs,
    low_words,
    open_sealed,
    pack,
    pair_key,
    put_columns,
    seal,
    share_own,
    share_total,
    take_columns,
    times,
    unpack,
    words,
)
from mpc.spec import hpke_info
from tests.unit.mpc import sharing_oracle as oracle

SESSION = "ab" * 32
INFO = {"space": "s", "job_hash": "11" * 32, "session": SESSION, "sender": "a", "recipient": "c",
        "recipient_key": "22" * 32, "gate_hash": "33" * 32}


def seats(parties: int, session: str = SESSION) -> list[PairKeys]:
    private = [X25519PrivateKey.generate() for _ in range(parties)]
    public = {seat: key.public_key().public_bytes_raw() for seat, key in enumerate(private)}
    return [PairKeys.agree(private[seat], public, session=session, seat=seat) for seat in range(parties)]


def test_it_works() -> None:
    keys = seats(3)
    shares = [share_total([seat, -10 * seat], keys[seat]) for seat in range(3)]
    assert combine(shares) == [3, -30]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, LIMBS), st.data())
def test_sums_differences_and_products_in_the_ring_are_those_of_whole_numbers(wide: int, data: st.DataObject) -> None:
    half = 1 << 64 * wide - 1
    number = st.one_of(st.integers(-half, half - 1), st.sampled_from([0, 1, -1, half - 1, -half, (half - 1) >> 32]))
    ones = data.draw(st.lists(number, min_size=1, max_size=8))
    others = data.draw(st.lists(number, min_size=len(ones), max_size=len(ones)))

    def ring(values: list[int]) -> list[int]:
        return [(value + half) % (2 * half) - half for value in values]

    one, other = limbs(ones, wide).T.copy(), limbs(others, wide).T.copy()
    assert integers(times(one, other).T) == ring([x * y for x, y in zip(ones, others, strict=True)])
    put_columns(one, other)
    assert integers(one.T) == ring([x + y for x, y in zip(ones, others, strict=True)])
    take_columns(one, other)
    assert integers(one.T) == ones


HALF = oracle.RING // 2
EDGES = [0, 1, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, -(2**64), 2**128, -(2**128) - 1, 2**192,
         HALF - 1, -HALF]
WHOLE = st.one_of(st.sampled_from(EDGES), st.integers(-HALF, HALF - 1), st.integers(-(2**63), 2**63 - 1),
                  st.integers(-9, 9))
VECTORS = st.tuples(st.integers(3, 6), st.integers(0, 9)).flatmap(lambda shape: st.lists(
    st.lists(WHOLE, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]))


@pytest.fixture(params=[2, sharing.CHUNK])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Vectors of several chunks, and of one."""
    monkeypatch.setattr(sharing, "CHUNK", request.param)
    return int(request.param)


@pytest.mark.usefixtures("chunk")
@settings(max_examples=60, deadline=None)
@given(VECTORS)
def test_shares_are_those_of_the_oracle_and_the_total_is_exact(vectors: list[list[int]]) -> None:
    keys = seats(len(vectors))
    shares = [share_total(vector, key) for vector, key in zip(vectors, keys, strict=True)]
    slow = [oracle.share_total(vector, key.seat, key._keys) for vector, key in zip(vectors, keys, strict=True)]
    assert [[value % oracle.RING for value in integers(share)] for share in shares] == slow
    assert combine(shares) == oracle.combine(slow)
    if all(abs(total) < HALF for total in map(sum, zip(*vectors, strict=True))):
        assert combine(shares) == [sum(column) for column in zip(*vectors, strict=True)]
    low = np.sum([low_words(share) for share in shares], axis=0, dtype=np.uint64)
    assert low.tolist() == [sum(column) % oracle.WORD for column in zip(*vectors, strict=True)]


@pytest.mark.usefixtures("chunk")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3), min_size=3, max_size=3))
def test_own_shares_are_those_of_the_oracle(vectors: list[list[int]]) -> None:
    keys = seats(3)
    rows = [share_own(vector, key, 3) for vector, key in zip(vectors, keys, strict=True)]
    slow = [oracle.share_own(vector, key.seat, key._keys, 3) for vector, key in zip(vectors, keys, strict=True)]
    assert [row.tolist() for row in rows] == slow
    assert np.sum(rows, axis=0, dtype=np.uint64).view(np.int64).tolist() == vectors


@settings(deadline=None)
@given(st.lists(WHOLE))
def test_limbs_are_exact_and_signed(values: list[int]) -> None:
    assert integers(limbs(values)) == values
    assert limbs(values).shape == (len(values), 4)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.lists(st.integers(0, 2**64 - 1)), st.lists(st.integers(-9, 9)))
def test_arrays_are_taken_as_they_are(signed: list[int], unsigned: list[int], small: list[int]) -> None:
    assert integers(limbs(np.array(signed, np.int64))) == signed
    assert integers(limbs(np.array(unsigned, np.uint64))) == unsigned
    assert integers(limbs(np.array(small, np.int8))) == small
    assert integers(limbs(np.array([*signed, 0], np.int64)[:-1][::-1])) == signed[::-1]


def test_the_values_given_stay_as_they_are() -> None:
    mine = np.arange(5)
    share_total(mine, seats(3)[0])
    share_own(mine, seats(3)[0], 3)
    assert mine.tolist() == [0, 1, 2, 3, 4]


def test_all_but_one_share_look_random() -> None:
    keys = seats(4)
    shares = [share_total([5] * 200, key) for key in keys]
    partial = add_up(shares[:3])
    for limb in range(4):
        assert len(set(partial[:, limb].tolist())) == 200
        assert 60 < int((partial[:, limb] >> np.uint64(63)).sum()) < 140
    assert len(set(partial.reshape(-1).tolist())) == 800


def test_own_counts_are_shared_apart_from_the_total() -> None:
    keys = seats(3)
    own = [[1, 2], [30, 40], [500, 600]]
    rows = [share_own(own[seat], keys[seat], 3) for seat in range(3)]
    assert np.sum(rows, axis=0, dtype=np.uint64).tolist() == own
    assert rows[0][0].tolist() != own[0]


def test_a_keystream_is_drawn_once() -> None:
    key = seats(3)[0]
    share_total([1], key)
    for again in (lambda: share_total([1], key), lambda: share_own([1], key, 3, label="total")):
        with pytest.raises(ProtocolBroken):
            again()


def test_no_two_words_of_all_keystreams_are_alike() -> None:
    """Every limb, every pair, every label, over chunks: masks of zeros show the keystreams themselves."""
    keys = seats(3)
    drawn = [share_total([0] * 700, keys[0]), share_total([0] * 700, keys[0], label="again")]
    drawn += [share_own([0] * 700, keys[0], 3), share_total([0] * 700, keys[1], label="again")]
    seen = np.concatenate([part.reshape(-1) for part in drawn])
    assert len(np.unique(seen)) == len(seen)


def test_nothing_is_shared_without_keys() -> None:
    erased = seats(3)[0]
    erased.erase()
    for keys in (erased, PairKeys(0, {})):
        with pytest.raises(ProtocolBroken):
            share_total([5], keys)
        with pytest.raises(ProtocolBroken):
            share_own([5], keys, 1)


def test_little_memory_is_used_beyond_the_vectors() -> None:
    keys, mine = seats(4), np.arange(400_000)
    size = 32 * len(mine)
    tracemalloc.start()
    try:
        shares = [share_total(mine, key) for key in keys]
        assert tracemalloc.get_traced_memory()[1] < (len(keys) + 0.5) * size
        tracemalloc.reset_peak()
        total = add_up(shares)
        assert tracemalloc.get_traced_memory()[1] < (len(keys) + 1.5) * size
        pack(total)
        assert tracemalloc.get_traced_memory()[1] < (len(keys) + 1.5) * size
    finally:
        tracemalloc.stop()
    assert integers(total[:5]) == [0, 4, 8, 12, 16]


def test_another_session_has_other_keys() -> None:
    one, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    public = other.public_key().public_bytes_raw()
    keys = [pair_key(one, public, session=session, seat=0, peer_seat=1) for session in ("00" * 32, "01" * 32)]
    assert keys[0] != keys[1]
    assert keys[0] == pair_key(other, one.public_key().public_bytes_raw(), session="00" * 32, seat=1, peer_seat=0)
    assert keys[0] != pair_key(one, public, session="00" * 32, seat=0, peer_seat=2)


def test_a_null_exchange_key_is_refused() -> None:
    with pytest.raises(ProtocolBroken):
        pair_key(X25519PrivateKey.generate(), bytes(32), session=SESSION, seat=0, peer_seat=1)


@pytest.mark.parametrize(("value", "count"), [
    (HALF, 4), (-HALF - 1, 4), (2**300, 4), (2**63, 1), (-(2**63) - 1, 1), (2**127, 2), (-(2**191) - 1, 3)])
def test_what_does_not_fit_the_ring_is_refused(value: int, count: int) -> None:
    with pytest.raises(RangeExceeded):
        share_total([0, value], seats(3)[0], wide=count)
    with pytest.raises(RangeExceeded):
        limbs(np.array([2**63], np.uint64), 1)


@pytest.mark.parametrize("values", [[2**63], [-(2**63) - 1], np.array([2**63], np.uint64), np.array([0.5]),
                                    np.array([True]), np.array([[1]]), np.array([1, 2**70], object)])
def test_what_does_not_fit_a_word_is_refused(values: Any) -> None:
    with pytest.raises(RangeExceeded):
        words(values)


def test_long_values_among_short_ones() -> None:
    """Where one takes more than a word: those beside it, and those at the edge of a word, stay what they are."""
    edges = [sign * 2**power + off for power in (62, 63, 64, 127) for sign in (1, -1) for off in (-512, -1, 0, 1, 512)]
    values = [0, -1, *edges, 7, -(2**40)]
    for count in (3, 4):
        assert integers(limbs(values, count)) == values
        assert combine([limbs(values, count)] * 3) == [3 * value for value in values]
    with pytest.raises(RangeExceeded):
        limbs([0, 10**400])


@pytest.mark.parametrize("values", [[0.5], [1, 2**70, 0.5], ["1"], [None]])
def test_nothing_is_rounded(values: Any) -> None:
    with pytest.raises((TypeError, AttributeError)):
        limbs(values)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, LIMBS), st.lists(st.lists(WHOLE, min_size=4, max_size=4), min_size=3, max_size=4))
def test_as_many_limbs_as_the_total_needs_open_the_same(count: int, vectors: list[list[int]]) -> None:
    """The lower limbs of values that fit them; and the oracle's keystreams for so many."""
    half = 1 << (64 * count - 3)
    vectors = [[value % half - half // 2 for value in vector] for vector in vectors]
    keys = seats(len(vectors))
    shares = [share_total(vector, key, wide=count) for vector, key in zip(vectors, keys, strict=True)]
    assert {share.shape for share in shares} == {(4, count)}
    assert combine(shares) == [sum(column) for column in zip(*vectors, strict=True)]
    hidden = oracle.zeros(0, keys[0]._keys, "total", 4, count)
    assert [value % (1 << 64 * count) for value in integers(shares[0])] == [
        (value + zero) % (1 << 64 * count) for value, zero in zip(vectors[0], hidden, strict=True)]


@settings(deadline=None)
@given(st.lists(WHOLE, min_size=1, max_size=5))
def test_packing_is_exact(values: list[int]) -> None:
    data = pack(limbs(values))
    assert integers(unpack(data, len(values))) == values
    assert len(data) == 32 * len(values)
    assert [data[at : at + 8] for at in range(0, 8 * len(values), 8)] == [
        (value % oracle.WORD).to_bytes(8, "little") for value in values]


def test_shares_of_two_lengths_open_nothing() -> None:
    with pytest.raises(NotOpenable):
        combine([limbs([1, 2]), limbs([1])])
    for size, count in ((31, 1), (32, 0), (32, -1), (0, 1), (24, 2), (40, 1), (0, 0), (64, 3)):
        with pytest.raises(NotOpenable):
            unpack(bytes(size), count)


def test_a_sealed_part_opens_only_with_its_own_info() -> None:
    recipient = X25519PrivateKey.generate()
    sealed = seal(b"shares", recipient_key=recipient.public_key().public_bytes_raw().hex(), info=hpke_info(**INFO))
    assert open_sealed(sealed, private=recipient, info=hpke_info(**INFO)) == b"shares"
    for name, value in INFO.items():
        other = INFO | {name: value.replace(value[0], "9", 1) if len(value) > 1 else "z"}
        with pytest.raises(NotOpenable):
            open_sealed(sealed, private=recipient, info=hpke_info(**other))
    with pytest.raises(NotOpenable):
        open_sealed(sealed, private=X25519PrivateKey.generate(), info=hpke_info(**INFO))
    for at in (0, 40, len(sealed) - 1):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(NotOpenable):
            open_sealed(changed, private=recipient, info=hpke_info(**INFO))
    for part in (b"", sealed[:31], sealed[:33], sealed[:-1]):
        with pytest.raises(NotOpenable):
            open_sealed(part, private=recipient, info=hpke_info(**INFO))


def test_sealing_twice_gives_two_ciphertexts() -> None:
    public = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    sealed = [seal(b"same", recipient_key=public, info=b"") for _ in range(3)]
    assert all(one != other for one, other in pairwise(sealed))
