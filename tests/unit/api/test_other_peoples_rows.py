"""What is not yours reads as not there."""

from collections.abc import Iterator

import pytest

from dataspace.grants.models import Grant
from dataspace.participants.models import Participant
from ledger.documents import new_id
from ledger.errors import PortalRefused
from tests.simulators.portal_space import HOSPITALS, Space, Stage, staged

stage = staged(Space.ready)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


def code_of(people: Space, name: str, path: str) -> tuple[int, str]:
    with pytest.raises(PortalRefused) as refused:
        people.door(name).get(path)
    return refused.value.status, refused.value.code


def test_it_works(people: Space) -> None:
    """A rival asks for everything of a finished job by its right address."""
    spec = people.spec(people.agreement(people.listed(), people.granted()))
    people.order(spec)
    entry = people.released(spec)
    people.pass_time()
    grant = people.door("maker").get("/grants")["items"][0]
    paths = [
        f"/jobs/{spec['id']}",
        f"/agreements/{spec['agreement']}",
        f"/grants/{grant['id']}",
        f"/scenarios/{grant['terms']['scenario']}",
        f"/receipts/{entry}",
    ]
    for path in paths:
        people.door("maker").get(path)
        assert code_of(people, "rival", path) == (404, "not_found")
        unknown = path.rpartition("/")[0] + f"/{new_id()}"
        assert code_of(people, "rival", unknown) == (404, "not_found")
    for path in ("/jobs", "/agreements", "/grants", "/scenarios"):
        assert people.door("rival").get(path) == {"items": []}
    assert people.door("rival").get("/entries", {"subject": spec["id"]}) == {"items": []}


def test_a_draft_is_its_authors_alone(people: Space) -> None:
    product = people.offer()
    assert code_of(people, "maker", f"/products/{product}")[0] == 404
    people.door("hospital_b").get(f"/products/{product}")


def test_a_custodian_sees_its_own_grant_alone(people: Space) -> None:
    people.decide(people.applied())
    for name in HOSPITALS:
        seen = people.door(name).get("/grants")["items"]
        assert [one["terms"]["custodian"] for one in seen] == [people.id(name)]


def test_grants_are_asked_for_by_scenario(people: Space) -> None:
    """Whoever asks for one scenario's is not answered with all there ever were."""
    people.granted()
    people.granted()
    every = {one["id"]: one["terms"]["scenario"] for one in people.door("maker").get("/grants")["items"]}
    asked = next(iter(every.values()))
    seen = people.door("maker").get("/grants", {"scenario": asked})["items"]
    assert {one["id"] for one in seen} == {id for id, scenario in every.items() if scenario == asked} != set(every)
    assert people.door("rival").get("/grants", {"scenario": asked}) == {"items": []}
    with pytest.raises(PortalRefused, match="UUID"):
        people.door("maker").get("/grants", {"scenario": "all"})


def test_an_applicant_sees_itself_alone(people: Space) -> None:
    Participant.objects.filter(pk=people.id("rival")).update(state="applied")
    seen = people.door("rival").get("/participants")["items"]
    assert [one["id"] for one in seen] == [people.id("rival")]
    assert people.door("rival").get("/datasets") == {"items": []}


def refused(people: Space, asked: dict[str, str]) -> str:
    with pytest.raises(PortalRefused) as caught:
        people.door("maker").get("/agreements", asked)
    return caught.value.code


def test_agreements_of_one_product_and_scenario(people: Space) -> None:
    spec = people.spec(people.agreement(people.listed(), people.granted()))
    (row,) = people.door("maker").get("/agreements")["items"]
    document = row["document"]["document"]
    scenario = Grant.objects.values_list("scenario", flat=True).distinct().get()
    ours = {"product": document["product"], "scenario": str(scenario)}
    for asked in ({}, ours, {"product": ours["product"]}, {"scenario": ours["scenario"]}):
        assert [one["id"] for one in people.door("maker").get("/agreements", asked)["items"]] == [spec["agreement"]]
    for name in ours:
        assert people.door("maker").get("/agreements", ours | {name: new_id()}) == {"items": []}
        assert refused(people, {name: "x"}) == "query.malformed"
