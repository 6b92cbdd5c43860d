"""Processes and what they started, as the kernel tells: a thread or a process that ends meanwhile has none."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> set[int]:
    """What this process started, and has not reaped."""
    found: set[int] = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found |= {int(child) for child in (thread / "children").read_text().split()}
    return found


def tree(pid: int) -> list[int]:
    """This process, and all below it, parents first."""
    return [pid, *(one for child in sorted(children(pid)) for one in tree(child))]
