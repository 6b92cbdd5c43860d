"""From order to opened result, warm, through the relay. Aim over four hospitals: at most 6 s on two idle cores.

    ./run bench job [REPETITIONS [HOSPITALS...]]

Over four hospitals `describe` and `crosstab`, each also with 20 and 50 ms more on every line to the relay (one way, by
a forwarder: a message from party to party takes two lines); over three and eight `describe`. Two hospitals are fewer
than any function allows: with two, what is opened would be the other's own figure. Eight are the four of the demo in
two halves each. Exit status 1: the aim was missed; 2: not judged, for the machine had other work at the beginning.

Each repetition has a scenario, grants and an agreement of its own, made outside the timed part, and waits until every
node is quiet again. Timed is what the buyer waits for: order, checks, computation, opening with every check. A line
with the phases follows: when the buyer first saw each state (asked every 0.15 s), and when the result was open, both
from the order on. Another tells what the workers wrote down: openings that wait for one another, how long a worker took
from its start to its sealed part, what it sent to its peers. The reference, measured in the same run, is pandas over
the pooled rows in one process, reading the files included: what the same statistic costs when nothing is protected.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import pandas

from deploy import relaying
from deploy import story as stories
from deploy.places import Places
from deploy.sources import Cast, Organisation, demo_cast
from deploy.space import building
from deploy.supervisor import Supervisor
from deploy.waiting import wait_until
from marketplace.sdk.fn import Call
from marketplace.sdk.types import Progress
from tests.bench.machine import Aims, print_line, print_machine, print_skipped
from tests.simulators.slow_wire import SlowWire

REPETITIONS = 5
SIZES = (4, 3, 8)
DELAYS = (0.0, 0.02, 0.05)
PHASES = ("ordered", "offered", "ready", "running", "released", "opened")
MOST_SECONDS = 6
SEALED = re.compile(r"sealed rounds=(\d+) sent=(\d+) received=\d+ after=([\d.]+)")
TOO_FEW = "every function asks for three hospitals: of two, the total less one's own rows would be the other's"


def main() -> int:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS
    aims = Aims("job", print_machine())
    for parties in [int(one) for one in sys.argv[2:]] or SIZES:
        _measure(parties, repetitions, aims)
    print_skipped("job", "2 hospitals", TOO_FEW)
    return aims.status()


def _measure(parties: int, repetitions: int, aims: Aims) -> None:
    """One space of so many hospitals."""
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as folder, contextlib.ExitStack() as stack:
        with contextlib.redirect_stdout(sys.stderr):
            lines = stack.enter_context(_slow_lines())
            cast = _cast(parties, Path(folder))
            space = stack.enter_context(building(Places(Path(folder)), cast, port=0, fresh=True))
            story = stories.begin(space)
            stories.offer(story)
        files = [source.file for one in cast.hospitals for source in one.datasets]
        for call in (stories.DESCRIBE, stories.CROSSTAB) if parties == 4 else (stories.DESCRIBE,):
            for delay in DELAYS if parties == 4 else DELAYS[:1]:
                lines[0].delay = delay
                case = f"{call.name}, {parties} hospitals" + (f", {1000 * delay:.0f} ms a line" if delay else "")
                told = _Told(space.places.logs, [one.key for one in cast.hospitals])
                with contextlib.redirect_stdout(sys.stderr):
                    phases = [_once(story, call) for _ in range(repetitions)]
                timed = [one["opened"] for one in phases]
                print_line(
                    bench="job", case=case, metric="order to opened result", values=timed, unit="s",
                    reference=("pandas over the pooled rows, unprotected",
                               [_pooled(call, files) for _ in range(max(repetitions, REPETITIONS))]),
                )  # fmt: skip
                seen = {name: [one[name] for one in phases if name in one] for name in PHASES}
                medians = {name: round(median(times), 3) for name, times in seen.items() if times}
                print(json.dumps({"bench": "job", "case": case, "seconds from the order": medians}), flush=True)
                told.print(case)
                if parties == 4 and not delay:
                    aims.most(case, "order to opened result, seconds", median(timed), MOST_SECONDS)


class _Told:
    """What the hospitals' workers have written in their logs since then."""

    def __init__(self, logs: Path, hospitals: Sequence[str]) -> None:
        self._sizes = {logs / f"{key}.log": 0 for key in hospitals}
        for log in self._sizes:
            self._sizes[log] = log.stat().st_size if log.exists() else 0

    def print(self, case: str) -> None:
        """The worst party decides how long a job takes, so of each job the most; here of all of them."""
        found: list[tuple[str, ...]] = []
        for log, size in self._sizes.items():
            found += SEALED.findall(log.read_bytes()[size:].decode("utf-8", "replace") if log.exists() else "")
        if not found:
            print_skipped("job", f"{case}: rounds", "no worker wrote that it sealed")
            return
        rounds, sent, after = ([float(one[at]) for one in found] for at in range(3))
        print(json.dumps({"bench": "job", "case": case, "openings, each waiting for the one before": max(rounds),
                          "bytes from a party to its peers": max(sent), "seconds of a worker":
                          {"median": round(median(after), 3), "most": max(after)}, "workers": len(found)}), flush=True)


