"""The dealer's office freezes one set of contributions to a question, once, and names who stands in its way."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.approval import domain_of, sign_revocation
from ledger.documents import chain_id_of, document_hash, new_document, new_id, signed
from mpc.node import doctor, inbox
from mpc.node.agent import Agent
from mpc.node.console import Room
from mpc.node.contributing import question_of
from mpc.node.papers import verify_papers
from tests.simulators.node_at_work import Maker, Node
from tests.simulators.node_world import Document, World, resigned
from tests.simulators.nodes_apart import AFTER, Made, Space, contributed, wires


@pytest.fixture(scope="module")
def at_work(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All four have contributed."""
    with contributed(world, tmp_path_factory) as made:
        yield made


@pytest.fixture
def space(at_work: Made, node: Maker) -> Iterator[Space]:
    space, _ = at_work
    space.office(node)
    uses = set(space.chain.uses)
    yield space
    space.chain.uses = uses


@pytest.fixture
def parts(at_work: Made) -> list[Document]:
    return wires(at_work[1])


def signed_anew(space: Space, wire: Document, **changes: Any) -> Document:
    """By the hospital that it came from."""
    member = space.world.name_of(wire["document"]["participant"])
    return resigned(wire, space.world.keys[member].signing, **changes)


def as_session(space: Space) -> Node:
    """The same question as a session over all four, under the same grants."""
    spec = {name: value for name, value in space.spec.items() if name != "contributions"}
    spec |= {"engine": "crypten/1", "id": new_id(), "nonce": "33" * 32}
    one = space.dealer
    one.item = {**space.item, "kind": "check", "job": spec["id"],
                "spec": signed(spec, space.world.keys["maker"].signing)}
    return one


def withdrawal(space: Space, part: Document, key: Ed25519PrivateKey | None = None) -> Document:
    about = {name: part["document"][name] for name in ("job", "job_hash", "participant", "seat")}
    member = space.world.name_of(about["participant"])
    return signed(new_document("withdrawal", **about), key or space.world.keys[member].signing)


def test_it_freezes_one_set_and_says_the_same_for_ever(space: Space, parts: list[Document]) -> None:
    word = space.freeze(parts[:3])
    assert space.freeze(parts[:3]) == word
    for other in (parts, parts[1:]):
        refused = space.freeze(other)
        assert (refused["decision"], refused["code"]) == ("refuse", "paillier.second_freeze")
    before = space.dealer
    again = Agent(before.agent.config, before.agent.home, before.door, before.agent.workers)
    space.dealer.agent = again
    assert space.freeze(parts[1:])["code"] == "paillier.second_freeze", "a restart forgets nothing"
    assert space.freeze(parts[:3]) == word


def test_another_job_does_not_open_another_set_of_the_same_question(space: Space, parts: list[Document]) -> None:
    """Not even when its contributors sign anew, as a portal could bring about that says the first job is over."""
    assert "document" in space.freeze(parts[:3])
    spec = {**space.spec, "id": new_id(), "nonce": "11" * 32}
    item = {**space.item, "job": spec["id"], "spec": signed(spec, space.world.keys["maker"].signing)}
    moved = [signed_anew(space, one, job=spec["id"], job_hash=document_hash(spec)) for one in parts]
    assert space.freeze(moved, item=item)["code"] == "paillier.malformed", "contributions are to one job only"
    asked = question_of(verify_papers(item, me=space.dealer.agent.me, trust=space.world.trust, now=AFTER),
                        space.world.trust)
    anew = [signed_anew(space, one, question=asked.hash) for one in moved]
    space.chain.uses |= {(grant, document_hash(spec)) for grant, _ in space.chain.uses}
    space.dealer.agent.freezer._word = lambda papers, documents: {}  # type: ignore[method-assign]
    assert space.freeze(anew, item=item)["code"] == "paillier.second_freeze"


def test_no_session_over_a_question_of_which_a_set_was_frozen(space: Space, parts: list[Document]) -> None:
    """It would open the total of all, and so, by subtraction, those who were not in the set: a portal that says to
    the others that their job is over could bring it about."""
    assert "document" in space.freeze(parts[:3])
    assert as_session(space).check()["code"] == "disclosure.already_released"


def test_no_set_of_a_question_that_a_session_opened(space: Space, parts: list[Document]) -> None:
    one = as_session(space)
    assert one.check()["decision"] == "accept"
    one.agent.handle(one.session())
    one.wait()
    assert one.door.documents("failure") == []
    assert space.freeze(parts[:3])["code"] == "paillier.second_freeze"


