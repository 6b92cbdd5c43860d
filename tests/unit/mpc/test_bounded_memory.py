"""Files larger than memory: the same figures, from a folder that is wiped; too little memory has a code of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mpc.errors import MpcError
from mpc.functions.plan import Counted
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.node import data
from mpc.sources import duck

ROWS = 300_000
COST = {"name": "cost", "kind": "number", "unit": None, "min": "0", "max": "1000", "step": "1", "codes": None}
WARD = COST | {"name": "ward", "kind": "category", "min": None, "max": None, "step": None, "codes": ["a", "b"]}
WHO = WARD | {"name": "who", "kind": "identifier", "codes": None}
COLUMNS: list[dict[str, Any]] = [COST, WARD, WHO]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("large")
    for kind in ("csv", "parquet"):
        duckdb.connect().execute(
            f"COPY (SELECT CAST(i * 7 % 1000 AS INTEGER) AS cost, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END AS ward, "
            f"'person of the long name ' || (i * 7919 % {ROWS // 2}) AS who FROM range({ROWS}) t(i)) "
            f"TO '{made}/rows.{kind}'")
    return made


def counted(place: Path, memory: int, *, spilt: list[int] | None = None) -> Counted:
    plan = function("describe@1").plan({"columns": ["cost"], "by": "ward"}, COLUMNS, 3, 10**6)
    rows = Rows.open(place, place.suffix[1:], plan.read_by(None), memory=memory)
    try:
        found = function("describe@1").local(rows, plan)
        if spilt is not None:
            spilt += [file.stat().st_size for file in Path(tempfile.gettempdir()).rglob("spill-*/*")]
        return found
    finally:
        rows.close()


@pytest.mark.parametrize(("kind", "memory"), [("csv", 24), ("parquet", 48)])
def test_it_works(folder: Path, kind: str, memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spilt: list[int] = []
    small = counted(folder / f"rows.{kind}", memory, spilt=spilt)
    assert small == counted(folder / f"rows.{kind}", 1000)
    assert small.values[:2] == (ROWS // 3, ROWS - ROWS // 3)
    assert small.numbers[0] == ROWS // 2, "persons"
    assert kind == "parquet" or sum(spilt) > 0, "the rows of a CSV did not fit"
    assert not os.listdir(tmp_path), "nothing is left of what was spilt"


def test_too_little_memory_is_told_as_such_and_leaves_nothing(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(MpcError) as refused:
        counted(folder / "rows.csv", 2)
    assert refused.value.code == "worker.out_of_memory", "not dataset.changed: the file is the registered one"
    assert not os.listdir(tmp_path)


def test_a_file_is_registered_within_bounded_memory_too(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit goes to a folder that is wiped, not below wherever the command was called."""
    here, spare = tmp_path / "here", tmp_path / "spare"
    here.mkdir()
    spare.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    monkeypatch.setattr(duck, "memory_mb", lambda: 16)
    spilt: list[int] = []
    number = Rows.number
    monkeypatch.setattr(Rows, "number", lambda rows: spilt.extend(
        file.stat().st_size for file in spare.rglob("spill-*/*")) or number(rows))
    assert data.check_file(folder / "rows.csv", COLUMNS).rows == ROWS
    assert sum(spilt) > 0, "the rows did not fit"
    assert not [*os.listdir(here), *os.listdir(spare)]


DRAFT = """
import json, sys, tempfile
from pathlib import Path
from mpc.node import data
from mpc.sources import duck
duck.memory_mb = lambda: duck.LEAST_MB
def peak():
    status = Path("/proc/self/status").read_text()  # getrusage would tell the most of whoever started us
    return int(status.split("VmHWM:")[1].split()[0]) >> 10
data.draft(Path(sys.argv[1]))
before = peak()
spilt = []
cells = duck.FileTable.cells
def looked(table, *asked):
    found = cells(table, *asked)
    spilt.append(sum(file.stat().st_size for file in Path(tempfile.gettempdir()).rglob("spill-*/*")))
    return found
duck.FileTable.cells = looked
kinds = [one["kind"] for one in data.draft(Path(sys.argv[2]))]
print(json.dumps([kinds, peak() - before, max(spilt)]))
"""


def test_a_dictionary_is_drafted_within_bounded_memory_too(folder: Path, tmp_path: Path) -> None:
    """Every cell of a column is another one: neither held nor sorted here, but in the database's own blocks."""
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    for place, rows in ((small, 50), (large, 2 * ROWS)):
        duckdb.connect().execute(
            f"COPY (SELECT i AS number, 'person of the long name ' || (i * 7919 % {10 * ROWS}) AS who, "
            f"i % 700 / 10 AS weight FROM range({rows}) t(i)) TO '{place}'")
    done = subprocess.run([sys.executable, "-c", DRAFT, str(small), str(large)], capture_output=True, check=False,
                          timeout=300, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    kinds, grown, spilt = json.loads(done.stdout)
    assert kinds == ["identifier", "identifier", "number"]
    assert spilt > 0, "the rows did not fit"
    assert grown < 120, "MB; the distinct cells of one column, as text and fractions, take 140 beside the database"
