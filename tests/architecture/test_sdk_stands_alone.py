"""What an enterprise installs reaches only what the design allows; so do the functions it finishes results with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source import dotted, module_level_imports, modules

SDK_MPC = ("mpc.catalog", "mpc.spec", "mpc.sharing", "mpc.encoding", "mpc.disclosure", "mpc.errors", "mpc.filters",
           "mpc.ciphertext", "mpc.paillier", "mpc.masked", "mpc.functions", "mpc.question", "mpc.sources.shape",
           "mpc.sources.terms")
NOT_OF_THE_LEDGER = ("ledger.chain", "ledger.abi", "ledger.rpc")
FUNCTIONS_MAY = (*SDK_MPC, "mpc.sources", "numpy")
OURS = ("dataspace", "marketplace", "mpc", "ledger", "deploy")
THIRD_PARTY = ("httpx", "http_message_signatures", "cryptography", "coincurve", "Crypto", "rfc8785", "pandas")


def inside(name: str, allowed: tuple[str, ...]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def loaded_by(code: str) -> set[str]:
    """Names in sys.modules after running this in a fresh process."""
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print('\\n'.join(sys.modules))"],
                          capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_it_works() -> None:
    names = [dotted(path) for path in modules("marketplace") if path.parent.name == "sdk"]
    loaded = loaded_by("\n".join(f"import {name}" for name in names if not name.endswith("__main__")))
    ours = {name for name in loaded if name.partition(".")[0] in OURS} - {*OURS, "mpc.sources"}
    wrong = [name for name in ours if not (
        name.startswith("marketplace.sdk")
        or inside(name, SDK_MPC)
        or (name.startswith("ledger.") and not inside(name, NOT_OF_THE_LEDGER)))]
    assert wrong == []


@pytest.mark.parametrize("heavy", ["django", "torch", "crypten", "web3", "duckdb", "pandas", "numpy", "celery"])
def test_importing_the_sdk_loads_nothing_heavy(heavy: str) -> None:
    assert heavy not in loaded_by("import marketplace.sdk")


def test_the_sdk_imports_few_libraries() -> None:
    stdlib = sys.stdlib_module_names
    outside = {name.partition(".")[0] for path in modules("marketplace") if path.parent.name == "sdk"
               for name in module_level_imports(path)}
    assert {name for name in outside if name not in stdlib and name not in OURS} <= set(THIRD_PARTY)


def test_functions_import_little_at_module_level() -> None:
    wrong = []
    for path in modules("mpc"):
        if path.parent.name != "functions":
            continue
        for name in module_level_imports(path):
            top = name.partition(".")[0]
            ledger = top == "ledger" and not inside(name, NOT_OF_THE_LEDGER)
            if top not in sys.stdlib_module_names and not inside(name, FUNCTIONS_MAY) and not ledger:
                wrong.append(f"{dotted(path)} imports {name}")
    assert wrong == []
