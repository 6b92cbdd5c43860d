"""The tree drawn in the docstring of each errors.py is the tree of its classes, and every code has one form."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

TREES = ["dataspace.errors", "mpc.errors", "ledger.errors", "marketplace.sdk.errors"]
LINE = re.compile(r"^(?P<indent> *)[*\-+] (?P<name>[A-Z]\w+)")
CODE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")


def drawn(docstring: str) -> dict[str, str | None]:
    """Class -> parent, as the docstring draws them by indentation."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in docstring.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        found[match["name"]] = above[-1][1] if above else None
        above.append((depth, match["name"]))
    return found


def defined(module: object) -> dict[str, str | None]:
    """Class -> parent, as the module defines them."""
    classes = [one for _, one in inspect.getmembers(module, inspect.isclass)
               if issubclass(one, Exception) and one.__module__ == module.__name__]  # type: ignore[attr-defined]
    names = {one.__name__ for one in classes}
    return {one.__name__: one.__bases__[0].__name__ if one.__bases__[0].__name__ in names else None for one in classes}


@pytest.mark.parametrize("name", TREES)
def test_the_tree_drawn_is_the_tree(name: str) -> None:
    module = importlib.import_module(name)
    assert drawn(inspect.getdoc(module) or "") == defined(module)


@pytest.mark.parametrize("name", TREES)
def test_one_root_each(name: str) -> None:
    roots = [one for one, parent in defined(importlib.import_module(name)).items() if parent is None]
    assert len(roots) == 1
    assert roots[0].endswith("Error")


def test_wrong_and_unknown_never_share_a_class() -> None:
    ledger = importlib.import_module("ledger.errors")
    sdk = importlib.import_module("marketplace.sdk.errors")
    assert not issubclass(ledger.ChainUnavailable, ledger.VerificationError)
    assert not issubclass(ledger.PortalUnavailable, ledger.VerificationError)
    assert not issubclass(sdk.Unavailable, sdk.VerificationError)
    assert not issubclass(sdk.VerificationError, sdk.Unavailable)


@pytest.mark.parametrize("name", TREES)
def test_codes_have_one_form(name: str) -> None:
    module = importlib.import_module(name)
    for class_name in defined(module):
        one = getattr(module, class_name)
        code = getattr(one, "default", None) or getattr(one, "code", None)
        assert code is None or CODE.match(code), (class_name, code)
