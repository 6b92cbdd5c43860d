"""The import contracts of pyproject.toml hold, and each one really stops what it says it stops."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT

# contract -> a file and the line that must break it
BROKEN_ON_PURPOSE = {
    "deploy > marketplace > dataspace > mpc > ledger": ("ledger/errors.py", "import mpc.errors"),
    "ledger, top to bottom": ("ledger/shapes.py", "import ledger.trust"),
    "mpc, top to bottom": ("mpc/encoding.py", "import mpc.spec"),
    "of mpc only node and dealer reach ledger.chain": ("mpc/wire.py", "import ledger.chain"),
    "Django stops at the portal": ("ledger/merkle.py", "import django"),
    "dataspace areas, top to bottom": ("dataspace/moves.py", "import dataspace.grants.models"),
    "marketplace areas, top to bottom; the SDK stands alone": (
        "marketplace/sdk/errors.py",
        "import marketplace.products.models",
    ),
    "inside an area": ("dataspace/grants/states.py", "import dataspace.grants.policies"),
    "one door to the chain": ("mpc/node/policy.py", "import rlp"),
    "what the SDK may know": ("marketplace/sdk/fn.py", "import mpc.transport"),
    "the portal cannot open a share": ("dataspace/actor.py", "import mpc.sharing"),
    "one door to CrypTen": ("mpc/party.py", "import torch"),
    "one door to the wire": ("mpc/party.py", "import websockets"),
    "the relay knows ciphertext only": ("mpc/relay.py", "import mpc.spec"),
    "who computes with ciphertexts": ("mpc/masked.py", "import gmpy2"),
}


def lint(folder: Path) -> dict[str, str]:
    """Run import-linter on the packages in a folder: contract -> KEPT or BROKEN."""
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run([sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True,
                          timeout=120, env=os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}, check=False)
    found = re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return {name.strip(): verdict for name, verdict in found}


def contracts() -> list[str]:
    value = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return [contract["name"] for contract in value["tool"]["importlinter"]["contracts"]]


def copy(target: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", target)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=lambda folder, names: [
            name for name in names if not (Path(folder, name).is_dir() or name.endswith(".py")) or name == "__pycache__"
        ])


def test_it_works() -> None:
    assert lint(ROOT) == dict.fromkeys(contracts(), "KEPT")


def test_every_contract_breaks_on_purpose(tmp_path: Path) -> None:
    assert sorted(BROKEN_ON_PURPOSE) == sorted(contracts())
    copy(tmp_path)
    for name, line in BROKEN_ON_PURPOSE.values():
        path = tmp_path / name
        path.write_text(path.read_text("utf-8") + f"\n{line}\n", "utf-8")
    assert lint(tmp_path) == dict.fromkeys(contracts(), "BROKEN")


@pytest.mark.parametrize("package", ["ledger", "mpc"])
def test_every_module_is_named_in_a_contract(package: str) -> None:
    value = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = next(contract["layers"] for contract in value["tool"]["importlinter"]["contracts"]
                  if contract.get("containers") == [package])
    named = {name for layer in layers for name in re.findall(r"\w+", layer)}
    present = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    present |= {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert present <= named
    assert {name for name in named if name != "__main__"} <= present
