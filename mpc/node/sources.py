"""Where a dataset's rows are: a file here, or a table of a database that `config.toml` names.

Answers what the engine needs to open it (`access`), its fingerprint now, and whether its cells are what a dictionary
says. Sources are read from `config.toml` as it stands: a running node knows one that was added since it started. A
password is never read here: the configuration names a file, and the database's client opens it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpc.errors import MpcError
from mpc.functions.rows import Rows
from mpc.node import data
from mpc.node.book import Dataset
from mpc.node.config import Config, Source, load
from mpc.node.data import Column, Findings
from mpc.node.errors import Unfit

UNREACHABLE = "dataset.unreachable"


def access_of(config: Config, place: Path) -> tuple[Source, dict[str, Any]] | None:
    """For `SOURCE:SCHEMA.TABLE` the source and how to reach the table; nothing for a file."""
    name, colon, table = str(place).partition(":")
    source = load(config.home).sources.get(name) if colon else None
    if source is None:
        return None
    schema, dot, table = table.rpartition(".")
    if not dot or not schema or not table:
        raise Unfit("dataset.kind", f"{name}: a table is named SOURCE:SCHEMA.TABLE")
    if source.passfile and (not Path(source.passfile).is_file() or os.stat(source.passfile).st_mode & 0o077):
        raise Unfit("config.malformed", f"source {name}: passfile must be a file that only its owner reads (chmod 600)")
    return source, {"host": source.host, "port": source.port, "database": source.database, "user": source.user,
                    "passfile": source.passfile, "sslmode": source.sslmode, "sslrootcert": source.sslrootcert,
                    "schema": schema, "table": table, "seconds": source.seconds}


def fingerprint(config: Config, place: Path) -> str:
    """The keyed fingerprint of what is there now."""
    found = access_of(config, place)
    if found is None:
        if ":" in str(place) and not place.exists():
            raise Unfit(UNREACHABLE, "config.toml does not name the source of this table")
        return data.fingerprint(place, config.local_key())
    source, access = found
    try:
        if source.kind == "postgresql":
            from mpc.sources import postgres

            with postgres.open_connection(access) as connection:
                return postgres.fingerprint(connection, access, config.local_key())
        from mpc.sources import spark

        table = spark.SparkTable.connect(access, check=None)
        try:
            return table.fingerprint(config.local_key())
        finally:
            table.close()
    except MpcError as error:
        code = UNREACHABLE if error.code == UNREACHABLE else "dataset.unreadable"
        raise Unfit(code, f"the table cannot be read ({error.code})") from error


def kind_of(config: Config, place: Path) -> str:
    """csv, parquet, postgresql or spark."""
    found = access_of(config, place)
    return found[0].kind if found else data.kind_of(place)


def resolved(config: Config, place: Path) -> Path:
    """What the book keeps: the whole path of a file, the name of a table."""
    return place if access_of(config, place) else place.resolve()


def check(config: Config, place: Path, columns: Sequence[Column], *, unlisted_as_missing: bool) -> Findings:
    """Raise `Unfit` unless every cell is what the dictionary says; of a table the database counts those that are not.
    """
    found = access_of(config, place)
    if found is None:
        return data.check_file(place, columns, unlisted_as_missing=unlisted_as_missing)
    source, access = found
    try:
        rows = Rows.open(place, source.kind, columns, access=access)
        try:
            wrong = {name: count for name, count in rows.misfits().items() if count}
            number = rows.number()
        finally:
            rows.close()
    except MpcError as error:
        raise Unfit("dataset.off_dictionary", f"the table cannot be read as the dictionary says ({error.code})"
                    ) from error
    kinds = {one["name"]: one["kind"] for one in columns}
    for name, count in wrong.items():
        if kinds[name] != "category" or not unlisted_as_missing:
            raise Unfit("dataset.off_dictionary", f"{count} cells of {name} do not fit")
    return Findings(number, wrong)


def worker_source(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Path, kind and access, for the worker's order."""
    found = access_of(config, dataset.path)
    return {"path": str(dataset.path if found else dataset.path.resolve()), "kind": dataset.kind,
            "access": found[1] if found else None}
