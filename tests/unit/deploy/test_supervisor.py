import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.children import started_at
from deploy.supervisor import Child, ChildDied, Supervisor
from deploy.waiting import wait_until

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def supervisor(tmp_path: Path):
    running = Supervisor(tmp_path / "log", directory=tmp_path)
    yield running
    running.stop()


def _child(name, command=SLEEPER, stage=0, **more):
    return Child(name, command, stage, dict(os.environ), **more)


def test_it_works(supervisor, tmp_path):
    log = tmp_path / "log" / "one.log"
    pid = supervisor.start(_child("one", ready=lambda: "up" in log.read_text()))
    supervisor.wait("one", seconds=20)
    supervisor.check()
    supervisor.stop()
    assert started_at(pid) is None


def test_a_child_that_ends_by_itself_is_named_with_its_last_words(supervisor):
    supervisor.start(_child("broken", [sys.executable, "-c", "raise SystemExit('no such hospital')"]))
    with pytest.raises(ChildDied, match=r"broken ended by itself.*\n.*no such hospital"):
        supervisor.wait("broken", seconds=20)
        wait_until(lambda: bool(supervisor.check()), seconds=20)


def test_a_child_that_never_becomes_ready_is_named(supervisor):
    supervisor.start(_child("slow", ready=lambda: False))
    with pytest.raises(ChildDied, match="slow was not ready"):
        supervisor.wait("slow", seconds=0.3)


def test_later_stages_stop_first(supervisor, tmp_path):
    order = tmp_path / "order"
    code = "import signal,sys,time\ndef end(*_):\n open(sys.argv[1],'a').write(sys.argv[2]); sys.exit()\n"
    code += "signal.signal(15,end); print('up',flush=True)\nwhile True: time.sleep(60)"
    for stage, name in enumerate("abc"):
        log = tmp_path / "log" / f"{name}.log"
        supervisor.start(
            _child(name, [sys.executable, "-c", code, str(order), name], stage, ready=lambda log=log: log.read_text())
        )
    supervisor.wait("a", "b", "c", seconds=20)
    supervisor.stop()
    assert order.read_text() == "cba"


def test_no_child_outlives_a_killed_supervisor(tmp_path, root):
    code = (
        "import sys,time; from pathlib import Path; from deploy.supervisor import *\n"
        "s=Supervisor(Path(sys.argv[1]), directory=Path(sys.argv[1]))\n"
        "print(s.start(Child('x',[sys.executable,'-c','import time; time.sleep(60)'],0)),flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=root)
    pid = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert wait_until(lambda: started_at(pid) is None, seconds=10)


def test_a_process_is_known_by_its_start_time():
    assert started_at(os.getpid()) == started_at(os.getpid()) is not None
    assert started_at(2**22 + 1) is None
