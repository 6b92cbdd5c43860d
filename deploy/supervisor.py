"""Starts the processes of a space in order and stops them in reverse; a child that ends by itself ends the space.

Each child has a session of its own (so a Ctrl-C in the terminal reaches only us), a log of its own, and dies with us
if we are killed. The supervisor knows nothing of what its children do.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deploy.children import dies_with_parent
from deploy.waiting import wait_until

_PATIENCE = 10.0  # seconds a child has to stop before it is killed


class ChildDied(RuntimeError):
    """A process of the space ended although nobody asked it to, or never became ready."""

    def __init__(self, name: str, what: str, log: str) -> None:
        super().__init__(f"{name} {what}; the end of its log:\n{log}")
        self.name = name


@dataclass(frozen=True)
class Child:
    """What to start. Children of the same stage are stopped together, higher stages first."""

    name: str
    command: Sequence[str]
    stage: int
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    stop_with: signal.Signals = signal.SIGTERM


class Supervisor:
    """The running children, in the order in which they were started."""

    def __init__(self, logs: Path, *, directory: Path) -> None:
        self.logs = logs
        self._directory = directory
        self._running: dict[str, tuple[Child, subprocess.Popen[bytes]]] = {}

    def start(self, child: Child) -> int:
        """Start it and return its process id at once; `wait` says when it is ready."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{child.name}.log").open("ab") as log:
            process = subprocess.Popen(
                list(child.command),
                cwd=self._directory,
                env=dict(child.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(),  # noqa: PLW1509 - it only calls prctl
            )
        self._running[child.name] = (child, process)
        return process.pid

    def wait(self, *names: str, seconds: float = 60) -> None:
        """Wait until each named child says that it is ready."""
        deadline = time.monotonic() + seconds
        for name in names:
            child, _ = self._running[name]
            if child.ready and not wait_until(
                lambda ready=child.ready: self._alive() and ready(),  # type: ignore[misc]
                seconds=max(0.1, deadline - time.monotonic()),
            ):
                raise ChildDied(name, f"was not ready within {seconds:.0f} s", self.tail(name))

    def _alive(self) -> bool:
        self.check()
        return True

    def check(self) -> None:
        """Raise if any child has ended."""
        for name, (_, process) in self._running.items():
            code = process.poll()
            if code is not None:
                raise ChildDied(name, f"ended by itself (status {code})", self.tail(name))

    def pid(self, name: str) -> int:
        return self._running[name][1].pid

    def forget(self, name: str) -> None:
        """Stop one child on purpose; its end is then no failure."""
        child, process = self._running.pop(name)
        _stop([(child, process)])

    def tail(self, name: str, lines: int = 25) -> str:
        """The end of a child's log."""
        path = self.logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else "(no log)"

    def stop(self) -> None:
        """Stop everything, the last stage first; what does not stop in time is killed, with its whole session."""
        while self._running:
            stage = max(child.stage for child, _ in self._running.values())
            names = [name for name, (child, _) in self._running.items() if child.stage == stage]
            _stop([self._running.pop(name) for name in names])


def _stop(children: Sequence[tuple[Child, subprocess.Popen[bytes]]]) -> None:
    for child, process in children:
        with suppress(ProcessLookupError):
            process.send_signal(child.stop_with)
    deadline = time.monotonic() + _PATIENCE
    for _, process in children:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=max(0.1, deadline - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # the rest of its session, if anything is left
        process.wait()
