"""Drafting, submitting and deciding scenarios."""

from collections.abc import Iterator

import pytest

from dataspace.actor import Actor
from dataspace.errors import Conflict, Denied
from dataspace.grants.models import Grant
from dataspace.provenance.models import Event
from dataspace.scenarios import services
from dataspace.scenarios.models import Scenario
from ledger.documents import new_document, signed
from ledger.errors import PortalRefused
from tests.simulators.portal_space import HOSPITALS, Space, Stage, now, staged

stage = staged(lambda space: space.ready().applied())


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def scenario(people: Space, stage: Stage) -> Scenario:
    return Scenario.objects.get(pk=stage.made)


def decision(people: Space, scenario: Scenario, word: str, signer: str = "office") -> dict[str, object]:
    document = new_document(
        "scenario_decision",
        scenario=str(scenario.pk),
        scenario_hash=scenario.document_hash,
        decision=word,
        note="目的不清",
        participant=people.id("office"),
    )
    wire: dict[str, object] = signed(document, people.keys[signer].signing)
    return wire


def test_it_works(people: Space, scenario: Scenario) -> None:
    grants = people.decide(str(scenario.pk))
    scenario.refresh_from_db()
    assert scenario.state == "approved"
    assert set(Grant.objects.values_list("state", flat=True)) == {"submitted"}
    assert len(grants) == len(HOSPITALS)


def test_returned_it_may_be_submitted_again(people: Space, scenario: Scenario) -> None:
    people.door("office").post(f"/scenarios/{scenario.pk}/decision", {"decision": decision(people, scenario, "return")})
    assert people.door("maker").get(f"/scenarios/{scenario.pk}")["state"] == "returned"
    people.door("maker").post(f"/scenarios/{scenario.pk}/submission", {})
    assert people.decide(str(scenario.pk))


def test_what_the_regulator_wrote_is_not_in_the_entry(people: Space, scenario: Scenario) -> None:
    people.door("office").post(f"/scenarios/{scenario.pk}/decision", {"decision": decision(people, scenario, "return")})
    assert "目的" not in str([one.entry for one in Event.objects.all()])


def test_of_two_decisions_one_conflicts(people: Space, scenario: Scenario) -> None:
    stale = Scenario.objects.get(pk=scenario.pk)
    actor = people.actor("office")
    services.decide(scenario, decision=decision(people, scenario, "return"), actor=actor, now=now())
    before = Event.objects.count()
    with pytest.raises(Conflict):
        services.decide(stale, decision=decision(people, scenario, "reject"), actor=actor, now=now())
    assert Event.objects.count() == before


def test_a_decision_the_regulator_did_not_sign_is_refused(people: Space, scenario: Scenario) -> None:
    body = {"decision": decision(people, scenario, "reject", signer="maker")}
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/scenarios/{scenario.pk}/decision", body)
    assert refused.value.code == "signature.missing"


def test_the_consumer_decides_nothing(people: Space, scenario: Scenario) -> None:
    body = {"decision": decision(people, scenario, "approve")}
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").post(f"/scenarios/{scenario.pk}/decision", body)
    assert refused.value.status == 403


def test_nobody_decides_on_their_own_application(people: Space, scenario: Scenario) -> None:
    from uuid import uuid4

    person = uuid4()
    scenario.submitted_by = person
    actor = Actor(people.actor("office").participant_id, person, frozenset({"regulator"}))
    with pytest.raises(Denied):
        services.decide(scenario, decision=decision(people, scenario, "return"), actor=actor, now=now())


def test_an_approval_without_every_grant_is_refused_whole(people: Space, scenario: Scenario) -> None:
    body = {"decision": decision(people, scenario, "approve"), "grants": []}
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/scenarios/{scenario.pk}/decision", body)
    assert refused.value.code == "scenario.grants"
    scenario.refresh_from_db()
    assert scenario.state == "submitted"


def test_an_unregistered_dataset_is_refused(people: Space) -> None:
    people.door("hospital_a").post(f"/datasets/{people.datasets['hospital_a']['document']['id']}/withdrawal", {})
    with pytest.raises(PortalRefused):
        people.applied()
    assert Scenario.objects.count() == 1
