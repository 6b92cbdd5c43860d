"""The same request under the same key gets the same answer, and only that request."""

from collections.abc import Iterator
from copy import deepcopy

import pytest

from ledger.errors import PortalRefused
from marketplace.api.models import IdempotencyKey
from marketplace.jobs.models import Job
from tests.simulators.portal_space import Space, Stage, staged

stage = staged(lambda space: space.ready().agreement(space.listed(), space.granted()))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def agreement(people: Space, stage: Stage) -> dict[str, object]:
    return deepcopy(stage.made)


def test_it_works(people: Space, agreement: dict[str, object]) -> None:
    spec = people.spec(agreement)
    first = people.order(spec, key="order-1")
    assert people.order(spec, key="order-1") == first
    assert first["existing"] is False
    assert Job.objects.count() == 1


def test_another_request_under_the_key_is_refused(people: Space, agreement: dict[str, object]) -> None:
    people.order(people.spec(agreement), key="order-1")
    with pytest.raises(PortalRefused) as refused:
        people.order(people.spec(agreement), key="order-1")
    assert (refused.value.status, refused.value.code) == (422, "idempotency.key_reused")


def test_a_request_under_way_is_told_to_wait(people: Space, agreement: dict[str, object]) -> None:
    spec = people.spec(agreement)
    people.order(spec, key="order-1")
    IdempotencyKey.objects.update(status=None, body=None)
    with pytest.raises(PortalRefused) as refused:
        people.order(spec, key="order-1")
    assert (refused.value.status, refused.value.code) == (409, "idempotency.in_flight")


def test_a_refused_request_may_be_sent_again(people: Space, agreement: dict[str, object]) -> None:
    stale = people.spec(agreement, issued_at="2026-01-01T00:00:00Z", deadline="2026-01-01T00:10:00Z")
    for _ in range(2):
        with pytest.raises(PortalRefused) as refused:
            people.order(stale, key="order-1")
        assert refused.value.code == "spec.stale"
    assert not IdempotencyKey.objects.exists()


def test_without_a_key_the_spec_itself_makes_it_one_job(people: Space, agreement: dict[str, object]) -> None:
    spec = people.spec(agreement)
    assert people.order(spec)["existing"] is False
    assert people.order(spec)["existing"] is True
    assert Job.objects.count() == 1
