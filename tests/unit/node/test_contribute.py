"""Jobs whose hospitals are not online together: what a node hands in, what the dealer's office freezes, and the liars.

Nodes with a portal and a chain in memory; the worker is a process of its own that counts and encrypts for real.
"""

import copy
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.approval import domain_of, grant_chain_id, sign_revocation, sign_suspension
from ledger.documents import (
    chain_id_of,
    document_hash,
    from_b64,
    load_json,
    new_document,
    new_id,
    signed,
    timestamp,
    verify_signed,
)
from ledger.errors import DocumentError, PortalUnavailable
from mpc import masked
from mpc.functions.registry import function
from mpc.node import console, doctor, inbox
from mpc.node.agent import Agent
from mpc.node.console import Room
from mpc.node.contributing import question_of
from mpc.node.errors import Refused
from mpc.node.loop import Courier
from mpc.node.papers import verify_papers
from mpc.spec import common_columns, rows_max_total
from tests.simulators.node_at_work import Maker, Node, make_node, worker_command
from tests.simulators.node_world import COLUMNS, HOSPITALS, NOW, ChainInMemory, Document, World, resigned
from tests.simulators.worker_orders import secret

FOUR = (*HOSPITALS, "outsider")
SECRET = secret()
BY = NOW + timedelta(minutes=30)
AFTER = BY + timedelta(seconds=1)


def rows(seat: int, women: int = 30, men: int = 40) -> str:
    return "".join(f"{(20 + 7 * seat + 3 * at) % 90},{'Female' if at < women else 'Male'},0,no\n"
                   for at in range(women + men))


def asked(**changes: Any) -> dict[str, Any]:
    return {"by": timestamp(BY), "minimum": 3, "ciphertexts": 1, "key": SECRET.public.document(), **changes}


class Space:
    """Hospitals, an office and one job; nobody is online with anybody."""

    def __init__(self, node: Maker, world: World, names: Sequence[str] = FOUR, women: int = 30) -> None:
        self.world = world
        self.nodes = {name: node(name=name, mode="contributes", rows=rows(seat, women=women if seat else 30))
                      for seat, name in enumerate(FOUR) if name in names}
        self.item = {**world.item(members=FOUR, engine="paillier/1", contributions=asked()), "kind": "contribute"}
        self.chain = ChainInMemory.of(world, self.item)
        for name in FOUR:  # a node's own dataset is described when it is made; records of providers are older
            record = world.record(name)
            self.chain.records[chain_id_of(record["id"], record["id_salt"])] = "0x" + document_hash(record)
        for one in self.nodes.values():
            self.join(one)
            text = one.agent.config.policy.read_text()
            one.agent.config.policy.write_text(text.replace('engines = ["crypten"]', 'engines = ["paillier"]'))

    def join(self, one: Node) -> None:
        """This job, and the one chain that all read."""
        one.item, one.door.chain = copy.deepcopy(self.item), self.chain
        one.agent.home.chain._chain = self.chain

    def office(self, node: Maker) -> None:
        """A dealer's office that has never frozen anything."""
        self.dealer = node(name="dealer")
        self.join(self.dealer)

    @property
    def spec(self) -> Document:
        return self.item["spec"]["document"]  # type: ignore[no-any-return]

    def contribute(self, name: str) -> Document:
        """The node is awake: what it posts."""
        one = self.nodes[name]
        one.agent.handle(one.item)
        one.wait()
        return next(body for path, body in reversed(one.door.posted) if path.endswith("/contributions"))

    def freeze(self, wires: Sequence[Any], *, now: datetime | None = AFTER, item: Document | None = None,
               **more: Any) -> Document:
        """What the dealer answers: its word, or the verdict that refuses."""
        agent, door = self.dealer.agent, self.dealer.door
        if now is not None:
            agent.judging._now = agent.freezer._now = lambda: now
            self.chain.age = -int((now - datetime.now(UTC)).total_seconds())
        before = len(door.posted)
        agent.handle({**(item or self.item), "kind": "freeze", "contributions": list(wires), **more})
        self.chain.age = 1
        assert len(door.posted) == before + 1
        body = door.posted[-1][1]
        return body.get("freeze") or body["verdict"]["document"]  # type: ignore[no-any-return]

    def open(self, parts: Sequence[Document], word: Document) -> Document:
        """The consumer, with what anybody could hand it."""
        records = [one["document"] for one in self.item["datasets"]]
        plan = function("describe@1").plan(self.spec["parameters"], common_columns(
            [one["columns"] for one in records]), 4, rows_max_total(records))
        question = masked.question_of(self.spec, plan, space=self.world.trust.space_id)
        given = [(one["contribution"], from_b64(one["ciphertexts"])) for one in parts]
        pattern, totals = masked.open_total(question, self.spec, given, word, secret=SECRET,
                                            sealing=self.world.keys["maker"].sealing)
        return function("describe@1").finish(totals, pattern, plan)


