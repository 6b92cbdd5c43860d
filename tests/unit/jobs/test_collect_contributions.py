"""A job whose parties are not online together: who may hand in what and when, and what becomes of the job."""

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from dataspace.participants.models import Person
from dataspace.provenance.models import Event
from ledger import acts
from ledger.documents import document_hash, from_b64, to_b64
from ledger.errors import PortalRefused
from marketplace.home import waiting
from marketplace.jobs.models import Contribution, Job, JobParty, Total, Verdict
from marketplace.jobs.services import tend
from marketplace.jobs.tasks import advance
from mpc import ciphertext
from tests.simulators import apart
from tests.simulators.portal_space import HOSPITALS, Space, Stage, Wire, now
from tests.unit.jobs.collecting import code_of, job, ordered, played, swept

stage, people, spec = played(ordered)


def work(people: Space, name: str) -> list[Any]:
    return list(people.door(name).get("/work")["items"])


def test_it_works(people: Space, spec: Wire) -> None:
    assert job().state == "collecting"
    (item,) = work(people, "hospital_a")
    assert (item["kind"], item["job"]) == ("contribute", spec["id"])
    assert people.id("dealer") in [one["document"]["id"] for one in item["participants"]]
    assert work(people, "dealer") == []
    people.use(spec, "hospital_a")
    given = apart.all_contribute(people, spec)
    advance(spec["id"])  # Celery's task
    assert (job().state, Total.objects.get().frozen) == ("closing", None)
    (item,) = work(people, "dealer")
    by_seat = sorted((one["contribution"] for one in given), key=lambda one: one["document"]["seat"])
    assert (item["kind"], item["contributions"]) == ("freeze", by_seat)
    assert "ciphertexts" not in item
    frozen = apart.freeze(people, spec, given)
    assert job().state == "released"
    body = Event.objects.get(kind="job.released").entry["body"]
    product = bytes(Total.objects.get().product or b"")
    assert body["frozen"] == document_hash(frozen["document"])
    assert body["product"] == ciphertext.hash_of(product)
    assert body["contributions"] == sorted(document_hash(one["document"]) for one in by_seat)
    assert len(body["grants"]) == 3
    key = apart.secret().public
    assert apart.secret().open(ciphertext.from_bytes(key, product, count=apart.COUNT)) == [21, 21]
    people.pass_time()
    assert swept().state == "settled"
    kinds = list(Event.objects.filter(subject_id=spec["id"]).order_by("number").values_list("kind", flat=True))
    assert kinds == ["job.ordered", "job.invited", *["job.contributed"] * 3, "job.closed", "job.released",
                     "job.settled"]  # fmt: skip


def test_only_the_consumer_fetches_and_only_what_was_released(people: Space, spec: Wire) -> None:
    given = apart.all_contribute(people, spec)
    paths = [f"/jobs/{spec['id']}/contributions/0", f"/jobs/{spec['id']}/total"]
    swept()
    assert {code_of(people.door("maker").get, path) for path in paths} == {"not_found"}
    frozen = apart.freeze(people, spec, given)
    for name in ("hospital_a", "dealer", "rival", "office"):
        assert {code_of(people.door(name).get, path) for path in paths} == {"not_found"}
    first, total = (people.door("maker").get(path) for path in paths)
    assert first in given
    assert total["frozen"] == frozen
    assert ciphertext.hash_of(from_b64(total["product"])) == Total.objects.get().product_hash


def test_everybody_with_a_seat_sees_who_has_contributed(people: Space, spec: Wire) -> None:
    given = apart.contribute(people, spec, "hospital_b")["contribution"]["document"]
    for name in ("hospital_a", "maker", "dealer", "office"):
        told = people.door(name).get(f"/jobs/{spec['id']}")["contributions"]
        assert (told["by"], told["minimum"]) == (spec["contributions"]["by"], 3)
        assert [(one["seat"], one["contribution"]) for one in told["given"]] == [(given["seat"], document_hash(given))]


def test_the_same_contribution_again_changes_nothing(people: Space, spec: Wire) -> None:
    body = apart.contribute(people, spec, "hospital_a")
    people.door("hospital_a").post(f"/jobs/{spec['id']}/contributions", body)
    swept(hours=2)
    people.door("hospital_a").post(f"/jobs/{spec['id']}/contributions", body)
    assert Contribution.objects.count() == 1


def test_another_one_from_that_hospital_is_refused(people: Space, spec: Wire) -> None:
    body = apart.contribute(people, spec, "hospital_a")
    assert code_of(apart.contribute, people, spec, "hospital_a") == "paillier.duplicate"
    assert Contribution.objects.get().document == body["contribution"]


