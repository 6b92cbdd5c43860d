"""One hospital of four does not end everybody's job: its part is taken back, spoilt or revoked; the others go on."""

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from dataspace.participants.models import Person
from dataspace.provenance.models import Event
from ledger import acts
from ledger.documents import document_hash, new_document, new_id, signed
from marketplace.home import waiting
from marketplace.jobs.models import Contribution, Job, Total
from marketplace.jobs.services import collect, tend
from mpc import ciphertext
from tests.simulators import apart, portal_space
from tests.simulators.portal_space import Space, Stage, Wire, now
from tests.unit.jobs.collecting import code_of, job, ordered, played, swept

FOUR = ("hospital_a", "hospital_b", "hospital_c", "hospital_d")


@pytest.fixture(scope="module", autouse=True)
def four() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portal_space, "HOSPITALS", FOUR)
        patch.setattr(portal_space, "ROLES", {**portal_space.ROLES, "hospital_d": "provider"})
        yield


def with_three_given(space: Space) -> Wire:
    made = ordered(space, max_uses=5)
    return {**made, "given": [apart.contribute(space, made["spec"], name) for name in FOUR[:3]]}


stage, people, spec = played(with_three_given)


@pytest.fixture
def given(people: Space, spec: Wire, stage: Stage) -> list[Wire]:
    """What all four have handed in; the set is chosen."""
    all_four = [*deepcopy(stage.made["given"]), apart.contribute(people, spec, "hospital_d")]
    swept()
    return all_four


def seat(people: Space, spec: Wire, name: str) -> int:
    return people.seats(spec).index(name)


def refuse(people: Space, spec: Wire, code: str, *names: str) -> None:
    """The dealer's office freezes nothing, and says who stands in the way; in no two words the same."""
    without = {"without": sorted(seat(people, spec, one) for one in names)} if names else {}
    people.answer(spec, "dealer", "refuse", code=code, rule=new_id(), **without)


def take_back(people: Space, spec: Wire, name: str, **other: Any) -> Wire:
    fields = {"job": spec["id"], "job_hash": document_hash(spec), "participant": people.id(name),
              "seat": seat(people, spec, name), **other}
    wire = signed(new_document("withdrawal", **fields), people.keys[name].signing)
    people.door(name).post(f"/jobs/{spec['id']}/withdrawal", {"withdrawal": wire})
    return wire


def chosen(people: Space) -> list[Any]:
    """What the dealer's office is asked to freeze."""
    (item,) = people.door("dealer").get("/work")["items"]
    return list(item["contributions"])


def but(given: list[Wire], people: Space, name: str) -> list[Wire]:
    return [one for one in given if one["contribution"]["document"]["participant"] != people.id(name)]


def test_it_works(people: Space, spec: Wire, given: list[Wire]) -> None:
    """The office cannot open one seed: the set without it is frozen, and its total released."""
    refuse(people, spec, "paillier.malformed", "hospital_b")
    assert job().state == "closing"
    rest = but(given, people, "hospital_b")
    swept()
    assert sorted(map(document_hash, (one["document"] for one in chosen(people)))) == sorted(
        document_hash(one["contribution"]["document"]) for one in rest)
    apart.freeze(people, spec, rest)
    assert swept().state == "released"
    key = apart.secret().public
    total = ciphertext.from_bytes(key, bytes(Total.objects.get().product), count=apart.COUNT)
    assert apart.secret().open(total) == [21, 21]
    kinds = list(Event.objects.filter(subject_id=spec["id"]).order_by("number").values_list("kind", flat=True))
    assert kinds.count("job.closed") == 2
    gone = seat(people, spec, "hospital_b")
    assert code_of(people.door("maker").get, f"/jobs/{spec['id']}/contributions/{gone}") == "not_found"


def test_the_set_that_was_given_up_is_not_released(people: Space, spec: Wire, given: list[Wire]) -> None:
    refuse(people, spec, "paillier.malformed", "hospital_b")
    assert code_of(apart.freeze, people, spec, given) == "session.mismatch"


def test_what_is_frozen_is_not_given_up_for_a_late_refusal(people: Space, spec: Wire, given: list[Wire]) -> None:
    Total.objects.all().delete()
    apart.freeze(people, spec, given)
    assert code_of(refuse, people, spec, "paillier.malformed", "hospital_b") == "job.answered"
    assert swept().state == "released"


def test_too_few_without_them_end_it_and_name_who_it_was(people: Space, spec: Wire, given: list[Wire]) -> None:
    refuse(people, spec, "paillier.malformed", "hospital_b")
    refuse(people, spec, "grant.revoked", "hospital_c")
    assert (job().state, job().code, str(job().about)) == ("failed", "grant.revoked", people.id("hospital_c"))


