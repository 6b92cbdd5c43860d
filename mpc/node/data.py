"""Files that a hospital registers: drafted dictionaries, the check against a dictionary, the keyed fingerprint.

Asks local CSV and Parquet files for counts, as a job does (`mpc.sources.duck`), and hands out descriptions only: bounds
that are drafted here are widened outward to 1-2-5 steps and rare codes dropped, so that no exact extreme and no rare
value leaves the node. Who a person is nobody can read off a file: a draft leaves it open, and its custodian says it.
Error texts name columns and counts of cells, never a value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ledger.documents import load_json
from ledger.errors import DocumentError
from ledger.schemas import column as COLUMN
from ledger.shapes import both_languages, items
from mpc.errors import DataRefused, MpcError, ParametersInvalid, RangeExceeded
from mpc.functions.rows import Rows, Table
from mpc.node.errors import NodeError, Unfit
from mpc.sources import duck
from mpc.sources.duck import FileTable, stands_for_others
from mpc.sources.shape import Scale
from mpc.sources.terms import Select, call
from mpc.sources.terms import column as cell_of

COLUMNS = items(COLUMN, 1, 5000)
RARE = 10
MAX_CODES = 64
MAX_DIGITS = 38
KINDS = {".csv": "csv", ".parquet": "parquet"}
NUMBER = r"-?0{0,20}([1-9][0-9]*|0)(\.[0-9]+)?"
# the name of a column that tells persons apart, as hospitals write it
PERSONS = re.compile(r"(^|[^a-z])(id|mrn|pid|patient|person|subject)([^a-z]|$)|患者|病人|病案|住院号|身份证", re.I)
TOO_FINE = ("so many decimal places over such bounds are not counted exactly: round the values (to two places, say) "
            "and let the step say so")
DICTIONARY = frozenset({"version", "title", "unlisted", "one_person_per_row", "candidates", "notes", "columns"})
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
    try:
        return duck.fingerprint(path, key)
    except OSError as error:
        raise Unfit("dataset.unreadable", f"{path.name} cannot be read") from error


@contextmanager
def opened(path: Path) -> Iterator[FileTable]:
    """One file, opened for description; what the engine says of it as what is wrong with it."""
    kind = kind_of(path)
    if stands_for_others(path):
        raise Unfit("dataset.unreadable", f"{path.name}: no * ? or [ in a dataset's path")
    try:
        table = FileTable(path, kind, check=None)
        try:
            yield table
        finally:
            table.close()
    except NodeError:
        raise
    except MpcError as error:
        why = "" if error.code == duck.CHANGED else f" ({error.code})"
        raise Unfit("dataset.unreadable", f"{path.name} cannot be read as {kind}{why}") from error


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


@dataclass(frozen=True)
class Draft:
    """A drafted dictionary; `candidates` may tell persons apart, `notes` say what a person must look at."""

    columns: list[Column]
    candidates: list[str]
    notes: dict[str, str]


def draft(path: Path) -> list[Column]:
    """A dictionary that the file fits, for a person to correct; exact extremes and rare codes are not in it."""
    return drafted(path).columns


def drafted(path: Path) -> Draft:
    """The same with what is left to a person: who a person is, and what cannot be counted as it is."""
    made = Draft([], [], {})
    with opened(path) as table:
        names = table.names
        table.kinds(names)
        table.hold(Select(None, {name: cell_of(name) for name in names}))
        rows = int(table.ask(Select(None, {"n": call("rows")}))[0][0])
        for name in names:
            _draft_column(table, name, rows, made)
    return made


@dataclass(frozen=True)
class _Shape:
    """What a draft knows of a column: numbers of cells, of distinct and of frequent ones, digits and places."""

    filled: int
    distinct: int
    frequent: int
    numeric: bool
    digits: int
    places: int

    @classmethod
    def of(cls, table: FileTable, name: str) -> "_Shape":
        filled, numbers, digits, places = table.cells(
            name, "SELECT count(*), count(*) FILTER (WHERE fits), "
            "coalesce(max(length(ltrim(split_part(ltrim(cell, '-'), '.', 1), '0'))) FILTER (WHERE fits), 0), "
            "coalesce(max(length(rtrim(split_part(cell, '.', 2), '0'))) FILTER (WHERE fits), 0) "
            "FROM (SELECT cell, regexp_full_match(cell, $number) AS fits FROM {cells})", {"number": NUMBER})[0]
        distinct, frequent = table.cells(
            name, "SELECT count(*), count(*) FILTER (WHERE n >= $rare) FROM "
            "(SELECT cell, count(*) AS n FROM {cells} GROUP BY cell)", {"rare": RARE})[0]
        return cls(filled, distinct, frequent, filled > 0 and numbers == filled, digits, places)


def _draft_column(table: FileTable, name: str, rows: int, made: Draft) -> None:
    seen = _Shape.of(table, name)
    measured = seen.numeric and seen.places > 0
    if not measured and (seen.distinct > MAX_CODES or PERSONS.search(name)):
        made.candidates.append(name)
    if not measured and seen.frequent and seen.distinct <= (10 if seen.numeric else MAX_CODES):
        codes = table.cells(name, "SELECT cell FROM {cells} GROUP BY cell HAVING count(*) >= $rare", {"rare": RARE})
        made.columns.append(column(name, "category", codes=sorted(str(one) for one, in codes)))
        return
    row_numbers = rows > RARE and seen.places == 0 and seen.distinct == rows == seen.filled
    if seen.numeric and not row_numbers:
        found = _draft_number(table, name, seen)
        if found is not None:
            made.columns.append(found)
            return
        made.notes[name] = f"{TOO_FINE}; drafted as text, on which nothing is computed"
    unique = seen.distinct >= rows - RARE and rows and not measured
    made.columns.append(column(name, "identifier" if unique else "text"))


def _draft_number(table: FileTable, name: str, seen: _Shape) -> Column | None:
    """None where such numbers are not counted exactly."""
    if seen.digits + seen.places > MAX_DIGITS:
        return None
    exact = f"DECIMAL({MAX_DIGITS}, {seen.places})"
    ends = table.cells(name, f"SELECT min(CAST(cell AS {exact})), max(CAST(cell AS {exact})) FROM {{cells}}", {})[0]  # noqa: S608 - two whole numbers
    low, high = widen(Fraction(ends[0]), up=False), widen(Fraction(ends[1]), up=True)
    if low > 0 and high / low >= 5:
        low = Fraction(0)
    step = Fraction(1, 10**seen.places)
    found = column(name, "number", low=_decimal(_down(low, step)), high=_decimal(_up(high, step)), step=_decimal(step))
    try:
        Scale.of(found)
    except RangeExceeded:
        return None
    return found


def column(name: str, kind: str, *, low: str | None = None, high: str | None = None, step: str | None = None,
           codes: list[str] | None = None) -> Column:
    """A column of a dictionary, labelled with its own name until a person labels it."""
    return {"name": name, "label": {"zh": name, "en": name}, "kind": kind, "unit": None, "min": low, "max": high,
            "step": step, "codes": codes}


def check_computable(columns: Sequence[Column]) -> None:
    """Refuse now what every job would refuse: a grid too fine, or bounds off it."""
    for one in columns:
        if one["kind"] != "number":
            continue
        try:
            Scale.of(one)
        except RangeExceeded as error:
            raise Unfit("dictionary.too_fine", f"{one['name']}: {TOO_FINE}") from error
        except ParametersInvalid as error:
            raise Unfit("dictionary.malformed", error.text) from error


def check_file(path: Path, columns: Sequence[Column], *, unlisted_as_missing: bool = False) -> Findings:
    """Raise `Unfit` unless every cell is what the dictionary says; codes not listed may be allowed as missing."""
    with opened(path) as table:
        return check_table(table, path.name, columns, unlisted_as_missing=unlisted_as_missing)


def check_table(table: Table, name: str, columns: Sequence[Column], *, unlisted_as_missing: bool) -> Findings:
    """The same of a table that is open, by the very rule by which a job reads it."""
    check_computable(columns)
    if isinstance(table, FileTable) and sorted(table.names) != sorted(one["name"] for one in columns):
        raise Unfit("dataset.off_dictionary", f"{name}: the columns are not those of the dictionary")
    try:
        rows = Rows(table, columns, None, unlisted_as_missing=False, registered=False)
    except DataRefused as error:
        if error.code != DataRefused.code:
            raise
        raise Unfit("dataset.off_dictionary", f"{name}: {error.text}") from error
    wrong = {one: count for one, count in rows.misfits().items() if count}
    kinds = {one["name"]: one["kind"] for one in columns}
    for one, count in wrong.items():
        if kinds[one] != "category" or not unlisted_as_missing:
            raise Unfit("dataset.off_dictionary", f"{name}: {count} cells of {one} do not fit")
    return Findings(rows.number(), wrong)


@dataclass(frozen=True)
class Dictionary:
    """A file's description; with `unlisted_as_missing` a cell whose code it does not list counts as missing. Persons
    are told apart by its identifier columns, or each row is one; None: nobody has said which."""

    columns: list[Column]
    title: dict[str, str]
    unlisted_as_missing: bool
    one_person_per_row: bool | None = False
    candidates: tuple[str, ...] = ()

    @property
    def identifiers(self) -> list[str]:
        """The columns that tell persons apart."""
        return [one["name"] for one in self.columns if one["kind"] == "identifier"]


def with_persons(words: Dictionary, *, column_name: str = "", per_row: bool = False) -> Dictionary:
    """The dictionary as its custodian says who a person is: whoever `column_name` names, or each row. The floor counts
    persons, so without a word of theirs nothing is registered. A draft's guess at identifiers yields to that word."""
    if words.one_person_per_row is None and (column_name or per_row):
        words = replace(words, one_person_per_row=False, columns=[
            one | {"kind": "text"} if one["kind"] == "identifier" else one for one in words.columns])
    if column_name:
        if per_row or column_name not in [one["name"] for one in words.columns]:
            raise Unfit("dictionary.persons", f"{column_name}: one column of the file tells persons apart, or each row "
                                              "is a person")
        columns = [column(column_name, "identifier") | {"label": one["label"]} if one["name"] == column_name else one
                   for one in words.columns]
        return replace(words, columns=columns, one_person_per_row=False)
    said = True if per_row else words.one_person_per_row
    if said and words.identifiers:
        raise Unfit("dictionary.persons", f"each row is said to be a person, and {words.identifiers[0]} to tell "
                                          "persons apart: one of them is not so")
    if said is None or not (said or words.identifiers):
        looked = f" (look at: {', '.join(words.candidates[:20])})" if words.candidates else ""
        raise Unfit("dictionary.persons", f"say who a person is: an identifier column, which tells persons apart"
                                          f"{looked}, or one_person_per_row, if no person has two rows")
    return replace(words, one_person_per_row=said)


