"""Rows changed in the portal's database behind its back: a node that is shown them refuses, each with its code."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from dataspace.datasets.models import Dataset
from dataspace.grants.models import Grant
from dataspace.participants.models import Participant
from ledger.documents import signed
from marketplace.jobs.models import Job
from mpc.node.errors import Refused
from mpc.node.papers import Me, verify_papers
from tests.simulators.portal_space import HOSPITALS, Space, Stage, now, staged

stage = staged(Space.ordered)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def asked(people: Space, stage: Stage) -> Callable[[str], None]:
    """Bring the order to where the portal asks this node: the dealer's comes when all parties have accepted."""

    def bring(name: str) -> None:
        for one in HOSPITALS if name == "dealer" else ():
            people.answer(stage.made, one)

    return bring


def verdict_on_what_is_shown(people: Space, name: str = "hospital_a") -> str | None:
    """The code with which the node refuses the work that the portal gives it; None if it accepts."""
    (item,) = people.door(name).get("/work")["items"]
    me = Me(
        people.id(name), people.keys[name].signing_public, name != "dealer",
        approver=people.approver(name).address, service=people.service(name).address,
    )  # fmt: skip
    try:
        verify_papers(item, me=me, trust=people.trust, now=now())
    except Refused as refusal:
        return refusal.code
    return None


def _of(people: Space, name: str) -> Participant:
    return Participant.objects.get(pk=people.id(name))


def _own_key_for_another(people: Space) -> None:
    """The rival's key in a hospital's record, signed by the rival: the operator cannot sign for the regulator."""
    row, thief = _of(people, "hospital_b"), people.keys["rival"]
    record = deepcopy(row.record["document"])
    record["keys"]["signing"] = thief.signing_public
    row.record = signed(record, thief.signing)
    row.save()


def _anothers_record(people: Space) -> None:
    """One admitted hospital's true record in the place of another's."""
    row = _of(people, "hospital_b")
    row.record = _of(people, "hospital_c").record
    row.save()


def _key_in_place(people: Space) -> None:
    """Only the key is exchanged, the signatures stay."""
    row = _of(people, "hospital_b")
    row.record["document"]["keys"]["signing"] = people.keys["rival"].signing_public
    row.save()


def _buyers_sealing_key(people: Space) -> None:
    """Results would be sealed to somebody else."""
    row = _of(people, "maker")
    row.record["document"]["keys"]["sealing"] = people.keys["rival"].sealing_public
    row.save()


def _wider_terms(people: Space) -> None:
    row = Grant.objects.order_by("dataset_id")[0]
    row.terms["max_uses"] = 1000
    row.save()


def _another_custodians_consent(people: Space) -> None:
    first, second = Grant.objects.order_by("dataset_id")[:2]
    first.consent = second.consent
    first.save()


def _another_dataset(people: Space) -> None:
    first, second = Dataset.objects.order_by("pk")[:2]
    first.record = second.record
    first.save()


def _lower_floor(people: Space) -> None:
    row = Job.objects.get()
    row.spec["document"]["disclosure"]["floor"] = 1
    row.save()


def test_it_works(people: Space, asked: Callable[[str], None]) -> None:
    assert verdict_on_what_is_shown(people) is None
    asked("dealer")
    assert verdict_on_what_is_shown(people, "dealer") is None


@pytest.mark.parametrize("name", ["hospital_a", "dealer"])
@pytest.mark.parametrize(("lie", "code"), [
    (_own_key_for_another, "participant.record_mismatch"),
    (_anothers_record, "participant.record_mismatch"),
    (_key_in_place, "participant.record_mismatch"),
    (_buyers_sealing_key, "participant.record_mismatch"),
    (_wider_terms, "grant.terms_mismatch"),
    (_another_custodians_consent, "grant.wrong_custodian"),
    (_another_dataset, "grant.wrong_dataset"),
    (_lower_floor, "spec.signature_invalid"),
])  # fmt: skip
def test_a_changed_row_is_refused(people: Space, asked: Callable[[str], None], lie: Callable[[Space], Any], code: str,
                                  name: str) -> None:
    asked(name)
    lie(people)
    assert verdict_on_what_is_shown(people, name) == code
