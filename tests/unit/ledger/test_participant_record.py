"""A record counts only under every key in it. `naive` is what was checked before: the record's own signature alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger import acts
from ledger.documents import Document, new_document, sign, signed, verify_signed
from ledger.errors import DocumentError, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.membership import check_accounts
from ledger.participant import (
    PasskeyHolder,
    controller_of,
    keys_to_prove,
    make_wire,
    read_wire,
    record_keys,
    sealing_proof,
    verify_sealing,
    verify_wire,
)
from tests.simulators.passkey import SoftKey
from tests.unit.ledger.people import People, both


def refused(code: str) -> pytest.RaisesExc[VerificationError]:
    return pytest.RaisesExc(VerificationError, check=lambda error: error.code == code)


def record(people: People, **keys: Any) -> Document:
    mine = people.keys["outsider"].public_record_keys()
    return new_document("participant", id=people.keys["outsider"].participant, number=1, name=both("x"),
                        admitted_as=["provider"], keys={**mine, **keys})


def honest(people: People) -> Document:
    return make_wire(record(people), trust=people.trust, keys=people.keys["outsider"],
                     approvers=[people.approver("outsider")])


def stolen(people: People, **keys: Any) -> Document:
    """A record with somebody else's key in it and the best that its author can show: own signatures, others' proofs."""
    wire = honest(people)
    document = record(people, **keys)
    wire["document"] = document
    wire["signatures"] = [sign(document, people.keys["outsider"].signing)]
    victim = make_wire(
        new_document("participant", id=people.keys["hospital_a"].participant, number=1, name=both("a"),
                     admitted_as=["provider"], keys=people.keys["hospital_a"].public_record_keys()),
        trust=people.trust, keys=people.keys["hospital_a"], approvers=[people.approver("hospital_a")])
    wire["proofs"] = sorted([*wire["proofs"], *victim["proofs"]], key=lambda one: one["key"])
    wire["control"] = victim["control"]
    wire["sealing_proof"] = victim["sealing_proof"]
    return wire


def naive(wire: Document) -> Document:
    """The check of old: whoever signed with the record's signing key may name any other key as its own."""
    document: Document = wire["document"]
    return verify_signed({"document": document, "signatures": wire["signatures"]}, type="participant",
                         keys=[document["keys"]["signing"]])


def test_it_works(people: People) -> None:
    wire = honest(people)
    assert verify_wire(wire, people.trust, admitted=False) == wire["document"]
    verify_sealing(wire, people.keys["office"].sealing)
    assert controller_of(wire["document"]) == people.approver("outsider").address
    assert keys_to_prove(wire["document"]) == [people.approver("outsider").address, people.service("outsider")]
    with refused("signature.missing"):
        verify_wire(wire, people.trust)


@pytest.mark.parametrize("which", ["approval", "service"])
def test_somebody_elses_key_in_a_record(people: People, which: str) -> None:
    """With a hospital's approval key in one's own record one could pass off its consents as one's own."""
    theirs = people.keys["hospital_a"].public_record_keys()
    wire = stolen(people, **{which: theirs[which]})
    assert naive(wire) == wire["document"]
    with refused("participant.key_not_proven"):
        verify_wire(wire, people.trust, admitted=False)


def test_a_second_approval_key_must_be_held_as_well(people: People) -> None:
    both_keys = [{"scheme": "secp256k1", "address": people.approver(one).address} for one in ("outsider", "hospital_a")]
    wire = stolen(people, approval=both_keys)
    assert naive(wire) == wire["document"]
    with refused("participant.key_not_proven"):
        verify_wire(wire, people.trust, admitted=False)


def test_somebody_elses_sealing_key(people: People) -> None:
    """What is sealed to the thief would be for the victim to open, or the victim's taken for the thief's."""
    wire = stolen(people, sealing=people.keys["hospital_a"].sealing_public)
    assert naive(wire) == wire["document"]
    with refused("participant.sealing_not_held"):
        verify_sealing(wire, people.keys["office"].sealing)


def test_the_regulator_admits_no_stolen_sealing_key(people: People) -> None:
    people.admit_all()
    document = record(people, sealing=people.keys["hospital_a"].sealing_public)
    wire = make_wire(document, trust=people.trust, keys=people.keys["outsider"],
                     approvers=[people.approver("outsider")])
    people.desk("outsider").post("/participants", {"record": wire})
    assert naive(wire) == verify_wire(wire, people.trust, admitted=False) == document
    with refused("participant.sealing_not_held"):
        acts.admit(people.desk("office"), people.keys["office"], people.trust, document["id"],
                   fingerprint=acts.fingerprint_of(document))


def test_a_sealing_key_of_small_order_proves_nothing(people: People) -> None:
    with refused("participant.sealing_not_held"):
        sealing_proof(X25519PrivateKey.generate(), "00" * 32, "11" * 32)


