"""Work items as a portal hands them to a node: papers of a job, sessions, sets to freeze, stops, agreements; the answer
that carries them; and the lines that a worker says to its agent.

Each target is a whole agent in memory, made once. The agent's last door turns what it did not foresee into a line of
its log, so what these targets look for is worse: an error past that door, a job begun that nobody agreed to, a second
set frozen, an envelope without a use. A target of the same name with "signed again" has its mutations signed by whose
key it takes (`liars`).
"""

import json
from collections.abc import Callable
from functools import cache
from unittest.mock import patch

from ledger.documents import document_hash, load_json, new_document, signed, timestamp, to_b64
from ledger.errors import DocumentError, LedgerError, PortalUnavailable
from mpc import ciphertext, masked
from mpc.node import contributing, loop, sessions
from mpc.node.checks import Session
from mpc.node.papers import verify_papers
from mpc.node.sessions import Attempt, Run
from mpc.node.workers import Worker
from tests.fuzz import liars
from tests.fuzz.target import Target, fresh_folder, promise
from tests.simulators.node_at_work import Node, make_node
from tests.simulators.node_world import HOSPITALS, NOW, Document, World
from tests.simulators.worker_orders import secret

FOUR = (*HOSPITALS, "outsider")


@cache
def node(use: str, name: str = "hospital_a") -> Node:
    """An agent of its own for each use, for they remember."""
    folder = fresh_folder()
    return make_node(World(folder), folder / "home", name=name)


