"""A table of a hospital's PostgreSQL: one read-only snapshot for one job, and a keyed fingerprint made in the database.

Everything is asked in a single REPEATABLE READ READ ONLY transaction with a time limit for each statement, so the
fingerprint is that of the very rows that were counted. The password never comes here: libpq reads it from the file
named in the access (`passfile`, which it ignores unless it is the owner's alone). TCP only.
What the database says about an error may quote a row, and is never repeated; only what was read and differs is
`dataset.changed`.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, LiteralString, cast

import psycopg
from ibis.backends.sql.compilers import PostgresCompiler
from psycopg import sql
from sqlglot import expressions

from mpc import hosts
from mpc.errors import DataRefused, MpcError
from mpc.sources.far import FarTable, source_of
from mpc.sources.shape import BOOLEAN, DOUBLE, INTEGER, TEXT

TYPES = {"smallint": INTEGER, "integer": INTEGER, "bigint": INTEGER, "double precision": DOUBLE, "boolean": BOOLEAN}
# what the text of a cell depends on, fixed: else a server's setting would change the fingerprint
SETTINGS = ("TimeZone=UTC", "DateStyle=ISO,YMD", "IntervalStyle=iso_8601", "extra_float_digits=1", "bytea_output=hex",
            "lc_monetary=C", "search_path=pg_catalog", "client_encoding=UTF8")
SECONDS = 600
PARTS = 4
UNREACHABLE, OUT_OF_TIME = "dataset.unreachable", "worker.out_of_time"
# what only rows or columns that are others than those registered can bring about
OTHERS = (psycopg.DataError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn,
          psycopg.errors.UndefinedFunction, psycopg.errors.DatatypeMismatch, psycopg.errors.CannotCoerce,
          psycopg.errors.InvalidSchemaName, psycopg.errors.WrongObjectType)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.QueryCanceled:
        raise MpcError("the database took too long", code=OUT_OF_TIME) from None
    except (psycopg.errors.OutOfMemory, psycopg.errors.ConfigurationLimitExceeded):
        raise MpcError("the database ran out of memory", code="worker.out_of_memory") from None
    except psycopg.errors.DiskFull:
        raise MpcError("the database ran out of disk", code="node.disk_full") from None
    except OTHERS:
        raise DataRefused("the table cannot be read", code="dataset.changed") from None
    except psycopg.Error:
        raise MpcError("the database does not let this node read", code=UNREACHABLE) from None


def open_connection(access: Mapping[str, Any]) -> psycopg.Connection[Any]:
    """One snapshot, for reading."""
    options = " ".join(f"-c {one}" for one in (*SETTINGS, f"statement_timeout={int(access['seconds'])}s",
                                               "default_transaction_read_only=on", "idle_session_timeout=0"))
    # a confined worker looks no name up, and libpq would: every address is handed over, under the name to be verified
    places = hosts.addresses(access["host"])
    with _named():
        found = psycopg.connect(
            host=",".join([access["host"]] * len(places)) or access["host"], hostaddr=",".join(places) or None,
            port=access["port"], dbname=access["database"], user=access["user"],
            passfile=access["passfile"], sslmode=access["sslmode"], sslrootcert=access["sslrootcert"] or None,
            connect_timeout=15, options=options, application_name="xinglin-node", gssencmode="disable")
        found.read_only = True
        found.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return found


def columns_of(connection: psycopg.Connection[Any], access: Mapping[str, Any]) -> dict[str, str]:
    """Name and type of every column, in order."""
    with _named():
        found = connection.execute(
            "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 "
            "AND NOT a.attisdropped ORDER BY a.attnum", (access["schema"], access["table"])).fetchall()
    if not found:
        raise DataRefused("the table is not there", code="dataset.changed")
    return {str(name): str(of) for name, of in found}


def fingerprint(connection: psycopg.Connection[Any], access: Mapping[str, Any], key: bytes) -> str:
    """HMAC over names, types, number of rows and an order-free sum of salted hashes of all rows, made in the database;
    the salt comes from the key, which stays here."""
    types = columns_of(connection, access)
    salt = hmac.new(key, b"xinglin/postgresql/salt\n", sha256).hexdigest()
    cells = [sql.SQL("coalesce(length({0}::text)::text || ':' || {0}::text, '-')").format(sql.Identifier(name))
             for name in types]
    row = sql.SQL("sha256(convert_to($1 || {}, 'UTF8'))").format(sql.SQL(" || ',' || ").join(cells))
    parts = [sql.SQL("sum(('x' || encode(substr(h, {}, 7), 'hex'))::bit(56)::bigint::numeric)").format(
        sql.Literal(1 + 8 * at)) for at in range(PARTS)]
    query = sql.SQL("SELECT count(*), {} FROM (SELECT {} AS h FROM {}) AS hashed").format(
        sql.SQL(", ").join(parts), row, sql.Identifier(access["schema"], access["table"]))
    with _named():
        count, *sums = psycopg.RawCursor(connection).execute(query, (salt,)).fetchone() or (0,)
    told = [*(f"{name}\0{of}" for name, of in types.items()), str(count), *(str(int(one or 0)) for one in sums)]
    return hmac.new(key, b"xinglin/postgresql/table\n" + "\n".join(told).encode(), sha256).hexdigest()


class PostgresTable(FarTable):
    """One table, in one snapshot."""

    one_snapshot = True

    def __init__(self, access: Mapping[str, Any], *, check: Mapping[str, str] | None) -> None:
        self._access = access
        self._connection = open_connection(access)
        try:
            types = {name: TYPES.get(of, TEXT) for name, of in columns_of(self._connection, access).items()}
        except BaseException:
            self._connection.close()
            raise
        super().__init__(types, check)
        self._source = source_of(
            types, lambda one: expressions.cast(one, "text"),
            expressions.table_(access["table"], db=access["schema"], quoted=True))

    def compiled(self, expression: Any) -> Any:
        return self._source(PostgresCompiler().to_sqlglot(expression))

    def run(self, tree: Any, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        text = tree.sql(dialect="postgres").replace("%", "%%")  # of operators and names; parameters have secret ones
        for name in values:
            text = text.replace(f"%%({name})s", f"%({name})s")
        with _named():
            return self._connection.execute(cast(LiteralString, text), values).fetchall()

    def fingerprint(self, key: bytes) -> str:
        """That of the very rows that were counted: in the same snapshot."""
        return fingerprint(self._connection, self._access, key)

    def close(self) -> None:
        """Hang up; nothing is sent to anybody while the connection stands."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()
