"""The lists of modules in the packages' own README files name every module there is, and none that is gone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"`([a-z_0-9]+)(?:\.py)?`")


def modules(package: Path) -> set[str]:
    return {path.stem for path in package.glob("*.py") if path.stem != "__init__"}


def named(readme: Path) -> set[str]:
    """The names in the rows of its tables."""
    rows = [line for line in readme.read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in NAME.findall(row)}


@pytest.mark.parametrize("package", ["ledger", "mpc", "mpc/node"])
def test_every_module_stands_in_its_list(package: str) -> None:
    folder = ROOT / package
    assert modules(folder) - named(folder / "README.md") == set()


def test_every_module_of_the_engine_stands_in_its_row() -> None:
    engine = ROOT / "mpc/engines/crypten_engine"
    assert modules(engine) - named(ROOT / "mpc/README.md") == set()
    assert modules(ROOT / "mpc/sources") - named(ROOT / "mpc/README.md") == set()


def test_no_file_is_named_that_is_gone() -> None:
    for package in ("ledger", "mpc", "mpc/node"):
        text = (ROOT / package / "README.md").read_text()
        files = re.findall(r"^\| `([a-z_0-9/]+\.py)`", text, re.MULTILINE)
        assert [name for name in files if not (ROOT / package / name).exists()] == []