def test_what_was_taken_is_never_changed(people: Space, spec: Wire) -> None:
    apart.contribute(people, spec, "hospital_a")
    for spoil in (lambda: Contribution.objects.update(ciphertexts=b"x"), lambda: Contribution.objects.all().delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            spoil()


def test_a_late_one_is_refused_before_and_after_the_sweep(people: Space, spec: Wire) -> None:
    for name in HOSPITALS[:2]:
        apart.contribute(people, spec, name)
    Job.objects.update(answer_by=now() - timedelta(seconds=31))
    assert code_of(apart.contribute, people, spec, "hospital_c") == "paillier.too_late"
    assert work(people, "hospital_c") == []
    swept()
    assert code_of(apart.contribute, people, spec, "hospital_c") == "job.over"


def test_nobody_contributes_for_another(people: Space, spec: Wire) -> None:
    data = apart.ciphertexts()
    body = {"contribution": apart.contribution(people, spec, "hospital_a", data), "ciphertexts": to_b64(data)}
    path = f"/jobs/{spec['id']}/contributions"
    assert code_of(people.door("hospital_b").post, path, body) == "signature.missing"
    assert code_of(people.door("rival").post, path, body) == "not_found"
    seat = people.seats(spec).index("hospital_b")
    assert code_of(apart.contribute, people, spec, "hospital_a", seat=seat) == "job.wrong_participant"
    body["contribution"] = apart.contribution(people, spec, "dealer", data, seat=0)
    assert code_of(people.door("dealer").post, path, body) == "job.wrong_participant"


def _short(data: bytes) -> bytes:
    return data[:-1]


def _out_of_range(data: bytes) -> bytes:
    return b"\xff" * len(data)


def _with_a_factor_of_n(data: bytes) -> bytes:
    width = apart.secret().public.width
    return apart.secret().p.to_bytes(width, "big") + data[width:]


@pytest.mark.parametrize("spoil", [_short, _out_of_range, _with_a_factor_of_n])
def test_what_is_no_ciphertext_of_the_key_is_refused(people: Space, spec: Wire, spoil: Any) -> None:
    data = spoil(apart.ciphertexts())
    body = {"contribution": apart.contribution(people, spec, "hospital_a", data), "ciphertexts": to_b64(data)}
    assert code_of(people.door("hospital_a").post, f"/jobs/{spec['id']}/contributions", body) == "paillier.malformed"


@pytest.mark.parametrize("change", [
    {"ciphertexts": 5}, {"ciphertexts": "no base64!"}, {"ciphertexts": None}, {"contribution": []}, {"more": 1},
    {"contribution": {"document": {"type": "contribution"}, "signatures": []}},
])
def test_an_odd_body_is_refused(people: Space, spec: Wire, change: dict[str, Any]) -> None:
    data = apart.ciphertexts()
    body = {"contribution": apart.contribution(people, spec, "hospital_a", data), "ciphertexts": to_b64(data), **change}
    with pytest.raises(PortalRefused) as refused:
        people.door("hospital_a").post(f"/jobs/{spec['id']}/contributions", body)
    assert refused.value.status == 422
    assert Contribution.objects.count() == 0


def test_other_ciphertexts_than_signed_are_refused(people: Space, spec: Wire) -> None:
    wire = apart.contribution(people, spec, "hospital_a", apart.ciphertexts())
    body = {"contribution": wire, "ciphertexts": to_b64(apart.ciphertexts())}
    assert code_of(people.door("hospital_a").post, f"/jobs/{spec['id']}/contributions", body) == "paillier.malformed"


def test_too_few_end_it_at_its_time(people: Space, spec: Wire) -> None:
    for name in HOSPITALS[:2]:
        apart.contribute(people, spec, name)
    assert swept(hours=0.9).state == "collecting"
    assert (swept(hours=1.1).state, job().code) == ("failed", "paillier.too_few")
    assert str(job().about) == people.id("hospital_c")


def test_a_refusal_too_many_ends_it(people: Space, spec: Wire) -> None:
    """And its page does not say that nobody computed: one had contributed."""
    apart.contribute(people, spec, "hospital_b")
    people.answer(spec, "hospital_a", "refuse")
    assert (job().state, job().code, str(job().about)) == ("refused", "policy.denied", people.id("hospital_a"))
    told = page(people, spec)
    assert "Nothing was charged." in told and "no data were computed on" not in told


def test_a_refusal_of_the_moment_may_be_followed_by_a_contribution(people: Space, spec: Wire) -> None:
    work(people, "hospital_a")
    people.answer(spec, "hospital_a", "refuse", code="chain.stale_head")
    JobParty.objects.update(check_served_at=now() - timedelta(minutes=1))
    assert (job().state, work(people, "hospital_a")) == ("collecting", [])
    Verdict.objects.update(at=now() - timedelta(minutes=4))
    assert [one["kind"] for one in work(people, "hospital_a")] == ["contribute"]
    people.answer(spec, "hospital_a", session=None)
    apart.contribute(people, spec, "hospital_a")
    assert code_of(people.answer, spec, "hospital_a", "refuse") == "job.answered"


def test_a_failure_of_the_moment_ends_nothing_another_does(people: Space, spec: Wire) -> None:
    for code in ("node.busy", "worker.failed", "session.deadline"):  # the last: its use was not final in time
        people.fail(spec, "hospital_a", code)
        assert job().state == "collecting"
    people.fail(spec, "hospital_a", "dataset.changed")
    assert (job().state, job().code) == ("refused", "dataset.changed")


def test_a_set_that_was_not_chosen_is_not_frozen(people: Space, spec: Wire) -> None:
    given = apart.all_contribute(people, spec)
    assert code_of(apart.freeze, people, spec, given) == "job.not_offered"
    swept()
    assert code_of(apart.freeze, people, spec, given[:2]) == "session.mismatch"
    assert code_of(apart.freeze, people, spec, given, recipient_key="aa" * 32) == "session.mismatch"
    wire = apart.freeze(people, spec, given)
    people.door("dealer").post(f"/jobs/{spec['id']}/freeze", {"freeze": wire})
    assert code_of(apart.freeze, people, spec, given) == "job.answered"


def test_a_dealer_that_never_comes_is_named(people: Space, spec: Wire) -> None:
    apart.all_contribute(people, spec)
    assert swept(hours=24).state == "closing"
    assert (swept(hours=26).state, job().code, str(job().about)) == ("failed", "dealer.lost", people.id("dealer"))


def test_a_dealer_whose_word_is_here_is_not_named_for_our_product(people: Space, spec: Wire) -> None:
    given = apart.all_contribute(people, spec)
    tend.sweep(now=now())
    apart.freeze(people, spec, given)
    tend.sweep(now=now() + timedelta(hours=25, minutes=10))
    assert job().state == "closing"
    with transaction.atomic():
        tend.sweep(now=now() + timedelta(hours=26))
        assert (job().state, job().code, job().about) == ("failed", "session.deadline", None)
        transaction.set_rollback(True)
    tend.multiply(job().pk, now=now() + timedelta(hours=25, minutes=10))
    assert job().state == "released"


def test_a_dealer_that_refuses_for_good_ends_it(people: Space, spec: Wire) -> None:
    apart.all_contribute(people, spec)
    swept()
    people.answer(spec, "dealer", "refuse", code="paillier.too_early")
    assert job().state == "closing"
    people.answer(spec, "dealer", "refuse", code="paillier.second_freeze")
    assert (job().state, job().code) == ("failed", "paillier.second_freeze")


def test_the_consumer_does_not_cancel_after_the_set_is_chosen(people: Space, spec: Wire) -> None:
    apart.all_contribute(people, spec)
    swept()
    assert code_of(people.door("maker").post, f"/jobs/{spec['id']}/cancellation", {}) == "job.closing"


def test_the_consumer_cancels_before_the_set_is_chosen(people: Space, spec: Wire) -> None:
    apart.contribute(people, spec, "hospital_a")
    people.door("maker").post(f"/jobs/{spec['id']}/cancellation", {})
    assert job().state == "cancelled"
    assert code_of(people.use, spec, "hospital_a") == "job.over"


def test_a_revocation_ends_it(people: Space, spec: Wire) -> None:
    apart.contribute(people, spec, "hospital_a")
    grant = spec["grants"][0]["id"]
    acts.revoke_grant(people.door("office"), people.trust, grant, approver=people.approver("office"), reason="x")
    assert (swept().state, job().code) == ("failed", "grant.revoked")


@pytest.mark.parametrize(("change", "code"), [
    ({"minimum": 2}, "spec.roster_mismatch"), ({"key": {"n": "f" * 511 + "e", "hs": "33"}}, "spec.malformed"),
])
def test_an_order_that_nobody_could_serve_is_refused(
    people: Space, stage: Stage, spec: Wire, change: dict[str, Any], code: str
) -> None:
    other = apart.asked(people, stage.made["agreement"], contributions={**spec["contributions"], **change})
    assert code_of(people.order, other) == code


def page(people: Space, spec: Wire) -> str:
    reader = Client(headers={"accept-language": "en"})
    analyst, _ = Person.objects.get_or_create(username="analyst", participant_id=people.id("maker"))
    reader.force_login(analyst)
    return " ".join(unescape(reader.get(f"/jobs/{spec['id']}").content.decode()).split())


def test_its_page_tells_who_has_contributed_and_what_is_waited_for(people: Space, spec: Wire) -> None:
    given = [apart.contribute(people, spec, name) for name in HOSPITALS[:2]]
    told = page(people, spec)
    waits = {name: [str(one.verb) for one in waiting.for_me(people.actor(name))] for name in HOSPITALS}
    assert waits == {"hospital_a": [], "hospital_b": [], "hospital_c": ["Let your node contribute"]}
    assert "2 of 3 have contributed; at least 3 must." in told
    assert f'datetime="{spec["contributions"]["by"]}"' in told, "in the reader's own zone, by the page's script"
    assert told.count("> Contributed<") + told.count(">Contributed<") == 2
    given.append(apart.contribute(people, spec, "hospital_c"))
    swept()
    assert "The dealer's office freezes the set" in page(people, spec)
    apart.freeze(people, spec, given)
    told = page(people, spec)
    assert "The result can be opened" in told
    assert "3 sealed parts lie here" in told
