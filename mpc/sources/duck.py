"""A hospital's CSV or Parquet file, asked through DuckDB: within bounded memory, spilling to a folder that is wiped.

A Parquet file is read anew for every question, column by column; a CSV once, into DuckDB's own blocks, which spill as
well. Constants are bound. What DuckDB says about an error may quote a row, and is never repeated. Only what was read
and is another than the registered one is `dataset.changed`: what cannot be read is `dataset.unreachable`, and to run
out of memory or of disk has a code of its own. After the last question `settle` tells whether the file was registered.
"""

from __future__ import annotations

import contextlib
import csv
import hmac
import os
import resource
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from mpc.errors import DataRefused, MpcError
from mpc.sources.shape import BOOLEAN, DOUBLE, INTEGER, TEXT, text_of
from mpc.sources.terms import Select, Term, column

KINDS = ("csv", "parquet")
BLOCK = 1 << 20
FEW = 3
BUFFER = 4 << 20  # of text read at once: DuckDB's own 32 MB, twice, are more than the least that it may take here
CHANGED, UNREACHABLE = "dataset.changed", "dataset.unreachable"
OUT_OF_MEMORY, NO_ROOM = "worker.out_of_memory", "node.disk_full"
LEAST_MB, MOST_MB, SHARE = 64, 4096, 20
ALONE = "hive_partitioning = false"  # the columns are the file's own, whatever its folders are called
# the last: it asked for the disk's room when it began, and calls it a lack of memory that this is used up
FULL = ("No space left", "File too large", "quota exceeded", "max_temp_directory_size")
TYPES = {**dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"),
                         INTEGER), "DOUBLE": DOUBLE, "BOOLEAN": BOOLEAN}
INFIX = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "plus": "+", "minus": "-", "times": "*",
         "modulo": "%", "quotient": "//", "and": "AND", "or": "OR"}
PLAIN = {"present": "({} IS NOT NULL)", "filled": "({0} IS NOT NULL AND {0} <> '')", "text": "CAST({} AS VARCHAR)",
         "truth": "CASE WHEN {0} THEN 'True' WHEN NOT {0} THEN 'False' END", "case": "CASE WHEN {} THEN {} END",
         "between": "({} BETWEEN {} AND {})", "not": "(NOT {})",
         "whole": "CAST({} AS BIGINT)", "short": "CAST({} AS INTEGER)", "round": "round({})",
         "same_ratio": "({} = CAST({} AS DOUBLE) / CAST({} AS DOUBLE))", "matches": "regexp_matches({}, {})",
         "abs": "abs({})", "rows": "count(*)", "count": "count({})", "distinct": "count(DISTINCT {})", "sum": "sum({})",
         "max": "max({})", "top2": "max({}, 2)"}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Writer:
    """Writes a selection as SQL and gathers its constants."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.values: dict[str, str | int | list[str | int]] = {}

    def select(self, asked: Select) -> str:
        """The query; every name quoted, every constant a parameter."""
        source = self._table if asked.source is None else f"({self.select(asked.source)})"
        keys = list(asked.keys or ())
        fields = [(quoted(name), name) for name in keys]
        fields += [(self.term(term), name) for name, term in asked.fields.items()]
        listed = ", ".join(f"{text} AS {quoted(name)}" for text, name in fields)
        where = f" WHERE {self.term(asked.where)}" if asked.where is not None else ""
        grouping = f" GROUP BY {', '.join(map(quoted, keys))}" if keys else ""
        return f"SELECT {listed} FROM {source}{where}{grouping}"  # noqa: S608 - quoted names and numbered parameters

    def _bound(self, value: str | int | list[str | int]) -> str:
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def term(self, of: Term) -> str:
        if of.op == "column":
            return quoted(str(of.of[0]))
        if of.op == "bound":
            return self._bound(of.constant)
        if of.op == "in" and len(of.of) > FEW:
            listed = [one.constant for one in of.terms[1:]]
            return f"list_contains({self._bound(listed)}, {self.term(of.terms[0])})"
        inner = [self.term(one) for one in of.terms]
        if of.op == "in":
            return f"({inner[0]} IN ({', '.join(inner[1:])}))"
        if of.op == "first":
            return f"coalesce({', '.join(inner)})"
        if of.op == "decimal":
            places = int(str(of.of[1]))
            return f"CAST(CAST({inner[0]} AS DECIMAL(38, {places})) * {10**places} AS BIGINT)"
        if of.op in INFIX:
            return f"({f' {INFIX[of.op]} '.join(inner)})"
        return PLAIN[of.op].format(*inner)


def stands_for_others(path: Path) -> bool:
    """DuckDB takes such a name for a pattern, and would read other files than the one that has it."""
    return any(mark in str(path) for mark in "*?[")


def fingerprint(path: Path, key: bytes) -> str:
    """HMAC-SHA256 of the file's bytes under a key that never leaves the node."""
    mac = hmac.new(key, digestmod=sha256)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            mac.update(block)
    return mac.hexdigest()


def memory_mb() -> int:
    """What DuckDB may take: a twentieth of what this process may, for the rest of a worker needs its own."""
    limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
    share = (4096 << 20 if limit == resource.RLIM_INFINITY else limit) // SHARE >> 20
    return min(MOST_MB, max(LEAST_MB, share))


@contextlib.contextmanager
def _named(text: str) -> Iterator[None]:
    """DuckDB's errors by our codes, without its texts."""
    import duckdb

    try:
        yield
    except duckdb.Error as trouble:
        if any(one in str(trouble) for one in FULL):
            raise MpcError("no room left for what does not fit into memory", code=NO_ROOM) from None
        if isinstance(trouble, duckdb.OutOfMemoryException):
            raise MpcError("the rows do not fit into memory", code=OUT_OF_MEMORY) from None
        unknown = isinstance(trouble, (duckdb.IOException, duckdb.PermissionException, duckdb.InternalException,
                                       duckdb.FatalException, duckdb.InterruptException))
        raise DataRefused(text, code=UNREACHABLE if unknown else CHANGED) from None


