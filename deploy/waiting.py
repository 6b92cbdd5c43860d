"""Waiting for something to become true, never longer than a deadline."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], *, seconds: float, step: float = 0.03) -> bool:
    """Ask again and again until the condition holds or the time is up; says which."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(step)
