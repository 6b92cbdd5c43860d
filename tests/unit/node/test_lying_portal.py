"""A portal that lies to a whole node, one lie at a time: each is refused by the node with its code, and leaves nothing.

To a hospital's node and to the dealer's, which believes a portal no more. The portal holds no key of anybody's; where a
buyer must be in it too, the buyer signs. After every lie the honest papers are shown: the node takes part, so the
refusal was for the lie alone.
"""

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ledger.documents import chain_id_of, document_hash, new_id, new_salt, signed, timestamp
from mpc.node.agent import fresh_keys
from mpc.transport.identity import Place
from tests.simulators.node_at_work import Maker, Node, make_node
from tests.simulators.node_world import HOSPITALS, Document, World, resigned

Lie = Callable[[World, Document], Any]


def spec(item: Document) -> Document:
    found: Document = item["spec"]["document"]
    return found


def swap_recipient_key(world: World, item: Document) -> None:
    """The portal puts its own sealing key in the spec; without the buyer's key it cannot sign."""
    spec(item)["recipient"]["sealing"] = world.keys["outsider"].sealing_public


def swap_recipient_key_with_the_buyer(world: World, item: Document) -> None:
    world.resign(item, recipient={**spec(item)["recipient"], "sealing": world.keys["outsider"].sealing_public})


def swap_roster_key(world: World, item: Document) -> None:
    roster = copy.deepcopy(spec(item)["roster"])
    roster[-1]["signing"] = world.keys["outsider"].signing_public
    world.resign(item, roster=roster)


def swap_roster_member(world: World, item: Document) -> None:
    roster = copy.deepcopy(spec(item)["roster"])
    stranger = world.record("outsider")
    roster[-1] |= {"participant": stranger["id"], "signing": stranger["keys"]["signing"],
                   "record_hash": document_hash(stranger)}
    item["participants"].append(world.records["outsider"])
    world.resign(item, roster=roster)


def swap_dataset(world: World, item: Document) -> None:
    """Input and grant both name another dataset; the grant's terms, which its custodian signed, do not."""
    inputs, grants = copy.deepcopy(spec(item)["inputs"]), copy.deepcopy(spec(item)["grants"])
    inputs[0]["dataset"] = grants[0]["dataset"] = "00000000-0000-4000-8000-000000000000"  # sorts first, as before
    world.resign(item, inputs=inputs, grants=grants)


def swap_dataset_version(world: World, item: Document) -> None:
    name = world.name_of(item["datasets"][0]["document"]["provider"])
    item["datasets"][0] = resigned(item["datasets"][0], world.keys[name].signing, number=2)


def lower_floor_in_the_grant(world: World, item: Document) -> None:
    item["grants"][0]["terms"]["floor"] = 1


def more_uses_in_the_grant(world: World, item: Document) -> None:
    item["grants"][1]["terms"]["max_uses"] = 10**6


def stale_record(world: World, item: Document) -> None:
    """A hospital changed its keys; the portal shows the record from before, signed by everybody."""
    name = HOSPITALS[1]
    before = world.admitted({**world.record(name), "salt": new_salt()}, name)
    item["participants"] = [before if one["document"]["id"] == before["document"]["id"] else one
                            for one in item["participants"]]
    roster = copy.deepcopy(spec(item)["roster"])
    for seat in roster:
        if seat["participant"] == before["document"]["id"]:
            seat["record_hash"] = document_hash(before["document"])
    world.resign(item, roster=roster)


def two_records(world: World, item: Document) -> None:
    item["participants"].append(world.admitted({**world.record(HOSPITALS[0]), "salt": new_salt()}, HOSPITALS[0]))


def digest_of_other_code(world: World, item: Document) -> None:
    world.resign(item, function={**spec(item)["function"], "digest": "00" * 32})


def unknown_field(world: World, item: Document) -> None:
    spec(item)["debug"] = True


def unknown_field_inside(world: World, item: Document) -> None:
    spec(item)["disclosure"]["open_all"] = True


def unknown_field_in_the_terms(world: World, item: Document) -> None:
    item["grants"][0]["terms"]["note"] = "all columns"


def endless_roster(world: World, item: Document) -> None:
    spec(item)["roster"] = spec(item)["roster"] * 40


def endless_papers(world: World, item: Document) -> None:
    item["participants"] = item["participants"] * 1000


