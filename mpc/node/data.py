"""Files that a hospital registers: drafted dictionaries, the check against a dictionary, the keyed fingerprint.

Reads local CSV and Parquet files through DuckDB and hands out descriptions only: bounds that are drafted here are
widened outward to 1-2-5 steps and rare codes dropped, so that no exact extreme and no rare value leaves the node. Error
texts name columns and counts of cells, never a value.
"""

import csv
import hashlib
import hmac
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb

from ledger.documents import load_json
from ledger.errors import DocumentError
from ledger.schemas import column as COLUMN
from ledger.shapes import both_languages, items
from mpc.node.errors import Unfit
from mpc.sources.duck import ALONE, memory_mb, stands_for_others

COLUMNS = items(COLUMN, 1, 5000)
RARE = 10
AT_ONCE = 10_000
MAX_CODES = 64
KINDS = {".csv": "csv", ".parquet": "parquet"}
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
Column = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """What a check of a file against its dictionary found; counts of cells, by column."""

    rows: int
    unlisted: Mapping[str, int]


def kind_of(path: Path) -> str:
    """csv or parquet, by the file's name."""
    try:
        return KINDS[path.suffix.lower()]
    except KeyError as error:
        raise Unfit("dataset.kind", f"{path.name}: a dataset is a .csv or a .parquet file") from error


def fingerprint(path: Path, key: bytes) -> str:
    """HMAC-SHA256 over the file's bytes, under a key that never leaves the node."""
    digest = hmac.new(key, digestmod=hashlib.sha256)
    try:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise Unfit("dataset.unreadable", f"{path.name} cannot be read") from error
    return digest.hexdigest()


