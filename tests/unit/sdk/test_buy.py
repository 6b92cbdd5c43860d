"""Buying: what is sent is built from verified documents only, and never twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.documents import document_hash, verify_signed
from ledger.errors import PortalRefused
from marketplace.sdk import JobFailed, Refused, Unavailable, VerificationError, fn
from marketplace.sdk.job import check_released
from tests.unit.sdk.world import COLUMNS, HOSPITALS, World

CALL = fn.crosstab(rows="sex", columns="grade")


def test_it_works(world: World) -> None:
    job = world.space().buy(world.product_id, CALL, idempotency_key="order-1")

    spec = verify_signed(world.job(job.id)["spec"], type="job_spec", keys=[world.keys["maker"].signing_public])
    assert [seat["seat"] for seat in spec["roster"]] == [0, 1, 2]
    assert {seat["participant"] for seat in spec["roster"]} == {world.keys[name].participant for name in HOSPITALS}
    assert spec["function"] == {"name": "crosstab", "version": 1, "digest": CALL.digest}
    assert spec["dealer"]["signing"] == world.trust.dealer.signing
    assert spec["disclosure"] == {"floor": 5}
    assert spec["recipient"]["sealing"] == world.keys["maker"].sealing_public
    agreement = world.portal.shelves["agreements"][spec["agreement"]]["document"]["document"]
    assert spec["agreement_hash"] == document_hash(agreement)


@pytest.mark.parametrize(("code", "said", "who"), [
    ("gate.inconsistent", None, "regulator"), ("worker.killed", None, "custodian"), ("job.cancelled", None, None),
    ("grant.approval_invalid", "custodian", "custodian"),  # as the verdict says that ended it, not as by default
])
def test_a_failed_job_says_whose_turn_it_is(code: str, said: str | None, who: str | None) -> None:
    with pytest.raises(JobFailed) as failed:
        check_released({"id": "1", "state": "failed", "code": code, "about": None, "who_must_act": said})
    assert (failed.value.reason, failed.value.who_must_act) == (code, who)


def test_the_same_key_sends_the_same_order(world: World) -> None:
    first = world.space().buy(world.product_id, CALL, idempotency_key="order-1")
    second = world.space().buy(world.product_id, CALL, idempotency_key="order-1")

    assert (second.id, second.existing) == (first.id, True)
    sent = [(body, key) for path, body, key in world.portal.posted if path == "/jobs"]
    assert sent[0] == sent[1]


def test_the_same_key_for_another_order_is_refused(world: World) -> None:
    world.space().buy(world.product_id, CALL, idempotency_key="order-1")
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, fn.describe(["age"]), idempotency_key="order-1")
    assert refused.value.code == "order.key_reused"


def test_an_order_lost_on_the_way_is_sent_again_unchanged(world: World) -> None:
    take = world.portal.on_post["/jobs"]
    kept = []

    def lose(body: object, key: str | None) -> object:
        kept.append(body)
        world.portal.on_post["/jobs"] = take
        world.portal.down = True
        return world.portal.get("/jobs")

    world.portal.on_post["/jobs"] = lose
    with pytest.raises(Unavailable):
        world.space().buy(world.product_id, CALL, idempotency_key="order-1")
    world.portal.down = False
    job = world.space().buy(world.product_id, CALL, idempotency_key="order-1")
    assert kept[0] == {"spec": world.job(job.id)["spec"]}


def test_one_agreement_serves_many_orders(world: World) -> None:
    space = world.space()
    space.buy(world.product_id, CALL)
    space.buy(world.product_id, fn.describe(["age"]))
    assert len(world.portal.shelves["agreements"]) == 1


def test_what_one_hospitals_dictionary_would_undo_for_all_is_not_ordered(tmp_path: Path) -> None:
    """Nothing is agreed, sent or paid for; other computations of the same product go on."""
    age = {**COLUMNS[0], "max": "9000000000000000"}
    world = World(tmp_path, columns={HOSPITALS[1]: [age, *COLUMNS[1:]]})
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, fn.describe(["age"]))
    assert refused.value.code == "encoding.coarse"
    assert not any(path in ("/agreements", "/jobs") for path, _, _ in world.portal.posted)
    assert world.space().buy(world.product_id, CALL).id


def test_without_active_grants_nothing_is_ordered(world: World) -> None:
    for grant in world.portal.shelves["grants"].values():
        grant["state"] = "revoked"
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, CALL)
    assert refused.value.code == "grant.outside_scope"
    assert not [path for path, *_ in world.portal.posted if path == "/jobs"]


def test_parameters_are_checked_before_anything_is_sent(world: World) -> None:
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, fn.crosstab(rows="sex", columns="age"))
    assert refused.value.code == "parameters.invalid"


def test_what_no_worker_could_compute_is_not_ordered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole plan is made before anything is sent, with the size of its gate, which no portal looks at."""
    monkeypatch.setattr("mpc.functions.plan.MAX_COMPARISONS", 3)
    with pytest.raises(Refused, match="too much for one gate"):
        world.space().buy(world.product_id, CALL)
    assert not [path for path, *_ in world.portal.posted if path == "/jobs"]


def test_a_portal_that_refuses_is_quoted(world: World) -> None:
    world.portal.refuse["/jobs"] = PortalRefused(409, "grant.exhausted", "no uses left", "r7",
                                                 {"who_must_act": "consumer"})
    with pytest.raises(Refused) as refused:
        world.space().buy(world.product_id, CALL)
    assert (refused.value.code, refused.value.status, refused.value.request_id) == ("grant.exhausted", 409, "r7")
    assert refused.value.who_must_act == "consumer"


def test_grant_terms_changed_by_the_portal_are_refused(world: World) -> None:
    grant = next(iter(world.portal.shelves["grants"].values()))
    grant["terms"] = grant["terms"] | {"max_uses": 10_000}
    with pytest.raises(VerificationError) as refused:
        world.space().buy(world.product_id, CALL)
    assert refused.value.code == "approval.signature"


def test_a_dataset_that_changed_since_listing_is_refused(world: World) -> None:
    product = world.space().product(world.product_id)
    record = world.portal.shelves["datasets"][product.datasets[0]]["record"]
    other = next(one["record"] for one in world.portal.shelves["datasets"].values() if one["record"] is not record)
    world.portal.shelves["datasets"][product.datasets[0]]["record"] = other
    with pytest.raises(VerificationError) as refused:
        world.space().buy(world.product_id, CALL)
    assert refused.value.code == "record.wrong"


def test_an_order_may_be_answered_by_a_job_that_asked_the_same_and_by_no_other(world: World) -> None:
    first = world.space().buy(world.product_id, CALL)
    world.portal.on_post["/jobs"] = lambda body, key: {"id": first.id, "state": "released", "existing": True}

    again = world.space().buy(world.product_id, CALL)
    assert (again.id, again.existing) == (first.id, True)
    with pytest.raises(VerificationError) as refused:
        world.space().buy(world.product_id, fn.describe(["age"]))
    assert refused.value.code == "record.wrong"
