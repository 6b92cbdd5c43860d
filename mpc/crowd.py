"""What a relay allows to many at once: how often one may do a thing, and who of those at the door gives way.

Pure bookkeeping: no socket, no clock (`now` comes in), no name of a room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Guest = TypeVar("Guest", bound=Hashable)


@dataclass
class Allowance:
    """So many at once, then so many a second."""

    most: float
    rate: float
    left: float
    counted: float

    @classmethod
    def full(cls, most: float, rate: float, now: float) -> Allowance:
        return cls(most, rate, most, now)

    def has(self, now: float) -> bool:
        """Whether one more is allowed now."""
        self.left = min(self.most, self.left + (now - self.counted) * self.rate)
        self.counted = now
        return self.left >= 1

    def take(self, now: float) -> float:
        """One more, allowed or not; the seconds to wait before the next."""
        self.has(now)
        self.left -= 1
        return max(0.0, -self.left / self.rate)


class Doorway(Generic[Guest]):
    """Who has connected and not yet shown that it may come in: so many altogether, and so many from one address.

    One too many makes the one give way that has stood there longest: an honest guest needs two round trips, so holding
    the door costs more connections than there are places in that time. `crowds` are addresses behind which many are.
    """

    def __init__(self, most: int, most_each: int, crowds: Collection[str] = ()) -> None:
        self._most, self._most_each, self._crowds = most, most_each, frozenset(crowds)
        self._waiting: dict[Guest, str] = {}  # in the order in which they came
        self._from: defaultdict[str, dict[Guest, None]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._waiting)

    def came(self, guest: Guest, address: str) -> Guest | None:
        """One more; who gives way for it, if somebody must."""
        self._waiting[guest] = address
        neighbours = self._from[address]
        neighbours[guest] = None
        leaves = None
        if address not in self._crowds and len(neighbours) > self._most_each:
            leaves = next(iter(neighbours))
        elif len(self._waiting) > self._most:
            leaves = next(iter(self._waiting))
        if leaves is not None:
            self.left(leaves)
        return leaves

    def left(self, guest: Guest) -> None:
        """It came in, or went away; more than once does no harm."""
        address = self._waiting.pop(guest, None)
        if address is not None:
            del self._from[address][guest]
            if not self._from[address]:
                del self._from[address]
