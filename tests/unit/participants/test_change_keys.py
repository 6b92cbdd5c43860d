"""A participant's later records: under the old keys, or proposed for lost ones, with a veto; the chain decides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from dataspace.participants.models import Participant, Renewal
from dataspace.participants.services.follow import follow
from dataspace.provenance.models import ChainTx, Event
from ledger import acts
from ledger.documents import document_hash, sign
from ledger.door import Door
from ledger.errors import ChainUnavailable, PortalRefused, PortalUnavailable, VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.membership import next_record
from ledger.participant import make_wire, record_chain_id, verify_next
from tests.simulators.portal_space import Space, Stage, in_process, now, staged

stage = staged(lambda space: space.admit("office", "maker", "rival"))


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        space.pass_time()
        yield space


@pytest.fixture
def fresh(people: Space, tmp_path: Any) -> KeyFile:
    """New keys of the maker's, all of them."""
    return KeyFile.create(tmp_path / "next.json", participant=people.id("maker"), service=True, approval=True)


def signed(people: Space, record: dict[str, Any], fresh: KeyFile) -> dict[str, Any]:
    """The maker's next record with every signature it needs, whatever it says."""
    return make_wire(record, trust=people.trust, keys=fresh, approvers=[fresh.approval], former=people.keys["maker"],
                     holder=people.approver("maker"))


def offer(people: Space, wire: dict[str, Any]) -> None:
    people.door("maker").post(f"/participants/{people.id('maker')}/records", {"record": wire})


def offered(people: Space, fresh: KeyFile, *, name: str = "maker", holder: EthKey | None = None) -> dict[str, Any]:
    wire: dict[str, Any] = acts.rotate(
        people.door(name), people.trust, people.keys[name], fresh, holder=holder or people.approver(name)
    )
    return wire


def admitted(people: Space, wire: dict[str, Any]) -> None:
    """The office admits; meanwhile blocks come and followers run."""
    office = people.door("office")
    after = office.get
    people.chain.switches.mining = True

    def get(path: str, params: Any = None) -> Any:
        people.pass_time()
        return after(path, params)

    office.get = get  # type: ignore[method-assign]
    acts.admit(
        office,
        people.keys["office"],
        people.trust,
        wire["document"]["id"],
        fingerprint=acts.fingerprint_of(wire),
        chain=people.chain,
        seconds=5,
    )


def maker(people: Space) -> Participant:
    return Participant.objects.get(pk=people.id("maker"))


def kinds(people: Space) -> list[str]:
    return list(Event.objects.filter(subject_id=people.id("maker")).order_by("number").values_list("kind", flat=True))


def refused(caught: pytest.ExceptionInfo[PortalRefused]) -> str:
    return caught.value.code


def test_it_works(people: Space, fresh: KeyFile) -> None:
    before = maker(people).record
    wire = offered(people, fresh)
    assert maker(people).record == before
    admitted(people, wire)
    row = maker(people)
    assert (row.signing_key, row.record_hash) == (fresh.signing_public, document_hash(wire["document"]))
    assert Renewal.objects.get(participant=row).former == before
    assert kinds(people)[-2:] == ["participant.record_offered", "participant.keys_changed"]
    door = Door("http://testserver", people.id("maker"), fresh.signing, client=in_process())
    assert acts.participant_of(door, people.trust, people.id("maker"), chain=people.chain) == wire["document"]
    with pytest.raises(PortalRefused):
        people.door("maker").get(f"/participants/{people.id('maker')}")


def test_an_old_record_is_refused_although_every_signature_on_it_holds(people: Space, fresh: KeyFile) -> None:
    """The portal shows the record of keys that are no longer the participant's: naively it would be believed."""
    before = maker(people).record
    admitted(people, offered(people, fresh))
    Participant.objects.filter(pk=people.id("maker")).update(record=before)
    assert acts.participant_of(people.door("rival"), people.trust, people.id("maker")) == before["document"]
    with pytest.raises(VerificationError, match=r"participant\.record_mismatch"):
        acts.participant_of(people.door("rival"), people.trust, people.id("maker"), chain=people.chain)


def test_nobody_else_offers_a_record(people: Space, fresh: KeyFile) -> None:
    wire = offered(people, fresh)
    with pytest.raises(PortalRefused) as caught:
        people.door("rival").post(f"/participants/{people.id('maker')}/records", {"record": wire})
    assert caught.value.status in (403, 404)


