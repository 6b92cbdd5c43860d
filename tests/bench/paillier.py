"""Numbers summed for three parties by Paillier, all steps: encryption by each, product, opening. Values per second.

    ./run bench paillier [VALUES]

Beside it, in the same run: phe, one ciphertext a number (timed on 60 numbers, which is linear), and pypaillier with our
slots packed by hand. Masks, signatures and sealing of the engine are in ours, and in neither of theirs.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable

import phe
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import paillier
from mpc.engines.paillier_engine import Question, contribute, freeze, open_total
from mpc.paillier import Layout, Secret
from tests.bench import peers
from tests.bench.machine import print_line, print_machine

VALUES, NAIVE, PARTIES, REPETITIONS = 100_000, 60, 3, 3

THEIRS = """
import json, sys, time, paillier
bits, plaintexts, parties = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
public, secret = paillier.generate_keypair(bits)
values = [(1 << (bits - 64)) - 1] * plaintexts
began = time.perf_counter()
rows = [paillier.encrypt_integers(public, values) for _ in range(parties)]
sums = [paillier.add_many(public, list(column)) for column in zip(*rows)]
opened = paillier.decrypt_exact_many(secret, sums)
seconds = time.perf_counter() - began
assert all(number == parties * values[0] for number, _ in opened)
print(json.dumps(seconds))
"""


class _Book:
    def claim(self, key: str, frozen: str) -> bool:
        return True


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else VALUES
    print_machine()
    for bits in (2048, 3072):
        secret = paillier.generate(bits)
        ours = [count / _ours(secret, count) for _ in range(REPETITIONS)]
        naive = [NAIVE / _naive(secret) for _ in range(REPETITIONS)]
        plaintexts = Layout(count, PARTIES).plaintexts(bits)
        packed = [count / float(peers.ask(THEIRS, str(bits), str(plaintexts), str(PARTIES)))]
        for name, theirs in (("phe, a ciphertext each", naive), ("pypaillier, packed by hand", packed)):
            print_line(bench="paillier", case=f"{PARTIES} parties, {bits} bits", metric="values summed", values=ours,
                       unit="1/s", reference=(name, theirs), more_is_better=True)
    return 0


def _ours(secret: Secret, count: int) -> float:
    hospitals = [Ed25519PrivateKey.generate() for _ in range(PARTIES)]
    dealer, signing, consumer = X25519PrivateKey.generate(), Ed25519PrivateKey.generate(), X25519PrivateKey.generate()
    question = Question(
        key="00" * 32, job_hash="00" * 32, public=secret.public, layout=Layout(count, PARTIES),
        members=tuple(_hex(one) for one in hospitals), minimum=PARTIES, deadline=0, dealer=_hex(dealer),
        dealer_signing=_hex(signing), recipient=_hex(consumer))
    values = [[secrets.randbelow(1 << 40) for _ in range(count)] for _ in hospitals]
    cores = os.cpu_count() or 1

    def whole() -> list[int]:
        given = [contribute(question, row, key, processes=cores) for row, key in zip(values, hospitals, strict=True)]
        release = freeze(question, given, sealing=dealer, signing=signing, book=_Book(), now=1.0)
        return open_total(question, given, release, secret=secret, sealing=consumer, threads=cores)

    seconds, total = _timed(whole)
    if total != [sum(column) for column in zip(*values, strict=True)]:
        raise SystemExit("the total is wrong")
    return seconds


def _naive(secret: Secret) -> float:
    public = phe.PaillierPublicKey(secret.public.n)
    holder = phe.PaillierPrivateKey(public, secret.p, secret.q)
    values = [secrets.randbelow(1 << 40) for _ in range(NAIVE)]

    def whole() -> list[int]:
        rows = [[public.encrypt(one) for one in values] for _ in range(PARTIES)]
        return [holder.decrypt(column[0] + column[1] + column[2]) for column in zip(*rows, strict=True)]

    seconds, total = _timed(whole)
    if total != [PARTIES * one for one in values]:
        raise SystemExit("the reference's total is wrong")
    return seconds


def _timed(act: Callable[[], list[int]]) -> tuple[float, list[int]]:
    began = time.perf_counter()
    found = act()
    return time.perf_counter() - began, found


def _hex(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


if __name__ == "__main__":
    sys.exit(main())
