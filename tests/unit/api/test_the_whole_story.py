"""From applications to a receipt, every step by a signed request."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from ledger.documents import canonical
from ledger.receipt import Level, verify_receipt
from tests.simulators.portal_space import HOSPITALS, Space, Stage, staged

stage = staged(Space.ordered)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def spec(people: Space, stage: Stage) -> dict[str, Any]:
    made: dict[str, Any] = deepcopy(stage.made)
    return made


def test_it_works(people: Space, spec: dict[str, Any]) -> None:
    work = people.door("hospital_b").get("/work")["items"]
    assert [item["kind"] for item in work] == ["check"]
    assert len(work[0]["grants"]) == len(work[0]["datasets"]) == 3
    assert all(grant["consent"] for grant in work[0]["grants"])

    session = people.accepted(spec)
    assert [item["kind"] for item in people.door("dealer").get("/work")["items"]] == ["session"]
    for name in people.seats(spec)[:-1]:
        assert people.use(spec, name)["tx"].startswith("0x")
    for name in people.seats(spec)[:-1]:
        people.seal(spec, name, session)

    job = people.door("maker").get(f"/jobs/{spec['id']}")
    assert job["state"] == "released"
    assert [one["event"] for one in job["timeline"]] == [
        "job.ordered",
        "job.offered",
        "job.accepted",
        "job.started",
        "job.released",
    ]
    assert len(job["envelopes"]) == len(HOSPITALS)
    receipt = people.door("maker").get(f"/receipts/{job['entry']}", {"wait": 5})
    levels = verify_receipt(canonical(receipt), people.trust)
    assert (levels.inclusion, levels.log_signature, levels.approvals) == (Level.VALID,) * 3
    assert receipt["chain"]["chain_id"] == people.trust.chain.id


def test_only_the_consumer_is_given_the_envelopes(people: Space, spec: dict[str, Any]) -> None:
    people.released(spec)
    for name in ("hospital_a", "office", "dealer"):
        assert people.door(name).get(f"/jobs/{spec['id']}")["envelopes"] == []


def test_the_log_proves_itself_to_anybody(people: Space) -> None:
    people.pass_time()
    note = people.door("maker").get_text("/log/checkpoint")
    assert note.startswith(people.trust.log.origin)
    leaves = people.door("maker").get("/log/leaves", {"from": 0, "count": 100})["hashes"]
    proof = people.door("maker").get("/log/consistency", {"from": 1, "to": len(leaves)})
    assert json.dumps(proof).count('"') > 4
