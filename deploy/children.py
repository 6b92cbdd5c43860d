"""What every process we start shares: it dies with its parent, and it can be recognised again.

PR_SET_PDEATHSIG fires when the *thread* that started the child ends, so children are started from the main thread.
Nothing here decides what is started, or in which order: that is `supervisor`.
"""

import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def dies_with_parent(sig: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` that has the kernel send `sig` to the child when the thread that started it ends."""
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("children are started from the main thread: they die with the thread that starts them")
    parent = os.getpid()

    def before_exec() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(sig))
        if os.getppid() != parent:  # the parent ended between fork and prctl
            os._exit(1)

    return before_exec


def free_port(preferred: int | None = None) -> int:
    """A port of 127.0.0.1 that is free now: the preferred one if it is."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def started_at(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None if there is no such process.

    With the pid it names a process for good: the kernel gives a pid again, never with the same start.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name in brackets may hold anything
    return None if fields[0] == "Z" else int(fields[19])


def answers(port: int) -> bool:
    """Whether something listens on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
