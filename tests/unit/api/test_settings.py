"""Production starts with nothing left to a development value."""

import os
import subprocess
import sys

import pytest

NEEDED = (
    "DATABASE_URL",
    "SECRET_KEY",
    "XINGLIN_PORTAL_URL",
    "XINGLIN_TRUST",
    "XINGLIN_FINGERPRINT",
    "XINGLIN_LOG_KEY_FILE",
    "XINGLIN_CHAIN_KEY_FILE",
    "XINGLIN_RELAY",
    "XINGLIN_RELAY_KEY_FILE",
)
SPECIAL = {"DATABASE_URL": "postgresql://a@b/c", "XINGLIN_RELAY": "wss://x"}


def started(**environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if name not in NEEDED and not name.startswith("XINGLIN")}
    command = [sys.executable, "-c", "import dataspace.settings as s; print(s.PRODUCTION)"]
    return subprocess.run(command, env={**bare, **environment}, capture_output=True, text=True, check=False)


def test_it_works() -> None:
    values = {name: SPECIAL.get(name, "https://x") for name in NEEDED}
    assert started(XINGLIN_ENV="production", **values).stdout.strip() == "True"
    assert started().stdout.strip() == "False"


def test_production_is_reached_by_https() -> None:
    values = {name: SPECIAL.get(name, "http://x") for name in NEEDED}
    assert "by https" in started(XINGLIN_ENV="production", **values).stderr


def test_the_relay_of_production_is_reached_by_wss() -> None:
    values = {name: SPECIAL.get(name, "https://x") for name in NEEDED} | {"XINGLIN_RELAY": "ws://x"}
    assert "by wss" in started(XINGLIN_ENV="production", **values).stderr


@pytest.mark.parametrize("missing", ["SECRET_KEY", "XINGLIN_TRUST", "XINGLIN_RELAY_KEY_FILE"])
def test_production_refuses_a_default(missing: str) -> None:
    values = {name: SPECIAL.get(name, "https://x") for name in NEEDED}
    del values[missing]
    ended = started(XINGLIN_ENV="production", **values)
    assert ended.returncode != 0
    assert f"production needs {missing}" in ended.stderr
