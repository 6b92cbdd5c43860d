"""A waiting request holds a thread: only some may wait, the others are answered at once."""

from uuid import uuid4

import pytest

from ledger.errors import PortalUnavailable
from marketplace.api import patience as waiting
from marketplace.api.patience import Patience
from tests.simulators.portal_space import Space


def test_it_works() -> None:
    places, one, other, third = Patience(most=3, most_of_one=2), uuid4(), uuid4(), uuid4()
    with places.place(one) as first, places.place(one) as second, places.place(one) as too_many:
        assert (first, second, too_many) == (True, True, False)
        with places.place(other) as last, places.place(third) as full:
            assert (last, full) == (True, False)
    with places.place(third) as free:
        assert free


def test_who_has_no_place_is_told_to_come_back(people: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    people.admit_all()
    monkeypatch.setattr(waiting.patience, "_most", 0)
    assert people.door("maker").get("/work") == {"items": []}
    with pytest.raises(PortalUnavailable) as busy:
        people.door("maker").get("/work", {"wait": 5})
    assert busy.value.code == "work.busy"
