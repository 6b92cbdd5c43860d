"""A true worker with a file several times larger than what it may hold: it counts within its memory, and where what it
spills fills the disk it ends by name, in the hospital's turn. Nothing but its private folder is written to."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from mpc import masked
from mpc.catalog import CATALOG
from mpc.errors import WHO_MUST_ACT
from mpc.functions.registry import function
from mpc.sources import duck
from tests.simulators.worker_orders import SEATS, apart
from tests.unit.node.test_stop_without_room import namespaces

pytestmark = pytest.mark.stack
ROWS = 3_000_000
LEAST = duck.LEAST_MB * duck.SHARE << 20  # of all that a worker may take, so that its database gets the least
COST = {"name": "cost", "kind": "number", "unit": None, "min": "0", "max": "1000", "step": "1", "codes": None}
WARD = COST | {"name": "ward", "kind": "category", "min": None, "max": None, "step": None, "codes": ["a", "b"]}
COLUMNS: list[dict[str, Any]] = [COST, WARD, WARD | {"name": "who", "kind": "identifier", "codes": None}]
ASKED = {"columns": ["cost"], "by": "ward"}
MOST = 150  # of the database, and of what the worker itself makes


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("large") / "rows.csv"
    duckdb.connect().execute(
        f"COPY (SELECT CAST(i * 7 % 1000 AS INTEGER) AS cost, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END AS ward, "
        f"'a person whose name is so long that few of them fit: ' || (i * 7919 % {ROWS // 2}) AS who "
        f"FROM range({ROWS}) t(i)) TO '{place}'")
    return place


def line(file: Path) -> str:
    """A contribution: the same counting as in a session, without peers."""
    plan, job = function("describe@1").plan(ASKED, COLUMNS, SEATS, 2 * ROWS), apart()
    spec = {**job.spec, "parameters": ASKED, "function": {
        "name": "describe", "version": 1, "digest": CATALOG["describe@1"].digest}, "contributions": {
        **job.spec["contributions"], "ciphertexts": masked.width(plan, 2048)}}
    return json.dumps({**job.line(), "spec": spec, "columns": COLUMNS, "rows_max_total": 2 * ROWS,
                       "data": {"path": str(file), "kind": "csv"}, "deadline": time.time() + 300}) + "\n"


class Worker:
    """One process with little memory and a private folder; `disk` is how large the disk is that this lies on."""

    def __init__(self, folder: Path, *, disk: str = "") -> None:
        folder.mkdir()
        mounting = f'mount -t tmpfs -o size={disk} tmpfs "$TMPDIR" && exec "$@"'
        before = ["unshare", "-rm", "sh", "-c", mounting, "sh"] if disk else []
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "mpc.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"})
        resource.prlimit(self.process.pid, resource.RLIMIT_DATA, (LEAST, LEAST))
        assert self.hear() == {"ready": True}

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def say(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def peak(self) -> int:
        """MB; getrusage would tell the most of whoever started it."""
        return int(Path(f"/proc/{self.process.pid}/status").read_text().split("VmHWM:")[1].split()[0]) >> 10

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def one(**asked: str) -> Worker:
        made.append(Worker(tmp_path / "private", **asked))
        return made[-1]

    yield one
    for worker in made:
        worker.end()


def test_it_works(file: Path, start: Callable[..., Worker]) -> None:
    """Counted and encrypted; what that took beside the imports is less than the file."""
    worker = start()
    before = worker.peak()
    worker.say(line(file))
    assert worker.hear() == {"event": "gate_started"}
    assert file.stat().st_size > 2 * duck.LEAST_MB << 20
    assert worker.peak() - before < MOST, "MB"


@pytest.mark.skipif(not namespaces(), reason="no mount namespace for this user")
def test_a_disk_that_is_full_has_a_name_and_the_custodian_s_turn(file: Path, start: Callable[..., Worker]) -> None:
    """Naive: the database calls it a lack of memory, and the hospital would give it more."""
    worker = start(disk="16m")
    worker.say(line(file))
    assert worker.hear() == {"event": "failed", "code": "node.disk_full", "about_seat": None}
    assert WHO_MUST_ACT["node.disk_full"] == "custodian"