def test_naming_nobody_of_the_set_ends_it_as_before(people: Space, spec: Wire, given: list[Wire]) -> None:
    refuse(people, spec, "paillier.malformed", "hospital_b")
    refuse(people, spec, "paillier.malformed", "hospital_b")
    assert (job().state, str(job().about)) == ("failed", people.id("dealer"))


def test_a_hospital_names_nobody(people: Space, spec: Wire) -> None:
    people.answer(spec, "hospital_d", "refuse", code="policy.denied", without=[0])
    assert job().state == "collecting"
    assert not job().parties.exclude(left_out="").exists()


def test_a_use_that_never_becomes_final_is_waited_for_a_while(people: Space, spec: Wire, given: list[Wire]) -> None:
    refuse(people, spec, "paillier.use_not_final", "hospital_d")
    assert not job().parties.exclude(left_out="").exists()
    Job.objects.update(answer_by=now() - timedelta(hours=1))
    refuse(people, spec, "paillier.use_not_final", "hospital_d")
    assert (job().state, job().parties.get(left_out="paillier.use_not_final").seat) == (
        "closing", seat(people, spec, "hospital_d"))


class TestTakenBack:
    def test_while_the_job_collects_it_is_out_at_once(self, people: Space, spec: Wire) -> None:
        take_back(people, spec, "hospital_a")
        take_back(people, spec, "hospital_a")
        told = people.door("maker").get(f"/jobs/{spec['id']}")["contributions"]
        assert [one["code"] for one in told["left_out"]] == ["paillier.withdrawn"]
        assert people.id("hospital_a") not in {one["participant"] for one in told["given"]}
        assert code_of(apart.contribute, people, spec, "hospital_a") == "paillier.duplicate"
        apart.contribute(people, spec, "hospital_d")
        assert swept().state == "collecting", "not all are in"
        assert swept(hours=1.1).state == "closing"
        assert len(chosen(people)) == 3
        assert Event.objects.filter(kind="job.withdrawn").count() == 1

    def test_before_it_came_too(self, people: Space, spec: Wire) -> None:
        take_back(people, spec, "hospital_d")
        assert code_of(apart.contribute, people, spec, "hospital_d") == "paillier.withdrawn"
        assert people.door("hospital_d").get("/work")["items"] == []
        assert waiting.for_me(people.actor("hospital_d")) == []

    def test_too_few_that_can_come_end_it(self, people: Space, spec: Wire) -> None:
        people.answer(spec, "hospital_d", "refuse")
        take_back(people, spec, "hospital_a")
        assert (job().state, job().code, str(job().about)) == (
            "refused", "paillier.withdrawn", people.id("hospital_a"))

    def test_once_the_set_is_chosen_the_dealers_office_decides(self, people: Space, spec: Wire,
                                                              given: list[Wire]) -> None:
        """For only its book knows whether it has frozen the set already."""
        assert len(chosen(people)) == 4
        wire = take_back(people, spec, "hospital_a")
        (item,) = people.door("dealer").get("/work")["items"]
        assert (len(item["contributions"]), item["withdrawals"]) == (4, [wire])
        refuse(people, spec, "paillier.withdrawn", "hospital_a")
        assert (job().state, len(chosen(people))) == ("closing", 3)
        apart.freeze(people, spec, but(given, people, "hospital_a"))
        assert swept().state == "released"
        assert code_of(take_back, people, spec, "hospital_b") == "job.over"

    def test_nobody_takes_back_anothers(self, people: Space, spec: Wire) -> None:
        other = seat(people, spec, "hospital_b")
        assert code_of(take_back, people, spec, "hospital_a", seat=other) == "job.wrong_participant"
        assert code_of(take_back, people, spec, "hospital_a", participant=people.id("hospital_b")
                       ) == "job.wrong_participant"
        assert code_of(take_back, people, spec, "hospital_a", job_hash="00" * 32) == "spec.two_specs"
        assert not job().parties.exclude(withdrawal=None).exists()

    def test_its_page_says_so(self, people: Space, spec: Wire) -> None:
        take_back(people, spec, "hospital_a")
        reader = Client(headers={"accept-language": "en"})
        analyst, _ = Person.objects.get_or_create(username="analyst", participant_id=people.id("maker"))
        reader.force_login(analyst)
        told = " ".join(unescape(reader.get(f"/jobs/{spec['id']}").content.decode()).split())
        assert "2 of 4 have contributed" in told and "Not in the set" in told and "paillier.withdrawn" in told