def read_dictionary(path: Path) -> Dictionary:
    """A `NAME.dictionary.json`; says where it is not of the form."""
    try:
        body = load_json(path.read_text(encoding="utf-8-sig"))
        if not isinstance(body, dict) or set(body) - DICTIONARY:
            raise Unfit("dictionary.malformed", f"{path.name}: an object of version, title and columns is needed")
        if body.get("unlisted", "refused") not in ("refused", "missing"):
            raise Unfit("dictionary.malformed", f"{path.name}: /unlisted: says neither refused nor missing")
        if type(body.get("one_person_per_row", False)) not in (bool, type(None)):
            raise Unfit("dictionary.malformed", f"{path.name}: /one_person_per_row: says neither true nor false")
        COLUMNS(body.get("columns"), "/columns")
        if body.get("title") is not None:
            both_languages(body["title"], "/title")
    except DocumentError as error:
        raise Unfit("dictionary.malformed", f"{path.name}: {error.message}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise Unfit("dictionary.malformed", f"{path.name} cannot be read") from error
    return Dictionary(body["columns"], body.get("title") or {}, body.get("unlisted") == "missing",
                      body.get("one_person_per_row", False),
                      tuple(map(str, body.get("candidates") or ())) if isinstance(body.get("candidates"), list) else ())


def drafted_file(path: Path) -> dict[str, Any]:
    """A drafted dictionary as a file: rare codes are not in it, so what it does not list counts as missing; who a
    person is stands open (null) until somebody says it."""
    made = drafted(path)
    return {"version": 1, "unlisted": "missing", "one_person_per_row": None, "candidates": made.candidates,
            "notes": made.notes, "columns": made.columns}


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
