"""The agent's side of the nursery: asks it for workers, and holds each as if it were its own process.

Starts and ends processes; knows nothing of jobs. What the nursery itself does is `mpc.nursery`.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpc.node import sandbox
from mpc.node.config import Limits
from mpc.node.errors import Unsettled
from mpc.node.logs import note

COMMAND = (sys.executable, "-P", "-m", "mpc.nursery")
SECONDS = 120.0  # until it has imported what it must
ANSWER = 30.0  # for an answer after that, which takes milliseconds
SILENCES = 2  # in a row: one may be a machine that stood still for a moment, and workers that run go with it
LINE = 1 << 16


class Nursery:
    """One process, and the only line to it."""

    def __init__(self, home: Path, folder: Path, limits: Limits, *, command: Sequence[str] = COMMAND) -> None:
        self._limits, self._folder = limits, folder
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.settimeout(SECONDS)
        self._asking = threading.Lock()
        self._ready, self._asked, self._silent = False, 0, 0
        self._given_up: list[int] = []  # workers that were forked, and that nobody waits for
        self.born = time.monotonic()
        with theirs:
            try:
                self._process = sandbox.start(command, limits, folder, cwd=home, stdin=theirs.fileno(),
                                              stdout=subprocess.DEVNULL, but=("RLIMIT_CPU",))
            except BaseException:
                self._line.close()
                sandbox.wipe(folder)
                raise
        note("nursery.started", pid=self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def fork(self, folder: Path) -> "Forked":
        """A fresh worker with this private folder; waits until the nursery has imported what it must."""
        inner, stdin, stdout, outer = _pipes()
        pid = 0
        try:
            answer = self._ask({"fork": str(folder), "cpu": self._limits.cpu_seconds}, (inner, outer))
            if "error" in answer:
                raise OSError(answer["error"])
            pid = int(answer["pid"])
            handle = os.pidfd_open(pid)  # nobody else reaps it, so this is still that process
        except (OSError, LookupError, TypeError, ValueError) as error:
            os.close(stdin)
            os.close(stdout)
            if pid:
                with self._asking:
                    self._given_up.append(pid)
                    self._end_given_up()
            raise Unsettled("worker.failed", f"the nursery starts no worker: {error or type(error).__name__}"
                            ) from error
        finally:
            os.close(inner)
            os.close(outer)
        return Forked(self, pid, handle, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"))

    def reap(self, pid: int) -> int:
        """The exit status of a worker that has ended; killed, when the nursery went before it."""
        try:
            return int(self._ask({"reap": pid})["status"])
        except (OSError, LookupError, TypeError, ValueError):
            return -signal.SIGKILL

    def _ask(self, request: dict[str, Any], handles: Sequence[int] = ()) -> Any:
        with self._asking:
            try:
                answer = self._exchange(request, handles)
            except TimeoutError:
                self._silent += 1
                if self._silent >= SILENCES:
                    note("nursery.silent", pid=self.pid)
                    self.kill()  # the pool starts another
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(5)
                raise
            self._silent = 0
            self._end_given_up()
            return answer

    def _exchange(self, request: dict[str, Any], handles: Sequence[int] = ()) -> Any:
        if not self._ready:
            if "ready" not in json.loads(self._line.recv(LINE)):
                raise ValueError("not ready")
            self._ready = True
            self._line.settimeout(ANSWER)
        self._asked += 1
        socket.send_fds(self._line, [json.dumps({"ask": self._asked, **request}).encode() + b"\n"], list(handles))
        while (answer := json.loads(self._line.recv(LINE)))["ask"] != self._asked:
            note("nursery.late", pid=self._process.pid)  # of a request that was given up
            if "pid" in answer:
                self._given_up.append(int(answer["pid"]))
        return answer

    def _end_given_up(self) -> None:
        """None of them stays, as a process or as a zombie, longer than until the nursery answers again."""
        while self._given_up:
            try:
                self._exchange({"end": self._given_up[-1]})
            except (OSError, LookupError, TypeError, ValueError):
                return  # it is asked again after the next request
            self._given_up.pop()

    def kill(self) -> None:
        """End the process, and with it every worker that it forked; whoever waits for an answer waits no more."""
        self._process.kill()

    def end(self) -> None:
        """End it, and leave nothing behind."""
        self.kill()
        self._process.wait()
        self._line.close()
        sandbox.wipe(self._folder)


def _pipes() -> tuple[int, int, int, int]:
    """Two, or none."""
    inner, stdin = os.pipe()
    try:
        stdout, outer = os.pipe()
    except OSError:
        os.close(inner)
        os.close(stdin)
        raise
    return inner, stdin, stdout, outer


@dataclass(eq=False)
class Forked:
    """A worker that the nursery forked: what the pool asks of a process, as `subprocess.Popen` names it."""

    nursery: Nursery
    pid: int
    handle: int
    stdin: Any
    stdout: Any
    returncode: int | None = None
    _settling: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        return self._settle(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, once it has ended."""
        status = self._settle(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return status

    def kill(self) -> None:
        """End it, if it runs."""
        with self._settling:  # else another thread closes the handle between the look and the signal
            if self._look(0) is None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def _settle(self, timeout: float | None) -> int | None:
        with self._settling:
            return self._look(timeout)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.PollSelector() as selector:
                selector.register(self.handle, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            self.returncode = self.nursery.reap(self.pid)
            os.close(self.handle)
        return self.returncode
