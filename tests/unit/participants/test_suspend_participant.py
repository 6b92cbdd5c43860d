"""A suspended participant is heard no more, but for what protects it; only the regulator's signature lifts it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from dataspace.participants.models import Participant
from dataspace.provenance.models import ChainTx, Event
from ledger import acts
from ledger.approval import participants_domain_of, sign_suspension
from ledger.errors import PortalRefused, VerificationError
from ledger.participant import record_chain_id
from tests.simulators.portal_space import Space, Stage, staged

stage = staged(lambda space: space.ready().decide(space.applied()))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


def suspended(people: Space, name: str = "hospital_a", *, on: bool = True) -> dict[str, Any]:
    said = acts.suspend_participant(
        people.door("office"), people.keys["office"], people.trust, people.id(name), suspended=on
    )
    assert said["delivered"]
    return said


def refused(people: Space, name: str, path: str, body: dict[str, Any] | None = None) -> str:
    with pytest.raises(PortalRefused) as caught:
        people.door(name).post(path, body) if body is not None else people.door(name).get(path)
    return caught.value.code


def test_it_works(people: Space) -> None:
    suspended(people)
    row = Participant.objects.get(pk=people.id("hospital_a"))
    assert row.state == "suspended"
    record = people.door("hospital_a").get(f"/participants/{row.pk}")["record"]["document"]
    people.pass_time()
    found = people.chain.participant_record(record_chain_id(record))
    assert found is not None and found.suspended
    suspended(people, on=False)
    people.pass_time()
    row.refresh_from_db()
    found = people.chain.participant_record(record_chain_id(record))
    assert row.state == "admitted" and found is not None and not found.suspended
    assert list(Event.objects.filter(subject_id=row.pk).order_by("number").values_list("kind", flat=True))[-2:] == [
        "participant.suspended", "participant.restored"]
    assert ChainTx.objects.filter(kind="suspend", subject_id=row.pk).count() == 2


def test_its_requests_are_refused_but_for_its_own_record(people: Space) -> None:
    suspended(people)
    for path in ("/participants", "/datasets", "/work", "/grants", f"/datasets/{_dataset(people)}"):
        assert refused(people, "hospital_a", path) == "participant.suspended"
    assert refused(people, "hospital_a", f"/datasets/{_dataset(people)}/withdrawal", {}) == "participant.suspended"
    assert refused(people, "hospital_a", f"/participants/{people.id('maker')}") == "not_found"
    shown = people.door("hospital_a").get(f"/participants/{people.id('hospital_a')}")
    assert shown["state"] == "suspended"


def test_it_may_still_revoke_what_it_gave(people: Space, stage: Stage) -> None:
    """To take permission away is never to be waited for."""
    suspended(people)
    shown = [people.door("office").get(f"/grants/{one}") for one in stage.made]
    own = next(one for one in shown if one["terms"]["custodian"] == people.id("hospital_a"))
    made = acts.revoke_grant(people.door("hospital_a"), people.trust, own["id"], reason="stop", terms=own["terms"],
                             approver=people.approver("hospital_a"))
    assert made["delivered"]


def test_it_does_not_lift_it_itself(people: Space) -> None:
    lifted = suspended(people)["suspension"]
    path = f"/participants/{people.id('hospital_a')}/suspension"
    assert refused(people, "hospital_a", path, {"suspension": lifted}) == "participant.suspended"
    assert refused(people, "maker", path, {"suspension": lifted}) in ("denied", "not_found")
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.suspend_participant(people.door("office"), people.keys["maker"], people.trust, people.id("hospital_a"),
                                 suspended=False)


def test_an_earlier_restoration_does_not_come_back(people: Space) -> None:
    suspended(people)
    lifted = suspended(people, on=False)["suspension"]
    suspended(people)
    path = f"/participants/{people.id('hospital_a')}/suspension"
    assert refused(people, "office", path, {"suspension": lifted}) == "participant.stale_number"


def test_nobody_uses_the_numbers_up(people: Space) -> None:
    """As on the chain: after a stolen key's word no later one would count."""
    record = people.door("hospital_a").get(f"/participants/{people.id('hospital_a')}")["record"]["document"]
    far = sign_suspension(record_chain_id(record), True, int(time.time() + 2 * 86_400) * 1000,
                          people.approver("office"), participants_domain_of(people.trust))  # fmt: skip
    path = f"/participants/{people.id('hospital_a')}/suspension"
    assert refused(people, "office", path, {"suspension": far}) == "participant.stale_number"
    suspended(people)


def test_an_operators_word_is_none(people: Space) -> None:
    """Who holds the database writes the state there; the chain still says suspended, and nodes ask the chain."""
    said = suspended(people)
    people.pass_time()
    Participant.objects.filter(pk=people.id("hospital_a")).update(state="admitted", suspension=None)
    found = people.chain.participant_record(record_chain_id(said["record"]))
    assert found is not None and found.suspended


def _dataset(people: Space) -> str:
    return str(people.datasets["hospital_a"]["document"]["id"])
