"""What one job will count: its cells and the sums attached to each. Fixed by public facts, before any row is read.

A vector of values holds first every cell's count, then every cell's moments in order of cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from ledger.documents import canonical
from mpc.encoding import Grid, check_count_fit
from mpc.errors import ParametersInvalid

if TYPE_CHECKING:
    import pandas as pd

Columns = Sequence[Mapping[str, Any]]
MISSING = "missing"


@dataclass(frozen=True)
class Cell:
    """A count that opens or stays closed as one, with the sums that open with it."""

    label: tuple[str | None, ...]
    moments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The agreed shape of a computation."""

    function: str
    parameters: Mapping[str, Any]
    columns: tuple[Mapping[str, Any], ...]
    parties: int
    rows_max: int
    cells: tuple[Cell, ...]

    @property
    def width(self) -> int:
        return len(self.cells) + sum(len(cell.moments) for cell in self.cells)

    @cached_property
    def spans(self) -> tuple[tuple[int, ...], ...]:
        """For each cell the indices of the values that open with it, its count first."""
        spans, at = [], len(self.cells)
        for index, cell in enumerate(self.cells):
            spans.append((index, *range(at, at + len(cell.moments))))
            at += len(cell.moments)
        return tuple(spans)

    def digest(self) -> str:
        """Equal for two parties exactly if they mean the same computation."""
        used = [{key: column.get(key) for key in ("name", "kind", "min", "max", "step", "codes")}
                for column in self.columns]
        return sha256(canonical({
            "type": "plan", "version": 1, "function": self.function, "parameters": dict(self.parameters),
            "columns": used, "parties": self.parties, "rows_max": str(self.rows_max), "cells": len(self.cells),
            "width": self.width,
        })).hexdigest()


def column(columns: Columns, name: str) -> Mapping[str, Any]:
    for one in columns:
        if one["name"] == name:
            return one
    raise ParametersInvalid(f"no column {name} in the dictionary")


def codes(one: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(one["codes"] or ())
    if not found or len(set(found)) != len(found) or "" in found:
        raise ParametersInvalid(f"column {one['name']} declares no distinct codes")
    return found


def listed(frame: pd.DataFrame, columns: Columns, names: Sequence[str]) -> pd.DataFrame:
    """For the oracles: codes that the dictionary does not list count as missing."""
    kept = frame[list(names)].copy()
    for name in names:
        one = column(columns, name)
        if one["kind"] == "category":
            kept[name] = kept[name].where(kept[name].isin(one["codes"]))
    return kept


def check_fit(columns: Columns, rows_max: int) -> None:
    """The static range check: whatever the rows hold, nothing overflows."""
    check_count_fit(rows_max)
    for one in columns:
        if one["kind"] == "number":
            Grid.of(one).check_fit(rows_max)
