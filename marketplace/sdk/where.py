"""Filters as a person writes them: `column("age") >= 60`, joined by `&`, `|` and `~`; a job spec holds them as JSON.

Builds expressions and checks their form; whether the columns and constants exist is checked with the dictionary, before
an order is signed and again by every node (`mpc.filters`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketplace.sdk.errors import Refused
from mpc.errors import ParametersInvalid
from mpc.filters import check_form

Constant = str | int | Decimal | float


def _text(value: Constant) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise Refused("a constant of a filter is a number or a text", code="spec.parameters")
    if isinstance(value, str):
        return value
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    return f"{exact:f}"


@dataclass(frozen=True)
class Condition:
    """One expression; `&`, `|` and `~` make larger ones."""

    body: Mapping[str, Any]

    def _joined(self, op: str, other: Condition) -> Condition:
        parts = [part for one in (self, other) for part in (one.body["of"] if one.body["op"] == op else [one.body])]
        return Condition({"op": op, "of": parts})

    def __and__(self, other: Condition) -> Condition:
        return self._joined("and", other)

    def __or__(self, other: Condition) -> Condition:
        return self._joined("or", other)

    def __invert__(self) -> Condition:
        return Condition({"op": "not", "of": self.body})

    def __bool__(self) -> bool:
        raise Refused("join conditions with &, | and ~, in brackets", code="spec.parameters")


Where = Condition | Mapping[str, Any]


class Column:
    """A column to compare; a comparison with a missing cell is false."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _compared(self, op: str, value: Constant) -> Condition:
        return Condition({"op": op, "column": self._name, "value": _text(value)})

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compared("eq", value)  # type: ignore[arg-type]

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self._compared("ne", value)  # type: ignore[arg-type]

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, value: Constant) -> Condition:
        return self._compared("lt", value)

    def __le__(self, value: Constant) -> Condition:
        return self._compared("le", value)

    def __gt__(self, value: Constant) -> Condition:
        return self._compared("gt", value)

    def __ge__(self, value: Constant) -> Condition:
        return self._compared("ge", value)

    def isin(self, values: Iterable[Constant]) -> Condition:
        """One of these."""
        return Condition({"op": "in", "column": self._name, "values": [_text(value) for value in values]})

    def between(self, low: Constant, high: Constant) -> Condition:
        """From the one to the other, both included."""
        return Condition({"op": "between", "column": self._name, "low": _text(low), "high": _text(high)})

    def missing(self) -> Condition:
        """The cell is empty."""
        return Condition({"op": "missing", "column": self._name})


def column(name: str) -> Column:
    """The column of this name."""
    return Column(name)


def expression(where: Where | None) -> Mapping[str, Any] | None:
    """What a job spec holds; raises `Refused` when it is none of the expressions that there are."""
    body = where.body if isinstance(where, Condition) else where
    try:
        return check_form(body)
    except ParametersInvalid as trouble:
        raise Refused(trouble.text, code="spec.parameters") from trouble
