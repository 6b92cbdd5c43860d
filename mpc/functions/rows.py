"""A hospital's own rows, read exactly: every cell as text, an empty cell as missing, through DuckDB.

Opens one file, once, for one job. Everything it says about a problem names a column, never a value. Persons are told
apart by the identifier column that is loaded (of several, by the one with the fewest distinct values, so that nobody
counts twice); where none is loaded, or no value of it occurs twice, a row is a person.
"""

from __future__ import annotations

import csv
import hmac
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from mpc.encoding import Grid
from mpc.errors import DataRefused, MpcError

KINDS = ("csv", "parquet")
BLOCK = 1 << 20
OUT_OF_MEMORY = "worker.out_of_memory"
Combination = tuple[str | None, ...]


def fingerprint(path: Path, key: bytes) -> str:
    """HMAC-SHA256 of the file's bytes under a key that never leaves the node."""
    mac = hmac.new(key, digestmod=sha256)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            mac.update(block)
    return mac.hexdigest()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _complete(names: Iterable[str]) -> str:
    return " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in names) or "true"


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
        self._met: dict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Combination, int]]] = {}

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
        except duckdb.OutOfMemoryException:
            raise MpcError("the file does not fit into memory", code=OUT_OF_MEMORY) from None
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
        return self._value("SELECT count(*) FROM rows")

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

    @cached_property
    def person(self) -> str | None:
        """The column that tells persons apart; None where each row is a person."""
        names = [name for name, column in self._columns.items() if column["kind"] == "identifier"]
        counted = "".join(f", count(DISTINCT {_quoted(name)})" for name in names)
        number, *distinct = self._all(f"SELECT count(*){counted} FROM rows")[0]  # noqa: S608
        fewest, name = min(zip(distinct, names, strict=True), default=(number, None))
        return None if fewest == number else name

    def persons(self, names: Sequence[str], groups: Sequence[Iterable[Combination]], *,
                complete_in: Sequence[str]) -> list[int]:
        """For each group of combinations of values how many distinct persons have a row in it."""
        if self.person is None:
            met = self.counts(names, complete_in=complete_in)
            return [sum(met.get(combination, 0) for combination in group) for group in groups]
        id_, where = _quoted(self.person), _complete(complete_in)
        if not names:
            return [self._value(f"SELECT count(DISTINCT {id_}) FROM rows WHERE {where}") for _ in groups]  # noqa: S608
        pairs = [(at, *combination) for at, group in enumerate(groups) for combination in group]
        lists = ", ".join(f"unnest(?) AS c{at}" for at in range(len(names) + 1))
        same = " AND ".join(f"{_quoted(name)} = c{at}" for at, name in enumerate(names, 1))
        query = (f"SELECT c0, count(DISTINCT {id_}) FROM rows JOIN (SELECT {lists}) ON {same} "  # noqa: S608
                 f"WHERE {where} GROUP BY c0")
        found = dict(self._all(query, [list(part) for part in zip(*pairs, strict=True)]))
        return [int(found.get(at, 0)) for at in range(len(groups))]

    def sides(self, name: str) -> tuple[int, int]:
        """How many persons have a row that lacks the column, and how many a row that has it."""
        if self.person is None:
            met = dict(self._grouped([name], []))
            lacking = met.pop((None,), 0)
            return lacking, sum(met.values())
        lacks = f"DISTINCT CASE WHEN {_quoted(name)} IS NULL THEN {_quoted(self.person)} END"
        has = f"DISTINCT CASE WHEN {_quoted(name)} IS NOT NULL THEN {_quoted(self.person)} END"
        lacking, having = self._all(f"SELECT count({lacks}), count({has}) FROM rows")[0]  # noqa: S608
        return lacking, having

    def per_person(self, names: Sequence[str], *, complete_in: Sequence[str]) -> list[tuple[Combination, int, object]]:
        """Every combination of values met, its number of rows, and whose they are: a token for the person, or None
        where each row is a person. Rows that name nobody count as one person's."""
        if self.person is None:
            return [(key, count, None) for key, count in self.counts(names, complete_in=complete_in).items()]
        found = self._grouped([*names, self.person], complete_in)
        return [(key[:-1], count, (key[-1],)) for key, count in found]

    def _value(self, query: str) -> int:
        return int(self._all(query)[0][0])

    def _all(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            found: list[tuple[Any, ...]] = self._connection.execute(query, list(values)).fetchall()
        except duckdb.OutOfMemoryException:
            raise MpcError("the rows do not fit into memory", code=OUT_OF_MEMORY) from None
        return found

    def _grouped(self, names: Sequence[str], complete_in: Sequence[str]) -> list[tuple[tuple[str | None, ...], int]]:
        listed = "".join(f"{_quoted(name)}, " for name in names)
        where = _complete(complete_in)
        grouping = f"GROUP BY {listed[:-2]}" if names else ""
        query = f"SELECT {listed}count(*) FROM rows WHERE {where} {grouping}"  # noqa: S608
        asked = tuple(names), tuple(complete_in)
        if asked not in self._met:
            self._met[asked] = [(row[:-1], int(row[-1])) for row in self._all(query)]
        return self._met[asked]

    def close(self) -> None:
        self._connection.close()
