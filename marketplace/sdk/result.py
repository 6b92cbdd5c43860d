"""An opened result: the table, what was withheld, the receipt. It lives in this process only.

Counts are exact; a mean or a deviation is rounded once, to the nearest float64. A cell that the gate withheld is empty
(`NA`), and so is every margin that would need it: a total beside its one withheld part would tell it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from marketplace.sdk import table
from marketplace.sdk.receipt import Receipt
from mpc.filters import in_words

if TYPE_CHECKING:
    import pandas as pd


class Result:
    """What a released job computed, opened with our key."""

    def __init__(
        self,
        *,
        job: str,
        function: str,
        parameters: Mapping[str, Any],
        columns: Sequence[Mapping[str, Any]],
        finished: Mapping[str, Any],
        pattern: Sequence[bool],
        floor: int,
        contributors: Sequence[str],
        fetch_receipt: Callable[[], Receipt],
        only: Mapping[str, Any] | None = None,
    ) -> None:
        self.job = job
        self.function = function
        self.parameters = parameters
        self.columns = columns
        self.rows: Sequence[Mapping[str, Any]] = finished["rows"]
        self.missing: Mapping[str, int | None] = finished["missing"]
        self.pattern = tuple(pattern)
        self.floor = floor
        self.contributors = tuple(contributors)
        self.filter = only
        self._fetch_receipt = fetch_receipt

    def __repr__(self) -> str:
        rows = f", only rows where {self.where()}" if self.filter else ""
        return f"Result(job={self.job}, {self.function}, {self.parties} parties, {self.withheld} cells withheld{rows})"

    def where(self, language: str = "en") -> str:
        """Which rows it is about, in words; empty: all of them."""
        return in_words(self.filter, language) if self.filter else ""

    @property
    def parties(self) -> int:
        """How many hospitals' data are in it; `contributors` are their ids."""
        return len(self.contributors)

    @property
    def withheld(self) -> int:
        """How many cells the gate kept closed."""
        return sum(1 for opened in self.pattern if not opened)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The table as pandas: a cross table with its margins, or a row for each group."""
        return table.frame(self.function, self.rows, self.parameters)

    @cached_property
    def receipt(self) -> Receipt:
        """The receipt of the release; waits for it to be anchored. Raises Unavailable while it is not."""
        return self._fetch_receipt()