def no_papers(world: World, item: Document) -> None:
    del item["datasets"]


def papers_of_another_form(world: World, item: Document) -> None:
    item["grants"] = {"0": item["grants"][0]}


def huge_text(world: World, item: Document) -> None:
    spec(item)["recipient"]["participant"] = "x" * (1 << 20)


def parameters_of_a_bomb(world: World, item: Document) -> None:
    world.resign(item, parameters={"columns": ["age"] * 200_000, "by": None})


def expired_spec(world: World, item: Document) -> None:
    now = datetime.now(UTC)
    world.resign(item, issued_at=timestamp(now - timedelta(hours=3)), deadline=timestamp(now - timedelta(hours=1)))


def consent_dropped(world: World, item: Document) -> None:
    item["grants"][2]["consent"] = None


def consent_of_another_grant(world: World, item: Document) -> None:
    item["grants"][0]["consent"] = item["grants"][1]["consent"]


def own_dealer(world: World, item: Document) -> None:
    keys = world.keys["outsider"]
    world.resign(item, dealer={"participant": keys.participant, "signing": keys.signing_public})


def other_agreement(world: World, item: Document) -> None:
    item["agreement"] = world.item(grants=item["grants"])["agreement"]


PAPERS = {
    "a recipient's key swapped": (swap_recipient_key, "spec.signature_invalid"),
    "the same with the buyer's help": (swap_recipient_key_with_the_buyer, "participant.record_mismatch"),
    "a roster key swapped": (swap_roster_key, "participant.record_mismatch"),
    "a roster member swapped": (swap_roster_member, "spec.roster_mismatch"),
    "a wrong dataset": (swap_dataset, "grant.wrong_dataset"),
    "another version of the dataset": (swap_dataset_version, "grant.wrong_dataset"),
    "a lower floor in the grant": (lower_floor_in_the_grant, "grant.terms_mismatch"),
    "more uses in the grant": (more_uses_in_the_grant, "grant.terms_mismatch"),
    "a stale record": (stale_record, "participant.record_mismatch"),
    "two records of one participant": (two_records, "participant.record_mismatch"),
    "a function's digest": (digest_of_other_code, "spec.function_digest"),
    "an unknown field": (unknown_field, "spec.malformed"),
    "an unknown field inside": (unknown_field_inside, "spec.malformed"),
    "an unknown field in the terms": (unknown_field_in_the_terms, "grant.terms_mismatch"),
    "an endless roster": (endless_roster, "spec.malformed"),
    "endless papers": (endless_papers, "spec.malformed"),
    "no papers": (no_papers, "spec.malformed"),
    "papers of another form": (papers_of_another_form, "spec.malformed"),
    "a huge text": (huge_text, "spec.malformed"),
    "parameters of a bomb": (parameters_of_a_bomb, "spec.parameters"),
    "an expired spec": (expired_spec, "spec.stale"),
    "a consent dropped": (consent_dropped, "grant.approval_invalid"),
    "a consent of another grant": (consent_of_another_grant, "grant.wrong_custodian"),
    "a dealer of its own": (own_dealer, "spec.roster_mismatch"),
    "another agreement": (other_agreement, "agreement.invalid"),
}


BOTH = ("hospital_a", "dealer")


@pytest.fixture(scope="module", params=BOTH)
def standing(world: World, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Node]:
    """One node for all lies: none of them leaves anything behind."""
    made = make_node(world, tmp_path_factory.mktemp("lied-to") / request.param, name=request.param)
    yield made
    made.agent.close()
    made.agent.book.close()


@pytest.mark.parametrize("name", PAPERS)
def test_it_works(standing: Node, world: World, name: str) -> None:
    """Each lie of the table, to a whole node."""
    one, (lie, code) = standing, PAPERS[name]
    one.item = world.item()
    one.chain.register(one.item)
    honest = copy.deepcopy(one.item)
    lie(one.world, one.item)
    verdict = one.check()
    assert (verdict["decision"], verdict["code"], verdict["session"]) == ("refuse", code, None), verdict["rule"]
    assert verdict["who_must_act"] and one.agent.attempts == {}
    assert one.agent.book.seen(job=honest["job"]) is None
    one.item = honest
    assert one.check()["decision"] == "accept"
    one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.deadline"})


@pytest.fixture(params=BOTH)
def one(node: Maker, request: pytest.FixtureRequest) -> Node:
    return node(name=request.param)


