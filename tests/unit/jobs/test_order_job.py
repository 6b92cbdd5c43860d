"""Ordering a job: what the portal refuses before any node is asked."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from django.test import Client

from dataspace.grants.models import Grant
from dataspace.participants.models import Person
from ledger import acts
from ledger.documents import new_salt, signed
from ledger.errors import PortalRefused
from marketplace.agreements.models import Agreement
from marketplace.jobs.models import Job
from tests.simulators.portal_space import HOSPITALS, Space, Stage, staged

stage = staged(
    lambda space: space.ready().agreement(space.listed(), space.granted(functions=("crosstab@1",), max_uses=2))
)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def agreement(people: Space, stage: Stage) -> dict[str, Any]:
    return deepcopy(stage.made)


def code_of(people: Space, spec: dict[str, Any], name: str = "maker") -> str:
    with pytest.raises(PortalRefused) as refused:
        people.order(spec, name=name)
    assert Job.objects.count() == 0
    return refused.value.code


def test_it_works(people: Space, agreement: dict[str, Any]) -> None:
    spec = people.spec(agreement)
    answer = people.order(spec)
    assert answer == {"id": spec["id"], "state": "offered", "existing": False}
    for name in HOSPITALS:
        assert [one["kind"] for one in people.door(name).get("/work")["items"]] == ["check"]
    assert people.door("dealer").get("/work")["items"] == []  # asked when all have accepted


def test_its_pages_say_where_each_row_counts_as_one_person(people: Space, agreement: dict[str, Any]) -> None:
    """These hospitals' dictionaries name no column that tells persons apart: what the floor counts are rows."""
    spec = people.spec(agreement)
    people.order(spec)
    reader = Client(headers={"accept-language": "en"})
    reader.force_login(Person.objects.create(username="analyst", participant_id=people.id("maker")))

    def page(path: str) -> str:
        return " ".join(reader.get(path).content.decode().split())

    product = Agreement.objects.get().product_id
    assert page(f"/products/{product}").count("each row counts as one person") == len(HOSPITALS)
    assert f"{', '.join(HOSPITALS)}: each row counts as one person" in page(f"/jobs/{spec['id']}")
    assert "One person is</dt><dd>one row</dd>" in page(f"/datasets/{spec['inputs'][0]['dataset']}")


def test_a_function_that_was_not_granted_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    assert code_of(people, people.spec(agreement, function="describe@1")) == "grant.outside_scope"


def test_a_lower_floor_than_granted_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    assert code_of(people, people.spec(agreement, disclosure={"floor": 9})) == "grant.outside_scope"


def test_another_digest_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    function = {"name": "crosstab", "version": 1, "digest": "00" * 32}
    assert code_of(people, {**people.spec(agreement), "function": function}) == "spec.function_digest"


def test_parameters_the_function_does_not_know_are_refused(people: Space, agreement: dict[str, Any]) -> None:
    spec = people.spec(agreement, parameters={"rows": "sex", "columns": "nothing"})
    assert code_of(people, spec) == "spec.parameters"


def test_an_altered_spec_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    wire = signed(people.spec(agreement), people.keys["maker"].signing)
    wire["document"]["nonce"] = new_salt()
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").post("/jobs", {"spec": wire})
    assert refused.value.code == "signature.invalid"


def test_a_part_of_the_roster_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    spec = people.spec(agreement)
    part = {**spec, "grants": spec["grants"][:2], "inputs": spec["inputs"][:2], "roster": spec["roster"][:2]}
    assert code_of(people, part) == "spec.roster_mismatch"


def test_a_spec_from_last_week_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    spec = people.spec(agreement, issued_at="2026-01-01T00:00:00Z", deadline="2026-01-02T00:00:00Z")
    assert code_of(people, spec) == "spec.stale"


def test_another_dealer_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    dealer = {"participant": people.id("rival"), "signing": people.keys["rival"].signing_public}
    assert code_of(people, people.spec(agreement, dealer=dealer)) == "spec.roster_mismatch"


def test_after_a_revocation_it_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    grant = agreement["grants"][0]["id"]
    acts.revoke_grant(people.door("office"), people.trust, grant, approver=people.approver("office"), reason="x")
    assert code_of(people, people.spec(agreement)) == "grant.revoked"


@pytest.mark.parametrize("state", ["expired", "exhausted"])
def test_an_ended_grant_is_refused(people: Space, agreement: dict[str, Any], state: str) -> None:
    Grant.objects.filter(pk=agreement["grants"][0]["id"]).update(state=state)
    assert code_of(people, people.spec(agreement)) == f"grant.{state}"


def test_an_unsigned_agreement_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    Agreement.objects.update(state="offered")
    assert code_of(people, people.spec(agreement)) == "agreement.invalid"


def test_nobody_orders_under_anothers_agreement(people: Space, agreement: dict[str, Any]) -> None:
    recipient = {"participant": people.id("rival"), "sealing": people.keys["rival"].sealing_public}
    assert code_of(people, people.spec(agreement, recipient=recipient), "rival") == "agreement.invalid"


def test_orders_under_way_count_as_uses(people: Space, agreement: dict[str, Any]) -> None:
    for _ in range(2):
        people.order(people.spec(agreement))
    with pytest.raises(PortalRefused) as refused:
        people.order(people.spec(agreement))
    assert refused.value.code == "grant.exhausted"


def test_the_same_question_again_is_the_same_job(people: Space, agreement: dict[str, Any]) -> None:
    first = people.spec(agreement)
    people.order(first)
    people.released(first)
    again = people.order(people.spec(agreement))
    assert (again["id"], again["existing"]) == (first["id"], True)
    assert Job.objects.count() == 1


def test_one_id_for_two_specs_is_refused(people: Space, agreement: dict[str, Any]) -> None:
    first = people.spec(agreement)
    people.order(first)
    with pytest.raises(PortalRefused) as refused:
        people.order(people.spec(agreement, id=first["id"]))
    assert (refused.value.status, refused.value.code) == (409, "spec.two_specs")
