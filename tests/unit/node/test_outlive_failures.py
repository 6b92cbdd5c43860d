"""A nursery and its workers when the machine has no more processes, memory or handles: what runs goes on, what is
asked fails by name, and nothing of a worker stays behind. The worker is a stand-in; nursery and pool are the true ones.
"""

import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpc.node import sandbox
from mpc.node.config import Limits
from mpc.node.errors import Refused, Unsettled
from mpc.node.nursery import Nursery
from mpc.node.workers import SCRATCH, Workers
from tests.simulators.processes import children

WITHOUT_ITS_IMPORTS = """
import errno, os, sys, time, traceback, types
worker, stand_in, forks = types.ModuleType("mpc.worker"), None, []
def main():
    for line in sys.stdin:
        if "raise" in line:
            raise ZeroDivisionError("a value of a row")
        print('{"event": "gate_started"}', flush=True)
    return 0
def log(text):
    with open(os.path.join(os.environ["TMPDIR"], "said"), "w") as file:
        file.write(text)
worker.main, worker.log = main, log
worker.where = lambda trouble: traceback.extract_tb(trouble.__traceback__)[-1].name
sys.modules["mpc.worker"] = worker
import mpc
mpc.worker = worker
from mpc import nursery
fork = os.fork
def failing():
    forks.append(1)
    if len(forks) == 2:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    if len(forks) == 3:
        time.sleep(1)
    return fork()
os.fork = failing
sys.exit(nursery.main())
"""
COMMAND = (sys.executable, "-P", "-c", WITHOUT_ITS_IMPORTS)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path, sandbox.private_folder(tmp_path / "own"), Limits(), command=COMMAND)
    yield made
    made.end()


def handles() -> int:
    """What this process has open; what an earlier test left to be collected is none of it."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_it_works(nursery: Nursery, tmp_path: Path) -> None:
    """Of three requests one fails and one is answered too late: the job that runs hears nothing of it."""
    running = nursery.fork(tmp_path)
    with pytest.raises(Unsettled, match="EAGAIN"):
        nursery.fork(tmp_path)
    nursery._line.settimeout(0.1)
    with pytest.raises(Unsettled):
        nursery.fork(tmp_path)
    nursery._line.settimeout(60)
    assert nursery.reap(os.getpid()) == -signal.SIGKILL, "no child of the nursery's"
    assert children(nursery.pid) == {running.pid}, "neither a process nor a zombie of what was given up"
    running.stdin.write(b"go on\n")
    running.stdin.flush()
    assert running.stdout.readline() == b'{"event": "gate_started"}\n'
    again = nursery.fork(tmp_path)
    assert again.poll() is None
    for one in (running, again):
        one.kill()
        assert one.wait(60) == -signal.SIGKILL
        one.kill()
        one.stdin.close()
        one.stdout.close()


def test_a_nursery_that_stands_still_is_ended(nursery: Nursery, tmp_path: Path) -> None:
    """Else every job would wait for it, for ever; one answer too late is not the end yet."""
    nursery.reap(os.getpid())  # it is ready
    os.kill(nursery.pid, signal.SIGSTOP)
    nursery._line.settimeout(0.1)
    for lives in (True, False):
        with pytest.raises(Unsettled):
            nursery.fork(tmp_path)
        assert nursery.alive() == lives


def test_a_worker_without_a_handle_is_ended(nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = handles()

    def no_more(pid: int) -> int:
        raise OSError(24, "Too many open files")
    with monkeypatch.context() as few:
        few.setattr(os, "pidfd_open", no_more)
        with pytest.raises(Unsettled):
            nursery.fork(tmp_path)
    assert children(nursery.pid) == set() and handles() == before


def test_a_worker_that_breaks_before_its_last_door_says_where(nursery: Nursery, tmp_path: Path) -> None:
    worker = nursery.fork(tmp_path)
    worker.stdin.write(b"raise\n")
    worker.stdin.close()
    assert worker.wait(60) == 70
    worker.stdout.close()
    assert (tmp_path / "said").read_text() == "unforeseen ZeroDivisionError at main"


def test_two_threads_may_end_one_worker(nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look and the signal nobody else may close the handle, which another file would have by then."""
    worker = nursery.fork(tmp_path)
    send, looked = signal.pidfd_send_signal, []

    def while_another_waits(handle: int, number: int) -> None:
        other = threading.Thread(target=worker.poll)
        other.start()
        send(handle, number)
        time.sleep(0.05)
        looked.append(worker.returncode)
        os.fstat(handle)
        others.append(other)
        raise ProcessLookupError
    others: list[threading.Thread] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", while_another_waits)
    worker.kill()
    for one in others:
        one.join(60)
    assert looked == [None] and worker.wait(60) == -signal.SIGKILL
    worker.stdin.close()
    worker.stdout.close()


@pytest.mark.parametrize(("number", "kind", "code"), [
    (11, Unsettled, "worker.failed"), (12, Unsettled, "worker.failed"), (28, Refused, "node.disk_full")])
def test_a_nursery_that_cannot_start_leaves_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Unsettled], code: str) -> None:
    pool, before = Workers(tmp_path), handles()

    def no_more(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(sandbox, "start", no_more)
    with pytest.raises(kind) as failed:
        pool.take()
    assert failed.value.code == code
    assert list((tmp_path / SCRATCH).iterdir()) == [] and handles() == before
    pool.close()


def test_what_a_worker_prints_cannot_keep_its_folder(tmp_path: Path) -> None:
    """So deep a list that reading it overflows: while it runs, and among its last words."""
    deep = "import sys, time; print('[' * 100_000, flush=True); sys.stdin.readline(); print('[' * 60_000, end='\\n')"
    pool = Workers(tmp_path, command=(sys.executable, "-c", deep))
    worker = pool.take()
    assert worker.receive(1.0) is None
    deadline = time.monotonic() + 60
    worker.send({"go": "on"})
    while worker.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pool.give_back(worker)
    assert not worker._folder.exists() and not pool._out  # a spare may have its own by now
    pool.close()
