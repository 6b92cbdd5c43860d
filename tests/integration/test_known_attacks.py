"""Attacks on engines as they are shipped: each is run, succeeds on the original, and finds nothing to hold on ours.

What is shipped runs once, as two processes of CrypTen 0.4.1 with its own provider, over gloo (`STOCK`): party 0 tells
what it saw and made, and nothing that it would not know. The attacks are functions that both sides are given to.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import phe
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import canonical
from mpc import ciphertext, masked, paillier
from mpc.ciphertext import PublicKey
from mpc.engines.crypten_engine import kernel, products
from mpc.engines.crypten_engine.computation import Computation
from mpc.engines.crypten_engine.dealing import Numbers, Piece
from mpc.engines.crypten_engine.kernel import Keystream
from mpc.errors import EngineUnfit
from mpc.masked import Parcel, Question
from mpc.paillier import Layout
from mpc.party import keys_of
from tests.simulators.wired_parties import Played, added, shared

WINDOW, RING, F = 4096, 2**64, 16
MANY, FACTOR = 5000, 2.0**12

STOCK = """
import json, sys, types
for name, inside in (("torch.onnx._internal.registration", {"registry": None}), ("onnx.numpy_helper", {}),
                     ("onnx", {"numpy_helper": None})):
    module = types.ModuleType(name); module.__dict__.update(inside); sys.modules[name] = module
import torch, crypten
from crypten.mpc.provider import tfp_provider, ttp_provider
from crypten.mpc.primitives import arithmetic
rank, secret, many, factor = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
crypten.init()
made, seen = [], []
make, reveal = tfp_provider.generate_random_ring_element, arithmetic.ArithmeticSharedTensor.reveal_batch
def noting(*a, **k):
    made.append(make(*a, **k)); return made[-1]
def watching(*a, **k):
    seen.append(reveal(*a, **k)); return seen[-1]
tfp_provider.generate_random_ring_element = noting
arithmetic.ArithmeticSharedTensor.reveal_batch = staticmethod(watching)
x = crypten.cryptensor(torch.tensor([secret if rank == 1 else 0.0]), src=1)
y = crypten.cryptensor(torch.tensor([2.0]), src=0)
(x * y).get_plain_text()
opened, held = [one.item() for batch in seen for one in batch], [one.item() for one in made]
one, other = (crypten.cryptensor(torch.full((many,), factor), src=src) for src in (0, 1))
found = (one * other).get_plain_text()
# The seeds that CrypTen's own server deals, by its own code; only the sending is left out.
torch.seed()
began = torch.initial_seed() % 2**32
server = object.__new__(ttp_provider.TTPServer)
server.ttp_group, sent = None, []
ttp_provider.dist = types.SimpleNamespace(barrier=lambda **_: None, isend=lambda tensor, dst, group: (
    sent.append(tensor.item()), types.SimpleNamespace(wait=lambda: None))[1])
server._setup_generators()
masks = make((3,), generator=server.generators[1]).tolist()
if rank == 0:
    print(json.dumps({"opened": opened, "held": held, "products": found.tolist(), "began": began, "seed": sent[0],
                      "other": sent[1], "masks": masks}))
"""


def stock_party(rank: int, port: int, secret: float) -> subprocess.Popen[str]:
    place = {"WORLD_SIZE": "2", "RANK": str(rank), "RENDEZVOUS": "env://", "MASTER_ADDR": "127.0.0.1",
             "MASTER_PORT": str(port), "DISTRIBUTED_BACKEND": "gloo", "OMP_NUM_THREADS": "1",
             "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STOCK, str(rank), str(secret), str(MANY), str(FACTOR)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **place})


@pytest.fixture(scope="module")
def stock() -> dict[str, Any]:
    """What party 0 of CrypTen as shipped has in hand; `secret` is party 1's number, for the tests to compare."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = secrets.randbelow(1000) + 1
    parties = [stock_party(rank, port, float(secret if rank == 1 else 0)) for rank in (0, 1)]
    try:
        said, trouble = parties[0].communicate(timeout=120)
        assert parties[0].returncode == 0, trouble
        return {**json.loads(said.strip().splitlines()[-1]), "secret": secret}
    finally:
        for party in parties:
            party.kill()
            party.communicate()


# -- who makes the masks

def combined(opened: Iterable[int], held: Iterable[int]) -> set[int]:
    """Everything that is an opened number with up to three held ones added or taken away."""
    ways = [0]
    held = list(held)
    for size in (1, 2, 3):
        ways += [sum(sign * one for sign, one in zip(signs, chosen, strict=True))
                 for chosen in combinations(held, size) for signs in product((1, -1), repeat=size)]
    return {(one + way) % RING for one in opened for way in ways}


