"""A worker's process has its limits, a folder of its own, and nothing else: tried with real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpc import confinement
from mpc.node import sandbox
from mpc.node.config import Limits
from mpc.node.workers import SCRATCH, Workers
from tests.simulators.node_at_work import worker_command
from tests.simulators.processes import children

WITH_LANDLOCK = pytest.mark.skipif(confinement.landlock_version() < 4, reason="this kernel has no Landlock with ports")
NO_THREADS = {**os.environ, "OMP_NUM_THREADS": "1"}


def confined(code: str, *arguments: object, read: str = "[]", write: str = "[]", ports: str = "[]") -> str:
    """What a process says that confines itself first."""
    program = (f"import os, socket, sys\nfrom mpc.confinement import confine\n"
               f"confine(read={read}, write={write}, ports={ports})\n{code}")
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True,
                          timeout=60, check=False, env=NO_THREADS)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@WITH_LANDLOCK
def test_it_works(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("role = 1")
    found = sandbox.probe(tmp_path, tmp_path / SCRATCH, Limits())
    assert found.pop("landlock") >= 4
    assert found and all(found.values()), found
    assert list((tmp_path / SCRATCH).iterdir()) == []


@WITH_LANDLOCK
def test_one_file_to_read_and_none_beside_it(tmp_path: Path) -> None:
    mine, keys = tmp_path / "rows.csv", tmp_path / "keys.json"
    mine.write_text("rows")
    keys.write_text("secret")
    reads = "print(open(sys.argv[1]).read())"
    assert confined(reads, mine, read=f"[{str(mine)!r}]") == "rows"
    assert "PermissionError" in confined(reads, keys, read=f"[{str(mine)!r}]")
    assert "PermissionError" in confined("open(sys.argv[1], 'a')", mine, read=f"[{str(mine)!r}]")
    assert "PermissionError" in confined("os.remove(sys.argv[1])", mine, read=f"[{str(mine)!r}]")
    assert "PermissionError" in confined("print(os.listdir(sys.argv[1]))", tmp_path, read=f"[{str(mine)!r}]")


@WITH_LANDLOCK
def test_a_link_out_of_the_folder_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("secret")
    own = tmp_path / "own"
    own.mkdir()
    (own / "link").symlink_to(tmp_path / "keys.json")
    assert "PermissionError" in confined("print(open(sys.argv[1]).read())", own / "link", write=f"[{str(own)!r}]")


@WITH_LANDLOCK
def test_nothing_is_taken_back_and_threads_are_held_too(tmp_path: Path) -> None:
    secret = tmp_path / "keys.json"
    secret.write_text("secret")
    again = f"confine(read=[{str(secret)!r}])\nprint(open({str(secret)!r}).read())"
    assert "PermissionError" in confined(again)
    thread = ("import threading\nsaid = []\ndef read():\n    try: said.append(open(sys.argv[1]).read())\n"
              "    except OSError as error: said.append(type(error).__name__)\n"
              "one = threading.Thread(target=read); one.start(); one.join(); print(said[0])")
    assert confined(thread, secret) == "PermissionError"


@WITH_LANDLOCK
def test_it_signals_and_debugs_nobody() -> None:
    assert "PermissionError" in confined("os.kill(int(sys.argv[1]), 0)", os.getpid())
    assert "Error" in confined("open(f'/proc/{sys.argv[1]}/environ').read()", os.getpid())


@pytest.mark.skipif(not confinement.seccomp_works(), reason="no filter on this machine")
@pytest.mark.parametrize("attempt", [
    "os.fork()", "os.execv('/bin/true', ['true'])", "__import__('subprocess').run(['/bin/true'])",
    "socket.socket(socket.AF_UNIX)", "socket.socket(socket.AF_INET, socket.SOCK_RAW)", "os.mknod('/tmp/x')",
    "socket.socket(16, socket.SOCK_RAW, 0)", "socket.socket().listen()", "os.chroot('/')",
])
def test_the_filter_refuses(attempt: str) -> None:
    assert "PermissionError" in confined(attempt, write="['/tmp']")


@pytest.fixture
def pool(tmp_path: Path):  # type: ignore[no-untyped-def]
    pools: list[Workers] = []

    def make(mode: str, **limits: int) -> Workers:
        pools.append(Workers(tmp_path, command=worker_command(mode), limits=Limits(**limits)))
        return pools[-1]
    yield make
    for one in pools:
        one.close()


def ended(worker) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 60
    while not worker.ended:
        assert time.monotonic() < deadline
        worker.receive(0.5)


@pytest.mark.parametrize(("mode", "limits", "cause"), [
    ("killed", {}, "worker.killed"), ("crashes", {}, "worker.failed"), ("dies", {}, "worker.failed"),
    ("spins", {"cpu_seconds": 1}, "worker.out_of_time"),
])
def test_each_death_has_its_name(pool, mode: str, limits: dict[str, int], cause: str) -> None:  # type: ignore[no-untyped-def]
    worker = pool(mode, **limits).take()
    worker.send({"role": "party"})
    ended(worker)
    assert worker.cause_of_death() == cause


def test_too_much_memory_is_refused_by_the_kernel(pool) -> None:  # type: ignore[no-untyped-def]
    worker = pool("hungry", memory_mb=256).take()
    worker.send({"role": "party"})
    assert (worker.receive(60) or {}).get("code") == "worker.out_of_memory"


def test_the_private_folder_is_wiped(pool, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    workers = pool("litters")
    worker = workers.take()
    worker.send({"role": "party"})
    assert worker.receive(60) == {"event": "gate_started"}
    left = list((tmp_path / SCRATCH).rglob("rows.csv"))
    assert len(left) == 1 and left[0].stat().st_mode & 0o077 == 0
    workers.give_back(worker)
    assert not left[0].exists()


def test_no_thread_of_a_worker_is_older_than_its_confinement(tmp_path: Path) -> None:
    """Landlock holds for the thread that asks for it and its children: a library's own thread would stay free."""
    look = "import mpc.worker; from mpc import confinement; print(confinement.confine(write=[]).threads_before)"
    folder = sandbox.private_folder(tmp_path / SCRATCH)
    process = sandbox.start([sys.executable, "-P", "-c", look], Limits(), folder, cwd=tmp_path)
    assert process.communicate(timeout=120)[0] == b"0\n"


