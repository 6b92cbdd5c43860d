"""An attempt that lost somebody is followed by one other, with new keys; never by a third, never after a seal."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from dataspace.grants.models import GrantUse
from dataspace.provenance.models import Event
from ledger.errors import PortalRefused
from marketplace.jobs.models import Job, JobParty
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


def lost(people: Space, spec: dict[str, Any], code: str = "session.peer_lost") -> Job:
    people.fail(spec, "hospital_a", code, "hospital_c")
    return swept(2)


def test_it_works(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    people.use(spec, "hospital_a")
    assert (lost(people, spec).state, job().attempt, job().code) == ("offered", 2, "")
    items = people.door("hospital_a").get("/work")["items"]
    assert [(one["kind"], one["attempt"]) for one in items] == [("check", 2)]
    session = people.accepted(spec, attempt=2)
    for name in HOSPITALS:
        people.use(spec, name)
        people.seal(spec, name, session, attempt=2)
    assert job().state == "released"
    assert GrantUse.objects.count() == len(HOSPITALS)  # one a grant, though hospital_a's was counted in both attempts
    assert Event.objects.get(kind="job.retried").entry["body"]["code"] == "session.peer_lost"


def test_never_a_third(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    lost(people, spec)
    people.accepted(spec, attempt=2)
    people.fail(spec, "hospital_a", "session.peer_lost", "hospital_c", attempt=2)
    assert (swept(4).state, job().attempt, job().code) == ("failed", 2, "session.peer_lost")


def test_never_after_a_seal(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    people.seal(spec, "hospital_b", session)
    assert (lost(people, spec).state, job().attempt) == ("failed", 1)


@pytest.mark.parametrize("code", ["dataset.changed", "grant.revoked", "session.mismatch", "relay.tampered",
                                  "disclosure.column_tabulated"])
def test_never_after_what_would_come_again(people: Space, spec: dict[str, Any], code: str) -> None:
    people.accepted(spec)
    assert (lost(people, spec, code).state, job().attempt, job().code) == ("failed", 1, code)


@pytest.mark.parametrize("code", ["dealer.lost", "relay.lost", "worker.failed"])
def test_after_what_may_pass(people: Space, spec: dict[str, Any], code: str) -> None:
    people.accepted(spec)
    assert (lost(people, spec, code).state, job().attempt) == ("offered", 2)


def test_never_without_time_for_it(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    Job.objects.update(deadline=now() + timedelta(seconds=10))
    assert (lost(people, spec).state, job().attempt) == ("failed", 1)


def test_who_does_not_come_back_is_named(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    lost(people, spec)
    for name in (*HOSPITALS[:2], "dealer"):
        people.answer(spec, name, attempt=2)
    assert (swept(40).state, job().code, str(job().about)) == ("failed", "session.peer_silent", people.id("hospital_c"))


@pytest.mark.parametrize(("words", "about"), [
    # the agent of hospital_b is frozen, its worker is not: all others run into the deadline
    ((("hospital_a", None), ("hospital_c", None), ("dealer", None)), "hospital_b"),
    ((("hospital_a", None), ("hospital_c", None)), None),
    ((("hospital_a", "hospital_b"), ("hospital_c", "hospital_a"), ("dealer", "hospital_b")), "hospital_b"),
    ((("hospital_a", "hospital_c"), ("hospital_c", "hospital_b"), ("dealer", None)), "hospital_b"),
    # a waits for b, b for c, and c for nobody: it is itself behind
    ((("hospital_a", "hospital_b"), ("hospital_b", "hospital_c"), ("hospital_c", None), ("dealer", "hospital_b")),
     "hospital_c"),
    ((("hospital_a", "hospital_b"), ("hospital_b", "hospital_a")), None),
])
def test_words_at_second_hand_name_nobody_for_having_spoken(
        people: Space, spec: dict[str, Any], words: tuple[tuple[str, str | None], ...], about: str | None) -> None:
    people.accepted(spec)
    for name, blamed in words:
        people.fail(spec, name, "session.deadline", blamed)
    assert (swept(4).state, job().code, job().attempt) == ("failed", "session.deadline", 1)
    assert job().about == (UUID(people.id(about)) if about else None)


def test_of_a_link_that_broke_it_is_whom_most_name(people: Space, spec: dict[str, Any]) -> None:
    people.accepted(spec)
    Job.objects.update(deadline=now() + timedelta(seconds=10))  # no second attempt
    for name, blamed in (("hospital_a", "hospital_b"), ("hospital_b", "hospital_a"), ("dealer", "hospital_b")):
        people.fail(spec, name, "session.peer_lost", blamed)
    assert (swept(4).state, job().code, str(job().about)) == ("failed", "session.peer_lost", people.id("hospital_b"))


@pytest.mark.parametrize(("code", "named"), [("session.mismatch", False), ("relay.tampered", False),
                                             ("proxy.refused", True), ("dataset.changed", True)])
def test_who_says_what_may_be_nobody_s_fault_is_not_named(
        people: Space, spec: dict[str, Any], code: str, named: bool) -> None:
    people.accepted(spec)
    people.fail(spec, "hospital_a", code)
    assert (swept(2).state, job().code) == ("failed", code)
    assert job().about == (UUID(people.id("hospital_a")) if named else None)


@pytest.mark.parametrize("code", ["gate.inconsistent", "engine.unfit"])
def test_an_attack_is_not_tried_again(people: Space, spec: dict[str, Any], code: str) -> None:
    people.accepted(spec)
    people.fail(spec, "hospital_a", code)
    assert (swept(2).state, job().code, job().attempt) == ("failed", code, 1)


def test_who_did_not_come_back_is_told_to_stop(people: Space, spec: dict[str, Any]) -> None:
    """It holds a worker and a use for the first attempt, and would until the job's deadline, three days from now."""
    people.door("hospital_c").get("/work")
    people.accepted(spec)
    lost(people, spec)
    assert swept(40).state == "failed"
    items = people.door("hospital_c").get("/work")["items"]
    assert [(one["kind"], one["job"]) for one in items] == [("stop", spec["id"])]


def test_a_stop_whose_answer_was_lost_on_the_way_is_told_again(people: Space, spec: dict[str, Any]) -> None:
    people.door("hospital_c").get("/work")
    people.fail(spec, "hospital_a", "dataset.changed")
    assert swept(2).state == "failed"
    ask = people.door("hospital_c").get
    assert [one["kind"] for one in ask("/work")["items"]] == ["stop"]
    assert ask("/work")["items"] == [], "not at once"
    JobParty.objects.exclude(stop_served_at=None).update(stop_served_at=now() - timedelta(seconds=6))
    assert [one["kind"] for one in ask("/work")["items"]] == ["stop"]
    JobParty.objects.exclude(stop_served_at=None).update(stop_served_at=now() - timedelta(seconds=6))
    Job.objects.update(ended_at=now() - timedelta(minutes=2))
    assert ask("/work")["items"] == [], "not for ever"


def test_the_first_attempt_s_words_count_no_more(people: Space, spec: dict[str, Any]) -> None:
    session = people.accepted(spec)
    lost(people, spec)
    for late in (lambda: people.seal(spec, "hospital_b", session),
                 lambda: people.fail(spec, "hospital_b", "session.peer_lost", "hospital_c"),
                 lambda: people.answer(spec, "hospital_b")):
        with pytest.raises(PortalRefused) as refused:
            late()
        assert refused.value.code == "job.other_attempt"
    assert job().state == "offered"
