"""A table of a hospital's Spark cluster, asked through Spark Connect: aggregates come back, rows stay in the cluster.

The client speaks to one TCP port and starts no process, so a confined worker may use it; Spark's own local mode starts
a Java machine and is for tests. The package is not among the product's: a hospital that has a cluster installs
`pyspark[connect]` beside it. Spark keeps no snapshot between two questions: the table's fingerprint is made before the
first and after the last, and both must be the registered one. Tables whose files do not change under a reader (Delta,
Iceberg, or plain files that nobody rewrites) are what this is for. TLS, unless the cluster is this very machine.
"""

from __future__ import annotations

import contextlib
import hmac
import queue
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, TypeVar

import ibis
from sqlglot import expressions

from mpc import hosts
from mpc.errors import DataRefused, MpcError
from mpc.sources.far import FarTable, source_of
from mpc.sources.shape import BOOLEAN, DOUBLE, INTEGER, TEXT

TYPES = {"tinyint": INTEGER, "smallint": INTEGER, "int": INTEGER, "bigint": INTEGER, "double": DOUBLE,
         "boolean": BOOLEAN}
PARTS = 4
SECONDS = 600
RETRIES, PAUSE_MS = 4, 2000  # Spark's own client goes on for ten minutes
SETTINGS = {"spark.sql.ansi.enabled": "true", "spark.sql.session.timeZone": "UTC"}
UNREACHABLE, OUT_OF_TIME = "dataset.unreachable", "worker.out_of_time"
# Spark's own names for what only rows or columns that are others than those registered can bring about
OTHERS = frozenset({"AnalysisException", "ArithmeticException", "NumberFormatException", "DateTimeException",
                    "ArrayIndexOutOfBoundsException"})
Found = TypeVar("Found")


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def fingerprint(session: Any, table: str, key: bytes) -> str:
    """As that of a PostgreSQL table: names, types, number of rows, and an order-free sum of the rows' salted hashes."""
    types = {one.name: one.dataType.simpleString() for one in session.table(table).schema.fields}
    salt = hmac.new(key, b"xinglin/spark/salt\n", sha256).hexdigest()
    cells = ", ',', ".join(f"coalesce(concat(length(cast({quoted(name)} AS string)), ':', "
                           f"cast({quoted(name)} AS string)), '-')" for name in types)
    sums = ", ".join(f"sum(cast(conv(substr(h, {1 + 14 * at}, 14), 16, 10) AS decimal(38, 0)))" for at in range(PARTS))
    inner = f"SELECT sha2(concat(:salt, {cells}), 256) AS h FROM {table}"  # noqa: S608 - quoted names, a bound salt
    query = f"SELECT count(*), {sums} FROM ({inner})"  # noqa: S608 - as above
    count, *found = session.sql(query, args={"salt": salt}).collect()[0]
    told = [*(f"{name}\0{of}" for name, of in types.items()), str(count), *(str(int(one or 0)) for one in found)]
    return hmac.new(key, b"xinglin/spark/table\n" + "\n".join(told).encode(), sha256).hexdigest()


def dial(access: Mapping[str, Any]) -> Any:
    """A new session over Spark Connect: one that stands already may be another cluster's, and Spark would give that. A
    token, if there is one, is read from its file here and goes nowhere else. In clear only where `config.toml` says
    `disable`, which it may on the same machine alone."""
    try:
        from pyspark.sql.connect.client import DefaultChannelBuilder
        from pyspark.sql.connect.client.retries import DefaultPolicy
        from pyspark.sql.connect.session import SparkSession
    except ImportError:
        raise MpcError("pyspark is not installed beside this node", code=UNREACHABLE) from None
    # a confined worker looks no name up, and gRPC would: it is handed an address, and the name to be verified
    name = access["host"]
    address = next((one for one in hosts.addresses(name) if ":" not in one), name)
    named = [] if address == name else [("grpc.ssl_target_name_override", name), ("grpc.default_authority", name)]
    place = f"sc://{address}:{access['port']}/"
    if access["sslmode"] != "disable":
        place += ";use_ssl=true"
    try:
        if access["passfile"]:
            with open(access["passfile"], encoding="utf-8") as file:
                place += f";token={file.read().strip()}"
        session = SparkSession.builder.channelBuilder(DefaultChannelBuilder(place, named)).create()
        session.client.set_retry_policies([DefaultPolicy(max_retries=RETRIES, max_backoff=PAUSE_MS)])
        return session
    except Exception:  # whatever the client raises may quote the token
        raise MpcError("the cluster cannot be reached", code=UNREACHABLE) from None


