"""Which rows a job is about: the only expressions that may say so, read strictly, checked against the dictionary.

A filter is JSON, never text of a query: null, or one expression,
  {"op": "and" | "or", "of": [E, E, ...]} | {"op": "not", "of": E} | {"op": "missing", "column": NAME}
  {"op": "eq" | "ne" | "lt" | "le" | "gt" | "ge", "column": NAME, "value": TEXT}
  {"op": "in", "column": NAME, "values": [TEXT, ...]} | {"op": "between", "column": NAME, "low": TEXT, "high": TEXT}
with every constant a code that the dictionary lists, or a decimal on the column's grid within its bounds. Logic has two
values: a comparison with a missing cell is false, and its `not` true. A filter may not name a column that the job's
table is about, nor an identifier or text. What a filter could tell that a table does not, and why there is one for each
grant: docs/adr/0014-filters.md. Pure: no rows, no SQL; who compiles it binds the constants (`mpc.functions.rows`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mpc.encoding import Grid
from mpc.errors import DataRefused, ParametersInvalid

Expression = Mapping[str, Any]
Columns = Sequence[Mapping[str, Any]]
MAX_DEPTH = 6
MAX_PARTS = 64
MAX_VALUES = 256
MAX_TEXT = 200
ORDERED = {"lt": "<", "le": "≤", "gt": ">", "ge": "≥"}
COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge}
SAME = {"eq": "=", "ne": "≠"}
FIELDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(("and", "or", "not"), frozenset({"op", "of"})), "missing": frozenset({"op", "column"}),
    **dict.fromkeys((*ORDERED, *SAME), frozenset({"op", "column", "value"})),
    "in": frozenset({"op", "column", "values"}), "between": frozenset({"op", "column", "low", "high"}),
}


def _invalid(text: str) -> ParametersInvalid:
    return ParametersInvalid(f"filter: {text}")


def check_form(given: object) -> Expression | None:
    """The same filter, if it is one of the forms above, not too deep and not too long; columns are not looked at."""
    if given is None:
        return None
    left = [MAX_PARTS]
    _form(given, 1, left)
    return given  # type: ignore[return-value]


def _form(given: object, depth: int, left: list[int]) -> None:
    left[0] -= 1
    if depth > MAX_DEPTH or left[0] < 0:
        raise _invalid(f"deeper than {MAX_DEPTH} or of more than {MAX_PARTS} parts")
    op = given.get("op") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or not isinstance(op, str) or op not in FIELDS or set(given) != FIELDS[op]:
        raise _invalid("not one of the expressions that there are")
    if op in ("and", "or"):
        if not isinstance(given["of"], list) or not 2 <= len(given["of"]) <= MAX_PARTS:
            raise _invalid(f"{op} takes a list of two or more")
        for part in given["of"]:
            _form(part, depth + 1, left)
    elif op == "not":
        _form(given["of"], depth + 1, left)
    else:
        texts = [given["column"], *constants(given)]
        if op == "in" and (not isinstance(given["values"], list) or not 1 <= len(given["values"]) <= MAX_VALUES):
            raise _invalid(f"in takes a list of 1 to {MAX_VALUES}")
        if any(not isinstance(one, str) or not 0 < len(one) <= MAX_TEXT for one in texts):
            raise _invalid("a column's name and every constant is text")
        if len(set(texts[1:])) < len(texts[1:]) and op == "in":
            raise _invalid("in takes each value once")


def constants(part: Expression) -> list[Any]:
    """What one comparison compares its column with."""
    if part["op"] == "in":
        return list(part["values"]) if isinstance(part["values"], list) else []
    return [part[name] for name in ("value", "low", "high") if name in part]


def comparisons(given: Expression | None) -> Iterator[Expression]:
    """Every part that names a column."""
    if given is None:
        return
    if given["op"] in ("and", "or"):
        for part in given["of"]:
            yield from comparisons(part)
    elif given["op"] == "not":
        yield from comparisons(given["of"])
    else:
        yield given


def columns_of(given: Expression | None) -> frozenset[str]:
    """The columns that a filter looks at."""
    return frozenset(part["column"] for part in comparisons(given))


def tabulated(parameters: Mapping[str, Any], columns: Columns) -> frozenset[str]:
    """The columns that the table itself is about: all that a function's parameters name."""
    named = {name for value in parameters.values() for name in (value if isinstance(value, list) else [value])}
    return frozenset(str(one["name"]) for one in columns if one["name"] in named)


