"""A job whose hospitals are not online together: what a node hands in and when, and how a person takes it back."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from ledger.approval import domain_of, grant_chain_id, sign_revocation, sign_suspension
from ledger.documents import load_json, new_id, signed, timestamp, verify_signed
from ledger.errors import DocumentError, PortalUnavailable
from mpc.node import console, inbox
from mpc.node.agent import Agent
from mpc.node.console import Room
from mpc.node.errors import Refused
from mpc.node.loop import Courier
from tests.simulators.node_at_work import Maker, worker_command
from tests.simulators.node_world import NOW, World
from tests.simulators.nodes_apart import AFTER, FOUR, SECRET, Space, asked, oracle, rows, wires


@pytest.fixture
def space(node: Maker, world: World) -> Space:
    """One hospital at its work; the others of its job sleep."""
    return Space(node, world, ["hospital_a"])


def test_it_works(node: Maker, world: World) -> None:
    """Three came one by one before the fourth, which is too late: the total is that of three."""
    space = Space(node, world)
    bodies = [space.contribute(name) for name in FOUR]
    space.office(node)
    three = [body for body in bodies if body["contribution"]["document"]["participant"]
             != world.keys["hospital_b"].participant]
    word = space.freeze(wires(three))
    verify_signed(word, type="frozen_set", keys=[world.keys["dealer"].signing_public])
    assert space.open(three, word) == oracle([rows(seat) for seat, name in enumerate(FOUR) if name != "hospital_b"])
    assert "set.frozen" in space.dealer.audit
    uses = {one.agent.book.use_state(one.own_terms["id"], one.job_hash) for one in space.nodes.values()}
    assert uses == {"consumed"}


def test_it_answers_and_contributes(space: Space) -> None:
    one = space.nodes["hospital_a"]
    space.contribute("hospital_a")
    verdict = one.door.documents("verdict")[-1]
    assert (verdict["decision"], verdict["session"]) == ("accept", None)
    case = one.agent.cases.newest()[0]
    assert {"step": "engine", "outcome": "passed"} in case.trace and case.decision == "accept"
    assert "contribution.made" in one.audit


def test_after_its_time_it_contributes_no_more(space: Space) -> None:
    one = space.nodes["hospital_a"]
    one.agent.judging._now = lambda: AFTER
    assert one.check()["code"] == "paillier.too_late"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def test_asked_again_it_sends_the_very_same_again_after_a_restart_too(space: Space) -> None:
    one = space.nodes["hospital_a"]
    first = space.contribute("hospital_a")
    assert space.contribute("hospital_a") == first
    again = Agent(one.agent.config, one.agent.home, one.door, one.agent.workers)
    again.handle(one.item)
    posted = [body for path, body in one.door.posted if path.endswith("/contributions")]
    assert len(posted) == 3 and posted[-1] == first
    assert len([path for path, _ in one.door.posted if path == "/uses"]) == 1


def test_what_broke_before_it_left_is_made_anew(space: Space) -> None:
    one = space.nodes["hospital_a"]
    one.agent.workers._command = worker_command("dies")
    one.agent.handle(one.item)
    one.wait()
    one.agent.handle(one.item)
    one.wait()
    assert [failure["code"] for failure in one.door.documents("failure")] == ["worker.failed"] * 2
    one.agent.workers._command = worker_command("contributes")
    one.agent.handle(one.item)  # the spare is still of the old kind
    one.wait()
    space.contribute("hospital_a")
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "consumed"


def test_killed_between_its_word_and_its_contribution(space: Space) -> None:
    """The book says that the job was accepted; the keys and the worker are gone."""
    one = space.nodes["hospital_a"]
    one.agent._start = lambda attempt, run: None  # type: ignore[method-assign]
    one.agent.handle(one.item)
    again = Agent(one.agent.config, one.agent.home, one.door, one.agent.workers)
    again.recover()
    one.agent = again
    assert space.contribute("hospital_a")["contribution"]["document"]["seat"] in range(4)


def test_a_portal_that_was_away_gets_it_later(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    one = space.nodes["hospital_a"]
    post, away = type(one.door).post, [True]

    def fails(door: Any, path: str, body: Any = None, **more: Any) -> Any:
        if away[0] and path.endswith("/contributions"):
            raise PortalUnavailable("portal.unavailable", "away")
        return post(door, path, body, **more)

    monkeypatch.setattr(type(one.door), "post", fails)
    one.agent.handle(one.item)
    one.wait()
    away[0] = False
    one.agent.tend()
    assert one.door.posted[-1][0].endswith("/contributions") and one.agent.book.outbox() == []


def test_it_is_not_kept_busy_for_ever(space: Space) -> None:
    one = space.nodes["hospital_a"]
    one.agent.workers._command = worker_command("dies")
    for _ in range(6):
        one.agent.handle(one.item)
        one.wait()
    verdict = one.door.documents("verdict")[-1]
    assert (verdict["decision"], verdict["code"], verdict["who_must_act"]) == (
        "refuse", "worker.failed", "custodian")
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def test_what_was_not_begun_is_no_try(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    one = space.nodes["hospital_a"]

    def unrecorded(*_: Any) -> None:
        raise Refused("node.unrecorded", "no")
    with monkeypatch.context() as broken:
        broken.setattr(one.agent.answers, "record", unrecorded)
        for _ in range(6):
            one.agent.handle(one.item)
    assert {said["code"] for said in one.door.documents("verdict")} == {"node.unrecorded"}
    space.contribute("hospital_a")


def test_it_waits_until_there_is_room(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    one = space.nodes["hospital_a"]
    with monkeypatch.context() as busy:
        busy.setattr(type(one.agent.attempts), "running", property(lambda _: one.agent.config.at_once))
        one.agent.handle(one.item)
    assert one.agent.attempts == {} and one.door.posted == []
    space.contribute("hospital_a")


def test_what_a_suspension_keeps_in_the_house_is_named_so(space: Space) -> None:
    one, world = space.nodes["hospital_a"], space.world
    object.__setattr__(one.agent.home, "flush", lambda: None)
    one.agent.handle(one.item)
    one.wait()
    said = sign_suspension(grant_chain_id(one.own_terms), True, 1, world.approver("office"), domain_of(world.trust))
    inbox.drop(one.agent.config.inbox, {"type": "hold", "version": 1, "about": "grant", "suspension": said,
                                        "subject": one.own_terms["id"]})
    inbox.take(one.agent.config.inbox, one.agent.book)
    one.agent.handle(one.item)
    accepted, verdict = one.door.documents("verdict")
    assert (verdict["code"], verdict["seat"]) == ("grant.suspended", accepted["seat"])


def test_a_person_may_take_it_back_after_it_left(space: Space) -> None:
    """Once, signed, to the portal and in a file; and it is not sent again."""
    one = space.nodes["hospital_a"]
    contribution = space.contribute("hospital_a")["contribution"]["document"]
    one.agent.cases.rule(one.job_hash, "deny", by="somebody")
    for _ in range(2):
        one.agent.look()
        one.agent.handle(one.item)
    posted = [(path, body) for path, body in one.door.posted if "withdrawal" in body]
    assert [path for path, _ in posted] == [f"/jobs/{one.item['job']}/withdrawal"]
    wire = posted[0][1]["withdrawal"]
    document = verify_signed(wire, type="withdrawal", keys=[one.agent.me.signing])
    assert (document["job_hash"], document["seat"]) == (one.job_hash, contribution["seat"])
    (file,) = (one.agent.config.home / "withdrawals").iterdir()
    assert (file.name, load_json(file.read_bytes())) == (f"{one.job_hash}.json", wire)
    assert sum(path.endswith("/contributions") for path, _ in one.door.posted) == 1
    assert "contribution.withdrawn" in one.audit


def test_a_withdrawal_waits_for_a_portal_that_is_away(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was sealed is held back in the house; the word that takes it back is to reach the portal."""
    one, path = space.nodes["hospital_a"], f"/jobs/{space.item['job']}/withdrawal"
    space.contribute("hospital_a")
    one.agent.cases.rule(one.job_hash, "deny", by="somebody")

    def away(*_: Any, **__: Any) -> Any:
        raise PortalUnavailable("away")
    with monkeypatch.context() as broken:
        broken.setattr(one.door, "post", away)
        for _ in range(2):
            one.agent.look()
    one.agent.stop(one.item["job"], "job.cancelled")
    assert [letter[1] for letter in one.agent.book.outbox()] == [path]
    one.agent.tend()
    assert one.door.posted[-1][0] == path and one.agent.book.outbox() == []


