"""Keys, slots and ciphertexts: against phe as a second implementation, and against what an attacker would send."""

from __future__ import annotations

import json
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
from tests.simulators.worker_orders import secret as kept_secret

SMALL = kept_secret()


@pytest.fixture(scope="module", params=[2048, 3072])
def secret(request: pytest.FixtureRequest) -> Secret:
    return paillier.generate(request.param)


def test_it_works(secret: Secret) -> None:
    public, layout = secret.public, Layout(count=40, parties=3)
    rows = [[secrets.randbelow(2 * layout.limit) - layout.limit for _ in range(40)] for _ in range(3)]
    vectors = [paillier.encrypt(public, layout.pack(layout.join(row), public.bits)) for row in rows]
    total = secret.open(ciphertext.product(public, vectors), threads=2)
    assert layout.split(layout.unpack(total, public.bits)) == [sum(slot) for slot in zip(*rows, strict=True)]


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
    numbers = list(range(20))
    with paillier.Pool(2) as pool:
        assert SMALL.open(paillier.encrypt(SMALL.public, numbers, pool=pool)) == numbers
        with pytest.raises(RangeExceeded):
            pool.encrypt(SMALL.public, [SMALL.public.n])


@pytest.mark.parametrize("expected", [1, 40, 5000])
def test_a_table_of_any_size_gives_the_same_numbers(expected: int) -> None:
    """And the randomness has as many bits as are needed, whatever the comb."""
    made = paillier.Encryptor(SMALL.public, expected=expected)
    assert SMALL.open(made.encrypt([5, 6])) == [5, 6]
    assert EXPONENT_BITS[2048] <= made.comb.bits < EXPONENT_BITS[2048] + 64
    assert made.comb.entries == sum(map(len, made._tables)) <= 1 << 14


