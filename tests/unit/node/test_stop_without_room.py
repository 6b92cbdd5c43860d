"""The kill switch on a full disk, and who is said to have pulled it: with a file system that is really full."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mpc.node import config, console
from mpc.node.__main__ import main

AGENT = """
import signal, sys
from pathlib import Path
from mpc.node.loop import alone
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with alone(Path(sys.argv[1])):
    print("holds", flush=True)
    signal.pause()
"""
# in a mount namespace of its own: a disk of one megabyte, an agent that holds the home, nothing left, then the switch
FULL = """
import json, os, subprocess, sys
home, agent = sys.argv[1:3]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", home + "/full"], check=True)
subprocess.run(f"cp {home}/config.toml {home}/full && cp {home}/node.sqlite3* {home}/full", shell=True, check=True)
holder = subprocess.Popen([sys.executable, "-c", agent, home + "/full"], stdout=subprocess.PIPE)
assert holder.stdout.readline() == b"holds\\n"
with open(home + "/full/rest", "wb", buffering=0) as rest:
    for size in (1 << 16, 1 << 12, 1):
        try:
            while rest.write(bytes(size)):
                pass
        except OSError as error:
            assert error.errno == 28
said = subprocess.run([sys.executable, "-m", "mpc.node", "stop", "--home", home + "/full", "--json"],
                      capture_output=True, text=True, timeout=60)
try:
    ended = holder.wait(30)  # its lock goes a moment before it does
except subprocess.TimeoutExpired:
    ended = None
    holder.kill()
print(json.dumps([said.returncode, said.stdout, said.stderr, ended]))
"""


def namespaces() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run(
        [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True).returncode == 0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir()
    config.create(config.Config(home=place, participant="p", role="provider", portal="http://127.0.0.1:1", name_zh="x",
                                name_en="x"))
    with console.room(place):
        pass
    return place


@pytest.mark.skipif(not namespaces(), reason="no mount namespace for this user")
def test_it_works(home: Path) -> None:
    """The word cannot be written down; the jobs end all the same, and the person hears both."""
    (home / "full").mkdir()
    done = subprocess.run(["unshare", "-rm", sys.executable, "-c", FULL, str(home), AGENT], capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    status, said, trouble, agent = json.loads(done.stdout)
    assert (status, agent) == (1, 3), trouble
    assert json.loads(said) == {"stopped": False, "running": False} and "Traceback" not in trouble


def test_a_book_that_cannot_be_opened_is_no_traceback(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "node.sqlite3").write_bytes(b"no database " * 1000)
    assert main(["status", "--home", str(home)]) == 1
    assert "node.sqlite3" in capsys.readouterr().err
    assert main(["stop", "--home", str(home), "--lang", "en"]) == 1
    assert "the node itself was ended" in capsys.readouterr().out


def test_status_tells_a_watchdog_that_nobody_works(home: Path) -> None:
    assert main(["status", "--home", str(home)]) == 1
    holder = subprocess.Popen([sys.executable, "-c", AGENT, str(home)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"holds\n"
        assert main(["status", "--home", str(home)]) == 0
        assert console.holder(home) == holder.pid
    finally:
        holder.kill()
        holder.communicate()
    assert console.holder(home) is None


def test_nobody_signs_with_another_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says anybody can write there."""
    for name in ("SUDO_USER", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "boss")
    monkeypatch.setattr(console, "LOGIN", home / "loginuid")
    (home / "loginuid").write_text(str(console.NOBODY))
    own = console.whoami()
    assert own == console._name(os.getuid()) != "boss"
    (home / "loginuid").write_text("4000000000")
    assert console.whoami() == f"4000000000 as {own}"
    (home / "loginuid").write_text(str(os.getuid()))
    assert console.whoami() == own
