"""Processes as the kernel tells of them: who is below whom, and what a whole tree holds. Reads `/proc`, ends nobody."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from tests.simulators.processes import children, tree

PAGE = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Sample:
    """Some processes together. `unreadable`: whose files the kernel does not show us."""

    memory: int
    files: int
    processes: int
    zombies: int
    unreadable: int


@dataclass(frozen=True)
class Line:
    """Least squares through samples in their order: the growth a sample, and twice its standard error."""

    slope: float
    unsure: float


def below(pid: int, *, deep: bool = True) -> list[int]:
    """Its children, and theirs."""
    return tree(pid)[1:] if deep else sorted(children(pid))


def nursery_children(agent: int) -> list[int]:
    """The workers that an agent's nursery has forked."""
    found = []
    for pid in below(agent, deep=False):
        with contextlib.suppress(OSError):
            if b"mpc.nursery" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found += below(pid, deep=False)
    return found


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return False


def sample(pids: Sequence[int]) -> Sample:
    """What these hold now. A page that two of them share counts twice, each time the same."""
    memory = files = unreadable = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            memory += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        try:
            files += len(os.listdir(f"/proc/{pid}/fd"))
        except PermissionError:
            unreadable += 1
        except OSError:
            continue
    return Sample(memory, files, len(pids), sum(is_zombie(pid) for pid in pids), unreadable)


def fitted(values: Sequence[float]) -> Line:
    """The growth from one sample to the next."""
    count = len(values)
    if count < 3:
        return Line(0.0, 0.0)
    middle, mean = (count - 1) / 2, sum(values) / count
    spread = sum((at - middle) ** 2 for at in range(count))
    slope = sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread
    rest = sum((value - mean - slope * (at - middle)) ** 2 for at, value in enumerate(values))
    return Line(slope, 2 * sqrt(rest / (count - 2) / spread))