@contextlib.contextmanager
def _slow_lines() -> Iterator[list[SlowWire]]:
    """The nodes reach the relay through a forwarder of ours, whose delay can be changed."""
    before, wires = relaying.start, []

    def start(supervisor: Supervisor, places: Places, port: int, *, stage: int) -> dict[str, str]:
        settings = before(supervisor, places, port, stage=stage)
        wires.append(SlowWire(port))
        return {**settings, "XINGLIN_RELAY": wires[0].url}

    relaying.start = start
    try:
        yield wires
    finally:
        relaying.start = before
        for wire in wires:
            wire.end()


def _cast(parties: int, folder: Path) -> Cast:
    """The demo's hospitals: as they are, fewer of them, or each in two halves."""
    demo = demo_cast()
    hospitals = sorted(demo.hospitals, key=lambda one: one.key != stories.LEAD)
    if parties > len(hospitals):
        hospitals += [replace(one, key=f"{one.key}-two") for one in hospitals]
        half = {one.key: number // len(demo.hospitals) for number, one in enumerate(hospitals)}
        hospitals = [_halved(one, half[one.key], folder / "rows") for one in hospitals]
    kept = {one.key for one in hospitals[:parties]}
    offices = [one for one in demo.organisations if one.role != "provider"]
    people = [one for one in demo.people if one.organisation in kept | {office.key for office in offices}]
    return Cast((*offices, *hospitals[:parties]), tuple(people))


def _halved(hospital: Organisation, half: int, folder: Path) -> Organisation:
    source = hospital.datasets[0]
    header, *rows = source.file.read_text("utf-8").splitlines(keepends=True)
    folder.mkdir(exist_ok=True)
    file = folder / f"{hospital.key}.csv"
    file.write_text("".join([header, *rows[half::2]]), encoding="utf-8")
    return replace(hospital, datasets=(replace(source, file=file),))


def _once(story: stories.Story, call: Call) -> dict[str, float]:
    """Seconds from the order until each phase was over."""
    stories.grant(story)
    scenario = story.grants[0].scenario
    story.client.agree(story.product, scenario)
    _wait_for_spares()
    began = time.perf_counter()
    phases: dict[str, float] = {}

    def told(progress: Progress) -> None:
        phases.setdefault(progress.state, time.perf_counter() - began)

    job = story.client.buy(story.product, call, scenario=scenario)
    phases["ordered"] = time.perf_counter() - began
    job.wait(seconds=120, progress=told)
    return phases | {"opened": time.perf_counter() - began}


def _wait_for_spares() -> None:
    """Until the machine is quiet: every nursery has finished its imports."""
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
