"""Atheris on every parser of foreign bytes: coverage-guided, one process each, findings kept as files.

    ./run bench fuzz [--seconds N] [--only NAME]... [--one-by-one]

N for each parser (default 10), two at once unless told otherwise. What is JSON is mutated as JSON, most of the time. A
line says how many inputs were tried and how many escaped as an error that nobody declared; any finding ends the bench
with status 1 and leaves its input beside it. The reference is the same parser fed with junk that no coverage guides, so
`ratio` says how many more inputs a second the plain loop tries: what the instrumentation costs, and getting further.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.bench.machine import print_line, print_machine

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys, time, json
import atheris
name, seconds, corpus, found = sys.argv[1], float(sys.argv[2]), sys.argv[3], sys.argv[4]
with atheris.instrument_imports(include=["ledger", "mpc", "marketplace.sdk"]):
    from tests.fuzz.target import MAX_LENGTH
    from tests.fuzz.targets import PARSERS, offend
import hashlib, os, pathlib, random
from tests.fuzz.mutate import mutated
target = PARSERS[name]
for seed in target.seeds():
    if len(seed) > MAX_LENGTH:
        sys.exit(f"a seed of {name} is longer than the fuzzer takes: {len(seed)}")
    pathlib.Path(corpus, hashlib.sha256(seed).hexdigest()).write_bytes(seed)
tried, begun, findings = 0, time.monotonic(), {}
def one(body):
    global tried
    tried += 1
    error = offend(target, bytes(body))
    if error is not None:
        step = error.__traceback__
        while step.tb_next:
            step = step.tb_next
        key = f"{type(error).__name__} at {pathlib.Path(step.tb_frame.f_code.co_filename).name}:{step.tb_lineno}"
        if key not in findings:
            findings[key] = bytes(body)
            pathlib.Path(found, hashlib.sha256(body).hexdigest()[:16]).write_bytes(body)
    if time.monotonic() - begun > seconds:
        told = {"tried": tried, "seconds": time.monotonic() - begun, "findings": sorted(findings)}
        print(json.dumps(told), flush=True)
        os._exit(0)
def changed(body, most, seed):
    draw = random.Random(seed)
    found = mutated(draw, body) if draw.random() < 0.7 else None
    return found if found is not None and len(found) <= most else atheris.Mutate(body, most)
atheris.Setup([sys.argv[0], corpus, f"-max_len={MAX_LENGTH}", "-rss_limit_mb=2048", "-timeout=20"], one,
              custom_mutator=changed)
atheris.Fuzz()
"""


def fuzz(name: str, seconds: float, found: Path) -> dict[str, object]:
    """One parser under coverage guidance, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="xinglin-fuzz-") as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name, str(seconds), str(corpus), str(found)], cwd=ROOT, text=True,
            capture_output=True, timeout=seconds + 300, check=False,
            env={**os.environ, "TMPDIR": folder, "OMP_NUM_THREADS": "1"})
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"tried"')]
    if not lines:  # libFuzzer itself ended it: too slow, too large, or a crash in C
        sys.stderr.write(done.stderr[-3000:])
        return {"tried": 0, "seconds": seconds, "findings": [f"ended by the fuzzer ({done.returncode})"]}
    result: dict[str, object] = json.loads(lines[-1])
    return result


def plain(name: str, seconds: float) -> float:
    """Inputs a second without guidance."""
    from tests.fuzz.targets import PARSERS, offend

    target, tried = PARSERS[name], 0
    offend(target, b"")  # what it makes once, it makes now
    begun = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO()):
        while time.monotonic() - begun < seconds:
            offend(target, os.urandom(200))
            tried += 1
    return tried / (time.monotonic() - begun)


def main() -> int:
    from tests.fuzz.targets import PARSERS

    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", action="append", choices=sorted(PARSERS))
    parser.add_argument("--one-by-one", action="store_true")
    given = parser.parse_args()
    names = given.only or list(PARSERS)
    print_machine()
    found = ROOT / "var" / "fuzz"
    found.mkdir(parents=True, exist_ok=True)
    bad = 0
    with ThreadPoolExecutor(1 if given.one_by_one else 2) as pool:
        for name, result in zip(names, pool.map(lambda one: fuzz(one, given.seconds, found), names), strict=True):
            tried, seconds = float(str(result["tried"])), float(str(result["seconds"]))
            print_line(bench="fuzz", case=name, metric="inputs a second", values=[tried / seconds], unit="1/s",
                       reference=("random bytes, no coverage", [plain(name, 0.5)]), more_is_better=True)
            findings = list(result["findings"])  # type: ignore[call-overload]
            print(f'{{"bench": "fuzz", "case": "{name}", "metric": "undeclared errors", "value": {len(findings)}}}',
                  flush=True)
            for finding in findings:
                bad += 1
                sys.stderr.write(f"{name}: {finding}\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
