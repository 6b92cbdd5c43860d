"""One total of one frozen set: what the parties get, and what the coalitions that were feared do not get."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import ciphertext, paillier
from mpc.engines.paillier_engine import (
    Contribution,
    Question,
    Release,
    check_contribution,
    contribute,
    expand,
    freeze,
    open_total,
)
from mpc.errors import MpcError, NotOpenable, ProtocolBroken, SetRefused, SpecRefused
from mpc.paillier import Layout
from mpc.sharing import open_sealed

SECRET = paillier.generate(2048)
HOSPITALS = [Ed25519PrivateKey.generate() for _ in range(4)]
DEALER, DEALER_SIGNING, CONSUMER = (X25519PrivateKey.generate(), Ed25519PrivateKey.generate(),
                                    X25519PrivateKey.generate())
VALUES = [[10, -20, 1 << 50], [1, 2, 3], [100, 200, 300], [5, 5, 5]]
DEADLINE = 1000


def public(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


class MemoryBook:
    def __init__(self) -> None:
        self.frozen: dict[str, str] = {}

    def claim(self, key: str, frozen: str) -> bool:
        return self.frozen.setdefault(key, frozen) == frozen


def question(**other: object) -> Question:
    base = Question(
        key="ab" * 32, job_hash="cd" * 32, public=SECRET.public, layout=Layout(count=3, parties=4),
        members=tuple(public(one) for one in HOSPITALS), minimum=3, deadline=DEADLINE, dealer=public(DEALER),
        dealer_signing=public(DEALER_SIGNING), recipient=public(CONSUMER))
    return replace(base, **other)  # type: ignore[arg-type]


ASKED = question()


def contributions(asked: Question = ASKED, who: Sequence[int] = (0, 1, 2, 3)) -> list[Contribution]:
    return [contribute(asked, VALUES[one], HOSPITALS[one]) for one in who]


def frozen(given: Sequence[Contribution], asked: Question = ASKED, book: MemoryBook | None = None,
           now: float = DEADLINE) -> Release:
    return freeze(asked, given, sealing=DEALER, signing=DEALER_SIGNING, book=book or MemoryBook(), now=now)


def opened(given: Sequence[Contribution], release: Release, asked: Question = ASKED) -> list[int]:
    return open_total(asked, given, release, secret=SECRET, sealing=CONSUMER)


def total(who: Sequence[int]) -> list[int]:
    return [sum(column) for column in zip(*(VALUES[one] for one in who), strict=True)]


def test_it_works() -> None:
    given = contributions()
    assert opened(given, frozen(given)) == total([0, 1, 2, 3])


def test_a_hospital_that_never_comes_is_done_without() -> None:
    given = contributions(who=[2, 0, 3])
    assert opened(given, frozen(given)) == total([0, 2, 3])


def test_portal_and_consumer_together_open_no_single_contribution() -> None:
    """Without masks they would: the consumer's key opens each ciphertext the portal holds."""
    layout = ASKED.layout
    bare = paillier.encrypt(SECRET.public, layout.pack([layout.residue(one) for one in VALUES[0]], 2048))
    assert [layout.signed(one) for one in layout.unpack(SECRET.open(bare), 2048)] == VALUES[0], "the naive way leaks"
    given = contributions()
    release = frozen(given)
    vector = ciphertext.from_bytes(SECRET.public, given[0].ciphertexts, count=1)
    seen = [layout.signed(one) for one in layout.unpack(SECRET.open(vector), 2048)]
    assert all(masked != value for masked, value in zip(seen, VALUES[0], strict=True))
    with pytest.raises(MpcError):  # nor by calling one contribution the set
        opened(given[:1], replace(release, frozen=release.frozen[:1]))


def test_no_second_set_is_frozen_for_one_question() -> None:
    """Two totals whose sets differ by one hospital are that hospital's own figures."""
    book, given = MemoryBook(), contributions()
    careless = [frozen(given), frozen(given[:3])]  # a dealer that remembers nothing
    leaked = [a - b for a, b in zip(opened(given, careless[0]), opened(given[:3], careless[1]), strict=True)]
    assert leaked == VALUES[3]
    frozen(given, book=book)
    with pytest.raises(SetRefused) as refused:
        frozen(given[:3], book=book)
    assert refused.value.code == "paillier.second_freeze"


