"""What the package promises, and what it does not drag in."""

from __future__ import annotations

import subprocess
import sys

import marketplace.sdk as sdk

HEAVY = ("django", "rest_framework", "celery", "torch", "crypten", "web3", "pandas", "numpy", "duckdb")


def test_all_names_exist_and_are_sorted() -> None:
    assert sdk.__all__ == sorted(sdk.__all__)
    assert [name for name in sdk.__all__ if not hasattr(sdk, name)] == []


def test_importing_it_is_light() -> None:
    code = f"import marketplace.sdk, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_line_tells_its_version() -> None:
    done = subprocess.run([sys.executable, "-m", "marketplace.sdk", "--version"], capture_output=True, text=True,
                          timeout=60, check=True)
    assert done.stdout.startswith("xinglin 0.")
