"""Ten million rows at one hospital: what its worker counts for `describe` of eight columns by one, and plain DuckDB.

    ./run bench local [ROWS]

Each case runs in a process of its own, in turns. Ours is a worker as it stands ready (everything imported, confined to
its own file and folder), from the order to the counted vector: fingerprint of the file, number of complete rows, sums,
sums of squares, missing values, the two largest contributions of every group (what a cell may hold was checked when the
file was registered). Reference one are plain queries for the same figures, without a fingerprint; reference two leaves
out the largest contributions as well. Same threads, same file. Aim: at most 1.3 times the first, at most 600 MB. The
exit status says whether the aim was met, and fails when the figures differ.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.machine import print_line, print_machine

ROWS = 10_000_000
TURNS = 5
AIM, AIM_MB = 1.3, 600
WHOLE = {"age": 110, "rate": 200, "pressure": 260, "days": 4000, "stage": 40}
TENTHS = {"weight": 2000, "sugar": 500, "crp": 9000}
NAMES = [*WHOLE, *TENTHS]
CODES = ["A", "B", "C", "D", "E"]
KEY = bytes(range(32))


def columns() -> list[dict[str, Any]]:
    found = [{"name": name, "kind": "number", "unit": None, "min": "0", "max": str(top), "step": "1", "codes": None}
             for name, top in WHOLE.items()]
    found += [{"name": name, "kind": "number", "unit": None, "min": "0", "max": str(top // 10), "step": "0.1",
               "codes": None} for name, top in TENTHS.items()]
    return [*found, {"name": "ward", "kind": "category", "unit": None, "min": None, "max": None, "step": None,
                     "codes": CODES}]


def generate(place: Path, rows: int) -> None:
    """Invented rows: whole numbers and tenths, two in a hundred cells empty."""
    import duckdb

    def cell(at: int, name: str, top: int, form: str) -> str:
        value = form.format(f"hash(i * 31 + {at}) % {top}")
        return f"CASE WHEN hash(i * 17 + {at}) % 50 <> 0 THEN {value} END AS {name}"

    cells = [cell(at, name, top, "CAST({} AS INTEGER)") for at, (name, top) in enumerate(WHOLE.items())]
    cells += [cell(at + 10, name, top, "({}) / 10.0::DOUBLE") for at, (name, top) in enumerate(TENTHS.items())]
    listed = ", ".join(f"'{code}'" for code in CODES)
    duckdb.connect().execute(
        f"COPY (SELECT [{listed}][CAST(1 + hash(i * 7) % {len(CODES)} AS BIGINT)] AS ward, {', '.join(cells)} "
        f"FROM range({rows}) AS t(i)) TO '{place}' (FORMAT parquet)")


def ours(place: Path) -> dict[str, Any]:
    """What a worker does between its order and the first share."""
    from mpc import confinement, worker
    from mpc.functions.registry import function
    from mpc.functions.rows import Rows
    from mpc.sources.duck import fingerprint

    worker.self_check()
    plan = function("describe@1").plan({"columns": NAMES, "by": "ward"}, columns(), 3, 3 * ROWS)
    check = {"key": KEY.hex(), "expected": fingerprint(place, KEY)}
    held = confinement.confine(read=[place], write=[tempfile.gettempdir()])
    began, spent = time.perf_counter(), time.process_time()
    rows = Rows.open(place, "parquet", plan.read_by(()), check=check, unlisted_as_missing=True)
    counted = function("describe@1").local(rows, plan)
    rows.settle()
    rows.close()
    took, spent = time.perf_counter() - began, time.process_time() - spent
    groups = len(CODES)
    figures = [list(counted.values[:groups]),
               [list(counted.values[groups + 9 + at * 16:][:16]) for at in range(groups)]]
    return {"seconds": took, "cpu": spent, "figures": figures, "confined": str(held)}


def plain(place: Path, *, largest: bool) -> dict[str, Any]:
    """The same figures as somebody writes them who needs neither grids nor checks."""
    import duckdb

    steps = {name: name if name in WHOLE else f"CAST(round({name} * 10) AS BIGINT)" for name in NAMES}
    whole = " AND ".join(f"{name} IS NOT NULL" for name in (*NAMES, "ward"))
    sums = ", ".join(f"sum({step}), sum({step} * {step}){f', max({step}, 2)' if largest else ''}"
                     for step in steps.values())
    missing = ", ".join(f"count({name})" for name in (*NAMES, "ward"))
    began, spent = time.perf_counter(), time.process_time()
    database = duckdb.connect()
    source = f"read_parquet('{place}')"
    database.execute(f"SELECT count(*), {missing} FROM {source}").fetchall()
    found = sorted(database.execute(
        f"SELECT ward, count(*), {sums} FROM {source} WHERE {whole} GROUP BY ward").fetchall())
    took, spent = time.perf_counter() - began, time.process_time() - spent
    figures = [[row[1] for row in found],
               [[int(value) for value in row[2:] if not isinstance(value, list)] for row in found]]
    return {"seconds": took, "cpu": spent, "figures": figures}


CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ours": ours, "plain": lambda place: plain(place, largest=True),
    "sums alone": lambda place: plain(place, largest=False)}


def child(case: str, place: Path) -> None:
    found = CASES[case](place)
    print(json.dumps(found | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "child":
        child(sys.argv[2], Path(sys.argv[3]))
        return 0
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print_machine()
    with tempfile.TemporaryDirectory(prefix="xinglin-local-") as name:
        place = Path(name) / "rows.parquet"
        generate(place, rows)
        found: dict[str, list[dict[str, Any]]] = {case: [] for case in CASES}
        for turn in range(TURNS):
            for case in list(CASES)[:: 1 if turn % 2 else -1]:
                done = subprocess.run([sys.executable, "-m", "tests.bench.local", "child", case, str(place)],
                                      stdout=subprocess.PIPE, check=True, env=os.environ | {"TMPDIR": name})
                found[case].append(json.loads(done.stdout))
        size = place.stat().st_size >> 20
    same = all(one["figures"] == found["plain"][0]["figures"] for some in found.values() for one in some)
    for reference in ("plain", "sums alone"):
        for metric in ("seconds", "cpu"):
            print_line(bench="local", case=f"describe 8 columns by 1, {rows} rows, {size} MB", metric=metric, unit="s",
                       values=[one[metric] for one in found["ours"]],
                       reference=(f"DuckDB, {reference}", [one[metric] for one in found[reference]]))
    peak = [one["peak_mb"] for one in found["ours"]]
    print_line(bench="local", case=f"{rows} rows", metric="peak memory of the worker", unit="MB", values=peak,
               reference=("DuckDB, plain", [one["peak_mb"] for one in found["plain"]]))
    middle = {case: sorted(one["seconds"] for one in some)[TURNS // 2] for case, some in found.items()}
    ratio = middle["ours"] / middle["plain"]
    met = same and ratio <= AIM and max(peak) <= AIM_MB
    print(json.dumps({"bench": "local", "aim": {"ratio": AIM, "mb": AIM_MB}, "ratio": round(ratio, 3),
                      "peak_mb": round(max(peak)), "same_figures": same, "met": met}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
