"""Offering and signing agreements."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from ledger.documents import signed
from ledger.errors import PortalRefused
from marketplace.agreements.models import Agreement
from tests.simulators.portal_space import Space, Stage, staged

stage = staged(lambda space: {"product": space.ready().listed(), "grants": space.granted()})


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def offer(people: Space, stage: Stage) -> dict[str, Any]:
    return deepcopy(stage.made)


def test_it_works(people: Space, offer: dict[str, Any]) -> None:
    document = people.agreement(offer["product"], offer["grants"])
    row = Agreement.objects.get(pk=document["id"])
    assert (row.state, row.price_amount, row.price_currency) == ("signed", 50_000, "CNY")
    assert len(row.document["signatures"]) == 2


def test_the_leads_node_is_asked_to_sign(people: Space, offer: dict[str, Any]) -> None:
    document = people.agreement(offer["product"], offer["grants"], sign=False)
    items = people.door("hospital_a").get("/work")["items"]
    assert [(one["kind"], one["id"]) for one in items] == [("agreement", document["id"])]
    assert people.door("hospital_a").get("/work")["items"] == []
    assert people.door("hospital_b").get("/work")["items"] == []


def test_only_the_lead_signs(people: Space, offer: dict[str, Any]) -> None:
    document = people.agreement(offer["product"], offer["grants"], sign=False)
    wire = signed(document, people.keys["maker"].signing, people.keys["hospital_b"].signing)
    with pytest.raises(PortalRefused) as refused:
        people.door("hospital_b").post(f"/agreements/{document['id']}/signature", {"document": wire})
    assert refused.value.status == 403


def test_another_price_is_refused(people: Space, offer: dict[str, Any]) -> None:
    document = people.agreement(offer["product"], offer["grants"], sign=False)
    from ledger.documents import new_id

    cheap = {**document, "id": new_id(), "price": {"amount": 1, "currency": "CNY"}}
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").post("/agreements", {"document": signed(cheap, people.keys["maker"].signing)})
    assert refused.value.code == "agreement.invalid"


def test_a_part_of_the_grants_is_refused(people: Space, offer: dict[str, Any]) -> None:
    with pytest.raises(PortalRefused) as refused:
        people.agreement(offer["product"], offer["grants"][:2])
    assert refused.value.code == "agreement.invalid"


def test_another_document_is_not_signed_in_its_place(people: Space, offer: dict[str, Any]) -> None:
    document = people.agreement(offer["product"], offer["grants"], sign=False)
    other = {**document, "salt": "00" * 32}
    wire = signed(other, people.keys["maker"].signing, people.keys["hospital_a"].signing)
    with pytest.raises(PortalRefused) as refused:
        people.door("hospital_a").post(f"/agreements/{document['id']}/signature", {"document": wire})
    assert refused.value.code == "agreement.invalid"
