"""The functions that can be bought, as calls: `fn.crosstab(rows=..., columns=...)`. Nothing is computed here.

A call names a function of `mpc.catalog`, its version and its parameters; the digest of the function's source comes
from the catalogue this SDK was installed with, so that a portal cannot name another one. `where=` says which rows a job
is about: `fn.describe(["bmi"], where=fn.column("age").between(60, 80) & (fn.column("sex") == "F"))`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.sdk.errors import Refused
from marketplace.sdk.where import Where, column, expression
from mpc.catalog import CATALOG

__all__ = ["Call", "column", "crosstab", "describe", "parse"]


@dataclass(frozen=True)
class Call:
    """One function with its parameters, not yet bought."""

    name: str
    version: int
    parameters: Mapping[str, Any]
    filter: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The catalogue's key, such as `crosstab@1`."""
        return f"{self.name}@{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 over the function's source, as this SDK knows it."""
        if self.key not in CATALOG:
            raise Refused(f"this SDK knows no function {self.key}", code="function.unknown")
        return CATALOG[self.key].digest

    def reference(self) -> dict[str, Any]:
        """How a job spec names the function."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


def describe(columns: Sequence[str], *, by: str | None = None, where: Where | None = None) -> Call:
    """Count, mean, standard deviation and variance of number columns, for each code of `by`."""
    return Call("describe", 1, {"columns": list(columns), "by": by}, expression(where))


def crosstab(*, rows: str, columns: str, where: Where | None = None) -> Call:
    """How many rows there are for each pair of codes of two category columns."""
    return Call("crosstab", 1, {"rows": rows, "columns": columns}, expression(where))


def parse(name: str, parameters: Mapping[str, Any], where: Mapping[str, Any] | None = None) -> Call:
    """A call by name, as the command line gives it: `crosstab` or `crosstab@1`."""
    base, _, version = name.partition("@")
    call = Call(base, int(version or 1), dict(parameters), expression(where))
    if call.key not in CATALOG:
        raise Refused(f"no function {call.key}; there are {', '.join(sorted(CATALOG))}", code="function.unknown")
    return call
