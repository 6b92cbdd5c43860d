"""The acts for scripts: found through space.json, done with the right keys, never with another's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from marketplace.sdk import ConfigurationError, Desk, Space
from tests.unit.sdk.world import HOSPITALS, World


@pytest.fixture
def space_json(world: World, tmp_path: Path) -> Path:
    (tmp_path / "trust.json").write_text(json.dumps(world.trust_wire))
    people = {role: {"participant": world.keys[name].participant, "key_file": f"{name}.json", "user": name,
                     "password_file": f"{name}.password"} for role, name in
              (("regulator", "office"), ("consumer", "maker"))}
    hospitals = [{"name": name, "participant": world.keys[name].participant, "key_file": f"{name}.json",
                  "approver_file": f"{name}.json", "home": name, "datasets": []} for name in HOSPITALS]
    path = tmp_path / "space.json"
    path.write_text(json.dumps({"version": 1, "portal": "http://127.0.0.1:1", "rpc": None, "trust": "trust.json",
                                "fingerprint": world.trust.fingerprint, "people": people, "hospitals": hospitals}))
    return path


def desk(world: World, space_json: Path, role: str) -> Desk:
    found = Desk(space_json, role)
    found.door = world.visitor(world.name_of(found.keys.participant))  # type: ignore[assignment]
    return found


def test_it_works(world: World, space_json: Path) -> None:
    lead = desk(world, space_json, HOSPITALS[0])
    office = desk(world, space_json, "regulator")
    product = lead.offer_product(title={"zh": "一", "en": "one"}, summary={"zh": "二", "en": "two"},
                                 datasets=list(world.space().product(world.product_id).datasets))
    for name in HOSPITALS:
        desk(world, space_json, name).confirm(product)
    lead.submit(product)
    office.list_product(product)
    scenario = world.space().apply(product, title="trial", purpose="研究", floor=5)
    office.approve_scenario(scenario.id)
    for name in HOSPITALS:
        assert len(desk(world, space_json, name).consent_all(scenario.id)) == 1

    grants = world.space().wait_for_grants(scenario, seconds=1)

    assert {grant.state for grant in grants} == {"active"}
    assert office.revoke(grants[0].id, reason="no longer needed")["delivered"]


def test_a_space_opens_from_the_file(world: World, space_json: Path) -> None:
    space = Space.from_config(space_json)
    assert space.keys.participant == world.keys["maker"].participant
    assert space.trust.space_id == world.trust.space_id


def test_an_unknown_role_is_named(space_json: Path) -> None:
    with pytest.raises(ConfigurationError) as wrong:
        Desk(space_json, "hospital_z")
    assert wrong.value.code == "config.role"


def test_another_fingerprint_is_refused(space_json: Path) -> None:
    value = json.loads(space_json.read_text()) | {"fingerprint": "00" * 32}
    space_json.write_text(json.dumps(value))
    with pytest.raises(Exception, match=r"trust\.fingerprint"):
        Space.from_config(space_json)
