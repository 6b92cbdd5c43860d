"""No Django, no torch, where there may be none: imported for real, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.source import ROOT, dotted, modules

PORTAL_STUFF = ("django", "rest_framework", "celery", "kombu")
ENGINE_PROCESSES = ("mpc.worker", "mpc.nursery")


def loaded(names: list[str]) -> set[str]:
    code = "import sys\n" + "\n".join(f"import {name}" for name in names) + "\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120,
                          check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", ["ledger", "mpc"])
def test_it_works(package: str) -> None:
    names = [dotted(path) for path in modules(package)
             if "crypten_engine" not in path.parts and path.stem != "__main__" and dotted(path) not in ENGINE_PROCESSES]
    assert sorted({*PORTAL_STUFF, "torch", "crypten"} & loaded(names)) == []


def test_states_and_policies_know_no_django() -> None:
    names = [dotted(path) for path in modules("dataspace", "marketplace") if path.stem in ("states", "policies")]
    assert len(names) >= 10
    assert sorted(set(PORTAL_STUFF) & loaded(names)) == []


def test_web3_is_imported_nowhere() -> None:
    from tests.architecture.source import all_imports

    wrong = [dotted(path) for path in modules() for name in all_imports(path) if name.partition(".")[0] == "web3"]
    assert wrong == []
