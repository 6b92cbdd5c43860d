"""Rows in a real Spark, in its local mode: the figures of a file; a changed table, a wrong cell, a session that ended.

Opt-in: `./run bench spark` runs this where pyspark and a Java machine are; elsewhere it is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpc.errors import DataRefused, MpcError
from mpc.node import data
from mpc.node.errors import Unfit
from mpc.sources.spark import SparkTable, fingerprint
from tests.spark.cohort import KEY, QUIET, cells, columns, counted, expected, frame

pytest.importorskip("pyspark")


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[1]")
    for name, value in QUIET.items():
        builder = builder.config(name, value)
    one = builder.getOrCreate()
    one.sparkContext.setLogLevel("ERROR")
    frame(one, cells()).createOrReplaceTempView("cohort")
    yield one
    one.stop()


def check_of(session: Any) -> dict[str, str]:
    return {"key": KEY.hex(), "expected": fingerprint(session, "cohort", KEY)}


def test_it_works(session: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filter, categories, quotes in codes, persons with several rows; and no constant is in a query's text."""
    texts: list[str] = []
    ask = type(session).sql

    def heard(one: Any, text: str, *more: Any, **others: Any) -> Any:
        texts.append(text)
        return ask(one, text, *more, **others)

    monkeypatch.setattr(type(session), "sql", heard)
    table = SparkTable(session, "", "cohort", check=check_of(session))
    assert counted(table) == expected(tmp_path)
    table.settle()
    assert texts and not [text for text in texts if "DROP TABLE" in text or KEY.hex() in text]


def test_cells_are_checked_at_registration(session: Any) -> None:
    table = SparkTable(session, "", "cohort", check=None)
    found = data.check_table(table, "cohort", columns(), unlisted_as_missing=True)
    assert (found.rows, found.unlisted) == (303, {"g": 1})
    narrow = [columns()[0] | {"max": "80"}]
    with pytest.raises(Unfit, match="cells of age"):
        data.check_table(table, "cohort", narrow, unlisted_as_missing=True)


def test_another_table_has_changed_and_no_table_is_not_known(session: Any) -> None:
    check = check_of(session)
    frame(session, [*cells(), [3, 0.1, "0.10", "a", "p1"]]).createOrReplaceTempView("cohort")
    try:
        with pytest.raises(DataRefused) as other:
            SparkTable(session, "", "cohort", check=check)
    finally:
        frame(session, cells()).createOrReplaceTempView("cohort")
    with pytest.raises(DataRefused) as gone:
        SparkTable(session, "", "no_such_table", check=check)
    assert (other.value.code, gone.value.code) == ("dataset.changed", "dataset.changed")
    assert SparkTable(session, "", "cohort", check=check).fingerprint(KEY) == check["expected"], "in any order of rows"


def test_a_question_that_takes_too_long_is_taken_back(session: Any) -> None:
    session.range(60_000_000).selectExpr("sum(id) AS s").createOrReplaceTempView("slow")
    table = SparkTable(session, "", "cohort", check=None)
    table._seconds = 1
    with pytest.raises(MpcError) as late:
        table._tried(lambda: session.sql("SELECT count(*) FROM range(100000) a CROSS JOIN range(1000000) b").collect())
    assert late.value.code == "worker.out_of_time"
