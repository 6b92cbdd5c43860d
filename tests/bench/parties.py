"""Parties of a benchmark as processes of their own, with a clock, a processor and a memory meter in each.

Standard library only: the same file runs beside our engine and in the environments of others. Where the machine allows
it, the processes stand in a network of their own, so that every byte on its loopback is theirs, headers included.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PRIVATE = "XINGLIN_BENCH_PRIVATE_NETWORK"
SETTINGS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "",
            "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}


class Party:
    """One process of a case: what it is told, and where it measures."""

    def __init__(self, seat: int, ports: Sequence[int], barrier: Any, given: Mapping[str, Any]) -> None:
        self.seat, self.ports, self.given = seat, list(ports), dict(given)
        self._barrier = barrier
        self.found: dict[str, Any] = {}

    def wait(self) -> None:
        """Until every process of the case is here. No message passes the network."""
        self._barrier.wait(timeout=600)

    def measure(self, act: Callable[[], object], repetitions: int, *, warm: int = 1) -> None:
        """Each repetition begins at once in all processes; the case lasts until the last has ended. Processor time is
        read after that, for a thread of ours may still work when `act` is over. Memory: what the process held before,
        and its peak from there on."""
        runs = []
        self.found["held"] = _resident()
        _forget_peak()
        for repetition in range(warm + repetitions):
            self.wait()
            before = _loopback()
            self.wait()
            cpu, began = time.process_time(), time.monotonic()
            act()
            ended = time.monotonic()
            self.wait()
            used, after = time.process_time() - cpu, _loopback()
            if repetition >= warm:
                runs.append((began, ended, used, after - before if before is not None and after is not None else None))
        self.found["runs"], self.found["peak"] = runs, _peak()


Role = Callable[[Party], None]


def run(roles: Sequence[Role], **given: Any) -> dict[str, Any]:
    """Every role in a process of its own; what the case took, as the slowest process saw it."""
    own = os.environ.get(PRIVATE) == "1"
    if own:
        _loopback_up()
    os.environ.update(SETTINGS)
    context = multiprocessing.get_context("spawn")
    barrier, answers, ports = context.Barrier(len(roles)), context.Queue(), _free_ports(len(roles) + 1)
    children = [context.Process(target=_child, args=(role, seat, ports, barrier, given, answers), daemon=True)
                for seat, role in enumerate(roles)]
    for child in children:
        child.start()
    found = {}
    while len(found) < len(roles):
        seat, answer = answers.get(timeout=1200)
        if isinstance(answer, str):
            raise SystemExit(f"party {seat}: {answer}")
        found[seat] = answer
    for child in children:
        child.join(30)
    runs = list(zip(*(answer["runs"] for answer in found.values() if "runs" in answer), strict=True))
    first, measured = found[min(found)], [answer for answer in found.values() if "peak" in answer]
    return {
        "seconds": [max(end for _, end, _, _ in run) - min(start for start, _, _, _ in run) for run in runs],
        "cpu": [sum(used for _, _, used, _ in run) for run in runs],
        "bytes": runs[-1][0][3] if own else None,
        "rounds": first.get("rounds"),
        "off": first.get("off"),
        "peak": max(answer["peak"] for answer in measured),
        "added": max(answer["peak"] - answer["held"] for answer in measured),
    }


def _child(role: Role, seat: int, ports: Sequence[int], barrier: Any, given: Mapping[str, Any], answers: Any) -> None:
    party = Party(seat, ports, barrier, given)
    try:
        role(party)
    except BaseException as trouble:
        import traceback

        barrier.abort()
        answers.put((seat, f"{trouble!r}\n{traceback.format_exc()[-2000:]}"))
        raise
    answers.put((seat, party.found))


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


def _resident() -> float:
    """MB that this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _forget_peak() -> None:
    """From here on the peak is counted anew; where the kernel does not allow it, imports count too."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> float:
    """MB that this process held at most."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _loopback() -> int | None:
    """Bytes that passed the loopback so far, if it is all ours."""
    if os.environ.get(PRIVATE) != "1":
        return None
    line = next(line for line in Path("/proc/self/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(line.split()[1])


def _loopback_up() -> None:
    """A fresh network's loopback is down."""
    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0x1 | 0x40)
        if libc.ioctl(control.fileno(), 0x8914, request) != 0:
            raise OSError(ctypes.get_errno(), "the loopback does not come up")
