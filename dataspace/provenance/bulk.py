"""PostgreSQL's COPY over Django's own connection, in its transaction: many rows a few times faster than by INSERT.

It is no way around a constraint or a trigger, and it writes new rows only.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def copy(model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add rows; values in the order of the columns, those of JSON columns as text."""
    names = ", ".join(connection.ops.quote_name(one) for one in columns)
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        with cursor.cursor.copy(f"COPY {table} ({names}) FROM STDIN") as into:
            for row in rows:
                into.write_row(row)
