"""An environment of its own for other people's engines, and their scripts in it: they pin what we cannot have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements-bench.lock"
HOME = ROOT / "var" / "bench-venv"


def python() -> Path:
    """The interpreter with exactly what requirements-bench.lock names; made on first use."""
    stamp = HOME / ".stamp"
    if not stamp.exists() or stamp.read_text() != LOCK.read_text():
        environment = dict(os.environ)
        if "PIP_FIND_LINKS" in environment:
            environment["UV_FIND_LINKS"] = environment["PIP_FIND_LINKS"]
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", "3.11", str(HOME)], check=True, env=environment)
        subprocess.run([*uv, "pip", "sync", "-q", "--python", str(HOME / "bin" / "python"), str(LOCK)], check=True,
                       env=environment)
        stamp.write_text(LOCK.read_text())
    return HOME / "bin" / "python"


def ask(script: str, *arguments: str) -> Any:
    """What a script printed as its last line, parsed."""
    done = subprocess.run([str(python()), "-c", script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.strip().splitlines()[-1])
