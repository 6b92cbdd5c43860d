"""What nodes answer, and what becomes of the job."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from dataspace.provenance.models import Event
from ledger import acts
from ledger.errors import PortalRefused
from marketplace.jobs.models import Envelope, Job, JobParty
from marketplace.jobs.queries import who_must_act
from marketplace.jobs.services import tend
from tests.simulators.portal_space import HOSPITALS, Space, Stage, now, staged

stage = staged(Space.ordered)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def spec(people: Space, stage: Stage) -> dict[str, Any]:
    return deepcopy(stage.made)


def job() -> Job:
    return Job.objects.get()


def swept(seconds: float = 0) -> Job:
    tend.sweep(now=now() + timedelta(seconds=seconds))
    return job()


def work(people: Space, name: str) -> list[str]:
    return [one["kind"] for one in people.door(name).get("/work")["items"]]


def test_it_works(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    assert job().state == "ready"
    assert people.use(spec, "hospital_a")["tx"]
    assert job().state == "running"
    for name in HOSPITALS:
        people.seal(spec, name, session)
    assert job().state == "released"
    entry = Event.objects.get(kind="job.released").entry
    assert entry["id"] == str(job().released_event)
    assert entry["body"]["session"] == session
    assert len(entry["body"]["envelopes"]) == len(entry["body"]["grants"]) == 3
    people.pass_time()
    assert swept().state == "settled"


def test_a_refusal_ends_the_job_and_stops_the_others(people: Space, spec: dict[str, Any]) -> None:
    for name in ("hospital_b", "hospital_a"):
        work(people, name)
    people.answer(spec, "hospital_b")
    people.answer(spec, "hospital_a", "refuse")
    assert (job().state, job().code, str(job().about)) == ("refused", "policy.denied", people.id("hospital_a"))
    assert work(people, "hospital_b") == ["stop"]
    assert work(people, "hospital_b") == []
    assert work(people, "hospital_c") == []  # it never heard of the job


def test_a_held_verdict_may_be_followed_by_another(people: Space, spec: dict[str, Any]) -> None:
    people.answer(spec, "hospital_a", "hold")
    assert swept(60).state == "failed"  # of those that are silent, not of the one that holds
    assert str(job().about) != people.id("hospital_a")


def test_one_that_holds_may_accept_later(people: Space, spec: dict[str, Any]) -> None:
    people.answer(spec, "hospital_a", "hold")
    people.accepted(spec)
    assert job().state == "ready"


def test_nobody_answers_twice(people: Space, spec: dict[str, Any]) -> None:
    people.answer(spec, "hospital_a")
    with pytest.raises(PortalRefused) as refused:
        people.answer(spec, "hospital_a", "refuse")
    assert refused.value.code == "job.answered"


def test_the_same_verdict_again_changes_nothing(people: Space, spec: dict[str, Any]) -> None:
    wire = people.answer(spec, "hospital_a")["verdict"]
    people.door("hospital_a").post(f"/jobs/{spec['id']}/verdicts", {"verdict": wire})
    assert job().verdicts.count() == 1


def test_nobody_answers_for_another(people: Space, spec: dict[str, Any]) -> None:
    wire = people.verdict(spec, "hospital_a")
    with pytest.raises(PortalRefused) as refused:
        people.door("hospital_b").post(f"/jobs/{spec['id']}/verdicts", {"verdict": wire})
    assert refused.value.code == "signature.missing"
    with pytest.raises(PortalRefused) as refused:
        people.door("rival").post(f"/jobs/{spec['id']}/verdicts", {"verdict": wire})
    assert refused.value.status == 404


def test_who_stays_silent_is_named(people: Space, spec: dict[str, Any]) -> None:
    for name in people.seats(spec)[1:]:
        if name != "dealer":
            people.answer(spec, name)
    asked_until = job().answer_by
    tend.sweep(now=asked_until)
    assert job().state == "offered"
    tend.sweep(now=asked_until + timedelta(seconds=1))
    assert (job().state, job().code, str(job().about)) == (
        "failed", "session.peer_silent", people.id(people.seats(spec)[0]))


def test_the_dealer_is_asked_last_and_has_time_of_its_own(people: Space, spec: dict[str, Any]) -> None:
    """Else every job that one hospital holds for days would keep a place at the one office that serves them all."""
    *others, last = [name for name in people.seats(spec) if name != "dealer"]
    for name in others:
        people.answer(spec, name)
    people.answer(spec, last, "hold", code="policy.held")
    assert work(people, "dealer") == []
    asked_until = job().answer_by
    tend.sweep(now=asked_until + timedelta(seconds=60))
    assert job().state == "offered", "held, and nobody else is to blame"
    people.answer(spec, last)
    assert work(people, "dealer") == ["check"]
    tend.sweep(now=max(asked_until, now() + timedelta(seconds=20)))
    assert job().state == "offered"
    tend.sweep(now=max(asked_until, now()) + timedelta(seconds=40))
    assert (job().state, job().code, str(job().about)) == ("failed", "session.peer_silent", people.id("dealer"))


def test_a_missing_envelope_is_named_at_the_deadline(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    seats = people.seats(spec)
    for name in seats[:2]:
        people.seal(spec, name, session)
    assert swept(60).state == "running"
    assert swept(601).state == "failed"
    assert (job().code, str(job().about)) == ("session.peer_silent", people.id(seats[2]))


def test_without_any_envelope_nobody_is_named_at_the_deadline(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    assert swept(601).state == "failed"
    assert (job().code, job().about) == ("session.deadline", None)


def test_whose_turn_it_is_is_said(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    people.fail(spec, "hospital_a", "gate.inconsistent")
    told = people.door("maker").get(f"/jobs/{spec['id']}")
    assert (told["state"], told["code"], told["attempt"], told["who_must_act"]) == (
        "failed", "gate.inconsistent", 1, "regulator")
    assert who_must_act(job()) == "regulator"


def test_an_envelope_of_another_session_is_refused(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    with pytest.raises(PortalRefused) as refused:
        people.seal(spec, "hospital_a", "ab" * 32)
    assert refused.value.code == "session.mismatch"


def test_an_envelope_of_another_gate_is_refused(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    people.seal(spec, "hospital_a", session)
    with pytest.raises(PortalRefused) as refused:
        people.seal(spec, "hospital_b", session, gate_hash="bb" * 32)
    assert refused.value.code == "session.mismatch"


def test_an_envelope_is_not_replaced(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    people.seal(spec, "hospital_a", session)
    with pytest.raises(PortalRefused) as refused:
        people.seal(spec, "hospital_a", session, sealed="BBBB")
    assert refused.value.code == "job.answered"
    assert Envelope.objects.count() == 1


def test_a_first_hand_reason_is_told_before_a_second_hand_one(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    people.fail(spec, "hospital_a", "session.peer_lost", "hospital_b")
    assert job().state == "ready"
    people.fail(spec, "hospital_b", "dataset.changed")
    assert (job().state, job().code, str(job().about)) == ("failed", "dataset.changed", people.id("hospital_b"))


def test_a_lost_peer_is_blamed_when_nobody_knows_better(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    people.fail(spec, "hospital_a", "session.peer_lost", "hospital_c")
    people.fail(spec, "hospital_b", "session.peer_lost", "hospital_c")
    assert (swept(2).state, job().attempt) == ("offered", 2)
    people.accepted(spec, attempt=2)
    people.fail(spec, "hospital_a", "session.peer_lost", "hospital_c", attempt=2)
    assert swept(2).state == "failed"
    assert (job().code, str(job().about)) == ("session.peer_lost", people.id("hospital_c"))


def test_a_revocation_stops_a_running_job(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    grant = spec["grants"][0]["id"]
    acts.revoke_grant(people.door("office"), people.trust, grant, approver=people.approver("office"), reason="x")
    assert (swept().state, job().code) == ("failed", "grant.revoked")


def test_a_cancelled_job_takes_no_more_answers(people: Space, spec: dict[str, Any]) -> None:
    people.door("maker").post(f"/jobs/{spec['id']}/cancellation", {})
    with pytest.raises(PortalRefused) as refused:
        people.answer(spec, "hospital_a")
    assert refused.value.code == "job.over"
    with pytest.raises(PortalRefused):
        people.use(spec, "hospital_a")


def test_only_the_consumer_cancels(people: Space, spec: dict[str, Any]) -> None:
    with pytest.raises(PortalRefused) as refused:
        people.door("hospital_a").post(f"/jobs/{spec['id']}/cancellation", {})
    assert refused.value.status == 403


def test_what_was_shown_and_not_answered_is_shown_again(people: Space, spec: dict[str, Any]) -> None:
    assert work(people, "hospital_a") == ["check"]
    assert work(people, "hospital_a") == []
    JobParty.objects.update(check_served_at=now() - timedelta(seconds=6))
    assert work(people, "hospital_a") == ["check"]


def test_a_use_needs_the_service_key_the_custodian_named(people: Space, spec: dict[str, Any]) -> None:
    from ledger.approval import domain_of, grant_chain_id, sign_use
    from ledger.documents import document_hash

    people.accepted(spec)
    name = people.seats(spec)[0]
    terms = people.door(name).get(f"/grants/{spec['grants'][0]['id']}")["terms"]
    grant, job_hash = grant_chain_id(terms), document_hash(spec)
    signature = sign_use(grant, job_hash, people.service("rival"), domain_of(people.trust))
    with pytest.raises(PortalRefused) as refused:
        people.door(name).post("/uses", {"grant_chain_id": grant, "job_hash": job_hash, "signature": signature})
    assert refused.value.code == "grant.wrong_custodian"


def test_a_use_while_the_chain_is_away_is_kept_and_relayed_later(people: Space, spec: dict[str, Any]) -> None:
    from dataspace.provenance.models import ChainTx

    people.accepted(spec)
    people.chain.switches.on = False
    people.use(spec, "hospital_a")
    people.chain.switches.on = True
    people.pass_time()
    assert ChainTx.objects.filter(kind="consume", status="final").count() == 1


def test_one_taker_of_the_lease_at_a_time(people: Space, spec: dict[str, Any]) -> None:
    Job.objects.update(lease_until=now() + timedelta(seconds=5))
    before = job().fence
    tend.step(job().pk, now=now() + timedelta(seconds=1))
    assert job().fence == before
    tend.step(job().pk, now=now() + timedelta(seconds=6))
    assert job().fence == before + 1
