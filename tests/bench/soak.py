"""Many jobs, one after the other, through real processes: nothing may pile up. Exit status 1 if something does.

    ./run bench soak [JOBS]

A demo space of four hospitals: every job has a scenario, grants and an agreement of its own. After every job, once all
attempts have ended, each process of the space is measured: memory, open files, children, zombies; and each node's
home: private folders of workers, messages in the outbox, jobs that the book holds open. The first fifth of the jobs
warms caches; of the rest memory may grow by so much a job (a line fitted through the second half, for the portal's and
the nodes' allocators settle late), and of the other things nothing at all may be left.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import Space, building
from deploy.waiting import wait_until
from mpc.node.book import OPEN_STATES
from mpc.node.workers import SCRATCH
from tests.bench.machine import print_machine

JOBS = 200
GROWTH = 256  # KiB of one process a job
FILES = 3  # a pool of connections may be one fuller than it was
KEEPS = {"chain"}  # the embedded development chain holds its whole history in memory
PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Sample:
    """One process, between two jobs."""

    memory: int
    files: int
    children: int
    zombies: int


def main() -> int:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print_machine()
    with tempfile.TemporaryDirectory(prefix="xinglin-soak-") as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):
            space = stack.enter_context(building(Places(Path(folder)), demo_cast(), port=0, fresh=True))
            story = stories.begin(space)
            stories.offer(story)
        seen: list[dict[str, Sample]] = []
        left: list[dict[str, int]] = []
        seconds: list[float] = []
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: judge what was done
            for number in range(jobs):
                with contextlib.redirect_stdout(sys.stderr):
                    seconds.append(_job(story))
                left.append(_left(space))
                seen.append(_processes(space))
                if (number + 1) % 20 == 0:
                    _say(jobs=number + 1, memory_mb={name: round(one.memory / 1024) for name, one in seen[-1].items()})
        return _judge(seen, left, seconds[: len(seen)])


def _job(story: stories.Story) -> float:
    stories.grant(story)
    scenario = story.grants[0].scenario
    story.client.agree(story.product, scenario)
    began = time.perf_counter()
    story.client.buy(story.product, stories.DESCRIBE, scenario=scenario).wait(seconds=300)
    return time.perf_counter() - began


def _left(space: Space) -> dict[str, int]:
    """What the nodes' homes still hold once everything has ended; waited for, for it ends after the buyer has read."""
    found: dict[str, int] = {}

    def is_clean() -> bool:
        found.clear()
        for key, home in space.homes.items():
            if not home.book.exists():
                continue
            with contextlib.closing(sqlite3.connect(home.book, timeout=30)) as book:
                marks = ",".join("?" * len(OPEN_STATES))
                held = book.execute(f"SELECT count(*) FROM job WHERE state IN ({marks})", [*OPEN_STATES])
                found[f"{key}: jobs open"] = held.fetchone()[0]
                found[f"{key}: outbox"] = book.execute("SELECT count(*) FROM outbox").fetchone()[0]
            scratch = home.home / SCRATCH
            workers = len(list(scratch.iterdir())) - 1 if scratch.exists() else 0  # one is the nursery's
            found[f"{key}: folders"] = max(0, workers)
        return not any(found.values())

    wait_until(is_clean, seconds=60, step=0.2)
    return {what: count for what, count in found.items() if count}


def _processes(space: Space) -> dict[str, Sample]:
    """Every process of the space, with what hangs below it."""
    return {name: _sample(process.pid) for name, (_, process) in space.supervisor._running.items()}


def _sample(pid: int) -> Sample:
    below = _below(pid)
    memory = sum(_memory(one) for one in [pid, *below])
    return Sample(memory, len(os.listdir(f"/proc/{pid}/fd")), len(below), sum(_is_zombie(one) for one in below))


def _below(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_below(int(child))]
    return found


def _memory(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def _is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return False


def _slope(values: Sequence[int]) -> float:
    """KiB a job, by least squares."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread if spread else 0.0


def _judge(seen: Sequence[Mapping[str, Sample]], left: Sequence[Mapping[str, int]], seconds: Sequence[float]) -> int:
    jobs, leaks = len(seen), list[str]()
    if not seen:
        return 1
    first, last = seen[jobs // 5], seen[-1]
    for name in last:
        slope = _slope([one[name].memory for one in seen[jobs // 2 :]])
        _say(process=name, memory_kib=[first[name].memory, last[name].memory], slope_kib_a_job=round(slope, 1),
             files=[first[name].files, last[name].files], children=[first[name].children, last[name].children])
        if slope > GROWTH and name not in KEEPS:
            leaks.append(f"{name}: memory grows by {slope:.0f} KiB a job")
        if last[name].files > first[name].files + FILES:
            leaks.append(f"{name}: open files {first[name].files} -> {last[name].files}")
        if last[name].children > first[name].children:
            leaks.append(f"{name}: children {first[name].children} -> {last[name].children}")
        if any(one[name].zombies for one in seen):
            leaks.append(f"{name}: zombies")
    leaks += sorted({what for one in left for what in one})
    half = seconds[len(seconds) // 2 :]
    took = {"first half": median(seconds[: len(half)]), "second half": median(half), "most": max(seconds)}
    _say(jobs=jobs, seconds={what: round(one, 2) for what, one in took.items()}, leaks=leaks,
         verdict="leaks" if leaks else "clean")
    return 1 if leaks else 0


def _say(**values: object) -> None:
    print(json.dumps({"bench": "soak", **values}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
