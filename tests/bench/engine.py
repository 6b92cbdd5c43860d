"""Our engine beside CrypTen as it is published and SPU's semi2k and aby3: sums, comparisons, products, gradients.

    ./run bench engine [ROUNDS [CASES...]]        a case may name another size, as in comparisons=1000

Every engine runs in the same minute on the same machine, each party a process of its own with one computing thread,
all of them over TCP on the loopback, in turns. Aims: a masked sum of a million values by three parties in 0.25 s on two
idle cores, 0.10 s hoped for; ahead of CrypTen in everything, level with SPU (0.95) or ahead in sums and comparisons.
Exit status 1: one was missed. 2: not judged, for the machine had other work at the beginning (load above 1.5), or not
everything was run at its size; then figures are good for their ratios only. `processor` is what the work took.

What each does for its time:
- ours: sums are exact, sealed to a consumer, in as many words as the declared bounds ask for: here one, in "over 256
  bits" all four, in "as `describe` hands it in" whole numbers of Python in two; "unsealed" is what the others do.
  Comparisons and products are of two parties and a dealer, who makes what they take within the measured time. Keys of
  256 bits, no product fails by chance. Plain sockets; "as in a job" is TLS through a relay, whose processor time counts
  too, and whose loopback carries every byte twice.
- CrypTen: sums in fixed point over 64 bits, read as float32; two parties and its TTP server; 32-bit seeds; a product is
  off by 2^32 now and then. Plain gloo. A comparison ends in shares by addition: compare with our second line of them.
- SPU semi2k: 64 bits; two parties (three for the sum); triples of the "trusted first party": free, and party 0 could
  unmask everything. SPU aby3: three parties, no dealer, honest majority. Plain brpc. Both cut products with a chance of
  error, as CrypTen does. Their comparisons end in shares by xor, as our first line. A gradient's sigmoid is each
  engine's own.
Rounds are counted by each engine in its own way, so they stand side by side without a ratio; a sum has one message a
party. Memory: of the largest process the peak while it computes, and by how much that is more than it held before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import peers
from tests.bench.machine import Aims, print_counts, print_line, print_machine, print_skipped
from tests.bench.parties import PRIVATE

ROUNDS, REPETITIONS = 3, 2
CASES = {"sum": 1_000_000, "comparisons": 1_000_000, "product": 1000, "gradient": 8192, "truncation": 65_536}
OURS = {"sum": ("sum", "sum_unsealed", "sum_plan", "sum_wide", "sum_shipped"),
        "comparisons": ("comparisons", "comparisons_words", "comparisons_shipped")}
NAMES = {"sum": "sum of {} values, 3 parties", "sum_unsealed": "the same sum, unsealed",
         "sum_plan": "the same sum, as `describe` hands it in", "sum_wide": "the same sum over 256 bits",
         "sum_shipped": "the same sum, TLS through a relay, as in a job",
         "comparisons": "{} comparisons", "comparisons_words": "the same, into shares by addition",
         "comparisons_shipped": "the same comparisons, TLS through a relay, as in a job",
         "product": "a product of {0} x {0} matrices", "gradient": "5 logistic gradient steps, {} x 20",
         "truncation": "{} products of size 2^24"}
METRICS = {"seconds": ("end to end", "s"), "cpu": ("processor, all processes", "s"),
           "bytes": ("bytes on the wires, headers included", "B"),
           "peak": ("memory peak of the largest process while it computes, libraries and inputs included", "MB"),
           "added": ("memory peak beyond what it held before", "MB")}
CRYPTEN, SEMI2K, ABY3 = "CrypTen 0.4.1, gloo, TTP server", "SPU 0.9.5 semi2k, brpc", "SPU 0.9.5 aby3, brpc"
OPENINGS = "openings between the parties, each waiting for the one before"
COUNTED = {CRYPTEN: "communication calls of one party, by its own log", SEMI2K: "sends of party 0, by its own log",
           ABY3: "sends of party 0, by its own log"}
MOST_SECONDS, HOPED_SECONDS, LEVEL = 0.25, 0.10, 0.95
Found = dict[str, list[float]]


def main() -> int:
    arguments = sys.argv[1:]
    rounds = int(arguments.pop(0)) if arguments else ROUNDS
    sizes = dict(_sized(one) for one in arguments) or CASES
    aims = Aims("engine", print_machine())
    if sizes != CASES:
        aims.not_judged("not every case was run at its size")
    network, why = _network()
    if not network:
        print_skipped("engine", "bytes on the wires", f"the parties have no network of their own here: {why}")
    for case, size in sizes.items():
        ours, theirs = _measured(case, size, rounds, network)
        for one, mine in ours.items():
            for peer, other in theirs.items():
                _print(one, size, mine, peer, other)
        if case != "truncation":
            _judge(aims, case, _named(case, size), ours, theirs)
    return aims.status()


def _sized(given: str) -> tuple[str, int]:
    case, _, size = given.partition("=")
    return case, int(size) if size else CASES[case]


def _measured(case: str, size: int, rounds: int, network: Sequence[str]) -> tuple[dict[str, Found], dict[str, Found]]:
    """Every engine in turn, so many times."""
    ours: dict[str, Found] = {one: {} for one in OURS.get(case, (case,))}
    theirs: dict[str, Found] = {CRYPTEN: {}, SEMI2K: {}, ABY3: {}}
    for _ in range(rounds):
        for name, found in ours.items():
            _add(found, _run(network, Path(sys.executable), "engine_cases", size, name))
        _add(theirs[CRYPTEN], _run(network, peers.python(peers.CRYPTEN), "peer_crypten", size, case))
        for name, protocol in ((SEMI2K, "semi2k"), (ABY3, "aby3")):
            _add(theirs[name], _run(network, peers.python(), "peer_spu", size, case, protocol))
    return ours, theirs


def _network() -> tuple[list[str], str]:
    """What starts a program in a network of its own, where this machine lets us; else nobody counts bytes, and why."""
    private = ["unshare", "--user", "--map-root-user", "--net"]
    if not shutil.which(private[0]):
        return [], "there is no `unshare`"
    tried = subprocess.run([*private, "true"], capture_output=True, text=True, check=False)
    return (private, "") if tried.returncode == 0 else ([], tried.stderr.strip() or f"status {tried.returncode}")


def _run(network: Sequence[str], python: Path, script: str, size: int, case: str, *protocol: str) -> Mapping[str, Any]:
    """One engine at one case, from its own interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*network, str(python), "-m", f"tests.bench.{script}", *protocol, case, str(REPETITIONS), str(size)]
    done = subprocess.run(command, env=environment | ({PRIVATE: "1"} if network else {}), cwd=peers.ROOT, text=True,
                          capture_output=True, timeout=1800, check=False)
    with contextlib.suppress(IndexError, ValueError):
        found: Mapping[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}\n{done.stdout[-1000:]}")


