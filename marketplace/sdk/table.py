"""Makes tables for people of a function's rows. Adds only opened cells; a margin over a withheld cell stays empty.

pandas is imported when a table is asked for, not before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TOTAL = "total"
FIGURES = ("mean", "sd", "variance")
Rows = Sequence[Mapping[str, Any]]


def frame(function: str, rows: Rows, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """The table of one function's rows."""
    name = function.partition("@")[0]
    if name == "crosstab":
        return cross_table(rows, parameters)
    if name == "describe":
        return description(rows, parameters)
    import pandas

    return pandas.DataFrame([dict(row) for row in rows])


def cross_table(rows: Rows, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Codes down and across, whole numbers, `NA` where withheld, a margin each way and both."""
    import pandas

    down = list(dict.fromkeys(row["rows"] for row in rows))
    across = list(dict.fromkeys(row["columns"] for row in rows))
    cells = {(row["rows"], row["columns"]): row["n"] for row in rows}
    body = [[cells[one, other] for other in across] for one in down]
    lines = [[*line, margin(line)] for line in body]
    lines.append([margin(column) for column in zip(*lines, strict=True)])
    found = pandas.DataFrame(
        lines,
        index=pandas.Index([*down, TOTAL], name=parameters["rows"]),
        columns=pandas.Index([*across, TOTAL], name=parameters["columns"]),
    )
    return found.astype("Int64")


def margin(cells: Iterable[int | None]) -> int | None:
    """The sum, or None as soon as one part is withheld."""
    total = 0
    for cell in cells:
        if cell is None:
            return None
        total += cell
    return total


def description(rows: Rows, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """A row for each group: `n`, then mean, sd and variance of each column as `age.mean`."""
    import pandas

    by = parameters["by"]
    lines = []
    for row in rows:
        line: dict[str, Any] = {} if by is None else {by: row["by"]}
        line["n"] = row["n"]
        for column in parameters["columns"]:
            for figure in FIGURES:
                line[f"{column}.{figure}"] = row[column][figure]
        lines.append(line)
    found = pandas.DataFrame(lines)
    found["n"] = found["n"].astype("Int64")
    figures = [f"{column}.{figure}" for column in parameters["columns"] for figure in FIGURES]
    found[figures] = found[figures].astype("Float64")
    return found if by is None else found.set_index(by)