def test_the_first_party_reads_the_other_partys_number_in_crypten_as_shipped(stock: dict[str, Any]) -> None:
    """Its default provider lets party 0 make the masks (TFP): what is opened, plus the mask, is the other's input."""
    assert stock["secret"] * 2**F in combined(stock["opened"][:2], stock["held"]), "party 0 was never told this number"


class Noting:
    """Party 0 of ours as an attacker: computes as it must, and keeps whatever passes through its hands."""

    def __init__(self, of: Computation) -> None:
        self.opened: list[int] = []
        self.held: list[int] = []
        take, exchange = of.take, of.exchange

        def taking(piece: Piece) -> list[Numbers]:
            shares = take(piece)
            self.held += [int(one) for share in shares for one in share.reshape(-1).tolist()]
            return shares

        def exchanging(share: Numbers, *, xor: bool = False) -> Numbers:
            total = exchange(share, xor=xor)
            theirs = total ^ share if xor else total - share
            self.opened += [*total.tolist(), *theirs.tolist()]
            self.held += share.tolist()
            return total

        of.take, of.exchange = taking, exchanging  # type: ignore[method-assign]


def test_in_ours_party_0_finds_nothing_with_all_that_it_holds_and_received() -> None:
    """The same computation with our dealer. Where party 0 plays the dealer, as it does there, the same search finds
    the number: so it is the dealer that keeps it."""
    secret = (secrets.randbelow(1000) + 1) << F
    y = [np.array([2 << F], np.uint64), np.zeros(1, np.uint64)]
    x = [np.zeros(1, np.uint64), np.array([secret], np.uint64)]
    keys = [secrets.token_bytes(32) for _ in range(2)]

    def play(of: Computation) -> tuple[Numbers, Noting]:
        noting = Noting(of)
        return products.multiply(of, x[of.seat], y[of.seat], F), noting

    played = Played(2, products.multiply_script(1, F), play, keys=keys)
    share, noting = played.answers[0]
    assert added([share, played.answers[1][0]])[0] - 2 * secret in (0, 1), "the product is right"
    assert len(noting.opened) == 6 and len(noting.held) >= 6
    assert secret not in combined(noting.opened, noting.held)
    assert 2 * secret not in combined(noting.opened, [*noting.held, int(share[0])])
    made = [int.from_bytes(Keystream(key).draw(8).tobytes(), "little") for key in keys]
    assert secret in combined(noting.opened[:1], [sum(made)]), "who deals reads it"


def test_crypten_cannot_be_made_to_deal_in_ours() -> None:
    for provider in kernel._providers():
        for maker in kernel._MAKERS:
            if maker in vars(provider):
                with pytest.raises(EngineUnfit):
                    getattr(provider, maker)(None, (1,), (1,))


# -- what seeds are worth

def outputs(generator: torch.Generator | None, count: int) -> list[int]:
    drawn: list[int] = torch.randint(-(2**63), 2**63 - 1, (count,), generator=generator).tolist()
    return drawn


def next_after(seen: Sequence[int], start: int, count: int) -> list[int] | None:
    """What a generator of torch's draws after these numbers, found by trying its seeds; all 2^32 take an hour, here
    `WINDOW` of them. Tells nothing where no seed fits."""
    for seed in range(start, start + WINDOW):
        generator = torch.Generator().manual_seed(seed)
        if outputs(generator, len(seen)) == list(seen):
            return outputs(generator, count)
    return None


def a_window_over(seed: int) -> int:
    return max(0, seed % 2**32 - secrets.randbelow(WINDOW))


def test_in_crypten_as_shipped_a_partys_own_seed_gives_the_other_partys_and_its_masks(stock: dict[str, Any]) -> None:
    """Its server deals the parties' "64-bit" seeds from one generator of 32 bits: who was dealt one finds the next."""
    found = next_after([stock["seed"]], a_window_over(stock["began"]), 1)
    assert found == [stock["other"]], "party 0 was never told this seed"
    assert outputs(torch.Generator().manual_seed(found[0]), 3) == [
        one if one < 2**63 else one - RING for one in stock["masks"]], "and so has party 1's share of every mask"


def dealt_keys(parties: int = 2) -> list[bytes]:
    """The keys between dealer and parties of a session of ours, as the workers of a job make them."""
    private = [X25519PrivateKey.generate() for _ in range(parties + 1)]
    order = SimpleNamespace(
        role="dealer", dealer=parties, seat=parties, session=secrets.token_hex(32),
        own=SimpleNamespace(exchange_private=private[parties].private_bytes_raw()),
        exchange={seat: one.public_key().public_bytes_raw() for seat, one in enumerate(private[:parties])})
    _, dealt = keys_of(cast(Any, order))
    return [dealt[seat] for seat in range(parties)]


