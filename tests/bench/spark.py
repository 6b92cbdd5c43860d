"""The same questions to a real Spark and to a CSV: in its local mode, and through Spark Connect on this machine.

    ./run bench spark

`pyspark` is not among the product's packages: this makes an environment of its own under `var` on first use (some 600
MB), needs Java 17, and runs `tests/spark` there; everywhere else those tests are skipped. One line for each test, with
its seconds. The exit status is 0 when all pass, 1 when one fails, 2 when they were not tried, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "var" / "bench-spark"
FILES = ("test_local_mode", "test_connect")
PINS = ("pyspark[connect]==4.0.0", "py4j==0.10.9.9")


def environment() -> Path:
    """The interpreter with pyspark, and what the product needs beside it; made on first use."""
    python, stamp = HOME / "bin" / "python", HOME / ".stamp"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINS):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PINS], check=True)
        stamp.write_text("\n".join(PINS))
    return python


def main() -> int:
    try:
        if shutil.which("java") is None:
            raise OSError("there is no Java on this machine")
        python = environment()
    except (OSError, subprocess.CalledProcessError) as trouble:
        print(json.dumps({"bench": "spark", "tried": False, "reason": str(trouble)}))
        return 2
    own = [path for path in sys.path if path.endswith("site-packages")]
    cases, worst = [], 0
    with tempfile.TemporaryDirectory(prefix="xinglin-spark-") as name:
        for file in FILES:  # each in a process of its own: local mode and Spark Connect do not go together in one
            told = Path(name) / f"{file}.xml"
            done = subprocess.run(
                [str(python), "-m", "pytest", "-q", f"--junitxml={told}", f"tests/spark/{file}.py"], cwd=ROOT,
                check=False, stdout=sys.stderr, env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *own])})
            worst = max(worst, done.returncode)
            if told.exists():
                cases += [(file, one) for one in ElementTree.parse(told).getroot().iter("testcase")]
    for file, one in cases:
        bad = [child.tag for child in one if child.tag in ("failure", "error", "skipped")]
        worst = max(worst, bool(bad))
        print(json.dumps({"bench": "spark", "case": f"{file}: {one.get('name')}",
                          "outcome": bad[0] if bad else "passed", "seconds": round(float(one.get("time") or 0), 1)}))
    return 1 if worst or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
