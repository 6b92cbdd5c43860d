"""One PostgreSQL for the whole test session, started only when a test asks for the database.

The environment is set before Django reads it. The server dies with pytest, also when pytest is killed.
"""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]
_HOME = Path(tempfile.mkdtemp(prefix="xinglin-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

_SERVER: Postgres | None = None
if not os.environ.get("DATABASE_URL"):
    _SERVER = Postgres(_HOME / "postgres", fast=True, password=secrets.token_urlsafe(16))
    os.environ["DATABASE_URL"] = _SERVER.url("portal")
os.environ["BROKER_URL"] = "memory://"
os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)
os.environ["XINGLIN_ENV"] = "development"
os.environ["XINGLIN_VAR"] = str(_HOME / "var")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres | None]:
    """The session's server; None when DATABASE_URL named one of the user's own."""
    if _SERVER is None:
        yield None
        return
    with _SERVER as server:
        server.create_database("portal")
        yield server


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Postgres | None) -> None:
    """pytest-django asks for this before it makes its test database: the moment to start the server."""


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT
