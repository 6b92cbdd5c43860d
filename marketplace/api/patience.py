"""How many requests may wait in this process. Each holds a thread: without a limit, long polls would be all it does."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

MOST = 16
MOST_OF_ONE = 3


class Patience:
    """Places to wait in: few in all, fewer for one participant."""

    def __init__(self, most: int = MOST, most_of_one: int = MOST_OF_ONE) -> None:
        self._lock = threading.Lock()
        self._held: Counter[UUID] = Counter()
        self._most, self._most_of_one = most, most_of_one

    @contextmanager
    def place(self, who: UUID) -> Iterator[bool]:
        """Whether the caller may wait; without a place it is answered at once."""
        with self._lock:
            free = self._held.total() < self._most and self._held[who] < self._most_of_one
            if free:
                self._held[who] += 1
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    self._held[who] -= 1
                    self._held += Counter()  # drops those at zero


patience = Patience()
