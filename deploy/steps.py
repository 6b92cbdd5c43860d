"""What is happening, told while it happens, each step with its time. Prints; decides nothing."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """The seconds that each named step took, in their order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()

    @property
    def total(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def step(self, key: str, title: str) -> Iterator[None]:
        """Announce the step, run it, say how long it took."""
        print(f"\n{title}", flush=True)
        began = time.monotonic()
        yield
        took = time.monotonic() - began
        self.seconds[key] = round(self.seconds.get(key, 0.0) + took, 2)
        print(f"   {took:6.1f} s", flush=True)

    def note(self, text: str) -> None:
        """A line below the current step."""
        for line in text.splitlines():
            print(f"   {line}", flush=True)
        sys.stdout.flush()
