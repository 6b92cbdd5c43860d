"""How a worker process is started: its limits, its private folder, its end with the agent's, and a clean environment.

What an agent can put on a process from outside stands here; what the worker takes from itself once it has its order
(files, network, processes) is `mpc.confinement`. `probe` starts a process the same way and has it try what it must not
be able to do, `dial` has it go where it must be able to go: `doctor` tells what this machine really does, not what was
configured.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mpc.node.config import Limits
from mpc.node.logs import note
from mpc.wire import PORTS

LAUNCH = """
import ctypes, json, os, resource, sys
libc = ctypes.CDLL(None)
libc.prctl(1, 9)
libc.prctl(38, 1, 0, 0, 0)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for name, value in json.loads(sys.argv[2]).items():
    which = getattr(resource, name)
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    more = 5 if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else 0  # first SIGXCPU, which has a name
    resource.setrlimit(which, (value, value + more))
os.umask(0o077)
try:
    with open("/proc/self/oom_score_adj", "w") as file:  # of all that runs here the kernel ends a worker first
        file.write("500")
except OSError:
    pass
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV")
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1",
           "PYTHONDONTWRITEBYTECODE": "1"}
DEATHS = {signal.SIGKILL: "worker.killed", signal.SIGXCPU: "worker.out_of_time", signal.SIGALRM: "worker.out_of_time"}

PROBE = """
import json, os, resource, socket, sys
from mpc import confinement
home, private, server = sys.argv[1], os.environ["TMPDIR"], int(sys.argv[2])
allowed, starter = int(sys.argv[3]), os.getppid()
beside = os.path.join(home, "probe-beside")
held = confinement.confine(write=[private], ports=[allowed])
def prevented(attempt):
    try:
        attempt()
    except (OSError, MemoryError):
        return True
    return False
def dial(port):
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
def child():
    if os.fork() == 0:
        os._exit(0)
def works(attempt):
    return not prevented(attempt)
def first_segment():
    line = socket.socket()
    line.setblocking(False)
    try:
        line.sendto(b"x", 0x20000000, ("127.0.0.1", server))
    except BlockingIOError:
        pass
def other_stream():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).close()
def to_a_service():
    with socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0] as line:
        line.connect(sys.argv[4])
print(json.dumps({
    "landlock": held.landlock, "filter": held.filter,
    "reads_no_keys": prevented(lambda: open(os.path.join(home, "config.toml")).close()),
    "writes_no_data": prevented(lambda: open(os.path.join(home, "probe"), "w").close()),
    "writes_its_folder": works(lambda: open(os.path.join(private, "x"), "w").close()),
    "dials_nothing_else": prevented(lambda: dial(server)), "dials_its_link": works(lambda: dial(allowed)),
    "listens_nowhere": prevented(lambda: socket.create_server(("127.0.0.1", 0)).close()),
    "sends_no_datagrams": prevented(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()) and prevented(
        to_a_service),
    "dials_by_no_other_way": prevented(first_segment) and prevented(other_stream),
    "changes_no_modes": prevented(lambda: os.chmod(beside, 0o644)) and prevented(lambda: os.utime(beside)),
    "signals_nobody": prevented(lambda: os.kill(starter, 0)),
    "limits_nobody": prevented(lambda: resource.prlimit(starter, resource.RLIMIT_CORE)),
    "starts_no_process": prevented(child),
    "starts_no_program": prevented(lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "memory_is_limited": resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY,
    "leaves_no_core": resource.getrlimit(resource.RLIMIT_CORE)[0] == 0,
    "gains_no_privilege": "NoNewPrivs:\\t1" in open("/proc/self/status").read(),
}))
"""

