"""Registering and withdrawing datasets."""

from collections.abc import Iterator
from typing import Any

import pytest

from dataspace.datasets.models import Dataset
from dataspace.provenance.models import Event
from ledger import acts
from ledger.documents import document_hash, signed
from ledger.errors import PortalRefused
from marketplace.home.catalogue import identifiers
from tests.simulators.portal_space import COLUMNS, Space, Stage, both, staged

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


def test_the_custodians_word_about_persons_is_there_for_all_to_read(hospital: Space) -> None:
    """Buyer and regulator see what the floor counts; the word and a column that tells persons apart exclude each
    other."""
    word = {"one_person_per_row": True}
    columns = [one | ({"kind": "text"} if one["kind"] == "identifier" else {}) for one in COLUMNS]
    key, given = hospital.keys["hospital_a"], {
        "name": "rows", "title": both("rows"), "rows_max": 1000, "fingerprint": "ab" * 32}
    wire = acts.register_dataset(hospital.door("hospital_a"), key, columns=columns, one_person_per_row=True, **given)
    seen = hospital.door("maker").get(f"/datasets/{wire['document']['id']}")["record"]["document"]
    assert {name: seen[name] for name in word} == word and identifiers(seen["columns"]) == []
    named = [*columns, columns[0] | dict.fromkeys(("min", "max", "step", "codes", "unit")) | {
        "name": "who", "kind": "identifier"}]
    for changed in ({"columns": named}, {"one_person_per_row": False}, {"one_person_per_row": 1}):
        other = {**wire, "document": {**wire["document"], **changed}}
        assert refused(hospital, "hospital_a", "/datasets", {"record": other}).code == "document.malformed"


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


def later(people: Space, name: str = "hospital_a") -> dict[str, Any]:
    """The same dataset described anew: more rows, another file."""
    wire: dict[str, Any] = acts.register_dataset(
        people.door(name),
        people.keys[name],
        name=f"{name}.csv",
        title=both(name),
        columns=COLUMNS,
        rows_max=1000,
        fingerprint="f1" * 32,
        former=people.datasets[name]["document"],
    )
    return wire


def test_a_later_version_takes_the_place_of_the_one_before(hospital: Space) -> None:
    dataset = hospital.register("hospital_a")
    first = hospital.datasets["hospital_a"]["document"]
    second = later(hospital)["document"]
    assert (second["id"], second["id_salt"], second["number"]) == (dataset, first["id_salt"], 2)
    door = hospital.door("maker")
    assert door.get(f"/datasets/{dataset}")["record"]["document"] == second
    former = acts.dataset_of(door, hospital.trust, dataset, hash=document_hash(first))
    assert former == first
    assert Event.objects.filter(subject_id=dataset, kind="dataset.renewed").count() == 1
    assert refused_get(hospital, f"/datasets/{dataset}?hash={'00' * 32}") == 404


def refused_get(people: Space, path: str) -> int:
    name, _, query = path.partition("?")
    with pytest.raises(PortalRefused) as caught:
        people.door("maker").get(name, dict([query.split("=")]))
    return caught.value.status


def test_an_earlier_version_does_not_come_back(hospital: Space) -> None:
    hospital.register("hospital_a")
    first = hospital.datasets["hospital_a"]
    later(hospital)
    assert refused(hospital, "hospital_a", "/datasets", {"record": first}).code == "dataset.known"


def test_nobody_describes_anothers_dataset_anew(hospital: Space) -> None:
    hospital.register("hospital_a")
    wire = signed({**hospital.datasets["hospital_a"]["document"], "number": 2}, hospital.keys["hospital_b"].signing)
    assert refused(hospital, "hospital_b", "/datasets", {"record": wire}).status == 403


def test_a_withdrawn_dataset_is_not_described_anew(hospital: Space) -> None:
    dataset = hospital.register("hospital_a")
    hospital.door("hospital_a").post(f"/datasets/{dataset}/withdrawal", {})
    with pytest.raises(PortalRefused) as caught:
        later(hospital)
    assert caught.value.code == "illegal_move"
