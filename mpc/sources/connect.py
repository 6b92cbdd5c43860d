"""From a kind of source to the table that is asked; imports the one that is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mpc.errors import DataRefused

if TYPE_CHECKING:
    from mpc.sources.far import FarTable


def connect(kind: str, access: Mapping[str, Any], *, check: Mapping[str, str] | None) -> FarTable:
    """The table of a source of this kind."""
    if kind == "postgresql":
        from mpc.sources.postgres import PostgresTable

        return PostgresTable(access, check=check)
    if kind == "spark":
        from mpc.sources.spark import SparkTable

        return SparkTable.connect(access, check=check)
    raise DataRefused("no such kind of source", code="dataset.unreachable")
