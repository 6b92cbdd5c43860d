"""Tells long polls in this process that something may be waiting.

Only a hint: who waits looks in the database anyway.
"""

import threading
import time

from django.db import transaction


class Bell:
    """Rung after a commit; `wait` returns at the next ring or when the time is up."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0

    def rings(self) -> int:
        with self._condition:
            return self._rings

    def ring(self) -> None:
        transaction.on_commit(self._ring)

    def _ring(self) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float) -> None:
        """Until somebody rings who had not rung by `seen`."""
        until = time.monotonic() + seconds
        with self._condition:
            while self._rings == seen and (left := until - time.monotonic()) > 0:
                self._condition.wait(left)


bell = Bell()
