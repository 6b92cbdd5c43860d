"""Where a dataset's rows are: a file here, or a table of a database that `config.toml` names.

Answers what the engine needs to open it (`access`), its fingerprint now, and whether its cells are what a dictionary
says. Sources are read from `config.toml` as it stands: a running node knows one that was added since it started. A
password is never read here: the configuration names a file, and the database's client opens it.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpc.errors import DataRefused, MpcError
from mpc.node import data
from mpc.node.book import Dataset
from mpc.node.config import Config, Source, load
from mpc.node.data import Column, Findings
from mpc.node.errors import NodeError, Unfit
from mpc.sources.connect import connect
from mpc.sources.duck import CHANGED, UNREACHABLE, FileTable

if TYPE_CHECKING:
    from mpc.sources.far import FarTable


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


@contextmanager
def opened(config: Config, place: Path) -> Iterator["FileTable | FarTable"]:
    """What is there now, open for questions. To say that it changed takes having read it: whatever keeps us from that
    is `dataset.unreachable`."""
    found = access_of(config, place)
    if found is None:
        if ":" in str(place) and not place.exists():
            raise Unfit(UNREACHABLE, "config.toml does not name the source of this table")
        with data.opened(place) as file:
            yield file
        return
    source, access = found
    try:
        table = connect(source.kind, access, check=None)
        try:
            yield table
        finally:
            table.close()
    except NodeError:
        raise
    except MpcError as error:
        code = CHANGED if error.code in (CHANGED, DataRefused.code) else UNREACHABLE
        raise Unfit(code, f"the table cannot be read ({error.code})") from error


def fingerprint(config: Config, place: Path) -> str:
    """The keyed fingerprint of what is there now."""
    if is_file(config, place):
        return data.fingerprint(place, config.local_key())
    with opened(config, place) as table:
        return table.fingerprint(config.local_key())


def standing(config: Config, dataset: Dataset) -> str:
    """The fingerprint as far as a judgement must know it, which others wait for: of a file that nobody touched since it
    was last read, that one; of a table the registered one, if it can be asked and has its columns. The job itself
    decides, before anything leaves: of the rows that it counted it makes the fingerprint anew."""
    if is_file(config, dataset.path):
        try:
            seen = dataset.path.stat()
        except OSError as error:
            raise Unfit("dataset.unreadable", f"{dataset.path.name} cannot be read") from error
        state = seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
        return _read(dataset.path, config.local_key(), state)
    with opened(config, dataset.path) as table:
        table.kinds([str(one["name"]) for one in dataset.record["columns"]])
    return str(dataset.record["fingerprint"])


def is_file(config: Config, place: Path) -> bool:
    """A file here, and no table of a source, known or not."""
    return access_of(config, place) is None and (":" not in str(place) or place.exists())


@lru_cache(maxsize=256)
def _read(path: Path, key: bytes, state: tuple[int, ...]) -> str:
    return data.fingerprint(path, key)


def kind_of(config: Config, place: Path) -> str:
    """csv, parquet, postgresql or spark."""
    found = access_of(config, place)
    return found[0].kind if found else data.kind_of(place)


def resolved(config: Config, place: Path) -> Path:
    """What the book keeps: the whole path of a file, the name of a table."""
    return place if access_of(config, place) else place.resolve()


@dataclass(frozen=True)
class Survey:
    """What registration found: the cells as the dictionary says, and the fingerprint of those very cells."""

    findings: Findings
    fingerprint: str
    seconds: float


def survey(config: Config, place: Path, columns: Sequence[Column], *, unlisted_as_missing: bool) -> Survey:
    """Raise `Unfit` unless every cell is what the dictionary says; of a table the database counts those that are not.

    Jobs trust the fingerprint and do not look at bounds again, so it must be that of the rows that were checked: both
    in one snapshot where there is one, else fingerprints made before and after, and equal.
    """
    key = config.local_key()
    with opened(config, place) as table:
        began = time.monotonic()
        first = table.fingerprint(key)
        took = time.monotonic() - began
        findings = data.check_table(table, place.name, columns, unlisted_as_missing=unlisted_as_missing)
        if not table.one_snapshot and _is_other(table, key, first):
            raise Unfit(CHANGED, f"{place.name} changed while it was looked at: register it when nobody writes there")
    return Survey(findings, first, took)


def _is_other(table: "FileTable | FarTable", key: bytes, first: str) -> bool:
    try:
        table.settle()
    except DataRefused as error:
        if error.code != CHANGED:
            raise
        return True
    return table.fingerprint(key) != first


def worker_source(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Path, kind and access, for the worker's order; no statement outlives a session."""
    found = access_of(config, dataset.path)
    access = found[1] | {"seconds": min(found[1]["seconds"], config.session_seconds)} if found else None
    return {"path": str(dataset.path if found else dataset.path.resolve()), "kind": dataset.kind, "access": access}
