"""Decimal text to whole grid steps and back, exactly.

A number column declares `min`, `max` and `step` as decimal strings; its values are k*step with min <= value <= max,
and k is what enters a computation. Values off the grid or out of bounds raise `dataset.off_dictionary`, naming the
column and never the value. `check_fit` refuses, before any row is read, what could overflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Any

from mpc.errors import DataRefused, ParametersInvalid, RangeExceeded

COUNT_LIMIT = 2**46
RING_BITS = 256
COARSE_LIMIT = 2**59
FEWEST_POINTS = 1000
_DECIMAL = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?\Z", re.ASCII)

Column = Mapping[str, Any]


def decimal(text: str) -> Fraction | None:
    """The exact value of a decimal string, or None if it is not one."""
    return Fraction(Decimal(text)) if _DECIMAL.match(text) else None


@dataclass(frozen=True)
class Grid:
    """One number column: values are k*step, low <= k <= high."""

    column: str
    step: Fraction
    low: int
    high: int

    @classmethod
    def of(cls, column: Column) -> Grid:
        name = str(column["name"])
        parts = [decimal(str(column[key])) if column.get(key) is not None else None for key in ("min", "max", "step")]
        low, high, step = parts
        if low is None or high is None or step is None or step <= 0:
            raise ParametersInvalid(f"column {name} declares no bounds and step")
        first, last = low / step, high / step
        if first.denominator != 1 or last.denominator != 1 or first > last:
            raise ParametersInvalid(f"column {name}: bounds do not lie on the grid")
        return cls(name, step, int(first), int(last))

    @property
    def reach(self) -> int:
        return max(abs(self.low), abs(self.high))

    def encode(self, text: str) -> int:
        value = decimal(text)
        steps = value / self.step if value is not None else None
        if steps is None or steps.denominator != 1 or not self.low <= steps <= self.high:
            raise DataRefused(f"column {self.column} holds a value its dictionary does not allow")
        return int(steps)

    def decode(self, steps: int) -> Fraction:
        return steps * self.step

    def allows(self, number: int, total: int, squares: int) -> bool:
        """Could so many values have this sum and this sum of squares? From Σ(k - mean)² >= 0 and Σ(k - low)(high - k)
        >= 0; both together also keep the sum between the bounds."""
        return (number >= 0 and squares >= 0 and total * total <= number * squares
                and squares <= (self.low + self.high) * total - number * self.low * self.high)

    @property
    def points(self) -> int:
        return self.high - self.low + 1

    def coarse(self, rows: int) -> int:
        """How many steps make one step of the coarser grid on which contributions are compared: the least with which
        sixteen times the largest sum of squares stays below 2^63. One, unless bounds are wide and rows many."""
        return max(1, -(-self.reach // isqrt((COARSE_LIMIT - 1) // rows)))

    def contribution(self, steps: int, coarse: int, power: int = 2) -> int:
        """What one row adds to a person's magnitudes (1) or squares (2) on the coarser grid, rounded up: nobody looks
        smaller than they are."""
        return int((-(-abs(steps) // coarse)) ** power)

    def counted(self, steps: int, coarse: int, power: int = 2) -> int:
        """What the same row adds to the sum of all persons, rounded down: no sum looks larger than it is."""
        return int((abs(steps) // coarse) ** power)

    def check_coarse(self, reach: int, rows: int) -> None:
        """Values up to `reach` still make a difference on the coarser grid, or there is none."""
        coarse = self.coarse(rows)
        if coarse > 1 and reach // coarse < FEWEST_POINTS:
            raise RangeExceeded(
                f"column {self.column} is declared so wide, for so many rows, that not even {FEWEST_POINTS} steps are "
                "left for the dataset that declares it narrowest", code="encoding.coarse")

    def bits(self, rows: int, moment: int = 2) -> int:
        """What sums of values up to their power `moment`, over that many rows, can take: the bits of a power, those of
        the number of rows, one for the sign, one in reserve. From dictionary and record alone, never from data."""
        return moment * _bits(self.reach) + _bits(rows) + 2

    def check_fit(self, rows: int) -> None:
        """Sums of squares stay inside the ring. A little stricter than need be: such a sum is at most 2^254, and the
        ring holds all below 2^255."""
        if self.bits(rows) > RING_BITS:
            raise RangeExceeded(f"column {self.column}: sums of squares may not fit")


def _bits(number: int) -> int:
    """The base-two logarithm, rounded up; of 0 as of 1."""
    return max(number - 1, 0).bit_length()


def check_count_fit(rows: int) -> None:
    if not 0 < rows < COUNT_LIMIT:
        raise RangeExceeded("so many rows do not fit the gate")
