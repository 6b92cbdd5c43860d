"""The benchmark of the engine runs, at a small size: each case checks its answer, so that a figure is of something."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.source import ROOT

pytestmark = pytest.mark.stack
SMALL = {"sum_shipped": 300, "comparisons_words": 300, "product": 8, "gradient": 64, "truncation": 256}


@pytest.mark.parametrize(("case", "size"), SMALL.items())
def test_it_works(case: str, size: int) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.bench.engine_cases", case, "1", str(size)],
                          cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert len(json.loads(done.stdout.splitlines()[-1])["seconds"]) == 1
