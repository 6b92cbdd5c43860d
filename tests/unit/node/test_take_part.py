"""A whole agent with a portal and a chain in memory and a worker that computes nothing: verdict, session, every end."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.approval import domain_of, participants_domain_of, sign_revocation, sign_suspension, verify_use
from ledger.documents import chain_id_of, signed, timestamp, verify_signed
from ledger.errors import ChainUnavailable, PortalRefused, PortalUnavailable
from ledger.participant import record_chain_id
from mpc.node import inbox
from mpc.node.workers import Worker
from tests.simulators.node_at_work import Maker
from tests.simulators.node_world import HOSPITALS, NOW, Document, World


def test_it_works(node: Maker, world: World) -> None:
    one = node()
    verdict = one.check()
    assert (verdict["decision"], verdict["code"]) == ("accept", None)
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "reserved"
    one.agent.handle(one.session())
    one.wait()
    envelope = one.door.documents("envelope")[0]
    assert envelope["job_hash"] == one.job_hash and envelope["recipient"] == world.keys["maker"].participant
    wire = next(body["envelope"] for _, body in one.door.posted if "envelope" in body)
    verify_signed(wire, type="result_envelope", keys=[world.keys[one.name].signing_public])
    use = next(body for path, body in one.door.posted if path == "/uses")
    assert verify_use(use["grant_chain_id"], use["job_hash"], use["signature"],
                      domain=domain_of(world.trust)) == world.service(one.name).address
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "consumed"
    assert one.agent.book.outbox() == []


def test_the_dealer_serves_and_finishes(node: Maker) -> None:
    one = node(name="dealer")
    assert one.check()["seat"] == len(HOSPITALS)
    one.agent.handle(one.session())
    one.wait()
    assert one.door.documents("envelope") == [] and one.door.documents("failure") == []
    assert not any(path == "/uses" for path, _ in one.door.posted)


def test_every_attempt_has_fresh_keys(node: Maker) -> None:
    one, two = node(), node(name="hospital_b")
    sessions = [one.check()["session"], two.check()["session"]]
    assert sessions[0]["certificate"] != sessions[1]["certificate"]
    assert sessions[0]["exchange"] != sessions[1]["exchange"]


def test_the_same_attempt_gets_the_same_answer(node: Maker) -> None:
    one = node()
    assert one.check() == one.check()


def test_a_sealed_spec_that_comes_again_is_replayed(node: Maker) -> None:
    one = node()
    one.check()
    one.agent.handle(one.session())
    one.wait()
    for attempt in (1, 2):
        one.item["attempt"] = attempt
        verdict = one.check()
        assert (verdict["decision"], verdict["code"]) == ("refuse", "spec.replayed")


def test_two_specs_under_one_id(node: Maker, world: World) -> None:
    one = node()
    one.check()
    world.resign(one.item, disclosure={"floor": 12})
    assert one.check()["code"] == "spec.two_specs"


def test_a_job_outside_its_grant_is_refused_here(node: Maker, world: World) -> None:
    one = node(scenario=None, function="crosstab")
    spec = one.item["spec"]["document"]
    world.resign(one.item, parameters={**spec["parameters"], "rows": "weight"})
    verdict = one.check()
    assert (verdict["decision"], verdict["code"], verdict["session"]) == ("refuse", "spec.parameters", None)
    assert verdict["who_must_act"] == "consumer"


@pytest.mark.parametrize(("rows", "code"), [("sex", "disclosure.column_tabulated"), ("grade", None)])
@pytest.mark.parametrize("lacking", [0, 1, 10])
def test_a_second_table(node: Maker, world: World, lacking: int, rows: str, code: str | None) -> None:
    """What is answered depends on the columns that are asked, and on no row."""
    one = node(rows="50,Male,0,no\n" * 40 + "50,Male,0,\n" * lacking)
    assert one.check()["decision"] == "accept"  # age by sex; not yet started, and counted all the same
    other = world.item(function="crosstab", parameters={"rows": rows, "columns": "pain"}, grants=one.item["grants"])
    one.agent.handle(other)
    assert one.door.documents("verdict")[-1]["code"] == code


def test_a_file_that_changed(node: Maker) -> None:
    one = node()
    one.file.write_text("age,sex,grade,pain\n51,Male,0,no\n")
    assert one.check()["code"] == "dataset.changed"
    one.file.unlink()
    assert one.check()["code"] == "dataset.unreachable", "what cannot be read may be as it was"


def test_a_table_that_cannot_be_asked_did_not_change(node: Maker) -> None:
    one = node()
    [known] = one.agent.book.datasets()
    one.agent.book.put_dataset(replace(known, path=Path("cohort:public.heart"), kind="postgresql"))
    assert one.check()["code"] == "dataset.unreachable"


def test_the_policy_is_read_at_every_check(node: Maker) -> None:
    one = node()
    policy = one.agent.config.policy
    held = policy.read_text().replace('decision = "auto"', 'decision = "hold"')
    for text, decision, code in (('default = "deny"\n', "refuse", "policy.denied"),
                                 ("nonsense", "refuse", "policy.denied"), (held, "hold", "policy.held")):
        policy.write_text(text)
        verdict = one.check()
        assert (verdict["decision"], verdict["code"]) == (decision, code)
    assert one.agent.attempts == {}


def test_a_chain_that_is_away_refuses(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpc.node.judge.CHAIN_PATIENCE", 0.1)
    one = node()
    one.chain.unavailable = "chain.stale_head"
    assert one.check()["code"] == "chain.stale_head"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


@pytest.mark.parametrize("name", ["hospital_a", "dealer"])
def test_a_revocation_that_the_portal_withholds(node: Maker, world: World, name: str) -> None:
    one = node(name=name)
    terms = one.item["grants"][0]["terms"]
    revocation = sign_revocation(terms, world.approver("office"), by="regulator", reason="stop",
                                 domain=domain_of(world.trust))
    inbox.drop(one.agent.config.inbox, revocation)
    verdict = one.check()
    assert (verdict["decision"], verdict["code"]) == ("refuse", "grant.revoked")
    assert list(one.agent.config.inbox.glob("*.json")) == []
    assert one.agent.book.revocations([terms["id"]]) == [revocation]


def test_a_suspension_that_the_portal_withholds(node: Maker, world: World) -> None:
    one, record = node(), world.record("hospital_b")
    said = sign_suspension(record_chain_id(record), True, 5, world.approver("office"),
                           participants_domain_of(world.trust))
    inbox.drop(one.agent.config.inbox, {"type": "hold", "version": 1, "about": "participant",
                                        "subject": record["id"], "suspension": said})
    assert one.check()["code"] == "participant.suspended"


def test_a_revocation_during_the_session(node: Maker, world: World) -> None:
    one = node()
    one.chain.unavailable = ""
    one.door.chain = None  # the use never becomes final: the session waits
    one.check()
    one.agent.handle(one.session())
    terms = one.item["grants"][1]["terms"]
    inbox.drop(one.agent.config.inbox, sign_revocation(terms, world.approver("office"), by="regulator",
                                                       reason="stop", domain=domain_of(world.trust)))
    one.wait()
    assert one.failure() == "grant.revoked" and one.door.documents("envelope") == []


def test_a_revocation_on_chain_before_sealing(node: Maker) -> None:
    one = node()
    one.check()
    terms = one.item["grants"][2]["terms"]
    one.chain.revoked.add(chain_id_of(terms["id"], terms["salt"]))
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "grant.revoked" and one.door.documents("envelope") == []
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "consumed"


def test_a_chain_that_is_away_for_a_moment(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    one.check()
    asked = []

    def away(*_: object) -> None:
        asked.append(1)
        if len(asked) < 4:
            raise ChainUnavailable("chain.unavailable", "not now")
    monkeypatch.setattr(one.chain, "_up", away)
    one.agent.handle(one.session())
    one.wait()
    assert len(one.door.documents("envelope")) == 1 and len(asked) > 4


def test_a_use_that_never_becomes_final(node: Maker) -> None:
    one = node()
    one.agent.home = one.agent.home.__class__(**{**one.agent.home.__dict__, "session_seconds": 1})
    one.door.chain = None
    one.check()
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "session.deadline" and one.door.documents("envelope") == []
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "started"


@pytest.mark.parametrize(("mode", "code"), [("dies", "worker.failed"), ("fails", "session.peer_lost"),
                                            ("eager", "worker.failed")])
def test_a_worker_that_does_not_do_its_part(node: Maker, mode: str, code: str) -> None:
    one = node(mode)
    one.check()
    one.agent.handle(one.session())
    one.wait()
    failure = one.door.documents("failure")[-1]
    assert failure["code"] == code and one.door.documents("envelope") == []
    if mode == "fails":
        assert failure["about"] == one.item["spec"]["document"]["roster"][1]["participant"]
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def test_a_session_of_other_verdicts(node: Maker, world: World) -> None:
    one = node()
    one.check()
    item = one.session()
    item["dealer"] = signed(item["dealer"]["document"], world.keys["outsider"].signing)
    one.agent.handle(item)
    assert one.failure() == "session.mismatch" and one.agent.attempts == {}


def test_a_stop_gives_the_use_back(node: Maker) -> None:
    one = node()
    one.check()
    one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.deadline"})
    assert one.agent.attempts == {}
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None
    assert one.door.documents("failure") == []


def test_a_stop_during_the_session(node: Maker) -> None:
    one = node()
    one.door.chain = None
    one.check()
    one.agent.handle(one.session())
    one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.peer_lost"})
    one.wait()
    assert one.door.documents("envelope") == [] and one.door.documents("failure") == []


def test_a_stop_at_the_moment_of_the_gate_gives_no_use_back(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a buyer who cancels in time has hospitals compute for nothing, again and again."""
    one = node()
    one.check()
    attempt, receive = next(iter(one.agent.attempts.values())), Worker.receive

    def stopped(worker: Worker, timeout: float) -> Document | None:
        message = receive(worker, timeout)
        if message is not None:
            attempt.stop_code = "session.deadline"
        return message
    monkeypatch.setattr(Worker, "receive", stopped)
    one.agent.handle(one.session())
    one.wait()
    assert one.failure() == "session.deadline"
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "started"