def wires(parts: Sequence[Document]) -> list[Document]:
    return sorted((one["contribution"] for one in parts), key=lambda one: int(one["document"]["seat"]))


def oracle(tables: Sequence[str]) -> Document:
    frames = [pd.read_csv(io.StringIO("age,sex,grade,pain\n" + text), dtype=str) for text in tables]
    return function("describe@1").plain(frames, {"columns": ["age"], "by": "sex"}, COLUMNS, 10)


@pytest.fixture
def space(node: Maker, world: World) -> Space:
    """One hospital at its work; the others of its job sleep."""
    return Space(node, world, ["hospital_a"])


Made = tuple[Space, list[Document]]


@pytest.fixture(scope="module")
def at_work(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """All four have contributed."""
    made: list[Node] = []

    def make(mode: str = "works", name: str = "hospital_a", **more: Any) -> Node:
        made.append(make_node(world, tmp_path_factory.mktemp("home") / name, mode, name, **more))
        return made[-1]

    space = Space(make, world)
    yield space, [space.contribute(name) for name in FOUR]
    for one in made:
        one.agent.close()
        one.agent.book.close()


def test_it_works(at_work: Made, node: Maker, world: World) -> None:
    """Three came one by one before the fourth, which is too late: the total is that of three."""
    space, bodies = at_work
    space.office(node)
    three = [body for body in bodies if body["contribution"]["document"]["participant"]
             != world.keys["hospital_b"].participant]
    word = space.freeze(wires(three))
    verify_signed(word, type="frozen_set", keys=[world.keys["dealer"].signing_public])
    assert space.open(three, word) == oracle([rows(seat) for seat, name in enumerate(FOUR) if name != "hospital_b"])
    assert "set.frozen" in space.dealer.audit
    uses = {one.agent.book.use_state(one.own_terms["id"], one.job_hash) for one in space.nodes.values()}
    assert uses == {"consumed"}


class TestAHospital:
    def test_it_answers_and_contributes(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        space.contribute("hospital_a")
        verdict = one.door.documents("verdict")[-1]
        assert (verdict["decision"], verdict["session"]) == ("accept", None)
        case = one.agent.cases.newest()[0]
        assert {"step": "engine", "outcome": "passed"} in case.trace and case.decision == "accept"
        assert "contribution.made" in one.audit

    def test_after_its_time_it_contributes_no_more(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        one.agent.judging._now = lambda: AFTER
        assert one.check()["code"] == "paillier.too_late"
        assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None

    def test_asked_again_it_sends_the_very_same_again_after_a_restart_too(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        first = space.contribute("hospital_a")
        assert space.contribute("hospital_a") == first
        again = Agent(one.agent.config, one.agent.home, one.door, one.agent.workers)
        again.handle(one.item)
        posted = [body for path, body in one.door.posted if path.endswith("/contributions")]
        assert len(posted) == 3 and posted[-1] == first
        assert len([path for path, _ in one.door.posted if path == "/uses"]) == 1

    def test_what_broke_before_it_left_is_made_anew(self, space: Space) -> None:
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

    def test_killed_between_its_word_and_its_contribution(self, space: Space) -> None:
        """The book says that the job was accepted; the keys and the worker are gone."""
        one = space.nodes["hospital_a"]
        one.agent._start = lambda attempt, run: None  # type: ignore[method-assign]
        one.agent.handle(one.item)
        again = Agent(one.agent.config, one.agent.home, one.door, one.agent.workers)
        again.recover()
        one.agent = again
        assert space.contribute("hospital_a")["contribution"]["document"]["seat"] in range(4)

    def test_a_portal_that_was_away_gets_it_later(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_it_is_not_kept_busy_for_ever(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        one.agent.workers._command = worker_command("dies")
        for _ in range(6):
            one.agent.handle(one.item)
            one.wait()
        verdict = one.door.documents("verdict")[-1]
        assert (verdict["decision"], verdict["code"], verdict["who_must_act"]) == (
            "refuse", "worker.failed", "custodian")
        assert one.agent.book.use_state(one.own_terms["id"], one.job_hash) is None

    def test_what_was_not_begun_is_no_try(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
        one = space.nodes["hospital_a"]

        def unrecorded(*_: Any) -> None:
            raise Refused("node.unrecorded", "no")
        with monkeypatch.context() as broken:
            broken.setattr(one.agent.answers, "record", unrecorded)
            for _ in range(6):
                one.agent.handle(one.item)
        assert {said["code"] for said in one.door.documents("verdict")} == {"node.unrecorded"}
        space.contribute("hospital_a")

    def test_it_waits_until_there_is_room(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
        one = space.nodes["hospital_a"]
        with monkeypatch.context() as busy:
            busy.setattr(type(one.agent.attempts), "running", property(lambda _: one.agent.config.at_once))
            one.agent.handle(one.item)
        assert one.agent.attempts == {} and one.door.posted == []
        space.contribute("hospital_a")

    def test_what_a_suspension_keeps_in_the_house_is_named_so(self, space: Space) -> None:
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

    def test_a_person_may_take_it_back_after_it_left(self, space: Space) -> None:
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

    def test_a_withdrawal_waits_for_a_portal_that_is_away(self, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
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

    def test_who_denies_it_hears_that_it_is_taken_back(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        here = Room(one.agent.config, one.agent.book, one.agent.cases, one.agent.home.audit, "en")
        space.contribute("hospital_a")
        assert "withdrawal" in console.deny(here, one.item["job"]).text

    def test_what_a_person_denies_elsewhere_or_holds_takes_nothing_back(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        space.contribute("hospital_a")
        one.agent.cases.rule(new_id(), "deny", by="somebody")
        one.agent.cases.rule(one.job_hash, "hold", by="somebody")
        one.agent.look()
        assert not any("withdrawal" in body for _, body in one.door.posted)

    @pytest.mark.parametrize("by_office", [True, False])
    def test_what_a_revoked_grant_gave_does_not_leave_any_more(self, space: Space, by_office: bool) -> None:
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

    def test_its_policy_must_name_the_engine(self, space: Space) -> None:
        one = space.nodes["hospital_a"]
        policy = one.agent.config.policy
        for said in ('engines = ["crypten"]\n', ""):
            policy.write_text(policy.read_text().replace('engines = ["paillier"]\n', said).replace(
                'engines = ["crypten"]\n', said))
            verdict = one.check()
            assert (verdict["decision"], verdict["code"]) == ("refuse", "policy.denied")
            assert "engines" in verdict["rule"]

    def test_a_person_may_stop_it(self, space: Space) -> None:
        """And what was made before is not sent again meanwhile."""
        one = space.nodes["hospital_a"]
        space.contribute("hospital_a")
        one.agent.cases.set_switch("stopped", {"at": "now", "by": "somebody"})
        assert one.check()["code"] == "node.stopped"
        assert sum(path.endswith("/contributions") for path, _ in one.door.posted) == 1

    def test_a_person_may_let_it_go(self, space: Space) -> None:
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

    def test_a_spec_that_protects_less_is_refused(self, space: Space, world: World) -> None:
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

    def test_seeds_are_sealed_to_the_dealer_of_the_trust_file_only(self, space: Space, world: World) -> None:
        """Else a portal that shows another office's record reads every mask."""
        one = space.nodes["hospital_a"]
        one.item["participants"] = [wire for wire in one.item["participants"]
                                    if wire["document"]["id"] != world.keys["dealer"].participant]
        assert one.check()["code"] == "participant.record_mismatch"
        forged = copy.deepcopy(world.records["dealer"])
        forged["document"]["keys"]["sealing"] = world.keys["maker"].sealing_public
        one.item["participants"].append(forged)
        assert one.check()["code"] == "participant.record_mismatch"


class TestTheDealersOffice:
    @pytest.fixture
    def space(self, at_work: Made, node: Maker) -> Iterator[Space]:
        space, _ = at_work
        space.office(node)
        uses = set(space.chain.uses)
        yield space
        space.chain.uses = uses

    @pytest.fixture
    def parts(self, at_work: Made) -> list[Document]:
        return wires(at_work[1])

    def test_it_freezes_one_set_and_says_the_same_for_ever(self, space: Space, parts: list[Document]) -> None:
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

    def test_another_job_does_not_open_another_set_of_the_same_question(self, space: Space,
                                                                       parts: list[Document]) -> None:
        """Not even when its contributors sign anew, as a portal could bring about that says the first job is over."""
        assert "document" in space.freeze(parts[:3])
        spec = {**space.spec, "id": new_id(), "nonce": "11" * 32}
        item = {**space.item, "job": spec["id"], "spec": signed(spec, space.world.keys["maker"].signing)}
        moved = [self.signed(space, one, job=spec["id"], job_hash=document_hash(spec)) for one in parts]
        assert space.freeze(moved, item=item)["code"] == "paillier.malformed", "contributions are to one job only"
        asked = question_of(verify_papers(item, me=space.dealer.agent.me, trust=space.world.trust, now=AFTER),
                            space.world.trust)
        anew = [self.signed(space, one, question=asked.hash) for one in moved]
        space.chain.uses |= {(grant, document_hash(spec)) for grant, _ in space.chain.uses}
        space.dealer.agent.freezer._word = lambda papers, documents: {}  # type: ignore[method-assign]
        assert space.freeze(anew, item=item)["code"] == "paillier.second_freeze"

    def signed(self, space: Space, wire: Document, **changes: Any) -> Document:
        member = space.world.name_of(wire["document"]["participant"])
        return resigned(wire, space.world.keys[member].signing, **changes)

    def session(self, space: Space) -> Node:
        """The same question as a session over all four, under the same grants."""
        spec = {name: value for name, value in space.spec.items() if name != "contributions"}
        spec |= {"engine": "crypten/1", "id": new_id(), "nonce": "33" * 32}
        one = space.dealer
        one.item = {**space.item, "kind": "check", "job": spec["id"],
                    "spec": signed(spec, space.world.keys["maker"].signing)}
        return one

    def test_no_session_over_a_question_of_which_a_set_was_frozen(self, space: Space, parts: list[Document]) -> None:
        """It would open the total of all, and so, by subtraction, those who were not in the set: a portal that says to
        the others that their job is over could bring it about."""
        assert "document" in space.freeze(parts[:3])
        assert self.session(space).check()["code"] == "disclosure.already_released"

    def test_no_set_of_a_question_that_a_session_opened(self, space: Space, parts: list[Document]) -> None:
        one = self.session(space)
        assert one.check()["decision"] == "accept"
        one.agent.handle(one.session())
        one.wait()
        assert one.door.documents("failure") == []
        assert space.freeze(parts[:3])["code"] == "paillier.second_freeze"

    def test_a_session_that_opened_nothing_is_no_hindrance(self, space: Space, parts: list[Document]) -> None:
        one = self.session(space)
        assert one.check()["decision"] == "accept"
        one.agent.handle({"kind": "stop", "job": one.item["job"], "attempt": 1, "code": "session.peer_silent"})
        assert "document" in space.freeze(parts[:3])

    def test_neither_too_early_nor_with_too_few(self, space: Space, parts: list[Document]) -> None:
        assert space.freeze(parts[:3], now=None)["code"] == "paillier.too_early"
        assert space.freeze(parts[:2])["code"] == "paillier.too_few"
        assert space.freeze([parts[0], parts[0], parts[1]])["code"] == "paillier.malformed"

    def test_when_all_are_in_nobody_need_wait(self, space: Space, parts: list[Document]) -> None:
        assert len(space.freeze(parts, now=None)["document"]["members"]) == 4

    def test_a_malformed_contribution_is_not_frozen(self, space: Space, parts: list[Document]) -> None:
        wire = parts[0]
        altered = {**wire["document"], "seed": "AAAA"}
        bad: list[Any] = [{**wire, "signatures": []}, {**wire, "document": altered},
                          signed(altered, Ed25519PrivateKey.generate()), None, {"document": {}}, [wire]]
        for one in bad:
            assert space.freeze([one, *parts[1:]])["code"] == "paillier.malformed"
        assert "document" in space.freeze(parts[1:]), "and nothing was entered in the book"

    def test_a_seed_to_another_office_is_not_opened(self, space: Space, parts: list[Document]) -> None:
        """And the verdict says whose it is: one hospital could end every job so."""
        for changes in ({"dealer_key": "22" * 32}, {"seed": "AAAA"}):
            other = self.signed(space, parts[0], **changes)
            refused = space.freeze([other, *parts[1:]])
            assert refused["code"] == "paillier.malformed"
            assert parts[0]["document"]["participant"] in refused["rule"]

    def test_it_names_everyone_whose_seed_it_cannot_open(self, space: Space, parts: list[Document]) -> None:
        """So that the portal may show it the set without them: nothing is claimed yet, and the uses are spent."""
        seats = [one["document"]["seat"] for one in parts]
        for changes in ({"dealer_key": "22" * 32}, {"seed": "AAAA"}, {"question": "00" * 32}):
            refused = space.freeze([parts[0], *(self.signed(space, one, **changes) for one in parts[1:3]), parts[3]])
            assert (refused["code"], refused["without"]) == ("paillier.malformed", seats[1:3]), changes
        assert "document" in space.freeze([parts[0], parts[2], parts[3]])

    def test_who_has_not_contributed_stands_in_nobodys_way(self, space: Space, parts: list[Document],
                                                           world: World) -> None:
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

    def test_a_contributor_whose_grant_ended_is_named(self, space: Space, parts: list[Document], world: World) -> None:
        member = parts[1]["document"]
        own = next(one["terms"] for one in space.item["grants"] if one["terms"]["custodian"] == member["participant"])
        inbox.drop(space.dealer.agent.config.inbox, sign_revocation(
            own, world.approver("office"), by="regulator", reason="no", domain=domain_of(world.trust)))
        refused = space.freeze(parts)
        assert (refused["code"], refused["without"]) == ("grant.revoked", [member["seat"]])
        assert "document" in space.freeze([parts[0], *parts[2:]])

    @pytest.mark.parametrize("by_file", [True, False])
    def test_what_was_taken_back_is_not_frozen(self, space: Space, parts: list[Document], by_file: bool) -> None:
        """Whether the portal passes it on or not; and it stays so when the portal forgets it again."""
        wire, forged = (self.withdrawal(space, parts[2], key) for key in (None, Ed25519PrivateKey.generate()))
        if by_file:
            inbox.drop(space.dealer.agent.config.inbox, wire)
        refused = space.freeze(parts, withdrawals=[forged, None] if by_file else [forged, wire])
        assert (refused["code"], refused["without"]) == ("paillier.withdrawn", [parts[2]["document"]["seat"]])
        assert space.freeze(parts)["code"] == "paillier.withdrawn"
        assert "document" in space.freeze([*parts[:2], parts[3]])

    def test_what_is_taken_back_after_the_freeze_is_too_late(self, space: Space, parts: list[Document]) -> None:
        word = space.freeze(parts)
        assert space.freeze(parts, withdrawals=[self.withdrawal(space, parts[2])]) == word

    def withdrawal(self, space: Space, part: Document, key: Ed25519PrivateKey | None = None) -> Document:
        about = {name: part["document"][name] for name in ("job", "job_hash", "participant", "seat")}
        member = space.world.name_of(about["participant"])
        return signed(new_document("withdrawal", **about), key or space.world.keys[member].signing)

    @pytest.mark.parametrize("told_by", ["its own record", "the portal"])
    def test_a_book_older_than_its_words_freezes_nothing(self, space: Space, parts: list[Document],
                                                         told_by: str) -> None:
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

    def test_a_record_that_cannot_be_read_has_a_name(self, space: Space, parts: list[Document]) -> None:
        space.dealer.agent.config.audit.write_text("{\n{\n")
        assert space.freeze(parts[:3])["code"] == "node.unrecorded"

    def test_its_own_book_of_revocations_counts_whatever_portal_and_chain_say(self, space: Space, parts: list[Document],
                                                                              world: World) -> None:
        terms = space.item["grants"][0]["terms"]
        revocation = sign_revocation(terms, world.approver("office"), by="regulator", reason="no",
                                     domain=domain_of(world.trust))
        inbox.drop(space.dealer.agent.config.inbox, revocation)
        assert space.freeze(parts)["code"] == "grant.revoked"

    def test_what_the_chain_takes_back_before_the_freeze_stops_it(self, space: Space, parts: list[Document],
                                                                  world: World) -> None:
        record, terms = world.record("hospital_c"), space.item["grants"][0]["terms"]
        for taken, id, code in (
                (space.chain.suspended, chain_id_of(record["id"], record["id_salt"]), "participant.suspended"),
                (space.chain.revoked, chain_id_of(terms["id"], terms["salt"]), "grant.revoked")):
            taken.add(id)
            assert space.freeze(parts)["code"] == code
            taken.discard(id)
        assert "document" in space.freeze(parts)

    def test_a_use_that_is_not_final_is_waited_for(self, space: Space, parts: list[Document]) -> None:
        uses, space.chain.uses = space.chain.uses, set()
        assert space.freeze(parts)["code"] == "paillier.use_not_final"
        space.chain.uses = uses
        assert "document" in space.freeze(parts)

    def test_whose_use_is_not_final_is_named(self, space: Space, parts: list[Document]) -> None:
        terms = space.item["grants"][parts[3]["document"]["seat"]]["terms"]
        space.chain.uses = {one for one in space.chain.uses if one[0] != chain_id_of(terms["id"], terms["salt"])}
        assert space.freeze(parts)["without"] == [parts[3]["document"]["seat"]]

    def test_hospitals_freeze_nothing_and_the_office_contributes_nothing(self, space: Space,
                                                                        parts: list[Document]) -> None:
        one = space.nodes["hospital_a"]
        before = len(one.door.posted)
        one.agent.handle({**one.item, "kind": "freeze", "contributions": parts})
        assert len(one.door.posted) == before
        space.dealer.agent.handle(space.item)
        assert space.dealer.door.posted == []
