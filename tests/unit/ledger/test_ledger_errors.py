"""The tree drawn in the docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import re

from ledger import errors


def test_the_docstring_draws_the_classes() -> None:
    drawn = re.findall(r"^( *)[*-] (\w+)", errors.__doc__ or "", re.MULTILINE)
    parents, expected = dict[int, str](), dict[str, str]()
    for indent, name in drawn:
        parents[len(indent)] = name
        above = [depth for depth in parents if depth < len(indent)]
        expected[name] = parents[max(above)] if above else "Exception"
    classes = {name: one.__bases__[0].__name__ for name, one in inspect.getmembers(errors, inspect.isclass)
               if one.__module__ == errors.__name__}
    assert classes == expected


def test_wrong_and_unknown_never_share_a_class() -> None:
    for unknown in (errors.ChainUnavailable, errors.PortalUnavailable):
        assert not issubclass(unknown, errors.VerificationError)
    assert errors.DocumentError("document.malformed", "/: no").code == "document.malformed"