class FileTable:
    """One file, opened for the questions of one job."""

    one_snapshot = False

    def __init__(self, path: Path, kind: str, *, check: Mapping[str, str] | None, memory: int | None = None) -> None:
        import duckdb

        if kind not in KINDS or not path.is_file() or stands_for_others(path):
            raise DataRefused("the file is not there", code=UNREACHABLE)
        self._path, self._kind, self._check = path, kind, check
        self._found: str | None = None
        self._before = self._state()
        self._hashing = threading.Thread(target=self._hash, name="fingerprint", daemon=True)
        if check is not None:
            self._hashing.start()  # beside the questions; `settle` waits for it
        self._folder = tempfile.mkdtemp(prefix="spill-")
        try:
            with _named("the file cannot be read"):
                limit = memory or memory_mb()
                self._connection = duckdb.connect(":memory:", config={
                    "threads": max(1, min(4, os.cpu_count() or 1, limit // 64)), "memory_limit": f"{limit}MB",
                    "temp_directory": self._folder, "preserve_insertion_order": False,
                    "autoinstall_known_extensions": False, "autoload_known_extensions": False})
                # it would go to standard output, among a worker's messages
                self._connection.execute("SET enable_progress_bar = false")
                self._types = self._open()
        except BaseException:
            self.close()
            raise

    def _state(self) -> tuple[int, int, int, int]:
        """What another file in its place shows in; one put there and taken away again in the last of them alone."""
        try:
            found = self._path.stat()
        except OSError:
            raise DataRefused("the file cannot be read", code=UNREACHABLE) from None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _hash(self) -> None:
        if self._check is not None:
            with contextlib.suppress(DataRefused):
                self._found = self.fingerprint(bytes.fromhex(self._check["key"]))

    def _open(self) -> dict[str, str]:
        """Nothing is guessed: of a CSV every cell is text, of a Parquet file the types are its own."""
        place = "'" + str(self._path).replace("'", "''") + "'"
        if self._kind == "csv":
            names = _header(self._path)
            types = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for name in names)
            source = (f"read_csv({place}, auto_detect=false, header=true, delim=',', quote='\"', escape='\"', "
                      f"nullstr='', buffer_size={BUFFER}, columns={{{types}}}, {ALONE})")
            found = [(name, "VARCHAR") for name in names]
        else:
            source = f"read_parquet({place}, {ALONE})"
            found = [(str(row[0]), str(row[1])) for row in self._connection.execute(
                f"DESCRIBE SELECT * FROM {source}").fetchall()]  # noqa: S608 - the file's own path, quoted
        self._from = source
        self._names = [name for name, _ in found]
        return {name: TYPES.get(of, TEXT) for name, of in found}

    @property
    def names(self) -> list[str]:
        """The file's columns, in order."""
        return list(self._names)

    def kinds(self, names: list[str]) -> dict[str, str]:
        """How these columns are kept; each must be there once."""
        for name in names:
            if self._names.count(name) != 1:
                raise DataRefused(f"column {name} does not hold what the dictionary says")
        return {name: self._types[name] for name in names}

    def hold(self, base: Select) -> Select:
        """What further questions stand on: a CSV is taken in once, a Parquet file is asked again."""
        if self._kind == "csv":
            writer = Writer(self._from)
            with _named("the file cannot be read"):
                query = writer.select(base)
                self._connection.execute(f"CREATE TABLE held AS {query}", writer.values)
                self._connection.execute("SET enable_external_access = false")
            self._from = "held"
            return Select(None, {name: column(name) for name in base.fields})
        return base

    def ask(self, asked: Select) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        writer = Writer(self._from)
        with _named("the file cannot be read"):
            found: list[tuple[Any, ...]] = self._connection.execute(writer.select(asked), writer.values).fetchall()
        return found

    def cells(self, name: str, question: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """A question about one column as text, for who describes the file: {cells} stands in it for the cells that are
        not empty, each a `cell`. The question is this house's own text, whatever comes from outside a parameter."""
        text = Writer("").term(text_of(name, self._types[name]))
        cells = f"(SELECT {text} AS cell FROM {self._from} WHERE {text} <> '')"  # noqa: S608 - a quoted name
        with _named("the file cannot be read"):
            return list(self._connection.execute(question.replace("{cells}", cells), dict(values)).fetchall())

    def fingerprint(self, key: bytes) -> str:
        """The file's fingerprint under this key, now."""
        try:
            return fingerprint(self._path, key)
        except OSError:
            raise DataRefused("the file cannot be read", code=UNREACHABLE) from None

    def settle(self) -> None:
        """Raise `dataset.changed` unless the file that was read is the registered one, and still as it was."""
        if self._state() != self._before:
            raise DataRefused("the file changed while it was read", code=CHANGED)
        if self._check is not None:
            self._hashing.join()
            if self._found is None:
                raise DataRefused("the file cannot be read", code=UNREACHABLE)
            if not hmac.compare_digest(self._found, self._check["expected"]):
                raise DataRefused("the file is not the registered one", code=CHANGED)

    def close(self) -> None:
        """Forget the rows, those on disk too."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = next(csv.reader(file), [])
    except OSError:
        raise DataRefused("the file cannot be read", code=UNREACHABLE) from None
    except (UnicodeDecodeError, csv.Error):
        names = []
    if not names or len(set(names)) != len(names):
        raise DataRefused("the file cannot be read as CSV: a header with distinct names is needed", code=CHANGED)
    return names