def test_a_session_that_opened_nothing_is_no_hindrance(space: Space, parts: list[Document]) -> None:
    one = as_session(space)
    assert one.check()["decision"] == "accept"
    one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.peer_silent"})
    assert "document" in space.freeze(parts[:3])


def test_neither_too_early_nor_with_too_few(space: Space, parts: list[Document]) -> None:
    assert space.freeze(parts[:3], now=None)["code"] == "paillier.too_early"
    assert space.freeze(parts[:2])["code"] == "paillier.too_few"
    assert space.freeze([parts[0], parts[0], parts[1]])["code"] == "paillier.malformed"


def test_when_all_are_in_nobody_need_wait(space: Space, parts: list[Document]) -> None:
    assert len(space.freeze(parts, now=None)["document"]["members"]) == 4


def test_a_malformed_contribution_is_not_frozen(space: Space, parts: list[Document]) -> None:
    wire = parts[0]
    altered = {**wire["document"], "seed": "AAAA"}
    bad: list[Any] = [{**wire, "signatures": []}, {**wire, "document": altered},
                      signed(altered, Ed25519PrivateKey.generate()), None, {"document": {}}, [wire]]
    for one in bad:
        assert space.freeze([one, *parts[1:]])["code"] == "paillier.malformed"
    assert "document" in space.freeze(parts[1:]), "and nothing was entered in the book"


def test_a_seed_to_another_office_is_not_opened(space: Space, parts: list[Document]) -> None:
    """And the verdict says whose it is: one hospital could end every job so."""
    for changes in ({"dealer_key": "22" * 32}, {"seed": "AAAA"}):
        other = signed_anew(space, parts[0], **changes)
        refused = space.freeze([other, *parts[1:]])
        assert refused["code"] == "paillier.malformed"
        assert parts[0]["document"]["participant"] in refused["rule"]


def test_it_names_everyone_whose_seed_it_cannot_open(space: Space, parts: list[Document]) -> None:
    """So that the portal may show it the set without them: nothing is claimed yet, and the uses are spent."""
    seats = [one["document"]["seat"] for one in parts]
    for changes in ({"dealer_key": "22" * 32}, {"seed": "AAAA"}, {"question": "00" * 32}):
        refused = space.freeze([parts[0], *(signed_anew(space, one, **changes) for one in parts[1:3]), parts[3]])
        assert (refused["code"], refused["without"]) == ("paillier.malformed", seats[1:3]), changes
    assert "document" in space.freeze([parts[0], parts[2], parts[3]])


def test_who_has_not_contributed_stands_in_nobodys_way(space: Space, parts: list[Document], world: World) -> None:
    """A sleeper that changed its keys, whose grant is over, revoked or used up, and who is suspended."""
    sleeper = world.name_of(parts[0]["document"]["participant"])
    own = next(one["terms"] for one in space.item["grants"]
               if one["terms"]["custodian"] == parts[0]["document"]["participant"])
    item, record = copy.deepcopy(space.item), world.record(sleeper)
    changed = {**record, "number": 2}
    item["participants"] = [wire for wire in item["participants"] if wire["document"]["id"] != record["id"]]
    item["participants"].append(world.admitted(changed, sleeper))
    inbox.drop(space.dealer.agent.config.inbox, sign_revocation(
        own, world.approver("office"), by="regulator", reason="no", domain=domain_of(world.trust)))
    registered, grant = space.chain.registered, chain_id_of(own["id"], own["salt"])
    before = registered.pop(grant)
    space.chain.suspended.add(chain_id_of(record["id"], record["id_salt"]))
    space.chain.revoked.add(grant)
    try:
        refused = space.freeze(parts, item=item)
        assert (refused["code"], refused["without"]) == (
            "participant.record_mismatch", [parts[0]["document"]["seat"]])
        assert "document" in space.freeze(parts[1:], item=item)
    finally:
        registered[grant] = before
        space.chain.suspended.clear()
        space.chain.revoked.clear()


def test_a_contributor_whose_grant_ended_is_named(space: Space, parts: list[Document], world: World) -> None:
    member = parts[1]["document"]
    own = next(one["terms"] for one in space.item["grants"] if one["terms"]["custodian"] == member["participant"])
    inbox.drop(space.dealer.agent.config.inbox, sign_revocation(
        own, world.approver("office"), by="regulator", reason="no", domain=domain_of(world.trust)))
    refused = space.freeze(parts)
    assert (refused["code"], refused["without"]) == ("grant.revoked", [member["seat"]])
    assert "document" in space.freeze([parts[0], *parts[2:]])


