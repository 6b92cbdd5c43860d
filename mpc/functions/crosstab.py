"""How many rows have each pair of codes of two category columns.

A cell for every pair, over rows complete in both columns; one more for each column's missing values, over all rows.
The gate's tree halves the codes of `rows` until each line stands alone, then each line by the codes of `columns`, both
in the dictionary's order. No margin is opened: whoever reads the table adds opened cells, and leaves a margin empty
where a cell stays closed. The protocol, and what is revealed to whom, stand in `sums.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mpc.disclosure import Node, Pattern, balanced, nodes, open_leaves, passes
from mpc.errors import ParametersInvalid
from mpc.functions.plan import (
    MISSING,
    Cell,
    Columns,
    Counted,
    Plan,
    check_fit,
    check_gate,
    codes,
    column,
    listed,
    people,
    plain_missing,
    with_identifiers,
)

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
    wide = len(codes(across))
    tree = balanced([balanced(range(at, at + wide)) for at in range(0, wide * len(codes(down)), wide)])
    return check_gate(Plan(KEY, dict(parameters), with_identifiers((down, across), columns), parties, rows_max_total,
                           tuple(cells), tree))


def local(rows: Rows, of: Plan) -> Counted:
    """What this hospital counts; checks every value of the columns on the way."""
    names = [str(one["name"]) for one in of.used]
    tally = rows.tally(names)
    pairs = [(cell.label[0], cell.label[1]) for cell in of.cells if len(cell.label) == 3]
    met = [tally.groups[pair].number if pair in tally.groups else 0 for pair in pairs]
    strong = rows.persons(tally, names, [[pairs[at] for at in node] for node in nodes(of.tree)], complete_in=names)
    return Counted((*met, *(tally.lacking[name] for name in names)), (*strong, *rows.sides(tally, names)))


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
    pairs = [(one, other) for one in column(columns, down)["codes"] for other in column(columns, across)["codes"]]
    parts = [[frame[(frame[down] == one) & (frame[across] == other)] for frame in frames] for one, other in pairs]

    def strong(node: Node) -> bool:
        own = [people([parts[at][seat] for at in node]) for seat in range(len(frames))]
        return passes(sum(own), own, floor)

    wide = len(column(columns, across)["codes"])
    opened = open_leaves(balanced([balanced(range(at, at + wide)) for at in range(0, len(pairs), wide)]), strong)
    rows = [{"rows": one, "columns": other, "n": sum(map(len, parts[at])) if at in opened else None}
            for at, (one, other) in enumerate(pairs)]
    lacking = plain_missing(frames, (down, across), floor)
    closed = len(pairs) - len(opened) + sum(value is None for value in lacking.values())
    return {"function": KEY, "rows": rows, "missing": lacking, "withheld": closed}
