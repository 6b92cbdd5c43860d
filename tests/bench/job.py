"""From order to opened result, warm: `describe` and `crosstab` over four hospitals. Aim: at most 6 s on two idle cores.

    ./run bench job [REPETITIONS]

Each repetition has a scenario, grants and an agreement of its own, made outside the timed part, and waits until every
node has a warm spare worker again. The reference is the same answer by pandas over the pooled rows in one process:
what it costs when nothing is protected.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

from deploy import pooled
from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import building
from deploy.waiting import wait_until
from mpc.functions.registry import function
from mpc.spec import common_columns
from tests.bench.machine import print_line, print_machine

CASES = {"describe": stories.DESCRIBE, "crosstab": stories.CROSSTAB}


def main() -> int:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print_machine()
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):
            space = stack.enter_context(building(Places(Path(folder)), demo_cast(), port=0, fresh=True))
            story = stories.begin(space)
            stories.offer(story)
            timed = {name: [_once(story, call) for _ in range(repetitions)] for name, call in CASES.items()}
        frames = pooled.read([source.file for one in space.cast.hospitals for source in one.datasets])
        records = [one.document["columns"] for one in story.client.datasets()]
        columns = common_columns(records)
        for name, call in CASES.items():
            clear = [_plain(call, frames, columns) for _ in range(repetitions)]
            print_line(
                bench="job", case=name, metric="order to opened result", values=timed[name], unit="s",
                reference=("pandas over the pooled rows, unprotected", clear),
            )  # fmt: skip
    return 0


def _once(story, call):
    stories.grant(story)
    grants = story.grants
    story.client._agreement(story.product, grants)
    _wait_for_spares(story)
    began = time.perf_counter()
    story.client.buy(story.product, call, scenario=grants[0].scenario).wait(seconds=120)
    return time.perf_counter() - began


def _wait_for_spares(story):
    """Until the machine is quiet: every spare worker has finished its imports."""
    quiet = 0

    def is_quiet() -> bool:
        nonlocal quiet
        before = _busy()
        time.sleep(0.25)
        quiet = quiet + 1 if _busy() - before < 10 else 0
        return quiet >= 3

    wait_until(is_quiet, seconds=60)


def _busy():
    """Ticks that all cores together have spent in programs."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return int(user) + int(nice) + int(system)


def _plain(call, frames, columns):
    began = time.perf_counter()
    function(call.key).plain(frames, dict(call.parameters), columns, stories.FLOOR)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
