"""Many jobs, one after the other, through real processes: nothing may pile up.

    ./run bench soak [JOBS]

A demo space of four hospitals: every job has a scenario, grants and an agreement of its own. In every tenth a worker is
killed, and the job must be released all the same, by its second attempt; every twentieth is of hospitals that are not
online together. After every job, once all attempts have ended, each process of the space is measured with everything
below it: memory, open files, processes, zombies; each node's home: private folders of workers, messages in the outbox,
jobs that the book holds open; and whoever lost his parent (he becomes ours: this process reaps for the whole tree).

A line is fitted through the second half of the samples. Memory: at most 64 KiB a job, for allocators settle late and
give little back; the interval beside it says how sure the line is (twice the standard error; neighbouring samples are
not independent, so it is a little narrower than the truth). Files and processes: no growth that would be one in fifty
jobs. Of the rest nothing at all. Exit status 0: clean; 1: something piled up, or a job failed; 2: nothing was found,
but too few jobs were run to say so, or it was interrupted.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median

from deploy import organisations
from deploy import story as stories
from deploy.places import Places
from deploy.sources import demo_cast
from deploy.space import Space, building
from deploy.waiting import wait_until
from marketplace.sdk.errors import SdkError
from mpc.node.book import OPEN_STATES
from mpc.node.workers import SCRATCH
from tests.bench.machine import MET, UNJUDGED, UNMET, print_machine
from tests.bench.trees import Line, Sample, below, fitted, is_zombie, nursery_children, sample

JOBS, FEWEST = 200, 60
KILL_EVERY, APART_EVERY = 10, 20
KIB, MANY = 64.0, 0.02  # a job
VICTIM = "budapest"
KEEPS = {"chain": "the development chain holds its whole history in memory",
         "postgres": "the database fills its own cache"}
SUBREAPER = 36


@dataclass(frozen=True)
class Done:
    """One job."""

    kind: str
    seconds: float
    trouble: str | None


def main() -> int:
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print_machine()
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="xinglin-soak-") as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):
            stack.enter_context(_both_engines(Path(folder)))
            space = stack.enter_context(building(Places(Path(folder)), demo_cast(), port=0, fresh=True))
            story = stories.begin(space)
            stories.offer(story)
        seen: list[dict[str, Sample]] = []
        left: list[dict[str, int]] = []
        done: list[Done] = []
        ours = _children(space)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: what was done is told, and not called clean
            for number in range(1, jobs + 1):
                with contextlib.redirect_stdout(sys.stderr):
                    done.append(_job(story, number))
                    space.check()  # a process that ended by itself is no leak, but the end
                left.append(_left(space, ours))
                seen.append(_processes(space, ours))
                _say(job=number, kind=done[-1].kind, seconds=round(done[-1].seconds, 2), trouble=done[-1].trouble,
                     left=left[-1], memory_kib={name: one.memory for name, one in seen[-1].items()})
        return _judge(seen, left, done[: len(seen)], wanted=jobs)


@contextlib.contextmanager
def _both_engines(folder: Path) -> Iterator[None]:
    """The hospitals of this space take part in jobs of either engine."""
    before = organisations.POLICY
    organisations.POLICY = folder / "policy.toml"
    organisations.POLICY.write_text(before.read_text().replace('engines = ["crypten"]',
                                                               'engines = ["crypten", "paillier"]'))
    try:
        yield
    finally:
        organisations.POLICY = before


def _job(story: stories.Story, number: int) -> Done:
    stories.grant(story)
    scenario = story.grants[0].scenario
    story.client.agree(story.product, scenario)
    apart, killed = number % APART_EVERY == 0, number % KILL_EVERY == 0 and number % APART_EVERY != 0
    kind, began = "apart" if apart else "killed" if killed else "together", time.perf_counter()
    try:
        with _killing(story.space) if killed else contextlib.nullcontext(lambda: True) as has_killed:
            if apart:
                job = story.client.buy(story.product, stories.DESCRIBE, scenario=scenario, engine="paillier",
                                       contribute_until=timedelta(minutes=10), minimum=3)
            else:
                job = story.client.buy(story.product, stories.DESCRIBE, scenario=scenario)
            job.wait(seconds=660 if apart else 300)
        trouble = None if has_killed() else "there was no worker to kill"
    except SdkError as error:
        trouble = f"{error.code}: {error}"
    return Done(kind, time.perf_counter() - began, trouble)


@contextlib.contextmanager
def _killing(space: Space) -> Iterator[Callable[[], bool]]:
    """The first worker that one hospital starts from here on is killed, as it would be for want of memory."""
    killed, over = threading.Event(), threading.Event()

    def watch() -> None:
        while not over.wait(0.01) and not killed.is_set():
            alive = [pid for pid in nursery_children(space.supervisor.pid(VICTIM)) if not is_zombie(pid)]
            with contextlib.suppress(IndexError, ProcessLookupError):
                os.kill(alive[0], signal.SIGKILL)
                killed.set()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield killed.is_set
    finally:
        over.set()
        watching.join()


# -- what is left, and what is held ------------------------------------------------------------------------------------


def _children(space: Space) -> frozenset[int]:
    """Our own children when the space was ready: its processes, and the database."""
    return frozenset(below(os.getpid(), deep=False)) | {pid for pid, _ in _named(space)}


def _named(space: Space) -> list[tuple[int, str]]:
    return [(process.pid, name) for name, (_, process) in space.supervisor._running.items()]


def _left(space: Space, ours: frozenset[int]) -> dict[str, int]:
    """What is still there once everything has ended; waited for, for it ends after the buyer has read."""
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
        found["processes without a parent"] = len(_orphans(ours))
        return not any(found.values())

    wait_until(is_clean, seconds=60, step=0.2)
    return {what: count for what, count in found.items() if count}


def _orphans(ours: frozenset[int]) -> list[int]:
    """Whoever became our child by losing his parent, and lives on; those that ended are buried here."""
    found = []
    for pid in set(below(os.getpid(), deep=False)) - ours:
        if is_zombie(pid):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        else:
            found.append(pid)
    return found


def _processes(space: Space, ours: frozenset[int]) -> dict[str, Sample]:
    """Every process of the space with all that hangs below it, the database, and ourselves, the buyer."""
    named = _named(space)
    others = sorted(ours - {pid for pid, _ in named})
    found = {name: sample([pid, *below(pid)]) for pid, name in named}
    found["postgres"] = sample([one for pid in others for one in (pid, *below(pid))])
    found["buyer"] = sample([os.getpid()])
    return found


# -- the verdict -------------------------------------------------------------------------------------------------------


def _judge(seen: Sequence[Mapping[str, Sample]], left: Sequence[Mapping[str, int]], done: Sequence[Done], *,
           wanted: int) -> int:
    jobs, leaks = len(seen), list[str]()
    for name in seen[-1] if seen else ():
        leaks += _process(name, [one[name] for one in seen if name in one])
    leaks += sorted({what for one in left for what in one})
    leaks += [f"job {number}, {one.kind}: {one.trouble}" for number, one in enumerate(done, 1) if one.trouble]
    unsure = [f"{jobs} of {wanted} jobs were run"] if jobs < wanted else []
    unsure += [f"it takes {FEWEST} jobs to tell"] if jobs < FEWEST else []
    verdict = "leaks" if leaks else "not judged" if unsure else "clean"
    took = {kind: round(median(one.seconds for one in done if one.kind == kind), 2)
            for kind in ("together", "killed", "apart") if any(one.kind == kind for one in done)}
    _say(jobs=jobs, seconds=took, leaks=leaks, why_not_judged=unsure, verdict=verdict)
    return {"leaks": UNMET, "clean": MET}.get(verdict, UNJUDGED)


def _process(name: str, samples: Sequence[Sample]) -> list[str]:
    """One line about it, and what piled up in it."""
    half = samples[len(samples) // 2 :]
    lines: dict[str, Line] = {what: fitted([getattr(one, what) for one in half])
                              for what in ("memory", "files", "processes")}
    memory = lines["memory"]
    _say(process=name, memory_kib=[samples[0].memory, samples[-1].memory], kib_a_job=round(memory.slope, 1),
         between=[round(memory.slope - memory.unsure, 1), round(memory.slope + memory.unsure, 1)],
         files=[samples[0].files, samples[-1].files], files_a_job=round(lines["files"].slope, 3),
         processes=[samples[0].processes, samples[-1].processes],
         processes_a_job=round(lines["processes"].slope, 3), unreadable=max(one.unreadable for one in samples),
         memory_not_judged=KEEPS.get(name))
    found = []
    if name not in KEEPS and memory.slope > KIB:
        found.append(f"{name}: memory grows by {memory.slope:.0f} KiB a job")
    found += [f"{name}: {what} grow by {lines[what].slope:.2f} a job" for what in ("files", "processes")
              if lines[what].slope > MANY and (name, what) != ("postgres", "files")]
    if any(one.zombies for one in samples):
        found.append(f"{name}: zombies")
    return found


def _say(**values: object) -> None:
    print(json.dumps({"bench": "soak", **values}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