def _add(found: Found, once: Mapping[str, Any]) -> None:
    for metric, value in once.items():
        found.setdefault(metric, []).extend(value if isinstance(value, list) else [] if value is None else [value])


def _named(case: str, size: int) -> str:
    return NAMES[case].format("a million" if size == 1_000_000 else size)


def _print(case: str, size: int, mine: Found, peer: str, other: Found) -> None:
    named = _named(case, size)
    if case == "truncation":
        print_counts(bench="engine", case=named, metric="off by 2^32 or so", value=sum(mine["off"]),
                     unit=f"of {size * len(mine['off'])}",
                     reference=(peer, sum(other["off"]), f"of {size * len(other['off'])}"))
        return
    for metric, (name, unit) in METRICS.items():
        if mine[metric] and other[metric]:
            print_line(bench="engine", case=named, metric=name, values=mine[metric], unit=unit,
                       reference=(peer, other[metric]))
    if mine["rounds"] and other["rounds"]:
        print_counts(bench="engine", case=named, metric="rounds, as each engine counts them",
                     value=median(mine["rounds"]), unit=OPENINGS,
                     reference=(peer, median(other["rounds"]), COUNTED[peer]))


def _judge(aims: Aims, case: str, named: str, ours: Mapping[str, Found], theirs: Mapping[str, Found]) -> None:
    """Like with like: the sealed sum with everybody; comparisons into words with CrypTen, into bits with SPU."""
    if case == "sum":
        seconds = median(ours["sum"]["seconds"])
        aims.most(named, "end to end, seconds", seconds, MOST_SECONDS)
        aims.most(named, "end to end, seconds", seconds, HOPED_SECONDS, hoped=True)
    for peer, other in theirs.items():
        if peer != CRYPTEN and case not in ("sum", "comparisons"):
            continue
        mine = ours["comparisons_words" if case == "comparisons" and peer == CRYPTEN else case]
        ratio = median(other["seconds"]) / median(mine["seconds"])
        aims.least(named, f"end to end, ratio to {peer}", ratio, 1.0 if peer == CRYPTEN else LEVEL)


if __name__ == "__main__":
    sys.exit(main())