def as_words(key: bytes) -> list[int]:
    return [int.from_bytes(key[at : at + 8], "little", signed=True) for at in range(0, 32, 8)]


def test_in_ours_a_partys_own_key_gives_no_other_key() -> None:
    """The same attack by a party that holds its own key with the dealer and its keystream, and knows the seed of every
    ordinary generator of the dealer's process. Keys that came from one of them are found; ours come from none."""
    for drawn_from_torch in (True, False):
        seed = secrets.randbits(64)
        torch.manual_seed(seed)
        if drawn_from_torch:
            words = outputs(None, 8)
            own, other = words[:4], words[4:]
        else:
            own, other = map(as_words, dealt_keys())
        stream = Keystream(b"".join(one.to_bytes(8, "little", signed=True) for one in own)).int64((8,)).tolist()
        found = next_after(own, a_window_over(seed), 4)
        assert (found == other) is drawn_from_torch
        assert next_after(stream[:2], a_window_over(seed), 1) is None
        assert not set(other) & {*own, *stream}


def test_with_every_seed_the_same_our_keys_are_others() -> None:
    """Nothing that can be seeded takes part in them."""
    def seeded() -> list[list[int]]:
        torch.manual_seed(5)
        np.random.seed(5)
        return [outputs(None, 4), np.random.bytes(32), *dealt_keys()]

    first, second = seeded(), seeded()
    assert first[:2] == second[:2], "the naive ones are the same again"
    assert not {*map(bytes, first[2:])} & {*map(bytes, second[2:])}


# -- products that fail by chance

def off(found: Sequence[float]) -> list[float]:
    """By how much products of `FACTOR` with itself are wrong, of those that are by more than rounding."""
    return [one - FACTOR**2 for one in found if abs(one - FACTOR**2) > 1024]


def test_products_of_size_2_to_the_24_fail_by_chance_in_crypten_as_shipped_and_never_in_ours(
        stock: dict[str, Any]) -> None:
    """One in 256 is off by 2^32: each party cuts its own share. Here of 5000: twenty, and none."""
    wrong = off(stock["products"])
    assert 2 <= len(wrong) <= 60, "20 are expected"
    assert all(abs(abs(one) - 2.0**32) < 2.0**18 for one in wrong), "off by that much, and what decoding adds"
    one, other = (shared([int(FACTOR) << F] * MANY, 2) for _ in range(2))
    played = Played(2, products.multiply_script(MANY, F),
                    lambda of: products.multiply(of, one[of.seat], other[of.seat], F))
    found = np.array(added(played.answers)) / 2.0**F
    assert np.abs(found - FACTOR**2).max() <= 2.0**-F


# -- what a ciphertext tells beside its number

def contribution(question: Question, value: int) -> Parcel:
    key = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()
    return masked.send(question, question.layout.join([value] * question.layout.count), participant="h", dealer_key=key)


def unhidden(key: PublicKey, one: Any) -> int | None:
    """The number inside a ciphertext that no randomness was put into: (1 + n)^m = 1 + m n. No key is needed."""
    whole, rest = divmod(int(one) - 1, key.n)
    return None if rest else whole % key.n


def test_phe_tells_the_magnitude_of_what_it_encrypts_and_we_do_not() -> None:
    """phe writes a number's exponent beside its ciphertext, in the clear, and leaves out the randomness where a total
    is made of a number in the clear; what leaves a hospital of ours is as long for any number, and hides it."""
    secret = paillier.generate(2048)
    key = phe.PaillierPublicKey(secret.public.n)
    small, large = key.encrypt(1e-9), key.encrypt(1e9)
    assert small.exponent < large.exponent, "so anybody can tell them apart"
    assert unhidden(secret.public, key.raw_encrypt(77, r_value=1)) == 77
    layout = Layout(count=40, parties=3)
    question = Question("space", "00" * 32, secret.public, layout, ((0,),))
    parcels = [contribution(question, value) for value in (0, 1, layout.limit - 1)]
    assert len({len(one.ciphertexts) for one in parcels}) == len({len(one.seed) for one in parcels}) == 1
    documents = [canonical({"ciphertexts": ciphertext.hash_of(one.ciphertexts), "seed": one.seed.hex()})
                 for one in parcels]
    assert len({len(one) for one in documents}) == 1
    vectors = [ciphertext.numbers(secret.public, one.ciphertexts) for one in parcels]
    assert [len(one) for one in vectors] == [question.ciphertexts] * 3
    assert all(unhidden(secret.public, one) is None for vector in vectors for one in vector)
    assert len({int(one) for vector in vectors for one in vector}) == 3 * question.ciphertexts
