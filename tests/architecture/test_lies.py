"""The table of lies is complete, and each of its tests exists and asserts the code that the table promises.

It is not enough that a test mentions a code: the string must stand in what an `assert` compares (or `pytest.raises`
matches, or a function of the same file that asserts is given), or come there by way of names: a parameter of the test,
a variable, a constant of the module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

PAGE = ROOT / "docs" / "reference" / "lies.md"
CODE = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)`")
TEST = re.compile(r"^`(tests/[\w/]+\.py)::(test_\w+)`$")
Function = ast.FunctionDef
# what has to be in it, each as a word or two of its line
LIES = (
    "every single bit", "key swapped in the portal's database", "grant for another dataset",
    "another custodian's signature", "expired grant", "spec altered after signing", "two nodes shown different specs",
    "spec replayed", "roster that is a subset", "function's digest changed", "revocation withheld by the portal",
    "envelope of one hospital replaced", "one hospital's envelope missing", "a second filter",
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
def test_its_test_exists_and_asserts_its_code(lie: str, codes: list[str], test: str) -> None:
    match = TEST.match(test)
    assert match, f"{lie}: {test} is not `path::name`"
    assert codes, lie
    path = ROOT / match[1]
    assert path.is_file(), test
    said = asserted(path.read_text("utf-8"), match[2])
    assert said is not None, f"{test} does not exist"
    assert [code for code in codes if code not in said] == []


@cache
def asserted(source: str, name: str) -> frozenset[str] | None:
    """Every string that decides whether a test passes; None: no such test."""
    module = ast.parse(source)
    functions = {one.name: one for one in ast.walk(module) if isinstance(one, Function)}
    if name not in functions:
        return None
    test = functions[name]
    asserting = {one.name for one in functions.values() if any(isinstance(node, ast.Assert) for node in ast.walk(one))}
    deciding = list(_compared(test, asserting - {name}))
    names = {node.id for part in deciding for node in ast.walk(part) if isinstance(node, ast.Name)}
    while True:  # what flows into the names that are compared
        flows = [node for node in ast.walk(test) if _targets(node) & names and node not in deciding]
        if not flows:
            break
        for node in flows:
            deciding.append(node)
            names |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    parameters = {one.arg for one in test.args.args}
    deciding += [one for one in test.decorator_list if parameters & names]
    deciding += [one.value for one in module.body if isinstance(one, ast.Assign) and any(
        isinstance(to, ast.Name) and to.id in names for to in one.targets)]
    return frozenset(node.value for part in deciding for node in ast.walk(part)
                     if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _compared(function: Function, asserting: set[str]) -> Iterator[ast.AST]:
    """What asserts test, what `raises` matches, what is handed to functions that assert."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            yield node.test
        elif isinstance(node, ast.withitem) and _name(node.context_expr) == "refused":
            yield node.context_expr  # the name of such context managers in all our worlds: they compare an error's code
        elif isinstance(node, ast.Call):
            called = _name(node)
            if called in asserting:
                yield node
            elif called == "raises":
                yield from (one.value for one in node.keywords if one.arg in ("match", "check"))


def _name(call: ast.AST) -> str:
    """What is called."""
    function = getattr(call, "func", None)
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _targets(node: ast.AST) -> set[str]:
    """The names that a statement gives a value."""
    to: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        to = node.targets
    elif isinstance(node, ast.For | ast.comprehension):
        to = [node.target]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        to = [node.optional_vars]
    return {inner.id for one in to for inner in ast.walk(one) if isinstance(inner, ast.Name)}


def test_a_missing_test_or_code_is_noticed() -> None:
    source = Path(__file__).read_text("utf-8")
    assert asserted(source, "test_that_nobody_wrote") is None
    assert "grant.made_up" not in (asserted(source, "test_every_lie_is_in_the_table") or ())
    assert "every single bit" in (asserted(source, "test_every_lie_is_in_the_table") or ())


def test_a_code_that_is_only_mentioned_does_not_count() -> None:
    source = '''
CODES = ["by.constant"]
@pytest.mark.parametrize("code", ["by.parameter"])
def test_one(code):
    """in.docstring"""
    make("in.passing")
    wanted = {"a": "by.variable"}["a"]
    assert found(code) == "compared", "in.message"
    assert wanted in CODES
'''
    assert asserted(source, "test_one") == {"compared", "code", "by.constant", "by.parameter", "by.variable", "a"}