@pytest.mark.parametrize("by_file", [True, False])
def test_what_was_taken_back_is_not_frozen(space: Space, parts: list[Document], by_file: bool) -> None:
    """Whether the portal passes it on or not; and it stays so when the portal forgets it again."""
    wire, forged = (withdrawal(space, parts[2], key) for key in (None, Ed25519PrivateKey.generate()))
    if by_file:
        inbox.drop(space.dealer.agent.config.inbox, wire)
    refused = space.freeze(parts, withdrawals=[forged, None] if by_file else [forged, wire])
    assert (refused["code"], refused["without"]) == ("paillier.withdrawn", [parts[2]["document"]["seat"]])
    assert space.freeze(parts)["code"] == "paillier.withdrawn"
    assert "document" in space.freeze([*parts[:2], parts[3]])


def test_what_is_taken_back_after_the_freeze_is_too_late(space: Space, parts: list[Document]) -> None:
    word = space.freeze(parts)
    assert space.freeze(parts, withdrawals=[withdrawal(space, parts[2])]) == word


@pytest.mark.parametrize("told_by", ["its own record", "the portal"])
def test_a_book_older_than_its_words_freezes_nothing(space: Space, parts: list[Document], told_by: str) -> None:
    """Yesterday's copy, put back: it would freeze another set of a question that it froze today."""
    word, agent = space.freeze(parts[:3]), space.dealer.agent
    with agent.book.write() as db:
        db.execute("DELETE FROM frozen")
    words = [word] if told_by == "the portal" else []
    if words:
        agent.config.audit.unlink()
    refused = space.freeze(parts[1:], words=words)
    assert (refused["code"], refused.get("without")) == ("book.older_than_its_words", None)
    here = Room(agent.config, agent.book, agent.cases, agent.home.audit, "en")
    found = {one.check: one.ok for one in doctor._book(doctor.Patient(here))}
    assert found == {"book": True, "words": bool(words)}


def test_a_record_that_cannot_be_read_has_a_name(space: Space, parts: list[Document]) -> None:
    space.dealer.agent.config.audit.write_text("{\n{\n")
    assert space.freeze(parts[:3])["code"] == "node.unrecorded"


def test_its_own_book_of_revocations_counts_whatever_portal_and_chain_say(space: Space, parts: list[Document],
                                                                          world: World) -> None:
    terms = space.item["grants"][0]["terms"]
    revocation = sign_revocation(terms, world.approver("office"), by="regulator", reason="no",
                                 domain=domain_of(world.trust))
    inbox.drop(space.dealer.agent.config.inbox, revocation)
    assert space.freeze(parts)["code"] == "grant.revoked"


def test_what_the_chain_takes_back_before_the_freeze_stops_it(space: Space, parts: list[Document],
                                                              world: World) -> None:
    record, terms = world.record("hospital_c"), space.item["grants"][0]["terms"]
    for taken, id, code in (
            (space.chain.suspended, chain_id_of(record["id"], record["id_salt"]), "participant.suspended"),
            (space.chain.revoked, chain_id_of(terms["id"], terms["salt"]), "grant.revoked")):
        taken.add(id)
        assert space.freeze(parts)["code"] == code
        taken.discard(id)
    assert "document" in space.freeze(parts)


def test_a_use_that_is_not_final_is_waited_for(space: Space, parts: list[Document]) -> None:
    uses, space.chain.uses = space.chain.uses, set()
    assert space.freeze(parts)["code"] == "paillier.use_not_final"
    space.chain.uses = uses
    assert "document" in space.freeze(parts)


def test_whose_use_is_not_final_is_named(space: Space, parts: list[Document]) -> None:
    terms = space.item["grants"][parts[3]["document"]["seat"]]["terms"]
    space.chain.uses = {one for one in space.chain.uses if one[0] != chain_id_of(terms["id"], terms["salt"])}
    assert space.freeze(parts)["without"] == [parts[3]["document"]["seat"]]


def test_hospitals_freeze_nothing_and_the_office_contributes_nothing(space: Space, parts: list[Document]) -> None:
    one = space.nodes["hospital_a"]
    before = len(one.door.posted)
    one.agent.handle({**one.item, "kind": "freeze", "contributions": parts})
    assert len(one.door.posted) == before
    space.dealer.agent.handle(space.item)
    assert space.dealer.door.posted == []
