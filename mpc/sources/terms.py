"""Questions to a table, whoever holds it: terms over columns, and selections that may stand on one another.

Data only. `mpc.sources.duck` writes a question as SQL for DuckDB, `mpc.sources.far` as an Ibis expression for
PostgreSQL and Spark; both bind constants and never write one into a text. The operations are the few that are exact and
mean the same everywhere; every aggregate answers whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

AGGREGATES = frozenset({"rows", "count", "distinct", "sum", "max", "top2"})


@dataclass(frozen=True)
class Term:
    """One operation over others; `column` and `bound` hold a name or a constant."""

    op: str
    of: tuple[Term | str | int, ...] = ()

    @property
    def constant(self) -> str | int:
        """What a `bound` holds."""
        found = self.of[0]
        if isinstance(found, Term):
            raise TypeError(self.op)
        return found

    @property
    def terms(self) -> list[Term]:
        """All operands that are terms."""
        return [one for one in self.of if isinstance(one, Term)]


@dataclass(frozen=True)
class Select:
    """Fields over a selection (None: the table itself), of the rows where a term holds; with `keys`, grouped by these
    columns of it, and every field an aggregate."""

    source: Select | None
    fields: Mapping[str, Term]
    where: Term | None = None
    keys: tuple[str, ...] | None = None


def column(name: str) -> Term:
    return Term("column", (name,))


def bound(value: str | int) -> Term:
    """A constant; whoever runs the question binds it."""
    return Term("bound", (value,))


def call(op: str, *of: Term) -> Term:
    return Term(op, of)


def every(terms: Sequence[Term]) -> Term | None:
    """All hold; None where there is nothing to hold."""
    return None if not terms else terms[0] if len(terms) == 1 else Term("and", tuple(terms))


def some(terms: Sequence[Term]) -> Term:
    """One at least holds."""
    return terms[0] if len(terms) == 1 else Term("or", tuple(terms))


def present(name: str) -> Term:
    return call("present", column(name))


def among(name: str, values: Sequence[str | int]) -> Term:
    """The column holds one of these; false where it is missing."""
    return Term("in", (column(name), *map(bound, values)))


def only_if(condition: Term, then: Term) -> Term:
    """The value where the condition holds, missing elsewhere."""
    return call("case", condition, then)
