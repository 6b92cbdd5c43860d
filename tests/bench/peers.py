"""Environments of their own for other people's engines, and their scripts in them: they pin what we cannot have.

`requirements-bench.lock` holds pypaillier and SPU, which needs numpy 1 and an old jax; CrypTen as it is published, with
the torch that we use, has `requirements-bench-crypten.lock`. Each is installed under `var` on first use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BENCH, CRYPTEN = "requirements-bench.lock", "requirements-bench-crypten.lock"


def python(lock: str = BENCH) -> Path:
    """The interpreter with exactly what this lock names; made on first use."""
    home, wanted = ROOT / "var" / lock.removesuffix(".lock"), (ROOT / lock).read_text()
    stamp = home / ".stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        environment, backend = dict(os.environ), ["--torch-backend", "cpu"]
        if "PIP_FIND_LINKS" in environment:
            environment["UV_FIND_LINKS"], backend = environment["PIP_FIND_LINKS"], []
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", "3.11", str(home)], check=True, env=environment)
        subprocess.run([*uv, "pip", "sync", "-q", *backend, "--python", str(home / "bin" / "python"), lock], check=True,
                       cwd=ROOT, env=environment)
        stamp.write_text(wanted)
    return home / "bin" / "python"


def ask(script: str, *arguments: str) -> Any:
    """What a script printed as its last line, parsed."""
    done = subprocess.run([str(python()), "-c", script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