def test_a_gate_that_began_while_its_worker_was_stopped_counts(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word that the gate has begun lies unread in the pipe when the agent ends the worker."""
    one = node()
    one.check()
    attempt, receive = next(iter(one.agent.attempts.values())), Worker.receive

    def deaf(worker: Worker, timeout: float) -> Document | None:
        message = receive(worker, 30)
        assert message == {"event": "gate_started"}
        worker._lines.insert(0, message)
        attempt.stop_code = "session.deadline"
        return None
    monkeypatch.setattr(Worker, "receive", deaf)
    one.agent.handle(one.session())
    one.wait()
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) == "started"


def test_after_a_restart_lost_attempts_are_named(node: Maker) -> None:
    one = node()
    one.check()
    one.agent.attempts.clear()
    one.agent.recover()
    failure = one.door.documents("failure")[-1]
    assert (failure["code"], failure["attempt"]) == ("worker.failed", 1)
    assert one.agent.book.unfinished() == []
    one.agent.handle(one.session())
    assert len(one.door.documents("failure")) == 1


def test_a_second_attempt_after_a_failure(node: Maker) -> None:
    one = node("dies")
    first = one.check()
    one.agent.handle(one.session())
    one.wait()
    one.works_from_now_on()
    one.item["attempt"] = 2
    second = one.check()
    assert second["decision"] == "accept"
    assert second["session"]["certificate"] != first["session"]["certificate"]


def test_an_envelope_waits_for_the_portal(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()
    one.check()
    post, away = one.door.post, [True]

    def flaky(path: str, body: Document, **more: Any) -> Any:
        if path.endswith("/envelopes") and away[0]:
            raise PortalUnavailable("restarting")
        return post(path, body, **more)
    monkeypatch.setattr(one.door, "post", flaky)
    one.agent.handle(one.session())
    one.wait()
    assert one.door.documents("envelope") == []
    away[0] = False
    one.agent.tend()
    assert len(one.door.documents("envelope")) == 1 and one.agent.book.outbox() == []


def test_an_answer_that_the_portal_refuses_gives_the_use_back(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node()

    def refuse(path: str, body: Document, **_: Any) -> Any:
        raise PortalRefused(409, "job.over", "cancelled")
    monkeypatch.setattr(one.door, "post", refuse)
    one.agent.handle(one.item)
    assert one.agent.attempts == {}
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


def test_an_attempt_whose_session_never_comes(node: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    one = node(deadline=timestamp(NOW + timedelta(hours=2)))
    one.check()
    monkeypatch.setattr(one.agent, "now", lambda: NOW + timedelta(hours=3))
    one.agent.tend()
    assert one.agent.attempts == {}
    assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None


@pytest.mark.parametrize("junk", [{}, {"kind": "check"}, {"kind": "check", "spec": 1, "job": 2, "attempt": "x"},
                                  {"kind": "session"}, {"kind": "agreement"}, {"kind": "stop"}, {"kind": []}])
def test_junk_from_the_portal_ends_in_the_log(node: Maker, junk: Document) -> None:
    one = node()
    one.agent.handle(junk)
    assert one.door.posted == []


def test_logs_carry_ids_and_counts_only(node: Maker, capfd: pytest.CaptureFixture[str]) -> None:
    one = node()
    one.check()
    one.agent.handle(one.session())
    one.wait()
    said = capfd.readouterr().err
    assert "verdict" in said and "session.sealed" in said
    for secret in (str(one.file), "Male", one.world.service(one.name).secret, "AAAA"):
        assert secret not in said
