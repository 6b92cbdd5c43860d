"""A process that has imported the worker once, and forks a fresh one for every job: `python -m mpc.nursery`.

Imports take seconds of a processor, a fork takes milliseconds, and pages that nobody changes are kept once for all. It
computes nothing, holds no key, reads no order and starts no thread: what a worker inherits is what every worker would
import for itself. Its standard input is a socket of the agent's. One line a request, and one line back:

    {"fork": FOLDER, "cpu": SECONDS}   with two handles, the worker's standard input and output  ->  {"pid": N}
    {"reap": PID}                      of a worker that has ended                                 ->  {"status": N}
    {"end": PID}                       of one that nobody asked for any more                      ->  {"status": N}

Each request has a number, `ask`, and so has its answer: one that comes too late is not taken for the next. What cannot
be done, a fork without memory for it, is answered with {"error": NAME}: it must not end the workers that run.
A worker is in a session of its own, has its own folder and time, and dies with this process, which dies with the agent.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, NoReturn

from mpc import confinement, worker

LINE = 1 << 16
PR_SET_PDEATHSIG = 1
LAST_SECONDS = 5  # first SIGXCPU, which has a name


def main() -> int:
    """Serve until the agent closes its end."""
    confinement.no_debugging()
    server = socket.socket(fileno=os.dup(0))
    gc.collect()
    gc.freeze()  # a collection in a worker would otherwise copy every page that holds an object
    server.sendall(b'{"ready": true}\n')
    while True:
        line, handles, _, _ = socket.recv_fds(server, LINE, 2)
        if not line:
            return 0
        asked = json.loads(line)
        try:
            answer: dict[str, Any] = _do(asked, handles)
        except OSError as error:
            answer = {"error": errno.errorcode.get(error.errno or 0, type(error).__name__)}
        finally:
            for handle in handles:
                os.close(handle)
        server.sendall(json.dumps({"ask": asked["ask"], **answer}).encode() + b"\n")


def _do(asked: dict[str, Any], handles: Sequence[int]) -> dict[str, Any]:
    if "fork" in asked:
        return {"pid": _fork(asked, handles)}
    if "end" in asked:
        return {"status": _end(int(asked["end"]))}
    return {"status": os.waitstatus_to_exitcode(os.waitpid(int(asked["reap"]), 0)[1])}


def _end(child: int) -> int:
    """Kill and reap: a child of ours, for the first wait refuses any other process."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _fork(asked: dict[str, Any], handles: Sequence[int]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become_worker(asked, handles, parent)
        except BaseException as trouble:  # nothing may come back from here: this is a copy of the nursery
            worker.log(f"unforeseen {type(trouble).__name__} at {worker.where(trouble)}")
        finally:
            os._exit(70)
    return child


def _become_worker(asked: dict[str, Any], handles: Sequence[int], parent: int) -> NoReturn:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)
    os.setsid()
    for target, handle in enumerate(handles):
        os.dup2(handle, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.environ["TMPDIR"] = os.environ["HOME"] = tempfile.tempdir = asked["fork"]
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    seconds = asked["cpu"] if hard == resource.RLIM_INFINITY else min(asked["cpu"], hard)
    more = LAST_SECONDS if hard == resource.RLIM_INFINITY else 0
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + more))
    status = worker.main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
