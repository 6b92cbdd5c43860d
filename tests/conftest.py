"""One PostgreSQL for each process of the test session, started only when a test asks for the database.

Django's settings are read before this file is, so what they took from the environment is put right here, before any
connection is made. The server dies with pytest, also when pytest is killed.
"""

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import py_ecc  # noqa: F401 - so that it raises the limit of recursion now, and not after it was put right below
import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as generated

from deploy.postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]
_HOME = Path(tempfile.mkdtemp(prefix="xinglin-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)

_SERVER: Postgres | None = None
LONG, SHORT_TO_LONG = ("chaos", "e2e", "browser", "integration"), 3
OWN = "XINGLIN_TESTS_OWN_DATABASE"  # pytest-xdist's workers inherit what this file set in the process that starts them
if OWN in os.environ or not os.environ.get("DATABASE_URL"):
    os.environ[OWN] = "yes"
    _SERVER = Postgres(_HOME / "postgres", fast=True, password=secrets.token_urlsafe(16))
    os.environ["DATABASE_URL"] = _SERVER.url("portal")
_SETTINGS = {
    "DATABASE_URL": os.environ["DATABASE_URL"],
    "BROKER_URL": "memory://",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "XINGLIN_ENV": "development",
    "XINGLIN_VAR": str(_HOME / "var"),
}
os.environ.update(_SETTINGS)  # for the processes that tests start


sys.setrecursionlimit(1000)  # py_ecc raises it to 100,000: text nested that deep overflows the stack of json's C code
generated.register_profile("no deadline", deadline=None)  # a shared machine may be slow in any one example
generated.load_profile("no deadline")


def pytest_configure() -> None:
    """Put right what the settings took from the caller's environment."""
    settings.DATABASE_URL = _SETTINGS["DATABASE_URL"]
    settings.BROKER_URL = settings.CELERY_BROKER_URL = _SETTINGS["BROKER_URL"]
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {}
    settings.SECRET_KEY = _SETTINGS["SECRET_KEY"]
    settings.XINGLIN_VAR = _HOME / "var"
    parts = urlsplit(_SETTINGS["DATABASE_URL"])
    place: dict[str, Any] = {
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
    }
    to_clean_up = {"options": "-c xinglin.may_truncate=on"}
    place["OPTIONS"] = {**settings.DATABASES["default"]["OPTIONS"], **to_clean_up}
    settings.DATABASES["default"].update(place)
    connections["default"].settings_dict.update(place)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files, which kill and wait, evenly among the short ones, which compute, and none of them last."""
    places: dict[Path, int] = {}
    counts = {True: 0, False: 0}
    for path in dict.fromkeys(item.path for item in items):
        long = path.relative_to(ROOT / "tests").parts[0] in LONG
        places[path] = counts[long] * (SHORT_TO_LONG if long else 1)
        counts[long] += 1
    items.sort(key=lambda item: places[item.path])


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
