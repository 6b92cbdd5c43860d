"""The gate by our own protocols, in three processes and a dealer: it decides as in the clear, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.gate_of_a_liar import FLOOR, PARTIES, few, many

pytestmark = pytest.mark.stack


def met(argument: str) -> list[str]:
    """What the parties and the dealer said at the end."""
    done = subprocess.run([sys.executable, "-m", "tests.integration.gate_of_a_liar", argument], capture_output=True,
                          timeout=120, check=True, cwd=Path(__file__).resolve().parents[2])
    found: list[str] = json.loads(done.stdout)
    return found


def patterns(said: list[str]) -> list[str]:
    return [one.split(" ")[0] for one in said]


def bits(pattern: tuple[bool, ...]) -> str:
    return "".join("1" if bit else "0" for bit in pattern)


def test_it_works() -> None:
    """One cell lacks one person for the floor, and takes the other half of its pair with it."""
    gate, _, numbers = few()
    assert gate.decide(numbers, FLOOR) == (False, False, True, True)
    assert patterns(met("0")) == ["0011"] * PARTIES + ["dealt"]


def test_many_comparisons_at_the_edge_decide_as_in_the_clear() -> None:
    gate, _, numbers = many()
    pattern = gate.decide(numbers, FLOOR)
    assert 5 < sum(pattern) < len(pattern) - 5
    floors_only = replace(gate, needs=tuple(tuple(one for one in need if one < gate.counts) for need in gate.needs))
    assert floors_only.decide(numbers, FLOOR) != pattern, "dominance closes some"
    said, empty = met("many"), met("empty")
    assert patterns(said) == [bits(pattern)] * PARTIES + ["dealt"]
    assert patterns(empty) == ["0" * len(pattern)] * PARTIES + ["dealt"]
    sizes = [[one.split(" ")[1] for one in found[:PARTIES]] for found in (said, empty)]
    assert sizes[0] == sizes[1], "what passes on the wire does not depend on what is compared"


@pytest.mark.parametrize("lie", [1, -(2**40)])
def test_own_counts_that_do_not_add_up_to_the_total_end_the_job(lie: int) -> None:
    """Nothing is decided, whatever the counts. The dealer only meets the ends of its pipes."""
    assert met(str(lie))[:PARTIES] == ["gate.inconsistent"] * PARTIES
