"""A thousand kills of a ledger's processes: nothing lost, doubled or forked, and how soon an event is anchored again.

    ./run bench kills [KILLS] [SEED]

The stack and the kills are those of `tests/chaos/test_ledger_kill.py`: sequencer and sender, a writer that follows as
the portal's processes do, the embedded chain with its door, anvil alone; at named edges between two steps, and at any
moment. Aim: 0 lost, 0 doubled, 0 forked; back within 5 s, from the kill until an event that was written after it is in
a block (starting the killed process anew is part of that). Then, once, reorganisations of every depth from 1 to 64.
The exit status says whether the aim was met.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from deploy.postgres import Postgres
from tests.bench.machine import print_machine
from tests.simulators.ledger_stack import ROOT, LedgerStack

KILLS = 1000
BACK_WITHIN = 5.0
EVERY = 50  # kills between two interim lines


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else secrets.randbelow(2**32)
    chance = random.Random(seed)
    print_machine()
    back: defaultdict[str, list[float]] = defaultdict(list)
    where: Counter[str] = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="xinglin-kills-") as name:
        folder = Path(name)
        with Postgres(folder / "postgres", fast=True, password=secrets.token_urlsafe(16)) as server:
            server.create_database("kills")
            with LedgerStack(folder / "stack", server.url("kills")) as stack:
                for number in range(1, kills + 1):
                    what, seconds = stack.kill(chance)
                    where[what] += 1
                    back[what.split(":")[0]].append(seconds)
                    if number % EVERY == 0:
                        say(kills=number, events=stack.told(), load=round(os.getloadavg()[0], 1))
                found = stack.settle()
    every = [one for some in back.values() for one in some]
    for role, some in sorted(back.items()):
        say(case=role, unit="s", **spread(some))
    took = round(time.monotonic() - began)
    say(case="all", kills=len(every), seconds=took, seed=seed, edges=dict(sorted(where.items())))
    later = sum(one > BACK_WITHIN for one in every)
    say(case="all", metric="back", unit="s", aim=BACK_WITHIN, later=later, **spread(every))
    say(case="all", metric="what became of the events", **found)
    depths = every_depth()
    say(case="reorganisations", depths="1 to 64", passed=depths)
    return 0 if depths and not any(found[name] for name in ("lost", "doubled", "forked", "alarms", "gaps")) else 1


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"n": len(ordered), "p50": round(ordered[len(ordered) // 2], 2),
            "p99": round(ordered[int(len(ordered) * 0.99)], 2), "max": round(ordered[-1], 2)}  # fmt: skip


def every_depth() -> bool:
    tests = "tests/integration/test_ledger_through_faults.py"
    command = [sys.executable, "-m", "pytest", "-q", tests, "-k", "every_depth"]
    environment = os.environ | {"XINGLIN_EVERY_DEPTH": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-3000:], file=sys.stderr)
    return done.returncode == 0


def say(**values: object) -> None:
    print(json.dumps({"bench": "kills", **values}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