@pytest.mark.parametrize("comb", [(1, 1, 448), (2, 3, 75), (10, 5, 9)])
def test_a_comb_gives_the_power_whose_columns_were_drawn(comb: tuple[int, int, int],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """No bit of the exponent is left out or counted twice: each, alone, is another power of two."""
    monkeypatch.setattr(paillier.Comb, "for_many", lambda bits, count: paillier.Comb(*comb))
    made = paillier.Encryptor(SMALL.public)
    bits, base, square = made.comb.bits, mpz(SMALL.public.hs), SMALL.public.square
    known, power = {}, base
    for exponent in range(bits):
        known[int(power)], power = exponent, power * power % square
    found = set()
    for bit in range(bits):
        monkeypatch.setattr(paillier.secrets, "randbits", lambda asked, bit=bit: 1 << bit if asked == bits else 0)
        found.add(known[int(made.randomness())])
    assert found == set(range(bits))


def test_a_secret_is_written_and_read_again(secret: Secret) -> None:
    assert Secret.from_text(secret.to_text()) == secret
    _, foreign = phe.generate_paillier_keypair(n_length=1024)
    p, q = f"{secret.p:x}", f"{secret.q:x}"
    for wrong in ("", "{}", "[]", "[" * 100_000, json.dumps({"p": "3", "q": "b", "hs": "1"}),
                  json.dumps({"p": p, "q": p, "hs": "2"}),
                  json.dumps({"p": p, "q": 5, "hs": "2"}),
                  json.dumps({"p": p, "q": f"{secret.q + 4:x}", "hs": "2"}), json.dumps({"p": "x", "q": q, "hs": "2"}),
                  json.dumps({"p": f"{foreign.p * 4 + 1:x}", "q": q, "hs": "2"})):
        with pytest.raises(ProtocolBroken):
            Secret.from_text(wrong)


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

    def test_a_base_without_randomness_is_refused(self) -> None:
        """With hs = 1 the portal reads every plaintext without any key: (1 + m n) mod n^2."""
        public = SMALL.public
        for hs in (1, int(public.square) - 1, public.n + 1, 5 * public.n + 1, public.n - 1):
            with pytest.raises(ProtocolBroken, match="none"):
                PublicKey(public.n, hs)

    def test_a_negative_or_even_n_is_refused(self) -> None:
        document = SMALL.public.document()
        for other in (f"-{document['n']}", f"{SMALL.public.n + 1:x}"):
            with pytest.raises(ProtocolBroken, match="2048 or 3072 bits"):
                PublicKey.read({**document, "n": other})


class TestSlots:
    @given(st.integers(2, 1024), st.integers(4, 40))
    def test_the_sum_of_all_parties_never_carries(self, parties: int, size: int) -> None:
        layout = Layout(count=1, parties=parties, size=size)
        assert parties * ((1 << layout.ring) - 1) < 1 << layout.slot
        assert parties * layout.limit <= 1 << (layout.ring - 1)
        assert layout.per_plaintext(2048) * layout.slot <= 2047

    @given(st.integers(1, 70), st.integers(2, 9), st.integers(2, 17))
    def test_full_slots_add_up(self, count: int, parties: int, size: int) -> None:
        layout = Layout(count=count, parties=parties, size=size)
        packed = [layout.pack(layout.full, 2048) for _ in range(parties)]
        sums = [sum(plain) for plain in zip(*packed, strict=True)]
        assert max(sums).bit_length() < 2048
        top = (1 << layout.ring) - 1
        assert layout.unpack(sums, 2048) == layout.repeat(parties * top % (top + 1))

    @given(st.lists(st.fractions(-1, 1), min_size=1, max_size=40), st.integers(2, 64), st.integers(3, 17))
    def test_signed_totals_are_exact(self, parts: list[Fraction], parties: int, size: int) -> None:
        layout = Layout(count=len(parts), parties=parties, size=size)
        values = [min(int(part * layout.limit), layout.limit - 1) for part in parts]
        whole = layout.join(values)
        total = 0
        for _ in range(parties):
            total = layout.add(total, whole)
        assert layout.split(total) == [value * parties for value in values]
        assert layout.split(layout.subtract(layout.subtract(total, whole), 0)) == [
            value * (parties - 1) for value in values]

    @given(st.integers(1, 1 << 255), st.integers(2, 16))
    def test_slots_are_as_wide_as_the_bound_needs_and_no_wider(self, bound: int, parties: int) -> None:
        layout = Layout.holding(bound, count=1, parties=parties)
        assert bound < layout.limit or bound == layout.limit - 1
        assert layout.size == 2 or layout.limit >> 8 <= bound

    @given(st.integers(2, 9), st.integers(2, 17), st.integers(1, 300))
    def test_what_no_party_packs_is_told_apart(self, parties: int, size: int, count: int) -> None:
        layout = Layout(count=count, parties=parties, size=size)
        packed = layout.pack(layout.full, 2048)
        assert layout.holds(packed, 2048) and layout.holds([0] * len(packed), 2048)
        assert not layout.holds([*packed[:-1], packed[-1] + 1], 2048), "a slot's own spare bits"
        assert not layout.holds([*packed[:-1], 1 << 2046], 2048)
        assert not layout.holds(packed[:-1], 2048), "not all slots"

    def test_masks_go_on_and_come_off_slot_by_slot(self) -> None:
        layout = Layout(count=5, parties=3)
        values, mask = layout.join([1, -2, 3, -4, 0]), layout.random(secrets.token_bytes(40))
        assert layout.subtract(layout.add(values, mask), mask) == values
        assert layout.subtract(0, mask) == layout.subtract(layout.moduli & layout.full, mask)

    def test_what_does_not_fit_is_refused(self) -> None:
        layout = Layout(count=1, parties=3)
        for wrong in ([layout.limit], [-layout.limit - 1], [0, 0]):
            with pytest.raises(RangeExceeded):
                layout.join(wrong)
        for whole in (-1, 1 << layout.slot):
            with pytest.raises(RangeExceeded):
                layout.pack(whole, 2048)
        for plaintexts in ([1 << layout.slot], [0, 0]):
            with pytest.raises(RangeExceeded):
                layout.unpack(plaintexts, 2048)
        with pytest.raises(RangeExceeded):
            layout.random(bytes(7))
        for arguments in ((0, 3, 8), (1, 1, 8), (1, 2000, 8), (1, 3, 1), (1, 3, 41), (1, 1000, 2)):
            with pytest.raises(RangeExceeded):
                Layout(*arguments)
