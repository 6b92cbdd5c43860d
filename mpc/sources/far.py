"""The same questions to a hospital's own database or cluster: as Ibis expressions, compiled for PostgreSQL or Spark.

Only aggregates come back. Every constant leaves as a bound parameter: a literal is put into the expression as a mark,
and the mark is replaced by a parameter in the compiled tree, so that no constant is ever written into a query's text.
Ibis compiles and does no more; who connects is `postgres` and `spark`. Imported where there is such a source alone: it
costs a second.
"""

from __future__ import annotations

import hmac
import operator
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import ibis
from sqlglot import expressions

from mpc.errors import DataRefused
from mpc.sources.shape import BOOLEAN, DOUBLE, INTEGER
from mpc.sources.terms import AGGREGATES, Select, Term

TYPES = {INTEGER: "int64", DOUBLE: "float64", BOOLEAN: "boolean"}
NUMBERS = 7_310_000_000_000_000_000
EXACT = "decimal(38, 0)"
METHODS = {"present": "notnull", "round": "round", "abs": "abs"}
BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "plus": operator.add, "minus": operator.sub, "times": operator.mul, "modulo": operator.mod}


@dataclass
class Marks:
    """The constants of one question, each behind a mark that nobody can guess."""

    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    values: list[str | int] = field(default_factory=list)

    def literal(self, value: str | int) -> Any:
        self.values.append(value)
        at = len(self.values) - 1
        return ibis.literal(f"{self.secret}-{at}") if isinstance(value, str) else ibis.literal(NUMBERS + at, "int64")

    def bind(self, tree: Any) -> tuple[Any, dict[str, str | int]]:
        """The compiled tree with parameters in the place of marks, and their values."""
        used: dict[str, str | int] = {}

        def change(node: Any) -> Any:
            if not isinstance(node, expressions.Literal):
                return node
            head, _, tail = str(node.this).partition("-")
            at = int(tail) if node.is_string and head == self.secret else (
                int(node.this) - NUMBERS if not node.is_string and str(node.this).isdigit() else -1)
            if not 0 <= at < len(self.values):
                return node
            used[f"p{self.secret}_{at}"] = self.values[at]
            return expressions.Placeholder(this=f"p{self.secret}_{at}")

        return tree.transform(change), used