def test_another_job_of_the_same_question_does_not_open_another_set() -> None:
    book = MemoryBook()
    frozen(contributions(), book=book)
    again = question(job_hash="ef" * 32)
    with pytest.raises(SetRefused):
        frozen(contributions(again, who=[0, 1, 2]), again, book)


def test_the_same_set_asked_again_is_answered_again() -> None:
    book, given = MemoryBook(), contributions()
    first, second = frozen(given, book=book), frozen(list(reversed(given)), book=book)
    assert opened(given, first) == opened(given, second)


def test_a_contribution_of_another_question_is_refused() -> None:
    other = question(job_hash="ef" * 32)
    with pytest.raises(ProtocolBroken):
        frozen([*contributions(who=[0, 1]), *contributions(other, who=[2])])


def test_the_dealers_office_opens_masks_and_nothing_else() -> None:
    """With the portal it has every mask and every ciphertext; equal values do not even show as equal."""
    first, second = contributions(who=[0]), contributions(who=[0])
    assert first[0].ciphertexts != second[0].ciphertexts
    with pytest.raises(NotOpenable):
        open_sealed(frozen(contributions()).masks, private=DEALER, info=b"")


@pytest.mark.parametrize(("code", "change"), [
    ("paillier.too_early", lambda given: (given, DEADLINE - 1)),
    ("paillier.too_few", lambda given: (given[:2], DEADLINE)),
])
def test_neither_too_early_nor_with_too_few(code: str, change: Callable[..., tuple[list[Contribution], float]]) -> None:
    given, now = change(contributions())
    with pytest.raises(SetRefused) as refused:
        frozen(given, now=now)
    assert refused.value.code == code


@pytest.mark.parametrize("change", [
    lambda one: replace(one, ciphertexts=one.ciphertexts[:-1] + bytes([one.ciphertexts[-1] ^ 1])),
    lambda one: replace(one, seed=one.seed[:-1] + bytes([one.seed[-1] ^ 1])),
    lambda one: replace(one, signature=bytes(64)),
    lambda one: replace(one, member=public(HOSPITALS[1])),
    lambda one: replace(one, member=public(Ed25519PrivateKey.generate())),
    lambda one: replace(one, ciphertexts=b""),
], ids=["ciphertext", "seed", "signature", "other member", "stranger", "empty"])
def test_an_altered_contribution_is_refused_by_everybody(change: Callable[[Contribution], Contribution]) -> None:
    given = contributions()
    release = frozen(given)
    altered = [change(given[0]), *given[1:]]
    with pytest.raises(ProtocolBroken):
        check_contribution(ASKED, altered[0])
    with pytest.raises(ProtocolBroken):
        frozen(altered)
    with pytest.raises(MpcError):
        opened(altered, release)


def test_a_contributor_counts_once() -> None:
    given = contributions(who=[0, 1])
    with pytest.raises(ProtocolBroken):
        frozen([*given, contribute(ASKED, VALUES[0], HOSPITALS[0])])


def test_another_dealers_release_is_refused() -> None:
    given = contributions()
    other = Ed25519PrivateKey.generate()
    stranger = freeze(ASKED, given, sealing=DEALER, signing=other, book=MemoryBook(), now=DEADLINE)
    with pytest.raises(ProtocolBroken):
        opened(given, stranger)
    release = frozen(given)
    with pytest.raises(NotOpenable):
        opened(given, replace(release, masks=release.masks[:-1] + bytes([release.masks[-1] ^ 1])))


def test_a_stranger_does_not_contribute() -> None:
    with pytest.raises(SpecRefused):
        contribute(ASKED, VALUES[0], Ed25519PrivateKey.generate())


@pytest.mark.parametrize("other", [
    {"members": (public(HOSPITALS[0]), public(HOSPITALS[0]), public(HOSPITALS[1]))}, {"minimum": 1}, {"minimum": 5},
    {"layout": Layout(count=3, parties=3)},
])
def test_a_question_that_protects_nobody_cannot_be_asked(other: dict[str, object]) -> None:
    with pytest.raises(SpecRefused):
        question(**other)


def test_masks_are_drawn_anew_for_every_contribution() -> None:
    seeds = {secrets.token_bytes(32) for _ in range(3)}
    drawn = {tuple(expand(seed, ASKED, ASKED.members[0])) for seed in seeds}
    assert len(drawn) == 3