class Table:
    """One file opened for description; every cell as text, an empty cell missing."""

    def __init__(self, path: Path) -> None:
        self.path, self.kind = path, kind_of(path)
        if stands_for_others(path):
            raise Unfit("dataset.unreadable", f"{path.name}: no * ? or [ in a dataset's path")
        self._folder = tempfile.mkdtemp(prefix="spill-")  # else DuckDB would leave rows below the working directory
        self._db = duckdb.connect(":memory:", config={
            "threads": 1, "memory_limit": f"{memory_mb()}MB", "temp_directory": self._folder,
            "autoinstall_known_extensions": False, "autoload_known_extensions": False})
        try:
            source = _csv_source(path) if self.kind == "csv" else f"read_parquet(?, {ALONE})"
            described = self._all(f"DESCRIBE SELECT * FROM {source}", [str(path)])  # noqa: S608
            texts = ", ".join(_as_text(str(row[0]), str(row[1])) for row in described)
            self._db.execute(f"CREATE TABLE file AS SELECT {texts} FROM {source}", [str(path)])  # noqa: S608
        except (duckdb.Error, OSError, UnicodeDecodeError, csv.Error):
            # their texts quote rows
            self.close()
            raise Unfit("dataset.unreadable", f"{path.name} cannot be read as {self.kind}") from None
        self.names: list[str] = [str(row[0]) for row in described]
        self.rows = int(self._all("SELECT count(*) FROM file")[0][0])

    def _all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._db.execute(sql, list(values)).fetchall()
        return found

    def close(self) -> None:
        """Forget the rows, those on disk too."""
        self._db.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def cells(self, name: str) -> Iterator[tuple[str, int]]:
        """Each distinct cell of a column with its number; a missing cell is not counted."""
        column = _quoted(name)
        asked = self._db.execute(
            f"SELECT {column}, count(*) FROM file WHERE {column} IS NOT NULL AND {column} <> '' GROUP BY 1")  # noqa: S608
        while rows := asked.fetchmany(AT_ONCE):
            for value, number in rows:
                yield str(value), int(number)

    def counts(self, name: str) -> dict[str, int]:
        """All of them."""
        return dict(sorted(self.cells(name)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _csv_source(path: Path) -> str:
    """The engine's own way to read a CSV: nothing is guessed, every cell is text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = next(csv.reader(file), [])
    if not names or len(set(names)) != len(names):
        raise csv.Error("a header with distinct names is needed")
    types = ", ".join(f"'{name.replace(chr(39), chr(39) * 2)}': 'VARCHAR'" for name in names)
    return ("read_csv(?, auto_detect=false, header=true, delim=',', quote='\"', escape='\"', nullstr='', "
            f"columns={{{types}}}, {ALONE})")


def _as_text(name: str, of_type: str) -> str:
    """A cell as the engine reads it: text, and a boolean as True or False."""
    column = _quoted(name)
    if of_type == "BOOLEAN":
        return f"CASE WHEN {column} THEN 'True' WHEN NOT {column} THEN 'False' END AS {column}"
    return f"CAST({column} AS VARCHAR) AS {column}"


def rows_max(rows: int) -> int:
    """The number of rows rounded up to 1, 2 or 5 times a power of ten, at least 10."""
    return int(widen(Fraction(max(rows, 10)), up=True))


def widen(value: Fraction, *, up: bool) -> Fraction:
    """The next 1-2-5 step outward; 0 stays 0."""
    if value == 0:
        return value
    if value < 0:
        return -widen(-value, up=not up)
    power = Fraction(1)
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    steps = [power * factor for factor in (1, 2, 5, 10)]
    return min(step for step in steps if step >= value) if up else max(step for step in steps if step <= value)


def draft(path: Path) -> list[Column]:
    """A dictionary that the file fits, for a person to correct; exact extremes and rare codes are not in it."""
    table = Table(path)
    try:
        return [_draft_column(name, table.counts(name), table.rows) for name in table.names]
    finally:
        table.close()


def _draft_column(name: str, counts: Mapping[str, int], rows: int) -> Column:
    frequent = sorted(code for code, number in counts.items() if number >= RARE)
    numeric = bool(counts) and all(NUMBER.fullmatch(value) for value in counts)
    measured = numeric and any(Fraction(value).denominator != 1 for value in counts)
    few = not measured and len(counts) <= (10 if numeric else MAX_CODES)
    if few and frequent:
        return column(name, "category", codes=frequent)
    if numeric and not _row_numbers(counts, rows):
        values = [Fraction(value) for value in counts]
        places = max(_places(value) for value in values)
        low, high = widen(min(values), up=False), widen(max(values), up=True)
        if low > 0 and high / low >= 5:
            low = Fraction(0)
        step = Fraction(1, 10**places)
        return column(name, "number", low=_decimal(_down(low, step)), high=_decimal(_up(high, step)),
                      step=_decimal(step))
    return column(name, "identifier" if len(counts) >= rows - RARE and rows else "text")


def _row_numbers(counts: Mapping[str, int], rows: int) -> bool:
    whole = all("." not in value for value in counts)
    return whole and rows > RARE and len(counts) == rows == sum(counts.values())


def column(name: str, kind: str, *, low: str | None = None, high: str | None = None, step: str | None = None,
           codes: list[str] | None = None) -> Column:
    """A column of a dictionary, labelled with its own name until a person labels it."""
    return {"name": name, "label": {"zh": name, "en": name}, "kind": kind, "unit": None, "min": low, "max": high,
            "step": step, "codes": codes}


def check_file(path: Path, columns: Sequence[Column], *, unlisted_as_missing: bool = False) -> Findings:
    """Raise `Unfit` unless every cell is what the dictionary says; codes not listed may be allowed as missing."""
    table = Table(path)
    try:
        if sorted(table.names) != sorted(one["name"] for one in columns):
            raise Unfit("dataset.off_dictionary", f"{path.name}: the columns are not those of the dictionary")
        unlisted = {}
        for one in columns:
            wrong = sum(number for value, number in table.cells(one["name"]) if not fits(one, value))
            if wrong and not (unlisted_as_missing and one["kind"] == "category"):
                raise Unfit("dataset.off_dictionary", f"{path.name}: {wrong} cells of {one['name']} do not fit")
            if wrong:
                unlisted[one["name"]] = wrong
        return Findings(table.rows, unlisted)
    finally:
        table.close()


def fits(one: Column, value: str) -> bool:
    """A cell that is not missing fits its column."""
    if one["kind"] == "category":
        return value in one["codes"]
    if one["kind"] != "number":
        return True
    if not NUMBER.fullmatch(value):
        return False
    number = Fraction(value)
    return Fraction(one["min"]) <= number <= Fraction(one["max"]) and number % Fraction(one["step"]) == 0


@dataclass(frozen=True)
class Dictionary:
    """A file's description; with `unlisted_as_missing` a cell whose code it does not list counts as missing."""

    columns: list[Column]
    title: dict[str, str]
    unlisted_as_missing: bool


def read_dictionary(path: Path) -> Dictionary:
    """A `NAME.dictionary.json`; says where it is not of the form."""
    try:
        body = load_json(path.read_text(encoding="utf-8-sig"))
        if not isinstance(body, dict) or set(body) - {"version", "title", "unlisted", "columns"}:
            raise Unfit("dictionary.malformed", f"{path.name}: an object of version, title and columns is needed")
        if body.get("unlisted", "refused") not in ("refused", "missing"):
            raise Unfit("dictionary.malformed", f"{path.name}: /unlisted: says neither refused nor missing")
        COLUMNS(body.get("columns"), "/columns")
        if body.get("title") is not None:
            both_languages(body["title"], "/title")
    except DocumentError as error:
        raise Unfit("dictionary.malformed", f"{path.name}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit("dictionary.malformed", f"{path.name} cannot be read") from error
    return Dictionary(body["columns"], body.get("title") or {}, body.get("unlisted") == "missing")


def drafted(path: Path) -> dict[str, Any]:
    """A drafted dictionary as a file: rare codes are not in it, so what it does not list counts as missing."""
    return {"version": 1, "unlisted": "missing", "columns": draft(path)}


def _places(value: Fraction) -> int:
    return next(places for places in range(40) if (value * 10**places).denominator == 1)


def _down(value: Fraction, step: Fraction) -> Fraction:
    return (value // step) * step


def _up(value: Fraction, step: Fraction) -> Fraction:
    return -((-value) // step) * step


def _decimal(value: Fraction) -> str:
    places = _places(value)
    whole = abs(value.numerator) * 10**places // value.denominator
    digits = str(whole).rjust(places + 1, "0")
    text = digits if places == 0 else f"{digits[:-places]}.{digits[-places:]}"
    return ("-" if value < 0 else "") + text