def test_without_the_old_signing_key_nothing_is_offered(people: Space, fresh: KeyFile) -> None:
    """Whoever took the door (a session, a stolen request key) still lacks the old record's own signature."""
    former = maker(people).record["document"]
    wire = acts.recover(former, people.trust, fresh)
    with pytest.raises(PortalRefused) as caught:
        offer(people, wire)
    assert refused(caught) == "signature.missing"


def test_without_the_old_controller_nothing_is_offered(people: Space, fresh: KeyFile) -> None:
    """A stolen node has the signing key; the person's approval key is elsewhere."""
    with pytest.raises(VerificationError, match=r"participant\.key_not_proven"):
        offered(people, fresh, holder=people.approver("rival"))
    former = maker(people).record["document"]
    record = next_record(former, fresh, [])
    wire = make_wire(record, trust=people.trust, keys=fresh, approvers=[fresh.approval], former=people.keys["maker"])
    with pytest.raises(PortalRefused) as caught:
        offer(people, wire)
    assert refused(caught) == "participant.key_not_proven"


def test_the_office_admits_no_record_whose_sealing_key_is_anothers(people: Space, fresh: KeyFile) -> None:
    former = maker(people).record["document"]
    record = next_record(former, fresh, [])
    record["keys"]["sealing"] = people.keys["rival"].sealing_public
    wire = signed(people, record, replace(fresh, sealing=X25519PrivateKey.generate()))
    offer(people, wire)
    with pytest.raises(VerificationError, match=r"participant\.sealing_not_held"):
        admitted(people, wire)


def test_a_number_that_does_not_rise_is_refused(people: Space, fresh: KeyFile) -> None:
    former = maker(people).record["document"]
    record = {**next_record(former, fresh, []), "number": 1}
    wire = signed(people, record, fresh)
    with pytest.raises(PortalRefused) as caught:
        offer(people, wire)
    assert refused(caught) == "participant.stale_number"


def test_an_offer_is_replaced_by_a_later_one_and_said_twice_it_is_one(people: Space, fresh: KeyFile) -> None:
    wire = offered(people, fresh)
    offer(people, wire)
    assert Renewal.objects.count() == 1
    offered(people, fresh)
    assert list(Renewal.objects.order_by("created_at").values_list("outcome", flat=True)) == ["replaced", ""]


# -- lost keys


def proposed(people: Space, fresh: KeyFile, *, delay: int = 3600) -> dict[str, Any]:
    people.chain.state.registry.veto_delay = delay
    wire = acts.recover(maker(people).record["document"], people.trust, fresh)
    acts.propose(
        people.door("office"),
        people.keys["office"],
        people.trust,
        wire,
        fingerprint=acts.fingerprint_of(wire),
        chain=people.chain,
    )
    people.pass_time()
    return wire


def test_lost_keys_are_replaced_after_the_delay(people: Space, fresh: KeyFile) -> None:
    wire = proposed(people, fresh, delay=0)
    assert maker(people).signing_key == people.keys["maker"].signing_public
    acts.finish(people.door("office"), people.id("maker"))
    people.pass_time()
    assert maker(people).record_hash == document_hash(wire["document"])
    assert kinds(people)[-2:] == ["participant.record_proposed", "participant.keys_changed"]


def test_what_nobody_finished_for_long_makes_room(people: Space, fresh: KeyFile) -> None:
    """The chain lets another proposal in; the portal must not wait for a veto that nobody will send."""
    proposed(people, fresh, delay=-31 * 24 * 3600)
    assert Renewal.objects.get().outcome == "refused"
    proposed(people, fresh)
    assert list(Renewal.objects.order_by("created_at").values_list("outcome", flat=True)) == ["refused", ""]


def test_within_the_delay_nothing_is_finished(people: Space, fresh: KeyFile) -> None:
    proposed(people, fresh)
    with pytest.raises(PortalRefused) as caught:
        acts.finish(people.door("office"), people.id("maker"))
    assert refused(caught) == "participant.not_ripe"