def test_who_denies_it_hears_that_it_is_taken_back(space: Space) -> None:
    one = space.nodes["hospital_a"]
    here = Room(one.agent.config, one.agent.book, one.agent.cases, one.agent.home.audit, "en")
    space.contribute("hospital_a")
    assert "withdrawal" in console.deny(here, one.item["job"]).text


def test_who_denies_what_is_sent_again_hears_that_it_may_have_left(space: Space,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    one = space.nodes["hospital_a"]
    here = Room(one.agent.config, one.agent.book, one.agent.cases, one.agent.home.audit, "en")

    def away(path: str, body: Any = None, **_: Any) -> Any:
        raise PortalUnavailable("timed out")
    object.__setattr__(one.agent.home, "flush", lambda: None)
    one.agent.handle(one.item)
    one.wait()
    assert not one.agent.cases.may_have_left(one.job_hash)
    monkeypatch.setattr(one.door, "post", away)
    one.agent.handle(one.item)
    said = console.deny(here, one.item["job"])
    assert "it may have left" in said.text and "withdrawal" in said.text and said.status == 1


def test_what_a_person_denies_elsewhere_or_holds_takes_nothing_back(space: Space) -> None:
    one = space.nodes["hospital_a"]
    space.contribute("hospital_a")
    one.agent.cases.rule(new_id(), "deny", by="somebody")
    one.agent.cases.rule(one.job_hash, "hold", by="somebody")
    one.agent.look()
    assert not any("withdrawal" in body for _, body in one.door.posted)


@pytest.mark.parametrize("by_office", [True, False])
def test_what_a_revoked_grant_gave_does_not_leave_any_more(space: Space, by_office: bool) -> None:
    """The portal was away, and meanwhile a file came: a forged one changes nothing."""
    one, world = space.nodes["hospital_a"], space.world
    object.__setattr__(one.agent.home, "flush", lambda: None)
    one.agent.handle(one.item)
    one.wait()
    key = world.approver("office" if by_office else "maker")
    inbox.drop(one.agent.config.inbox, sign_revocation(
        one.own_terms, key, by="regulator", reason="no", domain=domain_of(world.trust)))
    inbox.take(one.agent.config.inbox, one.agent.book)
    courier = Courier(one.door, one.agent.book, barred=lambda job_hash: one.agent.contributions.barred(
        job_hash, world.trust))
    courier.flush()
    left = any(path.endswith("/contributions") for path, _ in one.door.posted)
    assert left != by_office
    one.agent.look()
    courier.flush()
    told = [failure["code"] for failure in one.door.documents("failure")]
    assert told == (["grant.revoked"] if by_office else [])


def test_its_policy_must_name_the_engine(space: Space) -> None:
    one = space.nodes["hospital_a"]
    policy = one.agent.config.policy
    for said in ('engines = ["crypten"]\n', ""):
        policy.write_text(policy.read_text().replace('engines = ["paillier"]\n', said).replace(
            'engines = ["crypten"]\n', said))
        verdict = one.check()
        assert (verdict["decision"], verdict["code"]) == ("refuse", "policy.denied")
        assert "engines" in verdict["rule"]


def test_a_person_may_stop_it(space: Space) -> None:
    """And what was made before is not sent again meanwhile."""
    one = space.nodes["hospital_a"]
    space.contribute("hospital_a")
    one.agent.cases.set_switch("stopped", {"at": "now", "by": "somebody"})
    assert one.check()["code"] == "node.stopped"
    assert sum(path.endswith("/contributions") for path, _ in one.door.posted) == 1


def test_a_person_may_let_it_go(space: Space) -> None:
    """It is accepted at once, and contributed when the portal asks the next time."""
    one = space.nodes["hospital_a"]
    policy = one.agent.config.policy
    policy.write_text(policy.read_text().replace('decision = "auto"', 'decision = "hold"'))
    one.agent.handle(one.item)
    assert one.door.documents("verdict")[-1]["decision"] == "hold"
    one.agent.cases.rule(one.job_hash, "release", by="somebody")
    one.agent.look()
    assert one.door.documents("verdict")[-1]["decision"] == "accept"
    assert space.contribute("hospital_a")["contribution"]["document"]["job_hash"] == one.job_hash


def test_a_spec_that_protects_less_is_refused(space: Space, world: World) -> None:
    one, n = space.nodes["hospital_a"], f"{SECRET.public.n:x}"
    for code, changes in (
            ("spec.parameters", {"ciphertexts": 2}), ("spec.roster_mismatch", {"minimum": 2}),
            ("spec.malformed", {"minimum": 5}), ("spec.malformed", {"by": timestamp(NOW - timedelta(days=1))}),
            ("spec.malformed", {"key": {"n": "9" * 511 + "8", "hs": "2"}}),
            ("spec.malformed", {"key": {"n": n, "hs": n}})):
        spec = {**space.spec, "contributions": asked(**changes)}
        try:
            one.item["spec"] = signed(spec, world.keys["maker"].signing)
        except DocumentError:  # not even to be signed by our own tools
            one.item["spec"] = {"document": spec, "signatures": []}
        assert one.check()["code"] == code, changes
    assert one.agent.attempts == {}


def test_seeds_are_sealed_to_the_dealer_of_the_trust_file_only(space: Space, world: World) -> None:
    """Else a portal that shows another office's record reads every mask."""
    one = space.nodes["hospital_a"]
    one.item["participants"] = [wire for wire in one.item["participants"]
                                if wire["document"]["id"] != world.keys["dealer"].participant]
    assert one.check()["code"] == "participant.record_mismatch"
    forged = copy.deepcopy(world.records["dealer"])
    forged["document"]["keys"]["sealing"] = world.keys["maker"].sealing_public
    one.item["participants"].append(forged)
    assert one.check()["code"] == "participant.record_mismatch"
