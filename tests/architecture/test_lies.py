"""The table of lies is complete, and each of its tests exists and names the code that the table promises."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "reference" / "lies.md"
CODE = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
TEST = re.compile(r"^`(tests/[\w/]+\.py)::(test_\w+)`$")
# what has to be in it, each as a word or two of its line
LIES = (
    "every single bit", "key swapped in the portal's database", "grant for another dataset",
    "another custodian's signature", "expired grant", "spec altered after signing", "two nodes shown different specs",
    "spec replayed", "roster that is a subset", "function's digest changed", "revocation withheld by the portal",
    "envelope of one hospital replaced", "one hospital's envelope missing",
)  # fmt: skip


def rows() -> list[tuple[str, list[str], str]]:
    """Lie, codes and test of each line of the table."""
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("| ") and not line.startswith("| lie"):
            lie, codes, test = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((lie, CODE.findall(codes), test))
    return found


def test_every_lie_is_in_the_table() -> None:
    told = "\n".join(lie for lie, _, _ in rows())
    assert [lie for lie in LIES if lie not in told] == []


@pytest.mark.parametrize(("lie", "codes", "test"), rows(), ids=lambda value: value if "::" in value else None)
def test_its_test_exists_and_names_its_code(lie: str, codes: list[str], test: str) -> None:
    match = TEST.match(test)
    assert match, f"{lie}: {test} is not `path::name`"
    assert codes, lie
    path = ROOT / match[1]
    assert path.is_file(), test
    said = strings_of(path, match[2])
    assert said is not None, f"{test} does not exist"
    assert [code for code in codes if code not in said] == []


@cache
def strings_of(path: Path, name: str) -> frozenset[str] | None:
    """Every string in a test, its parameters and the constants of its module that it reads; None: no such test."""
    module = ast.parse(path.read_text("utf-8"))
    test = next((one for one in ast.walk(module) if isinstance(one, ast.FunctionDef) and one.name == name), None)
    if test is None:
        return None
    read = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    constants = [
        one.value
        for one in module.body
        if isinstance(one, ast.Assign) and any(isinstance(to, ast.Name) and to.id in read for to in one.targets)
    ]
    return frozenset(
        node.value
        for part in (test, *constants)
        for node in ast.walk(part)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_a_missing_test_or_code_is_noticed() -> None:
    here = Path(__file__)
    assert strings_of(here, "test_that_nobody_wrote") is None
    assert "grant.made_up" not in (strings_of(here, "test_every_lie_is_in_the_table") or ())
    assert "every single bit" in (strings_of(here, "test_every_lie_is_in_the_table") or ())