def test_the_old_key_vetoes(people: Space, fresh: KeyFile) -> None:
    """A stolen regulator, or a thief who talked the office into it: the holder of the old key says no in time."""
    proposed(people, fresh)
    former = maker(people).record["document"]
    proposal = people.chain.participant_proposal(record_chain_id(former))
    said = acts.veto(people.door("maker"), people.trust, former, proposal, approver=people.approver("maker"))
    assert said["delivered"]
    people.pass_time()
    assert Renewal.objects.get().outcome == "vetoed"
    assert maker(people).record["document"] == former
    with pytest.raises(PortalRefused):
        acts.finish(people.door("office"), people.id("maker"))


def test_a_veto_that_the_chain_did_not_take_is_sent_again(people: Space, fresh: KeyFile) -> None:
    """Its transaction failed, as with somebody else's in its place; the thief's record must not come to stand."""
    proposed(people, fresh)
    former = maker(people).record["document"]
    proposal = people.chain.participant_proposal(record_chain_id(former))
    people.chain.switches.on = False
    acts.veto(people.door("maker"), people.trust, former, proposal, approver=people.approver("maker"))
    with pytest.raises(ChainUnavailable):
        follow()
    sent = ChainTx.objects.filter(kind="veto")
    assert sent.update(status="failed", code="chain.nonce_taken", created_at=now() - timedelta(hours=1)) == 1
    people.chain.switches.on = True
    people.chain.state.nonces[sent.get().sender_id] = sent.get().nonce + 1
    people.pass_time()
    assert (Renewal.objects.get().outcome, sent.count()) == ("vetoed", 2)


def test_a_veto_under_another_key_is_none(people: Space, fresh: KeyFile) -> None:
    proposed(people, fresh)
    former = maker(people).record["document"]
    proposal = people.chain.participant_proposal(record_chain_id(former))
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.veto(people.door("maker"), people.trust, former, proposal, approver=people.approver("rival"))
    other = acts.veto(people.door("rival"), people.trust, former, proposal, approver=people.approver("maker"))
    assert not other["delivered"]


def test_only_the_regulator_proposes(people: Space, fresh: KeyFile) -> None:
    wire = acts.recover(maker(people).record["document"], people.trust, fresh)
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.propose(people.door("maker"), people.keys["maker"], people.trust, wire,
                     fingerprint=acts.fingerprint_of(wire))
    body = {"record": {**wire, "signatures": [*wire["signatures"], sign(wire["document"], fresh.signing)]},
            "proposal": {"sign_by": 2**40, **acts.veto(
                people.door("maker"), people.trust, maker(people).record["document"], _like(wire),
                approver=people.approver("maker"))["veto"]}}
    with pytest.raises(PortalRefused) as caught:
        people.door("maker").post(f"/participants/{people.id('maker')}/proposal", body)
    assert caught.value.status == 403


def _like(wire: dict[str, Any]) -> Any:
    from ledger.chain import ProposalOnChain

    return ProposalOnChain("0x" + document_hash(wire["document"]), "0x" + "11" * 20, 2, "0x" + "22" * 20, 0)


def test_while_the_chain_is_away_new_keys_wait_and_are_not_lost(people: Space, fresh: KeyFile) -> None:
    wire = offered(people, fresh)
    people.chain.switches.on = False
    with pytest.raises(PortalUnavailable, match=r"participant\.pending"):
        acts.admit(people.door("office"), people.keys["office"], people.trust, people.id("maker"),
                   fingerprint=acts.fingerprint_of(wire), seconds=0)
    people.chain.switches.on = True
    people.pass_time()
    follow()
    assert maker(people).record_hash == document_hash(wire["document"])


@pytest.mark.parametrize("change", [
    {"admitted_as": ["consumer", "provider"]}, {"name": {"zh": "监管办", "en": "Office"}}])
def test_new_keys_bring_no_new_name_and_no_new_role(people: Space, fresh: KeyFile, change: dict[str, Any]) -> None:
    """Whoever confirms a fingerprint on the telephone has keys in mind, not that a buyer becomes a hospital."""
    former = maker(people).record["document"]
    assert {name: former[name] for name in change} != change
    record = {**next_record(former, fresh, []), **change}
    wire = signed(people, record, fresh)
    with pytest.raises(PortalRefused) as caught:
        offer(people, wire)
    assert refused(caught) == "participant.other_role"
    with pytest.raises(VerificationError, match=r"participant\.other_role"):
        verify_next(wire, former, people.trust)
    with pytest.raises(VerificationError, match=r"participant\.other_role"):
        verify_next(acts.recover({**former, **change}, people.trust, fresh), former, people.trust, lost=True)