def test_what_a_killed_agent_left_is_swept(tmp_path: Path) -> None:
    folder = sandbox.private_folder(tmp_path / SCRATCH)
    (folder / "rows.csv").write_text("50,Male")
    Workers(tmp_path).sweep()
    assert not folder.exists()


def test_no_zombie_is_left(pool) -> None:  # type: ignore[no-untyped-def]
    workers = pool("killed")
    before = children(os.getpid())
    for _ in range(3):
        worker = workers.take()
        worker.send({"role": "party"})
        ended(worker)
        workers.give_back(worker)
    workers.close()
    assert children(os.getpid()) <= before




def test_a_worker_leaves_its_group_and_the_terminal(pool) -> None:  # type: ignore[no-untyped-def]
    worker = pool("deaf").take()
    assert os.getsid(worker.pid) == worker.pid != os.getsid(0)
    deadline = time.monotonic() + 60
    while "NoNewPrivs:\t1" not in Path(f"/proc/{worker.pid}/status").read_text() or \
            b"-I" in Path(f"/proc/{worker.pid}/cmdline").read_bytes().split(b"\0"):  # the launcher is still at it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    assert [line.split()[-2] for line in limits.splitlines() if line.startswith("Max core")] == ["0"]


def test_the_causes_of_death() -> None:
    assert sandbox.cause_of_death(-signal.SIGKILL) == "worker.killed"
    assert sandbox.cause_of_death(-signal.SIGALRM) == "worker.out_of_time"
    assert {sandbox.cause_of_death(status) for status in (None, 0, 1, -99, -signal.SIGSEGV)} == {"worker.failed"}
