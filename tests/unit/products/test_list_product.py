"""A product from its draft to the catalogue."""

from collections.abc import Iterator

import pytest

from ledger import acts
from ledger.errors import PortalRefused
from marketplace.products.models import Product
from tests.simulators.portal_space import Space, Stage, staged

stage = staged(lambda space: space.ready().offer())


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def product(people: Space, stage: Stage) -> str:
    return str(stage.made)


def refused(people: Space, name: str, path: str, body: dict[str, object]) -> PortalRefused:
    with pytest.raises(PortalRefused) as caught:
        people.door(name).post(path, body)
    return caught.value


def test_it_works(people: Space, product: str) -> None:
    people.confirm(product, "hospital_b", "hospital_c")
    acts.submit_product(people.door("hospital_a"), product)
    acts.decide_listing(people.door("office"), people.keys["office"], people.trust, product)
    shown = people.door("maker").get(f"/products/{product}")
    assert shown["state"] == "listed"
    assert sorted(shown["confirmed"]) == sorted(people.id(name) for name in ("hospital_b", "hospital_c"))


def test_without_every_confirmation_it_is_not_submitted(people: Space, product: str) -> None:
    people.confirm(product, "hospital_b")
    error = refused(people, "hospital_a", f"/products/{product}/submission", {})
    assert error.code == "product.unconfirmed"
    assert people.id("hospital_c") in str(error.problem["who_must_act"])


def test_only_the_lead_submits(people: Space, product: str) -> None:
    people.confirm(product, "hospital_b", "hospital_c")
    assert refused(people, "hospital_b", f"/products/{product}/submission", {}).status == 403


def test_a_confirmation_is_the_providers_own(people: Space, product: str) -> None:
    wire = acts.confirm_product(people.door("hospital_b"), people.keys["hospital_b"], people.trust, product)
    error = refused(people, "hospital_c", f"/products/{product}/confirmations", {"confirmation": wire})
    assert error.code == "signature.missing"


def test_only_the_regulator_lists(people: Space, product: str) -> None:
    people.confirm(product, "hospital_b", "hospital_c")
    acts.submit_product(people.door("hospital_a"), product)
    with pytest.raises(PortalRefused) as caught:
        acts.decide_listing(people.door("hospital_a"), people.keys["hospital_a"], people.trust, product)
    assert caught.value.status == 403


def test_a_draft_is_not_listed(people: Space, product: str) -> None:
    with pytest.raises(PortalRefused) as caught:
        acts.decide_listing(people.door("office"), people.keys["office"], people.trust, product)
    assert caught.value.code == "illegal_move"
    assert Product.objects.get().state == "draft"


def test_delisted_it_leaves_the_catalogue(people: Space) -> None:
    product = people.listed()
    acts.decide_listing(people.door("office"), people.keys["office"], people.trust, product, decision="delist")
    with pytest.raises(PortalRefused):
        people.door("maker").get(f"/products/{product}")
