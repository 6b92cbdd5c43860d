"""Zero-sharings cancel, say nothing alone, are drawn once; sealed parts open only with their own info."""

from itertools import pairwise

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.errors import NotOpenable, ProtocolBroken, RangeExceeded
from mpc.sharing import (
    HALF,
    RING,
    WORD,
    PairKeys,
    combine,
    low_words,
    open_sealed,
    pack,
    pair_key,
    seal,
    share_own,
    share_total,
    unpack,
)
from mpc.spec import hpke_info

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


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 6).flatmap(lambda parties: st.lists(
    st.lists(st.integers(-(2**250), 2**250), min_size=4, max_size=4), min_size=parties, max_size=parties)))
def test_the_total_is_exact_and_its_low_words_share_the_same_total(vectors: list[list[int]]) -> None:
    keys = seats(len(vectors))
    shares = [share_total(vector, key) for vector, key in zip(vectors, keys, strict=True)]
    totals = [sum(column) for column in zip(*vectors, strict=True)]
    assert combine(shares) == totals
    words = [low_words(share) for share in shares]
    assert [sum(column) % WORD for column in zip(*words, strict=True)] == [total % WORD for total in totals]


def test_all_but_one_share_look_random() -> None:
    keys = seats(4)
    shares = [share_total([5] * 200, key) for key in keys]
    partial = [sum(column) % RING for column in zip(*shares[:3], strict=True)]
    assert len(set(partial)) == 200
    assert 60 < sum(value >= HALF for value in partial) < 140


def test_own_counts_are_shared_apart_from_the_total() -> None:
    keys = seats(3)
    own = [[1, 2], [30, 40], [500, 600]]
    rows = [share_own(own[seat], keys[seat], 3) for seat in range(3)]
    for party in range(3):
        assert [sum(rows[seat][party][cell] for seat in range(3)) % WORD for cell in range(2)] == own[party]
    assert rows[0][0] != own[0]


def test_a_keystream_is_drawn_once() -> None:
    key = seats(3)[0]
    share_total([1], key)
    with pytest.raises(ProtocolBroken):
        share_total([1], key)


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


def test_what_does_not_fit_the_ring_is_refused() -> None:
    with pytest.raises(RangeExceeded):
        share_total([HALF], seats(3)[0])


@given(st.lists(st.integers(0, RING - 1), max_size=5))
def test_packing_is_exact(shares: list[int]) -> None:
    assert unpack(pack(shares)) == shares


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
