"""The same questions to Spark in local mode and to a CSV: equal figures, or a plain reason why it was not tried.

    ./run bench spark

`pyspark` is not among the product's packages: this makes an environment of its own under `var` on first use (some 400
MB) and needs Java. Local mode starts a Java machine, which a confined worker may not; a hospital's node speaks Spark
Connect to its cluster instead. The exit status is 0 when the figures are equal, 1 when they differ, 2 when not tried.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench-spark"
PINS = ("pyspark[connect]==4.0.0", "py4j==0.10.9.9")
NAMES = ["age", "w", "n", "g", "who"]
KEY = bytes(range(32))
GIVEN = {"op": "and", "of": [{"op": "ge", "column": "age", "value": "20"},
                             {"op": "not", "of": {"op": "in", "column": "n", "values": ["0.17", "0.34"]}}]}


def columns() -> list[dict[str, Any]]:
    def number(name: str, high: str, step: str) -> dict[str, Any]:
        return {"name": name, "kind": "number", "unit": None, "min": "0", "max": high, "step": step, "codes": None}

    group = number("g", "0", "1") | {"kind": "category", "min": None, "max": None, "step": None,
                                     "codes": ["a", "b", "c'; DROP TABLE cohort; --"]}
    return [number("age", "120", "1"), number("w", "200", "0.1"), number("n", "20", "0.01"), group,
            group | {"name": "who", "kind": "identifier", "codes": None}]


def rows(count: int = 600) -> list[list[Any]]:
    codes = columns()[3]["codes"]
    made = [[i * 7 % 90, i * 13 % 1000 / 10, f"{i * 17 % 1000 / 100:.2f}", codes[i % 3], f"p{i % 70}"]
            for i in range(count)]
    return [*made, [None] * 5, [3, None, "1.50", "", "p1"], [30, 0.0, "0.00", "rare", "p2"]]


def asked() -> list[tuple[str, dict[str, Any], bool]]:
    return [("describe@1", {"columns": ["w"], "by": "g"}, True),
            ("describe@1", {"columns": ["age", "n"], "by": None}, False)]


def counted(place: Any) -> list[Any]:
    from mpc.functions.plan import with_filter
    from mpc.functions.registry import function
    from mpc.functions.rows import Rows

    found = []
    for known in (columns()[:4], columns()):
        for key, parameters, filtered in asked():
            plan = with_filter(function(key).plan(parameters, known, 3, 10_000), GIVEN if filtered else None, known)
            read = plan.read_by(None)
            if isinstance(place, Path):
                opened = Rows.open(place, "csv", read, unlisted_as_missing=True, only=plan.filter)
            else:
                opened = Rows(place, read, plan.filter, unlisted_as_missing=True, registered=False)
            one = function(key).local(opened, plan)
            found.append([list(one.values), list(one.numbers)])
    return found


def child() -> None:
    from pyspark.sql import SparkSession, types

    from mpc.sources.spark import SparkTable, fingerprint

    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config(
        "spark.sql.shuffle.partitions", "1").config("spark.sql.codegen.wholeStage", "false").getOrCreate()
    schema = types.StructType([types.StructField("age", types.IntegerType()),
                               types.StructField("w", types.DoubleType()),
                               *(types.StructField(name, types.StringType()) for name in NAMES[2:])])
    session.createDataFrame([tuple(row) for row in rows()], schema).createOrReplaceTempView("cohort")
    began = time.monotonic()
    check = {"key": KEY.hex(), "expected": fingerprint(session, "cohort", KEY)}
    table = SparkTable(session, "", "cohort", check=check)
    found = counted(table)
    table.settle()
    print(json.dumps({"found": found, "seconds": time.monotonic() - began}))


def environment() -> Path:
    """The interpreter with pyspark, and what the product needs beside it; made on first use."""
    python = HOME / "bin" / "python"
    if not (HOME / ".stamp").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PINS], check=True)
        (HOME / ".stamp").write_text("\n".join(PINS))
    return python


def main() -> int:
    if sys.argv[1:] == ["child"]:
        child()
        return 0
    try:
        if shutil.which("java") is None:
            raise OSError("there is no Java on this machine")
        python = environment()
    except (OSError, subprocess.CalledProcessError) as trouble:
        print(json.dumps({"bench": "spark", "tried": False, "reason": str(trouble)}))
        return 2
    own = [path for path in sys.path if path.endswith("site-packages")]
    done = subprocess.run([str(python), "-m", "tests.bench.spark", "child"], cwd=ROOT, stdout=subprocess.PIPE,
                          check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *own])})
    told = json.loads(done.stdout.splitlines()[-1])
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "cohort.csv"
        with place.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([NAMES, *(["" if cell is None else cell for cell in row] for row in rows())])
        same = json.loads(json.dumps(counted(place))) == told["found"]
    print(json.dumps({"bench": "spark", "tried": True, "same_figures": same, "seconds": round(told["seconds"], 1)}))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
