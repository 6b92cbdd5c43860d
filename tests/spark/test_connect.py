"""Rows in a real Spark behind Spark Connect on this machine: dialled as a node dials, asked, lost.

Opt-in: `./run bench spark` runs this where pyspark and a Java machine are; elsewhere it is skipped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mpc.errors import MpcError
from mpc.sources.spark import SparkTable, dial
from tests.spark.cohort import KEY, QUIET, cells, counted, expected, frame

pyspark = pytest.importorskip("pyspark")


class Cluster:
    """A Spark Connect server of this machine's own: one Java machine, which ends with the tests."""

    def __init__(self, folder: Path) -> None:
        home = Path(str(pyspark.__file__)).parent
        jar = next((home / "jars").glob("spark-connect_*.jar"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        settings = QUIET | {"spark.connect.grpc.binding.port": str(self.port),
                            "spark.connect.grpc.binding.address": "127.0.0.1",
                            "spark.sql.warehouse.dir": str(folder / "warehouse")}
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(home / "bin" / "spark-submit"), "--master", "local[1]", *(
                    word for name, value in settings.items() for word in ("--conf", f"{name}={value}")),
                 "--class", "org.apache.spark.sql.connect.service.SparkConnectServer", str(jar)],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"})
        until = time.monotonic() + 300
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(self.log.read_text()[-2000:])
            time.sleep(0.2)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def access(self, table: str) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "passfile": "", "sslmode": "disable", "schema": "default",
                "table": table, "seconds": 300}

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    one = Cluster(tmp_path_factory.mktemp("cluster"))
    yield one
    one.end()


def test_it_works(cluster: Cluster, tmp_path: Path) -> None:
    access = cluster.access("cohort")
    maker = dial(access)
    frame(maker, cells()).write.saveAsTable("cohort")
    maker.stop()
    first = SparkTable.connect(access, check=None)
    check = {"key": KEY.hex(), "expected": first.fingerprint(KEY)}
    first.close()
    table = SparkTable.connect(access, check=check)
    try:
        assert counted(table) == expected(tmp_path)
        table.settle()
    finally:
        table.close()


def test_what_cannot_be_asked_did_not_change(cluster: Cluster) -> None:
    """TLS towards a server in clear; a server that dies between two questions."""
    with pytest.raises(MpcError) as clear:
        SparkTable.connect(cluster.access("cohort") | {"sslmode": "verify-full", "seconds": 15}, check=None)
    with pytest.raises(MpcError) as gone:
        SparkTable.connect(cluster.access("no_such_table"), check=None)
    table = SparkTable.connect(cluster.access("cohort") | {"seconds": 15}, check=None)
    cluster.end()
    with pytest.raises(MpcError) as lost:
        table.fingerprint(KEY)
    table.close()
    assert gone.value.code == "dataset.changed"
    assert {clear.value.code, lost.value.code} <= {"dataset.unreachable", "worker.out_of_time"}