class Lowering:
    """One selection as an Ibis table."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.marks = Marks()

    def select(self, asked: Select) -> Any:
        table = self._table if asked.source is None else self.select(asked.source)
        if asked.where is not None:
            table = table.filter(self.term(asked.where, table))
        if not any(term.op in AGGREGATES for term in asked.fields.values()):
            return table.select(**{name: self.term(term, table) for name, term in asked.fields.items()})
        keys = list(asked.keys or ())
        tops = {name: term.terms[0] for name, term in asked.fields.items() if term.op == "top2"}
        if tops:
            table = table.mutate(**{f"of_{name}": self.term(term, table) for name, term in tops.items()})
            over = ibis.window(group_by=keys) if keys else ibis.window()
            table = table.mutate(**{f"most_{name}": table[f"of_{name}"].max().over(over) for name in tops})
        figures: dict[str, Any] = {}
        for name, term in asked.fields.items():
            if name in tops:
                value, most = table[f"of_{name}"], table[f"most_{name}"]
                figures |= {name: value.max(), f"ties_{name}": (value == most).sum(),
                            f"next_{name}": ibis.cases((value < most, value)).max()}
            else:
                figures[name] = self._aggregate(term, table)
        return table.group_by(keys).aggregate(**figures) if keys else table.aggregate(**figures)

    def _aggregate(self, term: Term, table: Any) -> Any:
        if term.op == "rows":
            return table.count()
        value = self.term(term.terms[0], table)
        if term.op == "sum":
            return value.cast(EXACT).sum()
        return {"count": value.count, "distinct": value.nunique, "max": value.max}[term.op]()

    def term(self, of: Term, table: Any) -> Any:
        if of.op == "column":
            return table[str(of.of[0])]
        if of.op == "bound":
            return self.marks.literal(of.constant)
        if of.op == "quotient":
            return self._quotient(of, table)
        parts = [self.term(one, table) for one in of.terms]
        if of.op in BINARY:
            return BINARY[of.op](parts[0], parts[1])
        if of.op in ("and", "or"):
            return reduce(operator.and_ if of.op == "and" else operator.or_, parts)
        if of.op == "decimal":
            places = int(str(of.of[1]))
            return (parts[0].cast(f"decimal(38, {places})") * 10**places).cast("int64")
        return self._other(of.op, parts)

    def _quotient(self, of: Term, table: Any) -> Any:
        """Ibis divides as floating-point numbers, which 54 bits are too many for. Of the multiple below and half a
        divisor the whole part stays the same, however that is rounded."""
        value, divisor = self.term(of.terms[0], table), int(of.terms[1].constant)
        below = value - value % self.marks.literal(divisor)
        return (below + self.marks.literal(divisor // 2)) // self.marks.literal(divisor)

    def _other(self, op: str, parts: Sequence[Any]) -> Any:
        first = parts[0]
        if op in METHODS:
            return getattr(first, METHODS[op])()
        made: dict[str, Callable[[], Any]] = {
            "filled": lambda: first.notnull() & (first != ""),
            "text": lambda: first.cast("string"), "truth": lambda: ibis.cases((first, "True"), (~first, "False")),
            "case": lambda: ibis.cases((first, parts[1])), "between": lambda: first.between(*parts[1:]),
            "not": lambda: ~first, "whole": lambda: first.cast("int64"), "short": lambda: first.cast("int64"),
            "matches": lambda: first.re_search(parts[1]),
            "same_ratio": lambda: first == parts[1].cast("float64") / parts[2].cast("float64"),
            "in": lambda: first.isin(parts[1:]), "first": lambda: ibis.coalesce(*parts)}
        return made[op]()


class FarTable(ABC):
    """The questions of one job to one table; subclasses connect, and name their errors. Only what was read and is
    another than the registered one is `dataset.changed`."""

    one_snapshot = False  # whether all its questions, the fingerprint too, are asked of the same rows

    def __init__(self, types: Mapping[str, str], check: Mapping[str, str] | None) -> None:
        self._types, self._check = dict(types), check
        self._table = ibis.table({name: TYPES.get(kind, "string") for name, kind in types.items()}, name="far_rows")

    def kinds(self, names: list[str]) -> dict[str, str]:
        """How these columns are kept."""
        for name in names:
            if name not in self._types:
                raise DataRefused(f"column {name} does not hold what the dictionary says")
        return {name: self._types[name] for name in names}

    def hold(self, base: Select) -> Select:
        """Nothing is copied: every question is asked of the table."""
        return base

    @abstractmethod
    def compiled(self, expression: Any) -> Any:
        """The expression as a tree of this source's SQL."""

    @abstractmethod
    def run(self, tree: Any, values: Mapping[str, str | int]) -> list[tuple[Any, ...]]:
        """The rows of an answer."""

    @abstractmethod
    def fingerprint(self, key: bytes) -> str:
        """The table's fingerprint under this key."""

    @abstractmethod
    def close(self) -> None:
        """Hang up."""

    def settle(self) -> None:
        """Raise `dataset.changed` unless the table is the registered one."""
        if self._check is None:
            return
        found = self.fingerprint(bytes.fromhex(self._check["key"]))
        if not hmac.compare_digest(found, self._check["expected"]):
            raise DataRefused("the table is not the registered one", code="dataset.changed")

    def ask(self, asked: Select) -> list[tuple[Any, ...]]:
        lowering = Lowering(self._table)
        expression = lowering.select(asked)
        tree, values = lowering.marks.bind(self.compiled(expression))
        wanted = [*(asked.keys or ()), *asked.fields]
        found = []
        for row in self.run(tree, values):
            cells = dict(zip(expression.columns, row, strict=True))
            found.append(tuple(self._top2(cells, name) if name in asked.fields and asked.fields[name].op == "top2"
                               else cells[name] for name in wanted))
        return found

    @staticmethod
    def _top2(cells: Mapping[str, Any], name: str) -> list[int]:
        if cells[name] is None:
            return []
        most = int(cells[name])
        if int(cells[f"ties_{name}"]) > 1:
            return [most, most]
        return [most] if cells[f"next_{name}"] is None else [most, int(cells[f"next_{name}"])]


def source_of(columns: Mapping[str, str], text_of: Callable[[Any], Any], table: Any) -> Callable[[Any], Any]:
    """A change of the compiled tree: the named table becomes its columns, those of other types as text. Whole numbers
    are 64 bits wide, as Ibis was told: it leaves a cast to that out, and a narrower type would overflow."""
    def listed_as(name: str, kind: str) -> Any:
        found = expressions.column(name, quoted=True)
        if kind == INTEGER:
            return expressions.cast(found, "bigint")
        return found if kind in (DOUBLE, BOOLEAN) else text_of(found)

    listed = [expressions.alias_(listed_as(name, kind), name, quoted=True) for name, kind in columns.items()]

    def change(node: Any) -> Any:
        if not isinstance(node, expressions.Table) or node.name != "far_rows":
            return node
        inner = expressions.select(*(one.copy() for one in listed)).from_(table.copy())
        return inner.subquery(node.alias or "far_rows")

    return lambda tree: tree.transform(change)
