"""Who opens a file: the kernel holds every opener at the door (a lease) until it was looked at.

A write lease makes `open` by anybody else wait. The waiting thread stands in `/proc` with the path it asked for, so
even an opening of a millisecond is seen, and by whom. While somebody has the file open, `/proc/PID/fd` says who.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_PATH_AT = {257: 1, 2: 0, 437: 1}  # openat, open, openat2 on x86_64: which argument is the path
_LOOK_EVERY = 0.002


@dataclass(frozen=True)
class Opener:
    """A process that opened the file, as it was at that moment; `line` begins with itself and ends with init."""

    path: Path
    pid: int
    line: tuple[int, ...]
    command: str


class Openers:
    """Watches files while it is entered; `seen` is everybody else who opened one."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.seen: set[Opener] = set()
        self._paths = [path.resolve(strict=True) for path in paths]
        self._files: dict[Path, int] = {}
        self._held: set[Path] = set()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._run, name="openers")
        self._trouble: list[BaseException] = []

    def __enter__(self) -> Self:
        signal.signal(signal.SIGIO, signal.SIG_IGN)  # the kernel's knock; we look by ourselves
        for path in self._paths:
            self._files[path] = os.open(path, os.O_RDONLY)
            if not self._hold(path):
                raise RuntimeError(f"somebody has {path.name} open already")
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._over.set()
        self._watch.join()
        for file in self._files.values():
            os.close(file)
        if self._trouble:
            raise self._trouble[0]

    def _run(self) -> None:
        try:
            while not self._over.wait(_LOOK_EVERY):
                for path in self._paths:
                    self._look(path)
                open_now = set(self._paths) - self._held
                if open_now:
                    self.seen |= {one for one in _holders(open_now) if not self._forked(one)}
        except BaseException as trouble:  # told to the test at the end
            self._trouble.append(trouble)
        finally:
            for path in self._held:
                fcntl.fcntl(self._files[path], fcntl.F_SETLEASE, fcntl.F_UNLCK)

    def _look(self, path: Path) -> None:
        if path not in self._held:
            self._hold(path)  # at once when the file is closed again: in between, an opening would pass unseen
        elif fcntl.fcntl(self._files[path], fcntl.F_GETLEASE) != fcntl.F_WRLCK:
            self.seen |= _at_the_door(path)
            fcntl.fcntl(self._files[path], fcntl.F_SETLEASE, fcntl.F_UNLCK)
            self._held.discard(path)

    def _forked(self, one: Opener) -> bool:
        """A child of ours on its way to another program has our own files for a moment."""
        return one.line[1:2] == (os.getpid(),) and one.command == _command(os.getpid())

    def _hold(self, path: Path) -> bool:
        try:
            fcntl.fcntl(self._files[path], fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as trouble:
            if trouble.errno == errno.EAGAIN:
                return False
            raise
        self._held.add(path)
        return True


def _at_the_door(path: Path) -> set[Opener]:
    """Who waits to open this file; somebody does, for the lease was broken."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = {_opener(path, pid) for pid, wanted in _waiting() if wanted == path}
        if found:
            return found
        time.sleep(_LOOK_EVERY)
    raise RuntimeError(f"somebody opened {path.name} and could not be seen")


def _waiting() -> Iterator[tuple[int, Path]]:
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                place = Path(f"/proc/{process}/task/{thread}")
                if "break_lease" in (place / "wchan").read_text():
                    yield int(process), _asked_for(place)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile


def _asked_for(thread: Path) -> Path:
    """The path in the memory of a thread that stands in `open`."""
    number, *arguments = (thread / "syscall").read_text().split()
    with (thread / "mem").open("rb", buffering=0) as memory:
        memory.seek(int(arguments[_PATH_AT[int(number)]], 16))
        name = memory.read(4096).split(b"\0")[0].decode()
    return ((thread / "cwd").readlink() / name).resolve()


def _holders(paths: Set[Path]) -> set[Opener]:
    wanted = {str(path): path for path in paths}
    found = set()
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            links = [os.readlink(f"/proc/{process}/fd/{number}") for number in os.listdir(f"/proc/{process}/fd")]
            if int(process) != os.getpid():
                found |= {_opener(wanted[link], int(process)) for link in links if link in wanted}
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended, or another user's: the mode 0600 keeps that one out
    return found


def _opener(path: Path, pid: int) -> Opener:
    line, at = [], pid
    while at > 0:
        line.append(at)
        at = int(Path(f"/proc/{at}/stat").read_text().rpartition(")")[2].split()[1])
    return Opener(path, pid, tuple(line), _command(pid))


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