def validate_filter(given: object, columns: Columns, *, tabulated: frozenset[str]) -> Expression | None:
    """Raise `parameters.invalid` unless this is a filter over these columns, none of which the table is about."""
    found = check_form(given)
    by_name = {str(one["name"]): one for one in columns}
    for part in comparisons(found):
        one = by_name.get(part["column"])
        if one is None or one["kind"] not in ("number", "category"):
            raise _invalid("only a number or a category column of the common dictionary can be asked about")
        if part["column"] in tabulated:
            raise _invalid(f"column {part['column']} is in the table itself")
        _constants_fit(part, one)
    return found


def _constants_fit(part: Expression, one: Mapping[str, Any]) -> None:
    name, values = part["column"], constants(part)
    if one["kind"] == "category":
        if part["op"] in ORDERED or part["op"] == "between":
            raise _invalid(f"the codes of {name} have no order")
        if not set(values) <= set(one["codes"] or ()):
            raise _invalid(f"{name} has no such code")
        return
    grid = Grid.of(one)
    try:
        steps = [grid.encode(value) for value in values]
    except DataRefused as trouble:
        raise _invalid(f"a constant of {name} is off its grid or beyond its bounds") from trouble
    if part["op"] == "between" and steps[0] > steps[1]:
        raise _invalid(f"the bounds of {name} are the wrong way round")


def holds(given: Expression, cell: Callable[[str], object], constant: Callable[[str, str], Any]) -> bool:
    """Whether one row is in: `cell` answers a column's value (None: missing), `constant` a constant as such a value.
    For the oracles and for tests: one row at a time, in the clear."""
    op = given["op"]
    if op in ("and", "or"):
        found = [holds(part, cell, constant) for part in given["of"]]
        return all(found) if op == "and" else any(found)
    if op == "not":
        return not holds(given["of"], cell, constant)
    value: Any = cell(given["column"])
    if op == "missing" or value is None:
        return op == "missing" and value is None
    others = [constant(given["column"], one) for one in constants(given)]
    if op == "between":
        return bool(others[0] <= value <= others[1])
    if op in ("eq", "in", "ne"):
        return bool((value in others) != (op == "ne"))
    return bool(COMPARED[op](value, others[0]))


WORDS = {
    "en": {"and": " and ", "or": " or ", "not": "not ({})", "missing": "{} is missing", "in": "{} is one of {}",
           "between": "{} from {} to {}", "list": ", ", "open": "(", "close": ")"},
    "zh": {"and": " 且 ", "or": " 或 ", "not": "非（{}）", "missing": "{} 缺失", "in": "{} 属于 {}",
           "between": "{} 在 {} 至 {} 之间", "list": "、", "open": "（", "close": "）"},
}


def in_words(given: Expression, language: str, label: Callable[[str], str] = str) -> str:
    """A filter for people: `label` names a column in their language."""
    words, op = WORDS["zh" if language.startswith("zh") else "en"], given["op"]
    if op in ("and", "or"):
        parts = [in_words(part, language, label) for part in given["of"]]
        inner = [words["open"] + text + words["close"] if part["op"] in ("and", "or") else text
                 for part, text in zip(given["of"], parts, strict=True)]
        return words[op].join(inner)
    if op == "not":
        return words["not"].format(in_words(given["of"], language, label))
    name = label(given["column"])
    if op in ("missing", "between"):
        return words[op].format(name, *constants(given))
    if op == "in":
        return words["in"].format(name, words["list"].join(given["values"]))
    return f"{name} {({**ORDERED, **SAME})[op]} {given['value']}"
