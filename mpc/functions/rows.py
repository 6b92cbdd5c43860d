"""A hospital's own rows, read exactly: every cell as text, an empty cell as missing, through DuckDB.

Opens one file, once, for one job. Everything it says about a problem names a column, never a value.
"""

from __future__ import annotations

import csv
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from mpc.encoding import Grid
from mpc.errors import DataRefused

KINDS = ("csv", "parquet")
BLOCK = 1 << 20


def fingerprint(path: Path, key: bytes) -> str:
    """HMAC-SHA256 of the file's bytes under a key that never leaves the node."""
    mac = hmac.new(key, digestmod=sha256)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            mac.update(block)
    return mac.hexdigest()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _off(name: str) -> DataRefused:
    return DataRefused(f"column {name} does not hold what the dictionary says")


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error) as trouble:
        raise DataRefused("the file cannot be read as CSV", code="dataset.changed") from trouble


class Rows:
    """The columns of one job, held in memory by DuckDB."""

    def __init__(self, connection: Any, columns: Sequence[Mapping[str, Any]]) -> None:
        self._connection = connection
        self._columns = {str(column["name"]): column for column in columns}

    @classmethod
    def open(cls, path: str | os.PathLike[str], kind: str, columns: Sequence[Mapping[str, Any]], *,
             check: Mapping[str, str] | None = None, unlisted_as_missing: bool = False) -> Rows:
        """Load the columns; with `check` = {key, expected} (hex), refuse a file whose fingerprint is another.

        A code that the dictionary does not list is refused later, unless its hospital registered the file with such
        cells to count as missing: a dictionary that names every rare code would itself tell who is there.
        """
        import duckdb

        place = Path(path)
        if kind not in KINDS or not place.is_file():
            raise DataRefused("the file is not there", code="dataset.changed")
        before = place.stat()
        if check is not None:
            found = fingerprint(place, bytes.fromhex(check["key"]))
            if not hmac.compare_digest(found, check["expected"]):
                raise DataRefused("the file is not the registered one", code="dataset.changed")
        connection = duckdb.connect(":memory:", config={
            "threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False,
            "temp_directory": "",
        })
        names = [str(column["name"]) for column in columns]
        try:
            source, values, present = cls._source(connection, place, kind)
            for name in names:
                if present.count(name) != 1:
                    raise _off(name)
            texts = {name: f"nullif({values[name]}, '')" for name in names}
            listed: list[list[str]] = []
            for column in columns:
                if unlisted_as_missing and column["kind"] == "category":
                    name = str(column["name"])
                    texts[name] = f"CASE WHEN list_contains(?, {values[name]}) THEN {texts[name]} END"
                    listed.append(list(column["codes"] or ()))
            wanted = ", ".join(f"{texts[name]} AS {_quoted(name)}" for name in names)
            query = f"CREATE TABLE rows AS SELECT {wanted} FROM {source}"  # noqa: S608
            connection.execute(query, [*listed, str(place)])
            connection.execute("SET enable_external_access = false")
        except duckdb.Error:
            # DuckDB's texts quote the offending row
            raise DataRefused("the file cannot be read", code="dataset.changed") from None
        after = place.stat()
        if (before.st_ino, before.st_size, before.st_mtime_ns) != (after.st_ino, after.st_size, after.st_mtime_ns):
            raise DataRefused("the file changed while it was read", code="dataset.changed")
        return cls(connection, columns)

    @staticmethod
    def _source(connection: Any, path: Path, kind: str) -> tuple[str, dict[str, str], list[str]]:
        """FROM clause, each column as text, and the names in the file."""
        if kind == "csv":
            names = _header(path)
            types = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for name in names)
            source = ("read_csv(?, auto_detect=false, header=true, delim=',', quote='\"', escape='\"', nullstr='', "
                      f"columns={{{types}}})")
            return source, {name: _quoted(name) for name in names}, names
        source = "read_parquet(?)"
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}", [str(path)]).fetchall()  # noqa: S608
        texts = {}
        for name, of_type, *_ in described:
            text = f"CAST({_quoted(name)} AS VARCHAR)"
            if of_type == "BOOLEAN":
                text = f"CASE WHEN {_quoted(name)} THEN 'True' WHEN NOT {_quoted(name)} THEN 'False' END"
            texts[name] = text
        return source, texts, [row[0] for row in described]

    def number(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM rows").fetchone()[0])

    def missing(self, name: str) -> int:
        """How many rows lack the column; also checks every value the column holds."""
        column = self._columns[name]
        counts = dict(self._grouped([name], []))
        lacking = counts.pop((None,), 0)
        if column["kind"] == "number":
            grid = Grid.of(column)
            for (text,) in counts:
                grid.encode(text or "")
        elif not {text for (text,) in counts} <= set(column["codes"] or ()):
            raise _off(name)
        return lacking

    def counts(self, names: Sequence[str], *, complete_in: Iterable[str]) -> dict[tuple[str | None, ...], int]:
        """Number of rows for every combination of values met, over rows that lack none of `complete_in`."""
        return dict(self._grouped(names, list(complete_in)))

    def _grouped(self, names: Sequence[str], complete_in: Sequence[str]) -> list[tuple[tuple[str | None, ...], int]]:
        listed = "".join(f"{_quoted(name)}, " for name in names)
        where = " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in complete_in) or "true"
        grouping = f"GROUP BY {listed[:-2]}" if names else ""
        query = f"SELECT {listed}count(*) FROM rows WHERE {where} {grouping}"  # noqa: S608
        return [(row[:-1], int(row[-1])) for row in self._connection.execute(query).fetchall()]

    def close(self) -> None:
        self._connection.close()
