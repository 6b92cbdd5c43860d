"""The pooled answer that nobody in the space can compute: for the demo alone, from `fixtures/` in the clear.

Compares an opened result with exact rational arithmetic over all rows, cell by cell. A cell that one side withholds and
the other shows counts as an infinite error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mpc.functions.registry import function

FIGURES = ("mean", "sd", "variance")


@dataclass(frozen=True)
class Difference:
    """The largest error of the counts (absolute) and of the figures (relative), and what stayed closed."""

    counts: float
    figures: float
    withheld: int


def read(files: Sequence[Path]) -> list[pd.DataFrame]:
    """One table of text a hospital, an empty cell missing."""
    return [pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""]) for file in files]


def compare(
    frames: Sequence[pd.DataFrame],
    key: str,
    parameters: Mapping[str, Any],
    columns: Sequence[Mapping[str, Any]],
    *,
    floor: int,
    opened: Mapping[str, Any],
) -> Difference:
    """How far `opened` (`rows` and `missing` of a result) is from the pooled answer under the same floor."""
    wanted = function(key).plain(frames, parameters, columns, floor)
    counts: list[float] = []
    figures: list[float] = []
    if len(wanted["rows"]) != len(opened["rows"]):
        return Difference(math.inf, math.inf, wanted["withheld"])
    for mine, theirs in zip(wanted["rows"], opened["rows"], strict=True):
        if any(mine[name] != theirs[name] for name in ("by", "rows", "columns") if name in mine):
            return Difference(math.inf, math.inf, wanted["withheld"])
        counts.append(_absolute(mine["n"], theirs["n"]))
        for name, value in mine.items():
            if isinstance(value, dict):
                figures += [_relative(value[figure], theirs[name][figure]) for figure in FIGURES]
    for name, value in wanted["missing"].items():
        counts.append(_absolute(value, opened["missing"][name]))
    return Difference(max(counts, default=0.0), max(figures, default=0.0), wanted["withheld"])


def _absolute(wanted: int | None, found: int | None) -> float:
    if wanted is None or found is None:
        return 0.0 if wanted is found else math.inf
    return abs(wanted - found)


def _relative(wanted: float | None, found: float | None) -> float:
    if wanted is None or found is None:
        return 0.0 if wanted is found else math.inf
    return abs(wanted - found) / abs(wanted) if wanted else abs(found)