def hang_up(session: Any) -> None:
    """End a session; that it is gone already is no trouble."""
    with contextlib.suppress(Exception):
        session.stop()


class SparkTable(FarTable):
    """One table of one session."""

    def __init__(self, session: Any, schema: str, table: str, *, check: Mapping[str, str] | None,
                 seconds: int = SECONDS) -> None:
        self._session, self._seconds, self._own = session, seconds, False
        self._name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        ibis.pyspark  # noqa: B018 - Ibis takes up its settings for Spark when it is first named
        types = {one.name: TYPES.get(one.dataType.simpleString(), TEXT) for one in self._tried(self._fields)}
        super().__init__(types, check)
        self._source = source_of(types, lambda one: expressions.cast(one, "text", dialect="spark"),
                                 expressions.table_(table, db=schema or None, quoted=True))
        self.settle()

    @classmethod
    def connect(cls, access: Mapping[str, Any], *, check: Mapping[str, str] | None) -> SparkTable:
        """Over a session of its own, which ends with the table."""
        session = dial(access)
        try:
            found = cls(session, access["schema"], access["table"], check=check, seconds=int(access["seconds"]))
        except BaseException:
            hang_up(session)
            raise
        found._own = True
        return found

    def _fields(self) -> list[Any]:
        for name, value in SETTINGS.items():
            self._session.conf.set(name, value)
        return list(self._session.table(self._name).schema.fields)

    def _tried(self, attempt: Callable[[], Found]) -> Found:
        """Spark's own texts quote rows, and are never repeated; a question that takes too long is taken back."""
        answers: queue.SimpleQueue[tuple[Found, None] | tuple[None, Exception]] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put((attempt(), None))
            except Exception as trouble:  # told apart below
                answers.put((None, trouble))

        threading.Thread(target=ask, name="spark", daemon=True).start()
        try:
            found, trouble = answers.get(timeout=self._seconds)
        except queue.Empty:
            threading.Thread(target=self._interrupt, name="spark-interrupt", daemon=True).start()
            raise MpcError("the cluster took too long", code=OUT_OF_TIME) from None
        if trouble is None:
            return found  # type: ignore[return-value]
        if OTHERS.isdisjoint(one.__name__ for one in type(trouble).__mro__):
            raise MpcError("the cluster cannot be asked", code=UNREACHABLE)
        raise DataRefused("the table cannot be read", code="dataset.changed")

    def _interrupt(self) -> None:
        with contextlib.suppress(Exception):
            self._session.interruptAll()

    def compiled(self, expression: Any) -> Any:
        from ibis.backends.sql.compilers.pyspark import PySparkCompiler

        return self._source(PySparkCompiler().to_sqlglot(expression))

    def run(self, tree: Any, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        text = tree.sql(dialect="spark")
        return [tuple(row) for row in self._tried(lambda: self._session.sql(text, args=dict(values)).collect())]

    def fingerprint(self, key: bytes) -> str:
        """The table's, now: made before the first question and after the last."""
        return self._tried(lambda: fingerprint(self._session, self._name, key))

    def close(self) -> None:
        """Hang up; a session that was handed in stays with who made it."""
        if self._own:
            hang_up(self._session)
