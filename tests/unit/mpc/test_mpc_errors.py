"""The list in the docstring is the tree."""

import re

from mpc import errors
from mpc.errors import MpcError


def test_the_docstring_lists_every_error_and_its_code() -> None:
    listed = dict(re.findall(r"^  - (\w+) +(\S+)", errors.__doc__ or "", re.MULTILINE))
    found = {kind.__name__: kind.code for kind in MpcError.__subclasses__()
             if kind.__module__ == errors.__name__}  # mpc.node draws its own tree
    assert set(listed) == set(found)
    open_ended = {"SpecRefused", "DataRefused", "Stopped"}
    assert {name: code for name, code in listed.items() if name not in open_ended} == {
        name: code for name, code in found.items() if name not in open_ended}


def test_an_error_carries_code_and_seat() -> None:
    error = errors.Stopped("stop", code="grant.revoked", about_seat=3)
    assert (error.code, error.about_seat, str(error)) == ("grant.revoked", 3, "stop")
    assert str(errors.PeerLost()) == "session.peer_lost"