def test_proofs_of_another_record_are_worth_nothing(people: People) -> None:
    """The holder's own proofs, moved to a record that it did not sign with these keys."""
    wire = honest(people)
    moved = {**wire, **signed(record(people), people.keys["outsider"].signing)}
    assert naive(moved) == moved["document"]
    with refused("participant.key_not_proven"):
        verify_wire(moved, people.trust, admitted=False)


def test_a_proof_for_another_space_is_worth_nothing(people: People, tmp_path: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = People(tmp_path / "elsewhere")
    with refused("participant.key_not_proven"):
        verify_wire(honest(people), elsewhere.trust, admitted=False)


def test_only_the_first_approval_key_controls(people: People) -> None:
    wire = honest(people)
    service = people.keys["outsider"].service
    wire["control"] = {**wire["control"], "key": service.address if service else ""}
    with refused("participant.key_not_proven"):
        verify_wire(wire, people.trust, admitted=False)


@pytest.mark.parametrize("field", ["key", "public_key", "signature", "scheme"])
def test_a_proof_that_was_touched(people: People, field: str) -> None:
    wire = copy.deepcopy(honest(people))
    other = EthKey.create()
    wire["proofs"][0][field] = {"key": other.address, "public_key": other.public, "scheme": "passkey",
                                "signature": "0x" + other.sign_digest(b"\1" * 32).hex()}[field]
    wire["proofs"].sort(key=lambda one: str(one["key"]))
    with refused("participant.key_not_proven"):
        verify_wire(wire, people.trust, admitted=False)


def test_the_form_is_strict(people: People) -> None:
    wire = honest(people)
    for change in ({"extra": 1}, {"sealing_proof": "00"}, {"proofs": wire["proofs"][::-1]}, {"control": None}):
        with pytest.raises(DocumentError):
            read_wire({**wire, **change})
    bare = {name: wire[name] for name in ("document", "signatures")}
    with pytest.raises(DocumentError):
        read_wire(bare)


def test_only_the_regulator_names_an_account_of_its_approvers(people: People) -> None:
    """An account in a record speaks with the keys that the record gives it: a hospital could approve in its name."""
    soft, keys = SoftKey.create(), KeyFile.load(people.folder / "outsider.json")
    theirs = PasskeyHolder(people.trust.regulator.approvers[0], [soft.public], soft.sign)
    approvers = [people.approver("outsider"), theirs]
    document = new_document("participant", id=keys.participant, number=1, name=both("x"), admitted_as=["provider"],
                            keys=record_keys(keys, approvers))
    wire = make_wire(document, trust=people.trust, keys=keys, approvers=approvers)
    assert naive(wire) == document
    with refused("participant.regulators_account"):
        verify_wire(wire, people.trust, admitted=False)


@pytest.mark.parametrize("keys", [
    {"approval": []}, {"approval": [{"scheme": "passkey", "address": "0x" + "11" * 20}]},
    {"approval": [{"scheme": "rsa", "address": "0x" + "11" * 20}]}])
def test_what_no_record_may_say(people: People, keys: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        record(people, **keys)


def test_a_nodes_service_key_approves_nothing(people: People) -> None:
    """It lies on a running machine and signs by itself; a person's approval must not be within its reach."""
    with pytest.raises(DocumentError, match="two keys"):
        record(people, approval=[{"scheme": "secp256k1", "address": people.service("outsider")}])


def test_nobody_makes_a_record_for_keys_that_it_does_not_hold(people: People) -> None:
    with refused("participant.key_not_held"):
        make_wire(record(people), trust=people.trust, keys=people.keys["outsider"], approvers=[])


def test_a_person_may_hold_passkeys(people: People) -> None:
    """The account is the controller; each proof is an assertion of one of its keys over that very message."""
    soft, account = SoftKey.create(), "0x" + "77" * 20
    person = PasskeyHolder(account, [soft.public], soft.sign)
    keys = KeyFile.load(people.folder / "outsider.json")
    document = new_document("participant", id=keys.participant, number=1, name=both("x"), admitted_as=["provider"],
                            keys=record_keys(keys, [person, people.approver("outsider")]))
    wire = make_wire(document, trust=people.trust, keys=keys, approvers=[person, people.approver("outsider")])
    assert verify_wire(wire, people.trust, admitted=False) == document
    assert (controller_of(document), wire["control"]["scheme"]) == (account, "passkey")
    stranger = PasskeyHolder(account, [soft.public], SoftKey.create().sign)
    forged = make_wire(document, trust=people.trust, keys=keys, approvers=[stranger, people.approver("outsider")])
    with refused("participant.key_not_proven"):
        verify_wire(forged, people.trust, admitted=False)
    own = make_wire(document, trust=people.trust, keys=keys, approvers=[person, people.approver("outsider")])
    own["control"] = next(one for one in own["proofs"] if one["key"] == account)
    with refused("participant.key_not_proven"):  # an assertion over another message
        verify_wire(own, people.trust, admitted=False)
    with refused("participant.account_unknown"):  # nor does the office admit an account it has not looked up
        check_accounts(document, None)