@pytest.mark.parametrize(("change", "code"), [
    ({"terms_hash": "0x" + "00" * 32}, "grant.terms_mismatch"), ({"not_after": 1}, "grant.expired"),
    ({"uses": 5}, "grant.exhausted"), ({"custodian": "0x" + "11" * 20}, "grant.wrong_custodian"),
    ({"service": "0x" + "11" * 20}, "grant.wrong_custodian"), (None, "grant.not_registered"),
])
def test_papers_that_the_chain_does_not_bear_out(one: Node, change: Document | None, code: str) -> None:
    terms = one.own_terms if one.agent.me.party else one.item["grants"][2]["terms"]
    key = chain_id_of(terms["id"], terms["salt"])
    if change is None:
        del one.chain.registered[key]
    else:
        vars(one.chain.registered[key]).update(change)
    assert one.check()["code"] == code


def test_a_grant_revoked_on_chain_and_not_told(one: Node) -> None:
    terms = one.item["grants"][1]["terms"]
    one.chain.revoked.add(chain_id_of(terms["id"], terms["salt"]))
    assert one.check()["code"] == "grant.revoked"


def test_a_record_rotated_on_chain_and_not_told(one: Node) -> None:
    record = one.world.record(HOSPITALS[2])
    one.chain.records[chain_id_of(record["id"], record["id_salt"])] = "0x" + "22" * 32
    assert one.check()["code"] == "participant.record_mismatch"


def test_an_answered_spec_shown_again_under_its_old_attempt(one: Node) -> None:
    one.check()
    one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.peer_lost"})
    assert one.check()["code"] == "spec.replayed"


def test_a_nonce_used_for_another_spec(one: Node, world: World) -> None:
    one.check()
    other = world.item(grants=one.item["grants"], nonce=spec(one.item)["nonce"], parameters={"columns": ["age"],
                                                                                             "by": None})
    one.agent.handle(other)
    assert one.door.documents("verdict")[-1]["code"] == "spec.replayed"


def members(one: Node, **changes: Any) -> Document:
    """The session item in which one member's verdict says something else, signed by that member."""
    item = one.session()
    wire = item["verdicts"][1] if item["verdicts"][1]["document"]["participant"] != one.agent.me.participant else (
        item["verdicts"][0])
    name = one.world.name_of(wire["document"]["participant"])
    changed = signed({**wire["document"], **changes}, one.world.keys[name].signing)
    item["verdicts"] = [changed if one_ is wire else one_ for one_ in item["verdicts"]]
    return item


@pytest.mark.parametrize("changes", [{"job_hash": "33" * 32}, {"attempt": 2}, {"decision": "hold"}])
def test_two_nodes_shown_different_specs(one: Node, changes: Document) -> None:
    one.check()
    one.agent.handle(members(one, **changes))
    assert one.failure() == "session.mismatch" and one.agent.attempts == {}


def test_a_session_with_keys_of_the_portals_own(one: Node) -> None:
    """The certificate of a member's fresh key is not signed by that member: the portal would sit in between."""
    one.check()
    place = Place(one.job_hash, 1, 1)
    forged = fresh_keys(one.world.keys["outsider"].signing, place, datetime.now(UTC))
    one.agent.handle(members(one, session={"certificate": forged.certificate, "exchange": forged.exchange}))
    assert one.failure() == "session.mismatch"


def test_a_session_before_everybody_accepted(one: Node) -> None:
    one.check()
    item = one.session()
    item["verdicts"] = item["verdicts"][:-1]
    one.agent.handle(item)
    assert one.failure() == "session.mismatch"


def test_a_session_for_a_job_that_was_never_judged(one: Node) -> None:
    one.check()
    item = {**one.session(), "job": new_id()}
    one.agent.handle(item)
    assert one.door.documents("failure") == [] and len(one.agent.attempts) == 1


def test_a_relay_somewhere_inside_the_hospital(one: Node) -> None:
    one.check()
    one.agent.handle({**one.session(), "relay": {"url": "ws://192.168.1.20:5432/", "token": "x"}})
    assert one.failure() == "relay.refused"


def test_a_stop_for_somebody_elses_job_stops_nothing(one: Node) -> None:
    one.check()
    one.agent.handle({"kind": "stop", "job": new_id(), "attempt": 1, "code": "session.deadline"})
    assert len(one.agent.attempts) == 1
