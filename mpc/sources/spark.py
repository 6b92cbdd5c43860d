"""A table of a hospital's Spark cluster, asked through Spark Connect: aggregates come back, rows stay in the cluster.

The client speaks to one TCP port and starts no process, so a confined worker may use it; Spark's own local mode starts
a Java machine and is for tests. The package is not among the product's: a hospital that has a cluster installs
`pyspark[connect]` beside it. Spark keeps no snapshot between two questions: the table's fingerprint is made before the
first and after the last, and both must be the registered one. Tables whose files do not change under a reader (Delta,
Iceberg, or plain files that nobody rewrites) are what this is for.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import ibis
from sqlglot import expressions

from mpc.errors import DataRefused, MpcError
from mpc.sources.far import FarTable, source_of
from mpc.sources.shape import BOOLEAN, DOUBLE, INTEGER, TEXT

TYPES = {"tinyint": INTEGER, "smallint": INTEGER, "int": INTEGER, "bigint": INTEGER, "double": DOUBLE,
         "boolean": BOOLEAN}
PARTS = 4
SETTINGS = {"spark.sql.ansi.enabled": "true", "spark.sql.session.timeZone": "UTC"}


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def fingerprint(session: Any, table: str, key: bytes) -> str:
    """As that of a PostgreSQL table: names, types, number of rows, and an order-free sum of the rows' salted hashes."""
    types = {one.name: one.dataType.simpleString() for one in session.table(table).schema.fields}
    salt = hmac.new(key, b"xinglin/spark/salt\n", sha256).hexdigest()
    cells = ", ',', ".join(f"coalesce(concat(length(cast({quoted(name)} AS string)), ':', "
                           f"cast({quoted(name)} AS string)), '-')" for name in types)
    sums = ", ".join(f"sum(cast(conv(substr(h, {1 + 14 * at}, 14), 16, 10) AS decimal(38, 0)))" for at in range(PARTS))
    query = f"SELECT count(*), {sums} FROM (SELECT sha2(concat(:salt, {cells}), 256) AS h FROM {table})"  # noqa: S608
    count, *found = session.sql(query, args={"salt": salt}).collect()[0]
    told = [*(f"{name}\0{of}" for name, of in types.items()), str(count), *(str(int(one or 0)) for one in found)]
    return hmac.new(key, b"xinglin/spark/table\n" + "\n".join(told).encode(), sha256).hexdigest()


def dial(access: Mapping[str, Any]) -> Any:
    """A new session over Spark Connect: one that stands already may be another cluster's, and Spark would give that. A
    token, if there is one, is read from its file here and goes nowhere else."""
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise MpcError("pyspark is not installed beside this node", code="dataset.unreachable") from None
    place = f"sc://{access['host']}:{access['port']}/"
    try:
        if access["passfile"]:
            with open(access["passfile"], encoding="utf-8") as file:
                place += f";use_ssl=true;token={file.read().strip()}"
        return SparkSession.builder.remote(place).create()
    except Exception:  # whatever the client raises may quote the token
        raise MpcError("the cluster cannot be reached", code="dataset.unreachable") from None


def hang_up(session: Any) -> None:
    """End a session; that it is gone already is no trouble."""
    with contextlib.suppress(Exception):
        session.stop()


class SparkTable(FarTable):
    """One table of one session."""

    def __init__(self, session: Any, schema: str, table: str, *, check: Mapping[str, str] | None) -> None:
        self._session, self._check, self._own = session, check, False
        self._name = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        ibis.pyspark  # noqa: B018 - Ibis takes up its settings for Spark when it is first named
        for name, value in SETTINGS.items():
            session.conf.set(name, value)
        with_types = self._tried(lambda: session.table(self._name).schema.fields)
        types = {one.name: TYPES.get(one.dataType.simpleString(), TEXT) for one in with_types}
        super().__init__(types)
        self._source = source_of(types, lambda one: expressions.cast(one, "text", dialect="spark"),
                                 expressions.table_(table, db=schema or None, quoted=True))
        self.settle()

    @classmethod
    def connect(cls, access: Mapping[str, Any], *, check: Mapping[str, str] | None) -> SparkTable:
        """Over a session of its own, which ends with the table."""
        session = dial(access)
        try:
            found = cls(session, access["schema"], access["table"], check=check)
        except BaseException:
            hang_up(session)
            raise
        found._own = True
        return found

    def _tried(self, attempt: Any) -> Any:
        try:
            return attempt()
        except Exception:  # Spark's own texts quote rows
            raise DataRefused("the table cannot be read", code="dataset.changed") from None

    def compiled(self, expression: Any) -> Any:
        from ibis.backends.sql.compilers.pyspark import PySparkCompiler

        return self._source(PySparkCompiler().to_sqlglot(expression))

    def run(self, tree: Any, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        text = tree.sql(dialect="spark")
        return [tuple(row) for row in self._tried(lambda: self._session.sql(text, args=dict(values)).collect())]

    def settle(self) -> None:
        """The table is, now, the registered one."""
        if self._check is not None:
            key = bytes.fromhex(self._check["key"])
            found = self._tried(lambda: fingerprint(self._session, self._name, key))
            if not hmac.compare_digest(found, self._check["expected"]):
                raise DataRefused("the table is not the registered one", code="dataset.changed")

    def fingerprint(self, key: bytes) -> str:
        """The table's fingerprint under this key."""
        found: str = self._tried(lambda: fingerprint(self._session, self._name, key))
        return found

    def close(self) -> None:
        """Hang up; a session that was handed in stays with who made it."""
        if self._own:
            hang_up(self._session)
