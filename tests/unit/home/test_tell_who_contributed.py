"""What a computation's page says of a party that has not contributed: while it may, and when it is too late."""

from types import SimpleNamespace

import pytest

from dataspace.templatetags.words import STATES
from marketplace.home.jobs import _answer, _part

ACCEPTED, REFUSED = (SimpleNamespace(decision=one, code="", at=None) for one in ("accept", "refuse"))


@pytest.mark.parametrize(("verdict", "late", "said"), [
    (None, False, "waiting"),
    (None, True, "absent"),
    (ACCEPTED, False, "accept"),
    (ACCEPTED, True, "absent"),
    (REFUSED, True, "refuse"),
])
def test_it_works(verdict, late, said):
    assert _answer(verdict, late=late)["decision"] == said
    assert said in STATES["verdict"]


def test_the_dealer_froze_the_set():
    assert _part("dealer", None, frozen=True)["decision"] == "frozen"
    assert _part("provider", None, frozen=True) is None
