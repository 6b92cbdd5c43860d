"""Numbers summed by Paillier, all steps: masks, encryption, product, opening. Values per second.

    ./run bench paillier [VALUES]

Beside it, in the same run: phe, one ciphertext a number (timed on few numbers, which is linear), and pypaillier with
our slots packed by hand. Masks and sealing are in ours, and in neither of theirs. Keys are made and processes started
before the clock runs, for all alike; our tables are made within it.

Two things are measured:
- The engine: many numbers below 2^40 of three parties, without marks or rule (`masked.send`). The engine chooses slots
  for that bound; one more case has slots of 64 bits. Two clocks: by the wall, with a pool of a process a core; and by
  the processor's time on one core, which other work leaves as it is. A hospital's worker may start no process: it has
  one core. The pool is for whoever encrypts many thousands outside one.
- A job: what four hospitals, office, portal and consumer do for a 4 x 5 cross table (`masked.contribute`), each once,
  with marks, noise, one key and fresh tables each: 22 numbers, so that one ciphertext is far from full.

Aim: 250 times phe with slots of 64 bits on one core, at 2,048 and 3,072 bits; 500 times hoped for by the wall. Exit
status 1: missed. 2: not judged, for the machine had other work, or the number of values is not the usual one.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import phe
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc import ciphertext, masked, paillier
from mpc.functions.plan import Counted, Plan
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.masked import Question
from mpc.paillier import Layout, Pool, Secret
from tests.bench import peers
from tests.bench.machine import Aims, print_line, print_machine

VALUES, NAIVE, PARTIES, REPETITIONS = 100_000, 60, 3, 3
LEAST, HOPED = 250, 500
PHE, PACKED = "phe, a ciphertext each", "pypaillier, packed by hand"
ROWS, CODES = 40, {"pain": "abcd", "grade": "01234"}

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
    aims = Aims("paillier", print_machine())
    if count != VALUES:
        aims.not_judged("another number of values than the usual one")
    with Pool(os.cpu_count() or 1) as pool:
        for bits in (2048, 3072):
            secret = paillier.generate(bits)
            for layout in (Layout.holding(1 << 40, count=count, parties=PARTIES), Layout(count, PARTIES)):
                wall = _compare(secret, layout, pool, time.perf_counter)
                core = _compare(secret, replace(layout, count=-(-count // 4)), None, time.process_time)
                case = f"{bits} bits, slots of {layout.slot} bits"
                if layout.size == 8:
                    aims.least(case, "one core: times phe", core, LEAST)
                    aims.least(case, "all cores: times phe", wall, LEAST)
                else:
                    aims.hoped(case, "all cores: times phe", wall, HOPED)
            _compare_job(secret)
    return aims.status()


def _compare(secret: Secret, layout: Layout, pool: Pool | None, clock: Clock) -> float:
    """How many times phe."""
    bits = secret.public.bits
    if pool is not None:
        _ours(secret, replace(layout, count=pool.processes * 8 * layout.per_plaintext(bits)), pool, clock)
    arguments = (str(bits), str(layout.plaintexts(bits)), str(PARTIES), clock.__name__)
    ours, naive, packed = [], [], []
    for _ in range(REPETITIONS):  # in turns, so that a busy moment of the machine meets all
        ours.append(layout.count / _ours(secret, layout, pool, clock))
        naive.append(NAIVE / _naive(secret, PARTIES, NAIVE, clock))
        packed.append(layout.count / float(peers.ask(THEIRS, *arguments)))
    how = "all cores, by the wall" if pool is not None else "one core, by the processor"
    for name, theirs in ((PHE, naive), (PACKED, packed)):
        print_line(bench="paillier", case=f"{PARTIES} parties, {bits} bits, slots of {layout.slot} bits, {how}",
                   metric="values summed", values=ours, unit="1/s", reference=(name, theirs), more_is_better=True)
    return median(ours) / median(naive)


def _compare_job(secret: Secret) -> None:
    """What a buyer of a small table gets of all that."""
    parties = 4
    with TemporaryDirectory() as folder:
        plan, tables = _crosstab(Path(folder), parties)
    ours, naive = [], []
    for _ in range(REPETITIONS):
        ours.append(plan.width / _job(secret, plan, tables))
        naive.append(plan.width / _naive(secret, parties, plan.width, time.process_time))
    question = Question("space", "", secret.public, masked.layout_of(plan), plan.spans)
    print_line(bench="paillier",
               case=f"a job: 4 x 5 cross table of {parties} hospitals, {secret.public.bits} bits, {plan.width} values "
                    f"in {question.layout.count} slots of {question.layout.slot} bits, {question.ciphertexts} "
                    "ciphertexts each, marks and noise included, one core, by the processor",
               metric="values summed", values=ours, unit="1/s", reference=(PHE, naive), more_is_better=True)


def _crosstab(folder: Path, parties: int) -> tuple[Plan, list[Counted]]:
    columns: list[dict[str, Any]] = [
        {"name": name, "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": [*codes]}
        for name, codes in CODES.items()]
    code = function("crosstab@1")
    plan = code.plan({"rows": "pain", "columns": "grade"}, columns, parties, 2000 * parties)
    file = folder / "rows.csv"
    lines = [f"{pain},{grade}" for pain in CODES["pain"] for grade in CODES["grade"]] * ROWS
    file.write_text("\n".join(["pain,grade", *lines]) + "\n")
    return plan, [code.local(Rows.open(file, "csv", plan.read_by(None)), plan) for _ in range(parties)]


def _job(secret: Secret, plan: Plan, tables: list[Counted]) -> float:
    names = [f"hospital {at}" for at in range(len(tables))]
    dealer = X25519PrivateKey.generate()
    question = Question("space", secrets.token_hex(32), secret.public, masked.layout_of(plan), plan.spans)
    key = dealer.public_key().public_bytes_raw().hex()

    def whole() -> list[int]:
        given = [masked.contribute(question, plan, one, 10, participant=name, dealer_key=key)
                 for one, name in zip(tables, names, strict=True)]
        return _summed(question, given, names, dealer, secret)

    seconds, total = _timed(whole, time.process_time)
    if total[:20] != [len(tables) * ROWS] * 20:  # the two counts of what is missing are none: noise
        raise SystemExit("the job's total is wrong")
    return seconds


def _summed(question: Question, given: list[masked.Parcel], names: list[str], dealer: X25519PrivateKey, secret: Secret,
            threads: int = 1) -> list[int]:
    """Portal, office and consumer: read, unseal, multiply, open."""
    vectors = [ciphertext.from_bytes(secret.public, one.ciphertexts, count=question.ciphertexts) for one in given]
    seeds = [masked.open_seed(question, one.seed, name, sealing=dealer)
             for one, name in zip(given, names, strict=True)]
    masks = masked.add_masks(question, zip(names, seeds, strict=True))
    return masked.unmask(question, ciphertext.product(secret.public, vectors), masks, secret=secret, threads=threads)


def _ours(secret: Secret, layout: Layout, pool: Pool | None, clock: Clock) -> float:
    names = [f"hospital {at}" for at in range(PARTIES)]
    dealer, threads = X25519PrivateKey.generate(), pool.processes if pool is not None else 1
    question = Question("space", secrets.token_hex(32), secret.public, layout, ())
    values = [[secrets.randbelow(1 << 40) for _ in range(layout.count)] for _ in names]
    key = dealer.public_key().public_bytes_raw().hex()

    def whole() -> list[int]:
        given = [masked.send(question, layout.join(row), participant=name, dealer_key=key, pool=pool)
                 for row, name in zip(values, names, strict=True)]
        return _summed(question, given, names, dealer, secret, threads)

    seconds, total = _timed(whole, clock)
    if total != [sum(column) for column in zip(*values, strict=True)]:
        raise SystemExit("the total is wrong")
    return seconds


def _naive(secret: Secret, parties: int, count: int, clock: Clock) -> float:
    public = phe.PaillierPublicKey(secret.public.n)
    holder = phe.PaillierPrivateKey(public, secret.p, secret.q)
    values = [secrets.randbelow(1 << 40) for _ in range(count)]

    def whole() -> list[int]:
        rows = [[public.encrypt(one) for one in values] for _ in range(parties)]
        return [holder.decrypt(sum(column[1:], column[0])) for column in zip(*rows, strict=True)]

    seconds, total = _timed(whole, clock)
    if total != [parties * one for one in values]:
        raise SystemExit("the reference's total is wrong")
    return seconds


def _timed(act: Callable[[], list[int]], clock: Clock) -> tuple[float, list[int]]:
    began = clock()
    found = act()
    return clock() - began, found


if __name__ == "__main__":
    sys.exit(main())
