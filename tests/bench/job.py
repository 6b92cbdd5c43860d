"""From order to opened result, warm: `describe` and `crosstab` over four hospitals. Aim: at most 6 s on two idle cores.

    ./run bench job [REPETITIONS]

Each repetition has a scenario, grants and an agreement of its own, made outside the timed part, and waits until every
node has a warm spare worker again. Timed is what the buyer waits for: order, checks, computation, opening with every
check. The reference, measured in the same run, is pandas over the pooled rows in one process, reading the files
included: what the same statistic costs when nothing is protected.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pandas

from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import building
from deploy.waiting import wait_until
from marketplace.sdk.fn import Call
from tests.bench.machine import print_line, print_machine

CASES = {"describe": stories.DESCRIBE, "crosstab": stories.CROSSTAB}
REPETITIONS = 5


def main() -> int:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
    print_machine()
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):
            space = stack.enter_context(building(Places(Path(folder)), demo_cast(), port=0, fresh=True))
            story = stories.begin(space)
            stories.offer(story)
            timed = {name: [_once(story, call) for _ in range(repetitions)] for name, call in CASES.items()}
        files = [source.file for one in space.cast.hospitals for source in one.datasets]
        for name, call in CASES.items():
            clear = [_pooled(call, files) for _ in range(max(repetitions, REPETITIONS))]
            print_line(
                bench="job", case=name, metric="order to opened result", values=timed[name], unit="s",
                reference=("pandas over the pooled rows, unprotected", clear),
            )  # fmt: skip
    return 0


def _once(story: stories.Story, call: Call) -> float:
    stories.grant(story)
    scenario = story.grants[0].scenario
    story.client.agree(story.product, scenario)
    _wait_for_spares()
    began = time.perf_counter()
    story.client.buy(story.product, call, scenario=scenario).wait(seconds=120)
    return time.perf_counter() - began


def _wait_for_spares() -> None:
    """Until the machine is quiet: every spare worker has finished its imports."""
    quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        before = _busy()
        time.sleep(0.25)
        quiet = quiet + 1 if _busy() - before < 10 else 0
        return quiet >= 3

    wait_until(is_quiet, seconds=60)


def _busy() -> int:
    """Ticks that all cores together have spent in programs."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return int(user) + int(nice) + int(system)


def _pooled(call: Call, files: Sequence[Path]) -> float:
    """Seconds for the same statistic by pandas, all rows in one table."""
    began = time.perf_counter()
    rows = pandas.concat([pandas.read_csv(file) for file in files])
    if call.name == "describe":
        columns, by = list(call.parameters["columns"]), call.parameters["by"]
        rows.dropna(subset=[*columns, by]).groupby(by)[columns].agg(["count", "mean", "std", "var"])
        rows[columns].isna().sum()
    else:
        pandas.crosstab(rows[call.parameters["rows"]], rows[call.parameters["columns"]])
        rows[[call.parameters["rows"], call.parameters["columns"]]].isna().sum()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
