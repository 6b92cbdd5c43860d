"""One space at a time in one `var/`: the lock, and how `down` finds what `up` started.

The lock is held by the process that supervises the space, for as long as it lives. A pid is believed only together
with the start time of its process.
"""

import fcntl
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.children import started_at
from deploy.places import Places
from deploy.waiting import wait_until


class AlreadyRunning(RuntimeError):
    """Another process runs a space in this folder."""


@dataclass(frozen=True)
class Running:
    """The process that supervises the space."""

    pid: int
    start: int
    kind: str
    ready: bool

    @property
    def alive(self) -> bool:
        return started_at(self.pid) == self.start


@contextmanager
def only_instance(places: Places) -> Iterator[None]:
    """Hold the lock of this `var/`; raises at once when somebody else has it."""
    places.var.mkdir(parents=True, exist_ok=True)
    handle = os.open(places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            known = read_running(places)
            who = f"process {known.pid} (./run {known.kind})" if known else "another process"
            raise AlreadyRunning(f"{who} already runs a space here; stop it with Ctrl-C or ./run down") from error
        write_running(places, ready=False)
        try:
            yield
        finally:
            if is_ours(places):
                places.running.unlink(missing_ok=True)
    finally:
        os.close(handle)


def write_running(places: Places, *, ready: bool) -> None:
    """Say that this process runs the space, and whether the space is ready."""
    body = {"pid": os.getpid(), "start": started_at(os.getpid()), "kind": places.kind, "ready": ready}
    part = places.running.with_suffix(".part")
    part.write_text(json.dumps(body) + "\n")
    part.replace(places.running)


def read_running(places: Places) -> Running | None:
    """What the file says; None when there is none or it is not whole."""
    try:
        body = json.loads(places.running.read_text())
        return Running(int(body["pid"]), int(body["start"]), str(body["kind"]), bool(body["ready"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_ours(places: Places) -> bool:
    """Whether `var/` still knows this process; false once somebody has removed the folder under us."""
    known = read_running(places)
    return known is not None and known.pid == os.getpid()


def stop_running(places: Places, *, seconds: float = 40) -> bool:
    """Ask the supervising process to stop and wait for its end; False when nothing was running."""
    known = read_running(places)
    if known is None or not known.alive:
        places.running.unlink(missing_ok=True)
        return False
    with suppress(ProcessLookupError):
        os.kill(known.pid, signal.SIGTERM)
    if not wait_until(lambda: not known.alive, seconds=seconds, step=0.05):
        os.kill(known.pid, signal.SIGKILL)  # its children die with it
        wait_until(lambda: not known.alive, seconds=5)
    Path(places.running).unlink(missing_ok=True)
    return True
