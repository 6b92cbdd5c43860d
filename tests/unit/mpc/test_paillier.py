"""Keys, slots and ciphertexts: against phe as a second implementation, and against what an attacker would send."""

from __future__ import annotations

import secrets
from fractions import Fraction

import phe
import pytest
from gmpy2 import gcd, is_prime, mpz, powmod
from hypothesis import given
from hypothesis import strategies as st

from mpc import ciphertext, paillier
from mpc.ciphertext import PublicKey
from mpc.errors import ProtocolBroken, RangeExceeded
from mpc.paillier import EXPONENT_BITS, Layout, Secret

SMALL = paillier.generate(2048)


@pytest.fixture(scope="module", params=[2048, 3072])
def secret(request: pytest.FixtureRequest) -> Secret:
    return paillier.generate(request.param)


def test_it_works(secret: Secret) -> None:
    public, layout = secret.public, Layout(count=40, parties=3)
    rows = [[secrets.randbelow(2 * layout.limit) - layout.limit for _ in range(40)] for _ in range(3)]
    vectors = [paillier.encrypt(public, layout.pack([layout.residue(one) for one in row], public.bits)) for row in rows]
    total = secret.open(ciphertext.product(public, vectors), threads=2)
    found = [layout.signed(one) for one in layout.unpack(total, public.bits)]
    assert found == [sum(slot) for slot in zip(*rows, strict=True)]


def test_phe_opens_what_we_encrypt_and_we_open_what_phe_encrypts(secret: Secret) -> None:
    public = secret.public
    other = phe.PaillierPublicKey(public.n)
    holder = phe.PaillierPrivateKey(other, secret.p, secret.q)
    numbers = [0, 1, public.n - 1, secrets.randbelow(public.n)]
    assert [holder.raw_decrypt(int(one)) for one in paillier.encrypt(public, numbers)] == numbers
    assert secret.open([mpz(other.raw_encrypt(one)) for one in numbers]) == numbers


def test_a_key_has_what_short_exponents_need(secret: Secret) -> None:
    p, q = secret.p, secret.q
    assert is_prime(p) and is_prime(q) and p % 4 == q % 4 == 3 and gcd(p - 1, q - 1) == 2
    assert secret.public.n.bit_length() in EXPONENT_BITS
    assert powmod(secret.hs, (p - 1) * (q - 1) // 2, secret.public.square) == 1, "hs is an n-th power of a unit"
    assert secret.open([mpz(secret.hs)]) == [0], "and so a ciphertext of nothing"
    assert str(p) not in repr(secret) and f"{p:x}" not in repr(secret)


def test_phes_keys_seldom_are_fit_for_it() -> None:
    """Why short exponents go with our own keys only: phe asks its primes for nothing of this."""
    fit = 0
    for _ in range(8):
        _, key = phe.generate_paillier_keypair(n_length=1024)
        fit += key.p % 4 == key.q % 4 == 3 and gcd(key.p - 1, key.q - 1) == 2
    assert fit < 8


def test_the_same_number_is_never_encrypted_to_the_same_thing(secret: Secret) -> None:
    vector = paillier.encrypt(secret.public, [7] * 20)
    assert len(set(vector)) == 20


def test_several_processes_give_ciphertexts_of_the_same_numbers() -> None:
    secret = paillier.generate(2048)
    numbers = list(range(600))
    assert secret.open(paillier.encrypt(secret.public, numbers, processes=2), threads=2) == numbers


class TestWhatArrives:
    def test_bytes_go_there_and_back(self) -> None:
        vector = paillier.encrypt(SMALL.public, [1, 2, 3])
        assert ciphertext.from_bytes(SMALL.public, ciphertext.to_bytes(SMALL.public, vector), count=3) == vector

    def test_no_ciphertext_is_refused(self) -> None:
        """A multiple of p has no inverse: whoever could slip one in, and see what happens, would learn the key."""
        public = SMALL.public
        for wrong in (0, public.square, SMALL.p, SMALL.p * SMALL.q, -1):
            with pytest.raises(ProtocolBroken):
                ciphertext.check(public, [mpz(wrong)])

    def test_another_length_is_refused(self) -> None:
        data = ciphertext.to_bytes(SMALL.public, paillier.encrypt(SMALL.public, [1, 2]))
        for cut in (data[:-1], data + b"\0", b""):
            with pytest.raises(ProtocolBroken):
                ciphertext.from_bytes(SMALL.public, cut, count=2)
        with pytest.raises(ProtocolBroken):
            ciphertext.product(SMALL.public, [[mpz(1)], [mpz(1), mpz(1)]])

    @pytest.mark.parametrize("wrong", [None, {}, {"n": "ff", "hs": "2"}, {"n": "x", "hs": "2"}, {"n": 5, "hs": "2"}])
    def test_what_is_no_key_is_refused(self, wrong: object) -> None:
        with pytest.raises(ProtocolBroken):
            PublicKey.read(wrong)

    def test_a_key_is_written_in_one_way(self) -> None:
        document = SMALL.public.document()
        assert PublicKey.read(document) == SMALL.public
        for other in ("0x" + document["n"], document["n"].upper(), "0" + document["n"]):
            with pytest.raises(ProtocolBroken):
                PublicKey.read({**document, "n": other})


class TestSlots:
    @given(st.integers(1, 1024), st.integers(1, 4))
    def test_the_sum_of_all_parties_never_carries(self, parties: int, limbs: int) -> None:
        layout = Layout(count=1, parties=parties, limbs=limbs)
        assert parties * ((1 << layout.ring) - 1) < 1 << layout.slot
        assert parties * layout.limit <= 1 << (layout.ring - 1)
        assert layout.per_plaintext(2048) * layout.slot <= 2047

    @given(st.integers(1, 70), st.integers(1, 9), st.integers(1, 3), st.randoms())
    def test_full_slots_add_up(self, count: int, parties: int, limbs: int, random: object) -> None:
        layout = Layout(count=count, parties=parties, limbs=limbs)
        top = (1 << layout.ring) - 1
        packed = [layout.pack([top] * count, 2048) for _ in range(parties)]
        sums = [sum(plain) for plain in zip(*packed, strict=True)]
        assert max(sums).bit_length() < 2048
        assert layout.unpack(sums, 2048) == [parties * top % (top + 1)] * count

    @given(st.lists(st.fractions(-1, 1), min_size=1, max_size=40), st.integers(2, 64))
    def test_signed_totals_are_exact(self, parts: list[Fraction], parties: int) -> None:
        layout = Layout(count=len(parts), parties=parties)
        values = [min(int(part * layout.limit), layout.limit - 1) for part in parts]
        total = [sum([layout.residue(value)] * parties) % (1 << layout.ring) for value in values]
        assert [layout.signed(one) for one in total] == [value * parties for value in values]

    def test_what_does_not_fit_is_refused(self) -> None:
        layout = Layout(count=1, parties=3)
        for wrong in (layout.limit, -layout.limit - 1):
            with pytest.raises(RangeExceeded):
                layout.residue(wrong)
        for wrong in ([], [1 << layout.ring], [-1], [0, 0]):
            with pytest.raises(RangeExceeded):
                layout.pack(wrong, 2048)
        with pytest.raises(RangeExceeded):
            layout.unpack([1 << layout.slot], 2048)
        for arguments in ((0, 3, 1), (1, 0, 1), (1, 2000, 1), (1, 3, 0), (1, 3, 5)):
            with pytest.raises(RangeExceeded):
                Layout(*arguments)
