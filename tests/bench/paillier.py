"""Numbers summed for three parties by Paillier, all steps: masks, encryption, product, opening. Values per second.

    ./run bench paillier [VALUES]

Beside it, in the same run: phe, one ciphertext a number (timed on 60 numbers, which is linear), and pypaillier with our
slots packed by hand. Masks and sealing are in ours, and in neither of theirs. Keys are made, processes started and
tables filled before the clock runs, for all alike: a node and an SDK keep theirs. Values are below 2^40; the engine
chooses slots for that bound, and one more line has slots of 64 bits.
Two clocks: by the wall on all cores; and by the processor's time on one core, tables included, which other work leaves
as it is.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import phe
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import ciphertext, masked, paillier
from mpc.masked import Question
from mpc.paillier import Layout, Pool, Secret
from tests.bench import peers
from tests.bench.machine import print_line, print_machine

VALUES, NAIVE, PARTIES, REPETITIONS = 100_000, 60, 3, 3

THEIRS = """
import json, sys, time, paillier
bits, plaintexts, parties = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
clock = getattr(time, sys.argv[4])
public, secret = paillier.generate_keypair(bits)
values = [(1 << (bits - 64)) - 1] * plaintexts
began = clock()
rows = [paillier.encrypt_integers(public, values) for _ in range(parties)]
sums = [paillier.add_many(public, list(column)) for column in zip(*rows)]
opened = paillier.decrypt_exact_many(secret, sums)
seconds = clock() - began
assert all(number == parties * values[0] for number, _ in opened)
print(json.dumps(seconds))
"""


Clock = Callable[[], float]


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else VALUES
    print_machine()
    with Pool(os.cpu_count() or 1) as pool:
        for bits in (2048, 3072):
            secret = paillier.generate(bits)
            for layout in (Layout.holding(1 << 40, count=count, parties=PARTIES), Layout(count, PARTIES)):
                _compare(secret, layout, pool, time.perf_counter)
                _compare(secret, replace(layout, count=-(-count // 4)), None, time.process_time)
    return 0


def _compare(secret: Secret, layout: Layout, pool: Pool | None, clock: Clock) -> None:
    bits = secret.public.bits
    if pool is not None:
        _ours(secret, replace(layout, count=pool.processes * 8 * layout.per_plaintext(bits)), pool, clock)
    arguments = (str(bits), str(layout.plaintexts(bits)), str(PARTIES), clock.__name__)
    ours, naive, packed = [], [], []
    for _ in range(REPETITIONS):  # in turns, so that a busy moment of the machine meets all
        ours.append(layout.count / _ours(secret, layout, pool, clock))
        naive.append(NAIVE / _naive(secret, clock))
        packed.append(layout.count / float(peers.ask(THEIRS, *arguments)))
    how = "all cores, by the wall" if pool is not None else "one core, by the processor"
    for name, theirs in (("phe, a ciphertext each", naive), ("pypaillier, packed by hand", packed)):
        print_line(bench="paillier", case=f"{PARTIES} parties, {bits} bits, slots of {layout.slot} bits, {how}",
                   metric="values summed", values=ours, unit="1/s", reference=(name, theirs), more_is_better=True)


def _ours(secret: Secret, layout: Layout, pool: Pool | None, clock: Clock) -> float:
    names = [f"hospital {at}" for at in range(PARTIES)]
    dealer, threads = X25519PrivateKey.generate(), pool.processes if pool is not None else 1
    question = Question("space", secrets.token_hex(32), secret.public, layout, ())
    values = [[secrets.randbelow(1 << 40) for _ in range(layout.count)] for _ in names]
    key = dealer.public_key().public_bytes_raw().hex()

    def whole() -> list[int]:
        given = [masked.send(question, layout.join(row), participant=name, dealer_key=key, pool=pool)
                 for row, name in zip(values, names, strict=True)]
        vectors = [ciphertext.from_bytes(secret.public, one.ciphertexts, count=question.ciphertexts) for one in given]
        seeds = [masked.open_seed(question, one.seed, name, sealing=dealer)
                 for one, name in zip(given, names, strict=True)]
        masks = masked.add_masks(question, zip(names, seeds, strict=True))
        total = ciphertext.product(secret.public, vectors)
        return masked.unmask(question, total, masks, secret=secret, threads=threads)

    seconds, total = _timed(whole, clock)
    if total != [sum(column) for column in zip(*values, strict=True)]:
        raise SystemExit("the total is wrong")
    return seconds


def _naive(secret: Secret, clock: Clock) -> float:
    public = phe.PaillierPublicKey(secret.public.n)
    holder = phe.PaillierPrivateKey(public, secret.p, secret.q)
    values = [secrets.randbelow(1 << 40) for _ in range(NAIVE)]

    def whole() -> list[int]:
        rows = [[public.encrypt(one) for one in values] for _ in range(PARTIES)]
        return [holder.decrypt(column[0] + column[1] + column[2]) for column in zip(*rows, strict=True)]

    seconds, total = _timed(whole, clock)
    if total != [PARTIES * one for one in values]:
        raise SystemExit("the reference's total is wrong")
    return seconds


def _timed(act: Callable[[], list[int]], clock: Clock) -> tuple[float, list[int]]:
    began = clock()
    found = act()
    return clock() - began, found


if __name__ == "__main__":
    sys.exit(main())