def test_a_revoked_grant_takes_its_own_hospital_out_and_no_other(people: Space, spec: Wire) -> None:
    grant = spec["grants"][seat(people, spec, "hospital_a")]["id"]
    acts.revoke_grant(people.door("office"), people.trust, grant, approver=people.approver("office"), reason="x")
    assert swept().state == "collecting"
    apart.contribute(people, spec, "hospital_d")
    assert (swept(hours=1.1).state, len(chosen(people))) == ("closing", 3)


def test_a_seed_to_another_key_than_the_dealers_is_not_taken(people: Space, spec: Wire) -> None:
    """As it is on record now: one that was sealed before the office changed its keys would end in its book."""
    assert code_of(apart.contribute, people, spec, "hospital_d", dealer_key="22" * 32) == "paillier.malformed"
    assert Contribution.objects.count() == 3


def test_while_one_collects_nobody_orders_the_same_again(people: Space, stage: Stage, spec: Wire) -> None:
    """By either engine: its uses would be spent for a set that the office never freezes."""
    agreement = stage.made["agreement"]
    for again in (apart.asked(people, agreement), people.spec(agreement)):
        assert code_of(people.order, {**again, "id": new_id()}) == "job.same_question"
    people.order(apart.asked(people, agreement, parameters={"rows": "grade", "columns": "sex"}))
    people.door("maker").post(f"/jobs/{spec['id']}/cancellation", {})
    people.order(apart.asked(people, agreement))


class TestMultiplying:
    def test_one_after_the_other_and_with_no_row_locked(self, people: Space, spec: Wire, stage: Stage,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
        """Sixteen of 7 MB each, several times as numbers, are not held at once."""
        apart.contribute(people, spec, "hospital_d")
        sizes: list[int] = []
        product, multiply = ciphertext.product, collect.multiply

        def counted(key: Any, vectors: Any) -> Any:
            sizes.append(len(vectors))
            return product(key, vectors)

        depth: list[int] = []

        def unlocked(job_id: Any, **more: Any) -> None:
            depth.append(len(connection.savepoint_ids))
            multiply(job_id, **more)

        monkeypatch.setattr(collect.ciphertext, "product", counted)
        monkeypatch.setattr(collect, "multiply", unlocked)
        outside = len(connection.savepoint_ids)
        with CaptureQueriesContext(connection) as asked:
            swept()
        assert sizes == [2, 2, 2] and depth == [outside]
        fetched = [one["sql"] for one in asked if '"ciphertexts"' in one["sql"].partition("FROM")[0]]
        assert len(fetched) == 4 and all(" LIMIT " in one for one in fetched)

    def test_a_set_that_was_chosen_anew_meanwhile_gets_its_own(self, people: Space, spec: Wire,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
        apart.contribute(people, spec, "hospital_d")
        product = ciphertext.product

        def late(key: Any, vectors: Any) -> Any:
            monkeypatch.setattr(collect.ciphertext, "product", product)
            with transaction.atomic():
                refuse(people, spec, "paillier.malformed", "hospital_b")
            return product(key, vectors)

        monkeypatch.setattr(collect.ciphertext, "product", late)
        swept()
        assert not Total.objects.exists()
        swept()
        key = apart.secret().public
        total = ciphertext.from_bytes(key, bytes(Total.objects.get().product), count=apart.COUNT)
        assert apart.secret().open(total) == [21, 21]

    def test_a_sweep_only_asks_for_it(self, people: Space, spec: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
        """For it takes minutes, in which no other job would be judged. Of a set that was closed at its time, and of
        one that was chosen again; not at every pass, and not while somebody is at it."""
        asked: list[tuple[str, ...]] = []
        monkeypatch.setattr(tend, "wake", lambda *words: asked.append(words))
        monkeypatch.setattr(collect, "multiply", None)
        tend._asked.clear()
        words = ("marketplace.jobs.tasks.advance", str(job().pk))
        late = now() + timedelta(hours=1.1)
        tend.sweep(now=late)
        tend.sweep(now=late)
        assert (job().state, asked) == ("closing", [words])
        tend._asked.clear()
        Job.objects.update(lease_until=late + timedelta(minutes=1))
        tend.sweep(now=late)
        assert asked == [words]
        Job.objects.update(lease_until=None)
        tend.sweep(now=late)
        assert asked == [words] * 2

    def test_a_sweep_leaves_a_job_alone_that_only_waits(self, people: Space, spec: Wire) -> None:
        """For thirty days, at every pass, it would lease and lock it."""
        before = job().fence
        assert swept(hours=0.5).fence == before
        tend.sweep(now=now() + timedelta(hours=1.1))
        assert job().fence == before + 1
