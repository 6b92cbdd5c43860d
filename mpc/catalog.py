"""The functions a party may be asked to compute: names, digests, parameters, what they reveal.

Imports neither numpy nor torch nor a function's code, so that portal and SDK can read it. The digest of a function is
SHA-256 over the LF bytes of every source file that decides what it computes and opens, then its entry without the
digest. `python -m mpc.catalog --check` compares, `--write` brings DIGESTS below up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ledger.documents import canonical
from mpc.encoding import Grid
from mpc.errors import ParametersInvalid

Columns = Sequence[Mapping[str, Any]]
RESERVED = ("by", "n")
MAX_COLUMNS = 32
MAX_CELLS = 20_000
MIN_POINTS = 4
SHARED_SOURCES = ("encoding.py", "sharing.py", "disclosure.py", "functions/plan.py", "functions/rows.py",
                  "functions/sums.py", "filters.py", "masked.py", "sources/connect.py", "sources/duck.py",
                  "sources/far.py", "sources/postgres.py", "sources/shape.py", "sources/spark.py", "sources/terms.py")

DIGESTS = {
    "crosstab@1": "292ee97807635aac0d7905e5195664ca86b46b9c11914b3fb070788014ee94a6",
    "describe@1": "1c156e3018d567f9acf1ebe33a5c62a3275f97995b9e9db09d044c6dccfac47d",
}


@dataclass(frozen=True)
class FunctionEntry:
    """One offered function. `minimum_floor` is the k that its opened moments need whatever a spec says."""

    name: str
    version: int
    title: Mapping[str, str]
    parameters: Mapping[str, Any]
    reveals: Mapping[str, str]
    min_parties: int
    minimum_floor: int
    digest: str

    @property
    def key(self) -> str:
        return f"{self.name}@{self.version}"

    def described(self) -> dict[str, Any]:
        """The entry without its digest, as it enters the digest."""
        return {
            "name": self.name, "version": self.version, "title": dict(self.title), "parameters": dict(self.parameters),
            "reveals": dict(self.reveals), "min_parties": self.min_parties, "minimum_floor": self.minimum_floor,
        }


def _schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties),
            "required": sorted(properties)}


_NAME = {"type": "string", "minLength": 1, "maxLength": 63}

CATALOG: Mapping[str, FunctionEntry] = MappingProxyType({
    "describe@1": FunctionEntry(
        name="describe", version=1,
        title={"zh": "分组描述统计", "en": "Grouped description"},
        parameters=_schema({
            "columns": {"type": "array", "items": _NAME, "minItems": 1, "maxItems": MAX_COLUMNS, "uniqueItems": True},
            "by": {"type": ["string", "null"], "minLength": 1, "maxLength": 63},
        }),
        reveals={
            "zh": "购买方得到：每组在所选各列均完整的行数、各列均值、方差与标准差（由行数、总和与平方和算出），"
                  "以及各列缺失数；不公开合计。门槛按人计：任一医院以外的人数低于门槛、或其余人中两人占平方和九成以上的组"
                  "不公开，与之成对的组也一并不公开。",
            "en": "To the consumer: for each group the number of rows complete in all columns asked, each column's "
                  "mean, variance and standard deviation (from count, sum, sum of squares), and each column's number "
                  "of missing values; no total is opened. The floor counts persons: a group stays closed if without "
                  "any one hospital it would be under the floor, or if two of the others' persons make up more than "
                  "nine tenths of its sum of squares; the group or groups it is paired with stay closed with it.",
        },
        min_parties=3, minimum_floor=5, digest=DIGESTS["describe@1"]),
    "crosstab@1": FunctionEntry(
        name="crosstab", version=1,
        title={"zh": "交叉表", "en": "Cross table"},
        parameters=_schema({"rows": _NAME, "columns": _NAME}),
        reveals={
            "zh": "购买方得到：两列代码的每一组合的行数，以及两列各自的缺失数；不公开合计。门槛按人计："
                  "任一医院以外的人数低于门槛的格不公开，与之成对的格也一并不公开。",
            "en": "To the consumer: the number of rows of every pair of codes, and the number of missing values of "
                  "both columns; no margin is opened. The floor counts persons: a cell stays closed if without any "
                  "one hospital it would be under the floor, and the cell or cells it is paired with stay closed with "
                  "it.",
        },
        min_parties=3, minimum_floor=3, digest=DIGESTS["crosstab@1"]),
})


@cache
def engine_digest() -> str:
    """Of the code by which the parties of a session talk to each other: no function's, but all of them must have it
    alike, or one would not understand what another sends. SHA-256 over the LF bytes of its files, in order."""
    home = Path(__file__).parent
    whole = sha256(b"xinglin/engine/v1\n")
    for path in sorted([home / "party.py", home / "dealer.py", *(home / "engines").rglob("*.py")]):
        source = path.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{path.relative_to(home).as_posix()}\n{len(source)}\n".encode() + source)
    return whole.hexdigest()


def digest_of(key: str) -> str:
    """The digest of the code that stands here now."""
    entry = CATALOG[key]
    home = Path(__file__).parent
    whole = sha256(b"xinglin/function/v1\n")
    for name in (f"functions/{entry.name}.py", *SHARED_SOURCES):
        source = (home / name).read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{name}\n{len(source)}\n".encode() + source)
    whole.update(canonical(entry.described()))
    return whole.hexdigest()


def _invalid(text: str) -> ParametersInvalid:
    return ParametersInvalid(text)


def _column(columns: Columns, name: object, kind: str) -> Mapping[str, Any]:
    found = [column for column in columns if column["name"] == name]
    if not isinstance(name, str) or len(found) != 1:
        raise _invalid(f"no column {name!r} in the dictionary")
    if found[0]["kind"] != kind:
        raise _invalid(f"column {name} is no {kind}")
    if name in RESERVED:
        raise _invalid(f"a column named {name} cannot be asked for")
    return found[0]


def _check_describe(parameters: Mapping[str, Any], columns: Columns) -> None:
    asked = parameters["columns"]
    if not isinstance(asked, list) or not 1 <= len(asked) <= MAX_COLUMNS or len(set(map(str, asked))) != len(asked):
        raise _invalid(f"columns: from 1 to {MAX_COLUMNS} names, each once")
    for name in asked:
        one = _column(columns, name, "number")
        if one.get("step") is not None and Grid.of(one).points < MIN_POINTS:
            raise _invalid(f"column {name} has so few values that it is a category: its sums would count persons")
    if parameters["by"] is not None:
        _column(columns, parameters["by"], "category")


def _check_described(names: Sequence[str], dictionaries: Sequence[Columns], rows: int) -> None:
    """No dataset's declaration of a column undoes what another one's protects: neither makes a number of what is a
    category there, nor a grid so coarse that all contributions there look alike."""
    for name in names:
        grids = [Grid.of(one) for columns in dictionaries for one in columns if one["name"] == name]
        if min(grid.points for grid in grids) < MIN_POINTS:
            raise _invalid(f"column {name} has so few values in one dataset that it is a category")
        narrowest = min(grid.reach for grid in grids)
        for grid in grids:
            grid.check_coarse(narrowest, rows)


def _check_crosstab(parameters: Mapping[str, Any], columns: Columns) -> None:
    across, down = (_column(columns, parameters[key], "category") for key in ("rows", "columns"))
    if across["name"] == down["name"]:
        raise _invalid("rows and columns are the same column")
    if len(across["codes"]) * len(down["codes"]) > MAX_CELLS:
        raise _invalid(f"more than {MAX_CELLS} cells")


_CHECKS: Mapping[str, Callable[[Mapping[str, Any], Columns], None]] = {
    "describe@1": _check_describe, "crosstab@1": _check_crosstab,
}


def validate_parameters(key: str, parameters: Mapping[str, Any], columns: Columns) -> None:
    """Raise `parameters.invalid` unless the function knows these parameters and the dictionary has these columns."""
    if key not in CATALOG:
        raise _invalid(f"no function {key}")
    if not isinstance(parameters, Mapping) or set(parameters) != set(CATALOG[key].parameters["required"]):
        raise _invalid(f"{key} takes exactly {', '.join(CATALOG[key].parameters['required'])}")
    _CHECKS[key](parameters, columns)


def validate_datasets(key: str, parameters: Mapping[str, Any], datasets: Sequence[Mapping[str, Any]]) -> None:
    """The same for what only the datasets' own descriptions tell, of parameters that fit what they have in common.
    Raises `parameters.invalid` or `encoding.coarse`, from dictionaries and records alone."""
    if key == "describe@1":
        _check_described(parameters["columns"], [one["columns"] for one in datasets],
                         sum(int(one["rows_max"]) for one in datasets))


def stale() -> list[str]:
    """Functions whose committed digest is not that of their code."""
    return [key for key, entry in CATALOG.items() if entry.digest != digest_of(key)]


def _write() -> None:
    path = Path(__file__)
    text = path.read_text(encoding="utf-8")
    for key in CATALOG:
        text = re.sub(rf'("{re.escape(key)}": )"[0-9a-f]*"(,\n)', rf'\g<1>"{digest_of(key)}"\g<2>', text, count=1)
    path.write_text(text, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m mpc.catalog")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--check", action="store_true", help="exit 1 if a committed digest is not that of the code")
    group.add_argument("--write", action="store_true", help="write the digests of the code that stands here")
    if parser.parse_args(arguments).write:
        _write()
        return 0
    old = stale()
    for key in old:
        print(f"{key}: the committed digest is not that of its code; python -m mpc.catalog --write", file=sys.stderr)
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
