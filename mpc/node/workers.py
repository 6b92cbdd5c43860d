"""Worker processes: one process a job, ready at once, and an end for every one.

A worker is a fork of the nursery, which has imported `mpc.worker` and waits: started by `sandbox` with limits and a
clean environment, each worker with a private folder that is wiped when it ends, dead with its agent. It blocks on
standard input until its one order comes. A pool of another command starts that anew for each job, and keeps one warm
spare. Starts and ends processes; knows nothing of jobs.
"""

import json
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mpc.node import sandbox
from mpc.node.book import is_full
from mpc.node.config import Limits
from mpc.node.errors import NodeError, Refused, Unsettled
from mpc.node.logs import note
from mpc.node.nursery import Forked, Nursery

MAX_LINE = 32 << 20
SCRATCH = "scratch"
YOUNG = 60.0
NO_MORE_THAN = Limits()


class Worker:
    """One process. Not for use by several threads, `stop` and `kill` apart."""

    def __init__(self, process: subprocess.Popen[bytes] | Forked, folder: Path) -> None:
        self._process, self._folder = process, folder
        self._buffer = b""
        self._lines: list[dict[str, Any]] = []
        self._writing = threading.Lock()
        self.ended = False
        self.born = time.monotonic()
        assert_pipes(process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one JSON line; a worker that is gone is found out by `receive`."""
        with self._writing:
            try:
                self._stdin.write(json.dumps(dict(message)).encode() + b"\n")
                self._stdin.flush()
            except (OSError, ValueError):
                self.ended = True

    def receive(self, timeout: float) -> dict[str, Any] | None:
        """The next JSON line, or nothing within the time; `ended` is set when no more can come."""
        until = time.monotonic() + timeout
        while not self._lines:
            left = until - time.monotonic()
            with selectors.DefaultSelector() as selector:
                selector.register(self._stdout, selectors.EVENT_READ)
                if left <= 0 or not selector.select(left):
                    return None
            chunk = os.read(self._stdout.fileno(), 1 << 16)
            if not chunk:
                self.ended = True
                return None
            self._feed(chunk)
        return self._lines.pop(0)

    def _feed(self, chunk: bytes) -> None:
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > MAX_LINE:
            self._buffer, self.ended = b"", True
        for line in lines:
            try:
                message = json.loads(line)
            except (ValueError, RecursionError):  # a worker that was taken over prints what it likes
                continue
            if isinstance(message, dict) and "ready" not in message:
                self._lines.append(message)

    def unread(self) -> list[dict[str, Any]]:
        """What it said and nobody read; whole once it has ended."""
        return list(self._lines)

    def _last_words(self) -> None:
        """Read what lies in the pipe of an ended process."""
        try:
            os.set_blocking(self._stdout.fileno(), False)
            while chunk := os.read(self._stdout.fileno(), 1 << 16):
                self._feed(chunk)
        except (OSError, ValueError):
            return  # closed already, or held open by somebody else

    def alive(self) -> bool:
        """True while the process runs."""
        return self._process.poll() is None

    def cause_of_death(self) -> str:
        """The code for a worker that ended without a word: killed from outside, out of time, or just failed."""
        try:
            return sandbox.cause_of_death(self._process.wait(2.0))
        except subprocess.TimeoutExpired:
            return sandbox.cause_of_death(None)

    def stop(self, code: str, *, within: float = 1.0) -> None:
        """Ask the worker to end with this code and to tell its peers; end it by force after the time."""
        self.send({"stop": code})
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            note("worker.slow", pid=self.pid)
        self.kill()

    def kill(self) -> None:
        """End the process whatever it does, and close everything of it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        try:
            self._last_words()
        finally:
            self.ended = True
            sandbox.wipe(self._folder)
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        note("worker.pipe", pid=self.pid)

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    @property
    def _stdout(self) -> Any:
        return self._process.stdout


def assert_pipes(process: subprocess.Popen[bytes] | Forked) -> None:
    """A worker without pipes cannot be told anything."""
    if process.stdin is None or process.stdout is None:
        raise Unsettled("worker.failed", "a worker was started without pipes")


class Workers:
    """The pool: hands workers out, ends all of them at the end; `command` in the place of the nursery's forks."""

    def __init__(self, home: Path, *, command: Sequence[str] | None = None, limits: Limits = NO_MORE_THAN) -> None:
        self._home, self._command, self._limits = home, command, limits
        self._nursery: Nursery | None = None  # started and replaced by the spawner alone
        self._lock = threading.Lock()
        self._spare: Worker | None = None
        self._out: set[Worker] = set()
        self._closed = False
        # PDEATHSIG follows the thread that forked: this one lives as long as the agent
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")

    def sweep(self) -> None:
        """Remove what workers of a killed agent left behind; only for who holds the home alone."""
        sandbox.wipe(self._home / SCRATCH)

    def warm(self) -> None:
        """See to it, in the background, that the nursery (or a spare) stands ready."""
        if not self._closed:
            self._spawner.submit(self._fill)

    def tend(self) -> None:
        """A nursery (or a spare) that died while it waited is reaped, and replaced unless it died young: then the next
        job finds out."""
        if (nursery := self._nursery) is not None and not nursery.alive() and time.monotonic() - nursery.born > YOUNG:
            self.warm()
        with self._lock:
            spare = self._spare
            if spare is None or spare.alive():
                return
            self._spare = None
        note("worker.spare_died", pid=spare.pid)
        spare.kill()
        if time.monotonic() - spare.born > YOUNG:
            self.warm()

    def take(self) -> Worker:
        """A fresh worker."""
        with self._lock:
            worker, self._spare = self._spare, None
            if worker is not None and worker.alive():
                self._out.add(worker)
                return worker
        if worker is not None:
            worker.kill()
        worker = self._spawner.submit(self._spawn).result()
        with self._lock:
            self._out.add(worker)
        return worker

    def give_back(self, worker: Worker) -> None:
        """The job is over: the process ends."""
        try:
            worker.kill()
        finally:
            with self._lock:
                self._out.discard(worker)
            self.warm()

    def close(self) -> None:
        """End every worker."""
        self._closed = True
        if self._nursery is not None:
            self._nursery.kill()
        self._spawner.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            workers = [*self._out, *([self._spare] if self._spare else [])]
            self._out.clear()
            self._spare = None
        for worker in workers:
            worker.kill()
        if self._nursery is not None:
            self._nursery.end()

    def _fill(self) -> None:
        if self._command is None:
            self._nurse()
            return
        with self._lock:
            if self._spare is not None and self._spare.alive():
                return
        worker = self._spawn()
        with self._lock:
            self._spare, worker_before = worker, self._spare
        if worker_before is not None:
            worker_before.kill()

    def _nurse(self) -> Nursery:
        """The nursery; in the spawner's thread only."""
        if self._nursery is not None and not self._nursery.alive():
            note("nursery.died", pid=self._nursery.pid)
            self._nursery.end()
            self._nursery = None
        if self._nursery is None:
            self._nursery = Nursery(self._home, sandbox.private_folder(self._home / SCRATCH), self._limits)
        return self._nursery

    def _spawn(self) -> Worker:
        try:
            folder = sandbox.private_folder(self._home / SCRATCH)
        except OSError as error:
            raise _not_now(error) from error
        try:
            process = (sandbox.start(self._command, self._limits, folder, cwd=self._home) if self._command
                       else self._nurse().fork(folder))
        except BaseException as error:
            sandbox.wipe(folder)
            if isinstance(error, OSError):
                raise _not_now(error) from error
            raise
        note("worker.started", pid=process.pid)
        return Worker(process, folder)


def _not_now(error: OSError) -> NodeError:
    """No process, no memory, no handle, no room: of this machine, and of this moment."""
    if is_full(error):
        return Refused("node.disk_full", "no room for a worker's folder")
    return Unsettled("worker.failed", f"no worker can be started now: {error.strerror or type(error).__name__}")
