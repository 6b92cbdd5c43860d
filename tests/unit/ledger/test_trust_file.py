"""The trust file: read only under the fingerprint of its root."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import public_hex, signed
from ledger.errors import VerificationError
from ledger.trust import fingerprint_of_root, load_trust
from tests.unit.ledger.people import People


def test_it_works(people: People, tmp_path: Path) -> None:
    path = tmp_path / "trust.json"
    path.write_text(json.dumps(people.trust_wire, indent=1))
    trust = load_trust(path, fingerprint=people.trust.fingerprint.upper() + "\n")
    assert trust == people.trust
    assert trust.chain.contracts["anchor"].address == "0x" + "a1" * 20
    assert trust.log.origin == f"xinglin/{trust.space_id}"


def test_another_root_is_refused(people: People) -> None:
    with pytest.raises(VerificationError, match=r"trust\.fingerprint"):
        load_trust(people.trust_wire, fingerprint="00" * 32)
    thief = Ed25519PrivateKey.generate()
    stolen = signed({**people.trust_wire["document"], "root": public_hex(thief)}, thief)
    with pytest.raises(VerificationError, match=r"trust\.fingerprint"):
        load_trust(stolen, fingerprint=people.trust.fingerprint)
    assert load_trust(stolen, fingerprint=fingerprint_of_root(public_hex(thief))).space_id == people.trust.space_id


def test_an_altered_value_is_refused(people: People) -> None:
    for path, value in ((("chain", "rpc"), ["http://evil"]), (("log", "key"), "00" * 32), (("serial",), 2),
                        (("regulator", "approvers"), ["0x" + "00" * 20])):
        wire = copy.deepcopy(people.trust_wire)
        place = wire["document"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        with pytest.raises(VerificationError):
            load_trust(wire, fingerprint=people.trust.fingerprint)


def test_what_cannot_hold_is_refused_though_signed(people: People) -> None:
    document = people.trust_wire["document"]
    for change, code in (({"log": {**document["log"], "origin": "xinglin/other"}}, "trust.origin"),
                         ({"chain": {**document["chain"], "quorum": 2}}, "trust.quorum"),
                         ({"witnesses": {"k": 1, "keys": []}}, "trust.witnesses"),
                         ({"witnesses": {"k": 1, "keys": ["11" * 32, "22" * 32]}}, "trust.witnesses")):
        with pytest.raises(VerificationError) as refused:
            load_trust(signed({**document, **change}, people.root), fingerprint=people.trust.fingerprint)
        assert refused.value.code == code
