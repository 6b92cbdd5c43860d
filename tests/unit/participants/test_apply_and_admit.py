"""Applying, and being admitted once the chain holds the record."""

from dataclasses import replace
from typing import Any

import pytest

from dataspace.participants.models import Participant
from dataspace.provenance.models import ChainTx, Event
from ledger import acts
from ledger.documents import document_hash, new_document, sign, signed, verify_signed
from ledger.errors import PortalRefused
from ledger.participant import make_wire
from tests.simulators.portal_space import Space, both


def enrolled(people: Space, name: str, role: str = "consumer") -> dict[str, Any]:
    wire: dict[str, Any] = acts.enrol(
        people.door(name), people.keys[name], people.trust, name=both(name), admitted_as=[role]
    )
    return wire


def enrolled_wire(people: Space, name: str) -> dict[str, Any]:
    """What `name` would apply with; nothing is sent."""
    keys = people.keys[name]
    record = new_document(
        "participant",
        id=keys.participant,
        number=1,
        name=both(name),
        admitted_as=["consumer"],
        keys=keys.public_record_keys(),
    )
    return make_wire(record, trust=people.trust, keys=keys, approvers=[people.approver(name)])


def test_it_works(people: Space) -> None:
    people.admit("office", "maker")
    row = Participant.objects.get(pk=people.id("maker"))
    assert row.state == "admitted"
    assert len(row.record["signatures"]) == 2
    kinds = list(Event.objects.filter(subject_id=row.pk).values_list("kind", flat=True))
    assert kinds == ["participant.applied", "participant.admitted"]
    assert ChainTx.objects.filter(kind="participant", subject_id=row.pk).count() == 1


def test_the_same_application_again_is_the_same(people: Space) -> None:
    people.admit("office")
    wire = enrolled(people, "maker")
    people.door("maker").post("/participants", {"record": wire})
    assert Participant.objects.filter(pk=people.id("maker")).count() == 1


def test_another_record_of_a_known_participant_is_refused(people: Space) -> None:
    people.admit("office")
    enrolled(people, "maker")
    with pytest.raises(PortalRefused) as refused:
        enrolled(people, "maker")
    assert refused.value.code == "participant.known"


def test_nobody_takes_the_regulators_place(people: Space) -> None:
    with pytest.raises(PortalRefused) as refused:
        enrolled(people, "rival", "regulator")
    assert refused.value.status == 403


def test_nobody_takes_anothers_signing_key(people: Space) -> None:
    """Whoever holds the key of one participant may still not be another with it: one key, one name."""
    people.admit("office", "maker")
    maker = people.keys["maker"]
    thief = replace(people.keys["rival"], signing=maker.signing)
    door = people.door("rival")
    door._key = maker.signing
    with pytest.raises(PortalRefused) as refused:
        acts.enrol(door, thief, people.trust, name=both("rival"), admitted_as=["consumer"])
    assert refused.value.code == "participant.key_taken"


@pytest.mark.parametrize("which", ["approval", "service"])
def test_a_key_that_is_not_the_applicants_is_refused(people: Space, which: str) -> None:
    """The record's own signature holds: naively it would be let in, and a hospital's consents pass for the rival's."""
    people.admit("office", "hospital_a")
    rival = people.keys["rival"]
    theirs = people.keys["hospital_a"].public_record_keys()
    honest = enrolled_wire(people, "rival")
    document = {**honest["document"], "keys": {**honest["document"]["keys"], which: theirs[which]}}
    naive = signed(document, rival.signing)
    verify_signed(naive, type="participant", keys=[rival.signing_public])
    with pytest.raises(PortalRefused) as refused:
        people.door("rival").post("/participants", {"record": {**honest, **naive}})
    assert refused.value.code == "participant.key_not_proven"
    assert not Participant.objects.filter(pk=rival.participant).exists()


def test_only_the_regulator_admits(people: Space) -> None:
    people.admit("office", "maker")
    wire = enrolled(people, "rival")
    row = Participant.objects.get(pk=people.id("rival"))
    admission = {
        "decider": "0x" + "11" * 20,
        "number": 1,
        "sign_by": 2**40,
        "scheme": "secp256k1",
        "public_key": "22" * 64,
        "signature": "0x" + "33" * 65,
    }
    body = {"record": wire, "approval": admission}
    with pytest.raises(PortalRefused) as refused:
        people.door("rival").post(f"/participants/{row.pk}/admission", body)
    assert refused.value.status == 403


def test_an_admission_under_another_key_than_the_trust_files_is_refused(people: Space) -> None:
    from ledger.approval import participants_domain_of, sign_record

    people.admit("office")
    wire = enrolled(people, "maker")
    row = Participant.objects.get(pk=people.id("maker"))
    document = wire["document"]
    both_signed = {
        **wire,
        "signatures": [*wire["signatures"], sign(document, people.keys["office"].signing)],
    }
    admission = sign_record(
        row.chain_id,
        document_hash(document),
        1,
        people.approver("rival"),
        participants_domain_of(people.trust),
        controller=document["keys"]["approval"][0]["address"],
        sign_by=2**40,
    )
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/participants/{row.pk}/admission", {"record": both_signed, "approval": admission})
    assert refused.value.code == "approval.wrong_signer"
    assert not ChainTx.objects.filter(subject_id=row.pk).exists()


def test_while_the_chain_is_away_an_admission_waits_and_is_not_lost(people: Space) -> None:
    people.admit("office")
    people.chain.switches.on = False
    with pytest.raises(Exception, match="still applied"):
        people.admit("maker")
    people.chain.switches.on = True
    people.pass_time()
    assert Participant.objects.get(pk=people.id("maker")).state == "admitted"


def test_a_swapped_key_in_the_database_is_served_under_signatures_that_do_not_hold(people: Space) -> None:
    """The portal serves what its database says; readers verify, and refuse."""
    from ledger.acts import participant_of
    from ledger.errors import VerificationError

    people.admit("office", "maker", "rival")
    row = Participant.objects.get(pk=people.id("maker"))
    row.record["document"]["keys"]["sealing"] = people.keys["rival"].sealing_public
    row.save(update_fields=["record"])
    with pytest.raises(VerificationError):
        participant_of(people.door("rival"), people.trust, people.id("maker"))
