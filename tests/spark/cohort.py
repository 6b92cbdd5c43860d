"""The rows, the questions and the settings of the tests with a real Spark."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from mpc.functions.plan import with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows, Table
from mpc.node import data

KEY = bytes(range(32))
NAMES = ["age", "w", "n", "g", "who"]
CODES = ["a", "b", "c'; DROP TABLE cohort; --"]
GIVEN = {"op": "and", "of": [{"op": "ge", "column": "age", "value": "20"},
                             {"op": "not", "of": {"op": "in", "column": "n", "values": ["0.17", "0.34"]}},
                             {"op": "not", "of": {"op": "eq", "column": "g", "value": CODES[2]}}]}
CASES: list[tuple[str, dict[str, Any], bool]] = [
    ("describe@1", {"columns": ["w"], "by": None}, True), ("describe@1", {"columns": ["age", "n"], "by": "g"}, False)]
QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "1",
         "spark.sql.codegen.wholeStage": "false", "spark.sql.adaptive.enabled": "false",
         "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.default.parallelism": "1"}


def columns() -> list[dict[str, Any]]:
    def number(name: str, high: str, step: str) -> dict[str, Any]:
        return data.column(name, "number", low="0", high=high, step=step)

    return [number("age", "120", "1"), number("w", "200", "0.1"), number("n", "20", "0.01"),
            data.column("g", "category", codes=CODES), data.column("who", "identifier")]


def cells(count: int = 300) -> list[list[Any]]:
    made = [[i * 7 % 90, i * 13 % 1000 / 10, f"{i * 17 % 1000 / 100:.2f}", CODES[i % 3], f"p{i % 70}"]
            for i in range(count)]
    return [*made, [None] * 5, [3, None, "1.50", "", "p1"], [30, 0.0, "0.00", "rare", "p2"]]


def frame(session: Any, rows: list[list[Any]]) -> Any:
    from pyspark.sql import types

    schema = types.StructType([types.StructField("age", types.IntegerType()),
                               types.StructField("w", types.DoubleType()),
                               *(types.StructField(name, types.StringType()) for name in NAMES[2:])])
    return session.createDataFrame([tuple(row) for row in rows], schema)


def counted(table: Path | Table) -> list[Any]:
    """What a worker counts for each case, with rows as persons and with an identifier."""
    found = []
    for known in (columns()[:4], columns()):
        for key, parameters, filtered in CASES:
            given = GIVEN if filtered else None
            plan = with_filter(function(key).plan(parameters, known, 3, 10_000), given, known)
            read = plan.read_by(None)
            if isinstance(table, Path):
                opened = Rows.open(table, "csv", read, unlisted_as_missing=True, only=plan.filter)
            else:
                opened = Rows(table, read, plan.filter, unlisted_as_missing=True, registered=False)
            one = function(key).local(opened, plan)
            found.append([list(one.values), list(one.numbers)])
    return found


def expected(folder: Path) -> list[Any]:
    """The same of a CSV."""
    place = folder / "cohort.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES, *(["" if cell is None else cell for cell in row] for row in cells())])
    return counted(place)
