"""How many persons have each pair of codes of two category columns.

A cell for every pair, over rows complete in both columns; one more for each column's missing values, over all rows.
No margin is opened: whoever reads the table adds opened cells, and leaves a margin empty where a cell stays closed.
The protocol, and what is revealed to whom, stand in `sums.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpc.disclosure import Pattern, passes
from mpc.errors import ParametersInvalid
from mpc.functions.plan import MISSING, Cell, Columns, Plan, check_fit, codes, column, listed

if TYPE_CHECKING:
    import pandas as pd

    from mpc.functions.rows import Rows

KEY = "crosstab@1"


def plan(parameters: Mapping[str, Any], columns: Columns, parties: int, rows_max_total: int) -> Plan:
    down, across = column(columns, parameters["rows"]), column(columns, parameters["columns"])
    if down["name"] == across["name"] or down["kind"] != "category" or across["kind"] != "category":
        raise ParametersInvalid("a table needs two different category columns")
    check_fit((down, across), rows_max_total)
    cells = [Cell((one, other, "n")) for one in codes(down) for other in codes(across)]
    cells += [Cell((MISSING, str(one["name"]))) for one in (down, across)]
    return Plan(KEY, dict(parameters), (down, across), parties, rows_max_total, tuple(cells))


def local(rows: Rows, of: Plan) -> list[int]:
    """This hospital's own vector; checks every value of the columns on the way."""
    names = [str(one["name"]) for one in of.columns]
    lacking = [rows.missing(name) for name in names]
    met = rows.counts(names, complete_in=names)
    return [met.get((cell.label[0], cell.label[1]), 0) for cell in of.cells if len(cell.label) == 3] + lacking


def finish(opened: Sequence[int], pattern: Pattern, of: Plan) -> dict[str, Any]:
    """Rows for people; what was withheld is None."""
    rows: list[dict[str, Any]] = []
    lacking: dict[str, int | None] = {}
    for cell, passed, span in zip(of.cells, pattern, of.spans, strict=True):
        value = opened[span[0]] if passed else None
        if len(cell.label) == 2:
            lacking[str(cell.label[1])] = value
        else:
            rows.append({"rows": cell.label[0], "columns": cell.label[1], "n": value})
    return {"function": KEY, "rows": rows, "missing": lacking, "withheld": pattern.count(False)}


def plain(
    frames: Sequence[pd.DataFrame], parameters: Mapping[str, Any], columns: Columns, floor: int,
) -> dict[str, Any]:
    """The oracle: one frame of text a hospital, pooled in the clear, the same rule of what stays closed. Tests only."""
    down, across = parameters["rows"], parameters["columns"]
    frames = [listed(frame, columns, (down, across)) for frame in frames]
    closed = 0
    rows: list[dict[str, Any]] = []
    for one in column(columns, down)["codes"]:
        for other in column(columns, across)["codes"]:
            own = [int(((frame[down] == one) & (frame[across] == other)).sum()) for frame in frames]
            opened = passes(sum(own), own, floor)
            closed += not opened
            rows.append({"rows": one, "columns": other, "n": sum(own) if opened else None})
    lacking: dict[str, int | None] = {}
    for name in (down, across):
        own = [int(frame[name].isna().sum()) for frame in frames]
        opened = passes(sum(own), own, floor)
        closed += not opened
        lacking[name] = sum(own) if opened else None
    return {"function": KEY, "rows": rows, "missing": lacking, "withheld": closed}