DIAL = """
import asyncio, json, sys
from mpc import confinement, hosts
from mpc.errors import MpcError
from mpc.transport.carrier import Broken, Relay, WebSocketCarrier
asked = json.loads(sys.stdin.read())
hosts.settle(asked["hosts"])
confinement.confine(ports=asked["ports"])
async def dial(url):
    try:
        async with WebSocketCarrier(Relay(url, "doctor", asked["proxy"])).connect():
            return "admitted"
    except MpcError as error:
        return error.text
    except Broken as error:
        return str(error)
async def dial_all():
    return dict(zip(asked["urls"], await asyncio.gather(*map(dial, asked["urls"]))))
print(json.dumps(asyncio.run(dial_all())))
"""


def limits_of(limits: Limits) -> dict[str, int]:
    """The kernel's names for what a worker may take; address space alone would count what libraries only reserve."""
    return {"RLIMIT_DATA": limits.memory_mb << 20, "RLIMIT_CPU": limits.cpu_seconds, "RLIMIT_NOFILE": limits.files,
            "RLIMIT_FSIZE": limits.file_mb << 20}


def private_folder(scratch: Path) -> Path:
    """A folder that only this user opens, for one worker's life."""
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    return Path(tempfile.mkdtemp(dir=scratch))


def wipe(folder: Path) -> None:
    """Nothing of a worker stays behind; what cannot be removed is told."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        note("scratch.left", folder=folder.name)


def start(command: Sequence[str], limits: Limits, folder: Path, *, cwd: Path, but: Sequence[str] = (),
          stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE, stderr: int | None = None) -> subprocess.Popen[
              bytes]:
    """The process, in a session of its own, dead when its starter is; `but` names limits that it is not under."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | THREADS
    environment |= {"TMPDIR": str(folder), "HOME": str(folder)}
    held = {name: value for name, value in limits_of(limits).items() if name not in but}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), json.dumps(held), *command], cwd=cwd,
        env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)


def cause_of_death(status: int | None) -> str:
    """What the end of a process without a last word means."""
    if status is None or status >= 0:
        return "worker.failed"
    try:
        return DEATHS.get(signal.Signals(-status), "worker.failed")
    except ValueError:
        return "worker.failed"


def dial(home: Path, scratch: Path, limits: Limits, *, urls: Sequence[str], proxy: str | None,
         seconds: float = 30.0) -> Mapping[str, str]:
    """What each of these relays says to a worker that it does not know, through this proxy, from inside the sandbox."""
    ways = [urlsplit(one) for one in ([proxy] if proxy else urls)]
    asked = {"urls": list(urls), "proxy": proxy, "hosts": [one.hostname for one in ways],
             "ports": [one.port or PORTS[one.scheme] for one in ways]}
    folder = private_folder(scratch)
    process = start([sys.executable, "-P", "-c", DIAL], limits, folder, cwd=home, stderr=subprocess.DEVNULL)
    try:
        said, _ = process.communicate(json.dumps(asked).encode(), timeout=seconds)  # a proxy's password is no argument
        found: dict[str, str] = json.loads(said)
        return found
    except (subprocess.TimeoutExpired, ValueError):
        return dict.fromkeys(urls, "?")
    finally:
        process.kill()
        process.communicate()
        wipe(folder)


def probe(home: Path, scratch: Path, limits: Limits, *, seconds: float = 30.0) -> Mapping[str, Any]:
    """What a process started like a worker is prevented from here; empty when it could not be started."""
    import socket

    folder, beside = private_folder(scratch), home / "probe-beside"
    beside.touch(mode=0o600)
    with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as link, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service, tempfile.TemporaryDirectory() as place:
        service.bind(f"{place}/service")
        process = start([sys.executable, "-P", "-c", PROBE, str(home), str(other.getsockname()[1]),
                         str(link.getsockname()[1]), f"{place}/service"], limits, folder, cwd=home,
                        stderr=subprocess.DEVNULL)
        try:
            said, _ = process.communicate(timeout=seconds)
            found: dict[str, Any] = json.loads(said)
            return found
        except (subprocess.TimeoutExpired, ValueError):
            return {}
        finally:
            process.kill()
            process.communicate()
            wipe(folder)
            for left in (home / "probe", beside):
                left.unlink(missing_ok=True)
