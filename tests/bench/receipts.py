"""Two verifiers, one answer: receipts by the thousand, true and mutated, and every single bit of one flipped.

    ./run bench receipts [COUNT] [SEED]

Python and the page (docs/verify.html, in Chromium, offline) judge the same files; every level must be the same. A line
for each, with the number of differences, which must be 0; exit status 1 if it is not, or if a flipped one holds.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.bench.machine import print_machine
from tests.simulators.receipts import Corpus, cases, corpus, flipped, outcome

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "fixtures" / "golden"
COUNT, AT_ONCE = 10_000, 500


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 2**32
    print_machine()
    whole = corpus()
    with page() as judge:
        different = tell("agreement", judge, whole, list(cases(whole, count, seed)), seed=seed)
        golden = Corpus(((GOLDEN / "trust.json").read_bytes(),), whole.fingerprint, (whole.trusts[0],), ())
        for name, what, step in (("receipt.small.json", "every single bit of a receipt", 1),
                                 ("receipt.json", "every 13th bit of a job's receipt", 13)):
            true = (GOLDEN / name).read_bytes()
            bits = [(0, flipped(true, bit)) for bit in range(0, 8 * len(true), step)]
            different += tell(what, judge, golden, bits, must_fail=True)
    return 1 if different else 0


@contextmanager
def page() -> Iterator[Page]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(offline=True)
        opened = context.new_page()
        opened.goto((ROOT / "docs" / "verify.html").as_uri())
        yield opened
        browser.close()


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def tell(case: str, judge: Page, whole: Corpus, tried: Sequence[tuple[int, bytes]], *, must_fail: bool = False,
         **more: Any) -> int:
    """Judge all, print the line; how many differ, or hold that must not."""
    trusts = [[text_of(wire), whole.fingerprint] for wire in whole.wires]
    ours, theirs, times = list[str](), list[str](), [0.0, 0.0]
    for start in range(0, len(tried), AT_ONCE):
        some = tried[start:start + AT_ONCE]
        began = time.perf_counter()
        ours += [outcome(data, whole.trusts[number]) for number, data in some]
        times[0] += time.perf_counter() - began
        began = time.perf_counter()
        theirs += judge.evaluate("([trusts, cases]) => xinglinJudge(trusts, cases)",
                                 [trusts, [[number, text_of(data)] for number, data in some]])
        times[1] += time.perf_counter() - began
    different = sum(one != other for one, other in zip(ours, theirs, strict=True))
    held = sum("invalid" not in one and one != "refused" for one in ours)
    print(json.dumps({
        "bench": "receipts", "case": case, "files": len(tried), "different": different,
        "refused": ours.count("refused"),
        "with an invalid level": sum("invalid" in one for one in ours), "held": held, "findings": len(set(ours)),
        "seconds": {"python": round(times[0], 1), "page": round(times[1], 1)}, **more}), flush=True)
    return different + (held if must_fail else 0)


if __name__ == "__main__":
    sys.exit(main())
