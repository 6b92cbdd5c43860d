"""Registering and withdrawing datasets."""

from collections.abc import Iterator

import pytest

from dataspace.datasets.models import Dataset
from dataspace.provenance.models import Event
from ledger.documents import document_hash, signed
from ledger.errors import PortalRefused
from tests.simulators.portal_space import Space, Stage, staged

stage = staged(lambda space: space.admit("office", "hospital_a", "hospital_b", "maker"))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def hospital(people: Space, stage: Stage) -> Space:
    return people


def refused(people: Space, name: str, path: str, body: dict[str, object]) -> PortalRefused:
    with pytest.raises(PortalRefused) as caught:
        people.door(name).post(path, body)
    return caught.value


def test_it_works(hospital: Space) -> None:
    dataset = hospital.register("hospital_a")
    row = Dataset.objects.get(pk=dataset)
    assert (row.state, row.record_hash) == ("registered", document_hash(row.record["document"]))
    assert Event.objects.filter(subject_id=row.pk, kind="dataset.registered").count() == 1
    assert hospital.door("maker").get(f"/datasets/{dataset}")["record"] == row.record


def test_the_entry_names_no_column(hospital: Space) -> None:
    dataset = hospital.register("hospital_a")
    assert "age" not in str(Event.objects.get(subject_id=dataset).entry["body"])


def test_nobody_registers_for_another(hospital: Space) -> None:
    hospital.register("hospital_a")
    wire = hospital.datasets["hospital_a"]
    assert refused(hospital, "hospital_b", "/datasets", {"record": wire}).status == 403


def test_an_altered_record_is_refused(hospital: Space) -> None:
    hospital.register("hospital_a")
    wire = hospital.datasets["hospital_a"]
    altered = {**wire, "document": {**wire["document"], "rows_max": 5000}}
    assert refused(hospital, "hospital_a", "/datasets", {"record": altered}).code == "signature.invalid"


def test_an_unknown_field_is_refused_with_its_pointer(hospital: Space) -> None:
    hospital.register("hospital_a")
    wire = hospital.datasets["hospital_a"]
    altered = {**wire, "document": {**wire["document"], "extra": 1}}
    error = refused(hospital, "hospital_a", "/datasets", {"record": altered})
    assert (error.status, error.code) == (422, "document.malformed")
    assert error.problem["errors"][0]["pointer"] == "#/extra"  # type: ignore[index]


def test_the_same_id_with_another_description_is_refused(hospital: Space) -> None:
    hospital.register("hospital_a")
    document = {**hospital.datasets["hospital_a"]["document"], "rows_max": 5000}
    wire = signed(document, hospital.keys["hospital_a"].signing)
    assert refused(hospital, "hospital_a", "/datasets", {"record": wire}).code == "dataset.known"


def test_a_consumer_registers_nothing(hospital: Space) -> None:
    document = {**_any(hospital), "provider": hospital.id("maker")}
    wire = signed(document, hospital.keys["maker"].signing)
    assert refused(hospital, "maker", "/datasets", {"record": wire}).status == 403


def _any(people: Space) -> dict[str, object]:
    people.register("hospital_a")
    return dict(people.datasets["hospital_a"]["document"])


def test_a_withdrawn_dataset_leaves_the_catalogue(hospital: Space) -> None:
    dataset = hospital.register("hospital_a")
    assert refused(hospital, "hospital_b", f"/datasets/{dataset}/withdrawal", {}).status == 403
    hospital.door("hospital_a").post(f"/datasets/{dataset}/withdrawal", {})
    assert hospital.door("maker").get("/datasets") == {"items": []}
    assert refused(hospital, "hospital_a", f"/datasets/{dataset}/withdrawal", {}).code == "illegal_move"