def people(members: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of an item's records."""
    return (*members, "maker", "dealer")


def mapping(body: bytes) -> Document | None:
    """The portal's JSON, if it is an object; everything else the poll has left out already."""
    try:
        value = load_json(body)
    except DocumentError:
        return None
    return value if isinstance(value, dict) else None


def seed_of(item: Document) -> list[bytes]:
    return [json.dumps(item, ensure_ascii=False).encode()]


# -- the papers of a job -----------------------------------------------------------------------------------------------


def judged(*, again: bool) -> Callable[[bytes], None]:
    """No error at all: a lie or junk is refused. What is foreseen to be malformed is so before the papers are verified;
    after that every field is known."""
    def run(body: bytes) -> None:
        one, item = node("judge"), mapping(body)
        if item is None:
            return
        if again:
            item = liars.item_signed_again(one.world, one.item, item, people(HOSPITALS))
        made = one.agent.judging.judge(item)
        refused = made.refusal
        promise(refused is None or made.papers is None or refused.rule != "the work item is malformed",
                "something broke over papers that were verified")
    return run


# -- a session ---------------------------------------------------------------------------------------------------------


@cache
def in_session() -> tuple[Node, Attempt, Document, list[str]]:
    """A node that has accepted, the portal's honest session, and what it started."""
    one, started = node("session"), list[str]()
    one.check()
    session = one.session()
    attempt = one.agent.attempts.of(session["job"])
    if attempt is None:
        raise LookupError("the honest papers were refused")
    one.agent._start = lambda attempt, run: started.append(run.session.id)  # type: ignore[method-assign]
    one.agent.handle(session)
    return one, attempt, session, started


def session_item(*, again: bool) -> Callable[[bytes], None]:
    def run(body: bytes) -> None:
        one, attempt, honest, started = in_session()
        item = mapping(body)
        if item is None:
            return
        if again:
            item = liars.verdicts_signed_again(one.world, honest, item)
        one.agent.attempts[attempt.papers.job_hash] = attempt
        one.agent.handle({**item, "kind": "session"})
        one.door.posted.clear()
        others = set(started) - {started[0]}
        del started[1:]
        promise(again or not others, "a session that not everybody signed")
    return run


def stop_item(body: bytes) -> None:
    one, attempt, _, _ = in_session()
    item = mapping(body)
    if item is not None:
        one.agent.attempts[attempt.papers.job_hash] = attempt
        one.agent.handle({**item, "kind": "stop"})
        one.door.posted.clear()


def stop_seed() -> list[bytes]:
    return seed_of({"job": in_session()[2]["job"], "code": "session.deadline"})


# -- a set to freeze ---------------------------------------------------------------------------------------------------


@cache
def office() -> tuple[Node, Document, str]:
    """The dealer's office, the honest set, and the hash of its word on it."""
    folder = fresh_folder()
    world = World(folder)
    key = secret().public
    asked = {"by": timestamp(NOW), "minimum": 3, "ciphertexts": 1, "key": key.document()}
    one = make_node(world, folder / "home", name="dealer", members=FOUR, engine="paillier/1", contributions=asked)
    papers = verify_papers(one.item, me=world.me("dealer"), trust=world.trust, now=NOW)
    question = contributing.question_of(papers, world.trust)
    wires = []
    for seat, record in enumerate(papers.spec["roster"]):
        name = world.name_of(record["participant"])
        parcel = masked.send(question, 0, participant=record["participant"],
                             dealer_key=world.keys["dealer"].sealing_public)
        wires.append(signed(new_document(
            "contribution", job=papers.job, job_hash=papers.job_hash, participant=record["participant"], seat=seat,
            question=question.hash, dealer_key=world.keys["dealer"].sealing_public,
            ciphertexts=ciphertext.hash_of(parcel.ciphertexts), seed=to_b64(parcel.seed), engine={}),
            world.keys[name].signing))
        grant = papers.grants[seat]
        one.chain.uses.add((grant.chain_id, papers.job_hash))
    item = {**one.item, "kind": "freeze", "contributions": wires, "words": [], "withdrawals": []}
    one.agent.handle(item)
    return one, item, _word(one)


def _word(one: Node) -> str:
    words = [document_hash(body["freeze"]["document"]) for _, body in one.door.posted if "freeze" in body]
    one.door.posted.clear()
    return words[-1] if words else ""


def freeze_item(*, again: bool) -> Callable[[bytes], None]:
    """Whatever is shown and whoever signs it: one word on one set."""
    def run(body: bytes) -> None:
        one, honest, first = office()
        item = mapping(body)
        if item is None:
            return
        if again:
            item = liars.contributions_signed_again(one.world, honest, item)
            item = liars.item_signed_again(one.world, honest, item, people(FOUR))
        one.agent.handle({**item, "kind": "freeze"})
        words = {document_hash(body["freeze"]["document"]) for _, body in one.door.posted if "freeze" in body
                 and body["freeze"]["document"]["question"] == _question()}
        one.door.posted.clear()
        promise(words <= {first}, "a second word on one question")
    return run


@cache
def _question() -> str:
    return str(load_json(freeze_seed()[0])["contributions"][0]["document"]["question"])


def freeze_seed() -> list[bytes]:
    promise(bool(office()[2]), "the honest set is frozen")
    return seed_of(office()[1])


# -- an agreement ------------------------------------------------------------------------------------------------------


@cache
def lead() -> tuple[Node, Document]:
    """The hospital that leads a product, and an agreement over it as the portal shows it."""
    folder = fresh_folder()
    world = World(folder)
    item = world.item()
    name = world.name_of(item["agreement"]["document"]["provider"])
    one = make_node(world, folder / "home", name=name)
    records = {world.keys[who].participant: wire for who, wire in world.records.items()}
    for id, wire in records.items():
        one.door.shelves[f"/participants/{id}"] = {"record": wire}
    shown = {"id": item["agreement"]["document"]["id"], "document": item["agreement"], "grants": item["grants"]}
    return one, shown


def agreement_item(body: bytes) -> None:
    """Nothing is signed here, for no product is to be had; and nothing ends the agent."""
    one, _ = lead()
    item = mapping(body)
    if item is not None:
        one.agent.handle({**item, "kind": "agreement"})
        promise(not any("signature" in path for path, _ in one.door.posted), "an agreement over no product was signed")
        one.door.posted.clear()


# -- what carries them, and what a worker says -------------------------------------------------------------------------


def poll_answer(body: bytes) -> None:
    items = loop._items(load_json(body))
    promise(len(items) <= loop.MOST_ITEMS and all(isinstance(one, dict) for one in items), "what is no item")


class Speaking(Worker):
    """A worker that has said these bytes and ended: its pipes are gone, its words are read as ever."""

    def __init__(self, said: bytes) -> None:
        self._buffer, self._lines, self.ended, self.born = b"", [], False, 0.0
        self._feed(said)

    @property
    def pid(self) -> int:
        return 1

    def send(self, message: object) -> None:
        return

    def receive(self, timeout: float) -> Document | None:
        if not self._lines:
            self.ended = True
            return None
        return self._lines.pop(0)

    def cause_of_death(self) -> str:
        return "worker.failed"

    def stop(self, code: str, *, within: float = 1.0) -> None:
        self.ended = True


@cache
def computing() -> tuple[Node, Attempt, Session]:
    """An accepted attempt whose use never becomes final, for nobody brings it to the chain."""
    one = node("worker")
    one.check()
    attempt = one.agent.attempts.of(one.item["job"])
    if attempt is None:
        raise LookupError("the honest papers were refused")
    one.door.chain = None
    one.chain.deaf = True
    return one, attempt, Session("ab" * 32, ())


def workers_words(body: bytes) -> None:
    """Whatever a worker says: the attempt ends, and nothing leaves the house before its use is final."""
    one, attempt, session = computing()
    attempt.worker, attempt.stop_code, attempt.told = Speaking(body), "", False
    with one.agent.book.write() as db:
        db.execute("UPDATE job SET state = 'accepted'")
    with patch.object(sessions, "TICK", 0.001):  # between two looks of a run that waits for its use
        Run(one.agent.home, attempt, session).run()
    promise(not any("envelope" in path for path, _ in one.door.posted), "an envelope without a use")
    one.door.posted.clear()


def words_seed() -> list[bytes]:
    sealed = {"event": "sealed", "sealed": to_b64(bytes(64)), "gate_hash": "ab" * 32, "engine": {"torch": "2"}}
    lines = [{"ready": True}, {"event": "gate_started"}, sealed]
    return [b"".join(json.dumps(line).encode() + b"\n" for line in lines),
            b'{"event": "failed", "code": "session.peer_lost", "about_seat": 1}\n']


TARGETS: dict[str, Target] = {
    "work item": Target(judged(again=False), (), lambda: seed_of(node("judge").item), dear=True),
    "work item, signed again": Target(judged(again=True), (), lambda: seed_of(node("judge").item), dear=True),
    "session item": Target(session_item(again=False), (), lambda: seed_of(in_session()[2]), dear=True),
    "session item, signed again": Target(session_item(again=True), (), lambda: seed_of(in_session()[2]), dear=True),
    "stop item": Target(stop_item, (), stop_seed, dear=True),
    "freeze item": Target(freeze_item(again=False), (), freeze_seed, dear=True),
    "freeze item, signed again": Target(freeze_item(again=True), (), freeze_seed, dear=True),
    "agreement item": Target(agreement_item, (), lambda: seed_of(lead()[1]), dear=True),
    "poll answer": Target(poll_answer, (LedgerError, PortalUnavailable),
                          lambda: [b'{"items": [{"kind": "stop", "job": "x", "code": "session.deadline"}]}']),
    "worker's words": Target(workers_words, (), words_seed, dear=True),
}
