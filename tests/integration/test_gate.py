"""The gate by our own protocols, in three processes and a dealer: it decides as in the clear, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpc.engines.crypten_engine.engine import gate_script
from tests.integration.gate_of_a_liar import FLOOR, PARTIES, few, many
from tests.integration.test_engine_choice import through_the_share

pytestmark = pytest.mark.stack


def met(argument: str) -> list[str]:
    """What the parties and the dealer said at the end."""
    done = subprocess.run([sys.executable, "-m", "tests.integration.gate_of_a_liar", argument], capture_output=True,
                          timeout=120, check=True, cwd=Path(__file__).resolve().parents[2])
    found: list[str] = json.loads(done.stdout)
    return found


def put_together(said: list[str], cells: int) -> tuple[list[bool], list[int]]:
    """What the consumer would know: which cells open, and their counts."""
    parts = [one.split(" ") for one in said[:PARTIES]]
    assert len({part[-2] for part in parts}) == 1, "all saw the same"
    opened = [sum(map(int, column)) % 2**64 for column in zip(*(part[:-2] for part in parts), strict=True)]
    assert set(opened[:cells]) <= {0, 1}
    return list(map(bool, opened[:cells])), opened[cells:]


def sums(counts: list[list[int]], pattern: Sequence[bool]) -> list[int]:
    return [sum(column) if opened else 0 for opened, column in zip(pattern, zip(*counts, strict=True), strict=True)]


def test_it_works() -> None:
    """One cell lacks one person for the floor, and takes the other half of its pair with it."""
    gate, counts, numbers = few()
    assert gate.decide(numbers, FLOOR) == (False, False, True, True)
    said = met("0")
    assert put_together(said, 4) == ([False, False, True, True], [0, 0, *sums(counts, [True] * 4)[2:]])
    assert said[PARTIES].startswith("dealt ")


def test_many_comparisons_at_the_edge_decide_as_in_the_clear() -> None:
    gate, counts, numbers = many()
    pattern = gate.decide(numbers, FLOOR)
    assert 5 < sum(pattern) < len(pattern) - 5
    floors_only = replace(gate, needs=tuple(tuple(one for one in need if one < gate.counts) for need in gate.needs))
    assert floors_only.decide(numbers, FLOOR) != pattern, "dominance closes some"
    said, empty = met("many"), met("empty")
    assert put_together(said, len(pattern)) == (list(pattern), sums(counts, pattern))
    assert put_together(empty, len(pattern)) == ([False] * len(pattern), [0] * len(pattern))
    closed = [at for at, opened in enumerate(pattern) if not opened]
    mine = np.array([list(map(int, said[1].split(" ")[:-2]))], np.uint64)
    keys = list(map(bytes.fromhex, said[PARTIES].split()[1:]))
    found = through_the_share(keys, mine, gate.spans, gate_script(gate, PARTIES))
    totals = [sum(column) for column in zip(*counts, strict=True)]
    assert [at for at in closed if found.get(at) == totals[at]] == [], "what the dealer and the buyer see through"
    sizes = [[one.split(" ")[-1] for one in found[:PARTIES]] for found in (said, empty)]
    assert sizes[0] == sizes[1], "what passes on the wire does not depend on what is compared"


@pytest.mark.parametrize("lie", [1, -(2**40)])
def test_own_counts_that_do_not_add_up_to_the_total_end_the_job(lie: int) -> None:
    """Nothing is decided, whatever the counts. The dealer only meets the ends of its pipes."""
    assert met(str(lie))[:PARTIES] == ["gate.inconsistent"] * PARTIES
