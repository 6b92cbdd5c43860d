"""Our engine beside CrypTen as it is published and SPU's semi2k and aby3: sums, comparisons, products, gradients.

    ./run bench engine [ROUNDS [CASES...]]

Every engine runs in the same minute on the same machine, each party a process of its own with one computing thread,
all of them over TCP on the loopback, in turns. Aims: a masked sum of a million values by three parties in 0.10 s on two
idle cores, 0.25 s at most; ahead of CrypTen in everything, level with SPU or ahead in sums and comparisons. Figures of
a loaded machine are good for their ratios only: the first line tells the load, `processor` is what the work took.

What each does for its time:
- ours: sums are exact, sealed to a consumer, in as many words of 256 bits as the declared bounds ask for: here one, in
  "over 256 bits" all four; "unsealed" is what the others do. Comparisons and products are of two parties and a dealer,
  who makes what they take within the measured time. Keys of 256 bits, no product fails by chance. Plain sockets here;
  in a job TLS, through a relay.
- CrypTen: sums in fixed point over 64 bits, read as float32; two parties and its TTP server; 32-bit seeds; a product is
  off by 2^32 now and then. Plain gloo.
- SPU semi2k: 64 bits; two parties (three for the sum); triples of the "trusted first party": free, and party 0 could
  unmask everything. SPU aby3: three parties, no dealer, honest majority. Plain brpc. Both cut products with a chance of
  error, as CrypTen does. A gradient's sigmoid is each engine's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import peers
from tests.bench.machine import print_line, print_machine
from tests.bench.parties import PRIVATE

ROUNDS, REPETITIONS = 3, 2
CASES = {"sum": 1_000_000, "comparisons": 1_000_000, "product": 1000, "gradient": 8192}
NAMES = {"sum": "sum of a million values, 3 parties", "sum_unsealed": "the same sum, unsealed",
         "sum_wide": "the same sum over 256 bits",
         "comparisons": "a million comparisons", "product": "a product of 1000 x 1000 matrices",
         "gradient": "5 logistic gradient steps, 8192 x 20"}
METRICS = {"seconds": ("end to end", "s"), "cpu": ("processor, all processes", "s"),
           "bytes": ("bytes on the wires, headers included", "B"), "rounds": ("messages that wait for one another", ""),
           "peak": ("memory peak of the largest process, libraries included", "MB")}
CRYPTEN, SEMI2K, ABY3 = "CrypTen 0.4.1, gloo, TTP server", "SPU 0.9.5 semi2k, brpc", "SPU 0.9.5 aby3, brpc"
Found = dict[str, list[float]]


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print_machine()
    network = _network()
    for case in sys.argv[2:] or CASES:
        ours: dict[str, Found] = {one: {} for one in ([case, "sum_unsealed", "sum_wide"] if case == "sum" else [case])}
        theirs: dict[str, Found] = {CRYPTEN: {}, SEMI2K: {}, ABY3: {}}
        for _ in range(rounds):
            for name, found in ours.items():
                _add(found, _run(network, Path(sys.executable), "engine_cases", name, case))
            _add(theirs[CRYPTEN], _run(network, peers.python(peers.CRYPTEN), "peer_crypten", case, case))
            for name, protocol in ((SEMI2K, "semi2k"), (ABY3, "aby3")):
                _add(theirs[name], _run(network, peers.python(), "peer_spu", case, case, protocol))
        for one, mine in ours.items():
            for peer, other in theirs.items():
                _print(one, mine, peer, other)
    return 0


def _network() -> list[str]:
    """What starts a program in a network of its own, where this machine lets us; else nobody counts bytes."""
    private = ["unshare", "--user", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*private, "true"], capture_output=True, check=False)
    return private if allowed and allowed.returncode == 0 else []


def _run(network: list[str], python: Path, script: str, asked: str, case: str, *protocol: str) -> Mapping[str, Any]:
    """One engine at one case, from its own interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*network, str(python), "-m", f"tests.bench.{script}", *protocol, asked, str(REPETITIONS),
               str(CASES[case])]
    done = subprocess.run(command, env=environment | ({PRIVATE: "1"} if network else {}), cwd=peers.ROOT, text=True,
                          capture_output=True, timeout=1800, check=False)
    with contextlib.suppress(IndexError, ValueError):
        found: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}\n{done.stdout[-1000:]}")


def _add(found: Found, once: Mapping[str, Any]) -> None:
    for metric in METRICS:
        value = once[metric]
        found.setdefault(metric, []).extend(value if isinstance(value, list) else [] if value is None else [value])


def _print(case: str, mine: Found, peer: str, other: Found) -> None:
    for metric, (name, unit) in METRICS.items():
        if mine[metric] and other[metric]:
            print_line(bench="engine", case=NAMES[case], metric=name, values=mine[metric], unit=unit,
                       reference=(peer, other[metric]))


if __name__ == "__main__":
    sys.exit(main())
