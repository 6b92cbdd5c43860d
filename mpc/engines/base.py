"""What a function may ask of an engine, and nothing more: another engine can take CrypTen's place."""

from __future__ import annotations

from typing import Protocol

from mpc.disclosure import Chosen, Gate, Told
from mpc.sharing import Integers, Limbs


class Engine(Protocol):
    """One party's end of one session."""

    @property
    def seat(self) -> int: ...

    @property
    def parties(self) -> int: ...

    @property
    def told(self) -> tuple[Told, ...]:
        """This party's own log of what the engine made known so far."""

    def share_total(self, values: Integers, limbs: int) -> Limbs:
        """This party's shares of the sum of all parties' vectors, modulo 2^64 to the power of `limbs`."""

    def gate(self, gate: Gate, shares: Limbs, own: Integers, floor: int) -> Chosen:
        """This party's shares of the totals of cells that open, of zeros elsewhere, and of which is which. `shares` are
        of all totals; `own` is what this party brings: its counts of the cells, then the numbers that the gate
        compares. Raises `gate.inconsistent` if own counts do not add up to the totals."""
