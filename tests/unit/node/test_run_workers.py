"""Worker processes: a warm spare, its own socket, and an end for every one, whatever happens to its agent."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpc.node.config import Limits
from mpc.node.nursery import Nursery
from mpc.node.workers import SCRATCH, Worker, Workers

SCRIPT = Path(__file__).parents[2] / "simulators" / "worker_script.py"


def pool_of(home: Path, mode: str) -> Workers:
    return Workers(home, command=(sys.executable, "-P", str(SCRIPT), mode))


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Workers]:
    made = pool_of(tmp_path, "works")
    yield made
    made.close()


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def within(seconds: float, pid: int) -> bool:
    """The process is gone within so many seconds."""
    deadline = time.monotonic() + seconds
    while running(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_it_works(pool: Workers) -> None:
    worker = pool.take()
    worker.send({"role": "party"})
    assert worker.receive(10) == {"event": "gate_started"}
    worker.send({"proceed": True})
    assert (worker.receive(10) or {})["event"] == "sealed"
    assert worker.receive(10) is None and worker.ended


def test_the_last_words_of_an_ended_worker_are_kept(pool: Workers) -> None:
    """Whether its gate began decides whether a use counts: that word may lie unread when the worker is ended."""
    worker = pool.take()
    worker.send({"role": "party"})
    said = b'{"ready": true}\n{"event": "gate_started"}\n'
    deadline = time.monotonic() + 20
    while len(waiting(worker)) < len(said):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    assert worker.unread() == [{"event": "gate_started"}]


def waiting(worker: Worker) -> bytes:
    """As many bytes as lie in its pipe."""
    size = bytearray(4)
    fcntl.ioctl(worker._stdout.fileno(), termios.FIONREAD, size)
    return bytes(int.from_bytes(size, sys.byteorder))


def test_a_spare_that_died_is_no_zombie_and_is_replaced(pool: Workers) -> None:
    pool.warm()
    pool._spawner.submit(int).result()
    spare = pool._spare
    assert spare is not None
    os.kill(spare.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{spare.pid}").exists():
        pool.tend()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pool._spawner.submit(int).result()
    assert pool._spare is None, "one that died young is not started again and again"
    pool.warm()
    pool._spawner.submit(int).result()
    old = pool._spare
    assert old is not None
    old.born -= 3600
    os.kill(old.pid, signal.SIGKILL)
    os.waitid(os.P_PID, old.pid, os.WEXITED | os.WNOWAIT)
    pool.tend()
    pool._spawner.submit(int).result()
    assert pool._spare is not None and pool._spare.alive() and not Path(f"/proc/{old.pid}").exists()


def test_the_warm_spare_is_taken_and_replaced(pool: Workers) -> None:
    pool.warm()
    pool._spawner.submit(int).result()
    spare = pool._spare
    assert spare is not None
    taken = pool.take()
    assert taken is spare and pool._spare is None
    pool.give_back(taken)
    pool._spawner.submit(int).result()
    assert pool._spare is not None and pool._spare is not taken
    assert within(5, taken.pid)


def test_a_dead_spare_is_not_handed_out(pool: Workers) -> None:
    pool.warm()
    pool._spawner.submit(int).result()
    spare = pool._spare
    assert spare is not None
    os.kill(spare.pid, signal.SIGKILL)
    spare._process.wait(5)
    taken = pool.take()
    assert taken is not spare and taken.alive()


def test_stop_tells_then_ends(pool: Workers) -> None:
    worker = pool.take()
    worker.send({"role": "party"})
    worker.receive(10)
    worker.stop("grant.revoked")
    assert within(5, worker.pid)


def test_a_worker_that_hears_nothing_is_killed(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "deaf")
    worker: Worker = pool.take()
    worker.stop("session.deadline", within=0.2)
    assert within(5, worker.pid)
    pool.close()


def test_closing_ends_everything(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, "deaf")
    pids = [pool.take().pid, pool.take().pid]
    pool.warm()
    pool._spawner.submit(int).result()
    assert pool._spare is not None
    pids.append(pool._spare.pid)
    pool.close()
    assert all(within(5, pid) for pid in pids)


def test_workers_die_with_an_agent_that_is_killed(tmp_path: Path) -> None:
    program = ("import sys, time; from pathlib import Path; from mpc.node.workers import Workers\n"
               f"pool = Workers(Path({str(tmp_path)!r}), command=(sys.executable, '-P', {str(SCRIPT)!r}, 'deaf'))\n"
               "print(pool.take().pid, flush=True); time.sleep(60)")
    agent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if agent.stdout is None:
        raise RuntimeError("no pipe")
    pid = int(agent.stdout.readline())
    assert running(pid)
    agent.kill()
    agent.wait()
    agent.stdout.close()
    assert within(5, pid)


def test_a_clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    pool = pool_of(tmp_path, "deaf")
    worker = pool.take()
    deadline = time.monotonic() + 10
    while b"worker_script" not in Path(f"/proc/{worker.pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
    assert b"OMP_NUM_THREADS=1" in environment and not any(b"DATABASE" in one for one in environment)
    pool.close()


def test_the_nursery_forks_workers_that_are_each_on_their_own(tmp_path: Path) -> None:
    """True workers: one import for all of them, and nothing of one in another."""
    pool = Workers(tmp_path, limits=Limits(cpu_seconds=77))
    first, second = pool.take(), pool.take()
    nursery = pool._nursery
    assert nursery is not None and first.pid != second.pid
    for worker in (first, second):
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
        assert (status["PPid"].strip(), status["Threads"].strip()) == (str(nursery.pid), "1")
        deadline = time.monotonic() + 20  # it takes its own limits, once it is there
        while "Max cpu time              77 " not in Path(f"/proc/{worker.pid}/limits").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
    first.send({"not": "an order"})
    assert (first.receive(60) or {})["code"] == "spec.malformed"
    assert first.receive(60) is None and first.cause_of_death() == "worker.failed"
    os.kill(second.pid, signal.SIGKILL)
    assert second.receive(60) is None and second.cause_of_death() == "worker.killed"
    for worker in (first, second):
        pool.give_back(worker)
        assert not Path(f"/proc/{worker.pid}").exists(), "a zombie"
    runs_out_of_memory(pool)
    third = pool.take()
    os.kill(nursery.pid, signal.SIGKILL)
    assert within(10, third.pid) and third.cause_of_death() == "worker.killed"
    pool.give_back(third)
    pool._spawner.submit(int).result()
    assert pool._nursery is not nursery and not Path(f"/proc/{nursery.pid}").exists()
    pool.close()
    assert list((tmp_path / SCRATCH).iterdir()) == []


def runs_out_of_memory(pool: Workers) -> None:
    """The worker itself, at a limit that the kernel holds, says what it was; the order does not fit."""
    worker = pool.take()
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    most = (int(status["VmData"].split()[0]) << 10) + (16 << 20)
    resource.prlimit(worker.pid, resource.RLIMIT_DATA, (most, most))
    worker.send({"role": "party", "more": "x" * (48 << 20)})
    assert (worker.receive(60) or {})["code"] == "worker.out_of_memory"
    pool.give_back(worker)


LATE = """
import json, os, socket
line = socket.socket(fileno=os.dup(0))
line.sendall(b'{"ready": true}')
for one in [json.loads(line.recv(65536)) for _ in range(2)]:
    line.sendall(json.dumps({"ask": one.get("ask"), "status": one["reap"]}).encode())
line.recv(1)
"""


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """Else every answer after it would be the one before: no worker could be started any more."""
    (tmp_path / "own").mkdir()
    nursery = Nursery(tmp_path, tmp_path / "own", Limits(), command=(sys.executable, "-c", LATE))
    try:
        assert "ready" in str(nursery._line.recv(1 << 16))
        nursery._ready = True
        nursery._line.settimeout(0.1)
        assert nursery.reap(7) == -signal.SIGKILL
        nursery._line.settimeout(60)
        assert nursery.reap(8) == 8
    finally:
        nursery.end()
