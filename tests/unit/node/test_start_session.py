"""All verdicts together make a session, or none: two nodes shown different things never meet."""

import copy
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import document_hash, new_document, new_id, signed, to_b64
from mpc.node import checks
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from mpc.spec import session_id
from mpc.transport.identity import Place, SessionIdentity
from tests.simulators.node_world import HOSPITALS, NOW, Document, World


@pytest.fixture(scope="module")
def papers(world: World) -> Papers:
    return verify_papers(world.item(), me=world.me("hospital_a"), trust=world.trust, now=NOW)


def verdict(world: World, papers: Papers, name: str, **changes: Any) -> Document:
    me = world.keys[name]
    seats = [seat["participant"] for seat in papers.spec["roster"]]
    seat = seats.index(me.participant) if me.participant in seats else len(seats)
    document = new_document("verdict", **{
        "job": papers.job, "job_hash": papers.job_hash, "attempt": 1, "participant": me.participant, "seat": seat,
        "decision": "accept", "code": None, "rule": None, "who_must_act": None, "grant_block": 7,
        "policy_hash": "00" * 32, "session": keys(papers, me.signing, seat), **changes})
    return signed(document, me.signing)


def keys(papers: Papers, signing: Ed25519PrivateKey, seat: int, *, attempt: int = 1, **place: Any) -> Document:
    place = {"job_hash": papers.job_hash, "attempt": attempt, "seat": seat, **place}
    made = SessionIdentity.fresh(signing, Place(**place), now=NOW)
    return {"certificate": to_b64(made.certificate), "exchange": made.exchange.hex()}


def everybody(world: World, papers: Papers) -> dict[str, Document]:
    return {name: verdict(world, papers, name) for name in (*HOSPITALS, "dealer")}


def start(papers: Papers, verdicts: dict[str, Document]) -> checks.Session:
    return checks.verify_session(papers, [verdicts[name] for name in HOSPITALS], verdicts["dealer"],
                                 verdicts["hospital_a"]["document"])


def refused(papers: Papers, verdicts: dict[str, Document], own: Document | None = None) -> None:
    with pytest.raises(Refused) as caught:
        checks.verify_session(papers, [verdicts[name] for name in HOSPITALS], verdicts["dealer"],
                              own or verdicts["hospital_a"]["document"])
    assert caught.value.code == "session.mismatch"


def test_it_works(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    session = start(papers, verdicts)
    hashes = [document_hash(verdicts[name]["document"]) for name in HOSPITALS]
    assert session.id == session_id(papers.job_hash, 1, hashes, document_hash(verdicts["dealer"]["document"]))
    assert [peer["seat"] for peer in session.peers] == [0, 1, 2, 3]
    assert session.peers[3]["participant"] == world.keys["dealer"].participant


def test_in_any_order(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    backwards = checks.verify_session(papers, [verdicts[name] for name in reversed(HOSPITALS)], verdicts["dealer"],
                                      verdicts["hospital_a"]["document"])
    assert backwards == start(papers, verdicts)


def test_a_member_that_was_shown_another_spec(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    verdicts["hospital_b"] = verdict(world, papers, "hospital_b", job_hash="00" * 32)
    refused(papers, verdicts)


@pytest.mark.parametrize("changes", [
    {"attempt": 2}, {"job": new_id()}, {"decision": "hold"}, {"decision": "refuse", "session": None},
    {"session": None}, {"seat": 3},
])
def test_a_verdict_that_is_no_yes_to_this(world: World, papers: Papers, changes: Document) -> None:
    verdicts = everybody(world, papers)
    verdicts["hospital_c"] = verdict(world, papers, "hospital_c", **changes)
    refused(papers, verdicts)


def test_a_verdict_signed_by_another(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    verdicts["hospital_c"] = signed(verdicts["hospital_c"]["document"], world.keys["outsider"].signing)
    refused(papers, verdicts)


def test_a_verdict_changed_on_the_way(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    verdicts["dealer"]["document"]["session"]["exchange"] = "ab" * 32
    refused(papers, verdicts)


@pytest.mark.parametrize("place", [{"seat": 1}, {"attempt": 2}, {"job_hash": "ab" * 32}])
def test_a_leaf_for_another_place(world: World, papers: Papers, place: dict[str, Any]) -> None:
    """The node's own signature under its verdict is right; the leaf in it is good for something else."""
    verdicts = everybody(world, papers)
    seat = verdicts["dealer"]["document"]["seat"]
    made = keys(papers, world.keys["dealer"].signing, **{"seat": seat, **place})
    verdicts["dealer"] = verdict(world, papers, "dealer", session=made)
    with pytest.raises(Refused) as caught:
        start(papers, verdicts)
    assert (caught.value.code, caught.value.rule) == ("session.mismatch",
                                                      "a leaf is for another job, attempt or seat")


def test_a_leaf_of_another_s_key(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    made = keys(papers, world.keys["outsider"].signing, verdicts["dealer"]["document"]["seat"])
    verdicts["dealer"] = verdict(world, papers, "dealer", session=made)
    refused(papers, verdicts)


def test_one_member_twice_and_one_missing(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    verdicts["hospital_c"] = verdicts["hospital_b"]
    refused(papers, verdicts)


def test_a_member_left_out(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    with pytest.raises(Refused):
        checks.verify_session(papers, [verdicts["hospital_a"], verdicts["hospital_b"]], verdicts["dealer"],
                              verdicts["hospital_a"]["document"])


def test_two_members_with_one_key(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    keys = copy.deepcopy(verdicts["hospital_b"]["document"]["session"])
    verdicts["hospital_c"] = verdict(world, papers, "hospital_c", session=keys)
    refused(papers, verdicts)


def test_our_own_verdict_of_before(world: World, papers: Papers) -> None:
    verdicts = everybody(world, papers)
    refused(papers, verdicts, own=verdict(world, papers, "hospital_a")["document"])


@pytest.mark.parametrize("junk", [None, 7, {}, {"document": {"seat": 99}}, {"document": {"seat": "0"}},
                                  {"document": None, "signatures": []}])
def test_junk_instead_of_a_verdict(world: World, papers: Papers, junk: object) -> None:
    verdicts = everybody(world, papers)
    verdicts["hospital_c"] = junk  # type: ignore[assignment]
    refused(papers, verdicts)
