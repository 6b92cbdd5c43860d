"""One attempt of one job at this node, from its accepted verdict to its sealed envelope or its named end.

The order of the steps is the security:
1. every member's verdict is verified and the session id computed; only then the worker gets its order, with keys that
   live in this attempt alone;
2. when the worker reports the first gate round, the use counts: book first, then chain, by the portal or, when the
   portal sits on it, by this node itself;
3. only when this node's own chain shows its own use, final, neither book nor chain knows a revocation, and the policy
   as it stands by now still allows the job, the worker may seal;
4. the envelope enters the book before it leaves the house, so that a node seals once for a job.
A revocation, a stop, a deadline or the end of the worker ends the attempt at any step, with a code.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.approval import domain_of, sign_use
from ledger.documents import new_document, signed
from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from ledger.keys import KeyFile
from ledger.trust import Trust
from mpc.node import inbox
from mpc.node.audit import Audit
from mpc.node.book import Book, SeenJob, is_full
from mpc.node.chainview import ChainView
from mpc.node.checks import Session, check_not_revoked
from mpc.node.errors import CODES, NodeError, Refused, Unsettled
from mpc.node.frozen import Frozen
from mpc.node.grants import Grant
from mpc.node.logs import note
from mpc.node.papers import Papers
from mpc.node.workers import Worker

TICK = 0.1
GATE, ALL_READY = "gate_started", "all_ready"
GRACE = 5.0
USE_PATIENCE = 5.0
NEAREST = {"session.protocol": "session.mismatch", "dataset.off_dictionary": "dataset.changed",
           **dict.fromkeys(("disclosure.floor", "parameters.invalid", "encoding"), "spec.parameters")}


@dataclass(frozen=True)
class Fresh:
    """Keys of one attempt: in memory only, gone with it."""

    certificate: str
    private_key: str = field(repr=False)
    exchange_private: str = field(repr=False)
    exchange: str = ""


NO_KEYS = Fresh("", "", "")  # of a job whose parties never meet


@dataclass(frozen=True)
class Home:
    """What every attempt of this node works with."""

    participant: str
    party: bool
    keys: KeyFile
    trust: Trust
    book: Book
    audit: Audit
    chain: ChainView
    post: Callable[[str, Mapping[str, Any]], Any]
    flush: Callable[[], None]
    inbox: Path
    session_seconds: int


@dataclass
class Attempt:
    """An accepted attempt, with a worker once it runs; `stop_code` may be set from another thread, `told` says that the
    portal knows already."""

    papers: Papers
    verdict: dict[str, Any]
    fresh: Fresh
    floor: int
    data: dict[str, Any] | None = field(repr=False)  # with the key of this node's fingerprints
    worker: Worker | None = None
    relay: dict[str, Any] = field(default_factory=dict, repr=False)
    stop_code: str = ""
    told: bool = False
    thread: threading.Thread | None = None
    finished: threading.Event = field(default_factory=threading.Event)


class Failed(NodeError):
    """The attempt ended without a result; `about` names the member whose fault it was, if one is known."""

    def __init__(self, code: str, text: str, about: str | None = None) -> None:
        super().__init__(public(code), text)
        self.about = about


def public(code: str) -> str:
    """The code that goes out for one of the engine's: its own, or the nearest by name or by kind."""
    if code in CODES:
        return code
    return NEAREST.get(code) or NEAREST.get(code.partition(".")[0], "worker.failed")


def order(attempt: Attempt, session: Session, home: Home, deadline: float) -> dict[str, Any]:
    """The one line that the worker gets."""
    papers, spec = attempt.papers, attempt.papers.spec
    return {
        "role": "party" if home.party else "dealer", "space": home.trust.space_id, "seat": papers.seat,
        "parties": len(spec["roster"]), "job_hash": papers.job_hash, "attempt": papers.attempt, "session": session.id,
        "peers": [dict(peer) for peer in session.peers],
        "own": {"certificate": attempt.fresh.certificate, "private_key": attempt.fresh.private_key,
                "exchange_private": attempt.fresh.exchange_private},
        "relay": dict(attempt.relay), "deadline": int(time.time() + deadline),
        "function": dict(spec["function"]), "parameters": spec["parameters"], "filter": spec["filter"],
        "columns": list(papers.columns),
        "rows_max_total": papers.rows_max_total, "floor": attempt.floor, "data": attempt.data,
        "recipient": dict(spec["recipient"]), "sender": home.participant,
    }


class Run:
    """The life of one session; `run` returns when it is over, and never raises."""

    def __init__(self, home: Home, attempt: Attempt, session: Session, *,
                 still_allowed: Callable[[Papers], None] = lambda papers: None,
                 ruled: Callable[[str, str], str] = lambda job_hash, job: "") -> None:
        self._still_allowed, self._ruled = still_allowed, ruled
        self.home, self.attempt, self.session, self.papers = home, attempt, session, attempt.papers
        self._from_now()
        self.waiting_for = ""  # "use": our use to be final; "word": the last look at the chain
        self.signed_use: dict[str, str] | None = None
        self.posted_use = False
        self.send_use_at = 0.0
        self.next_look = 0.0
        self.unsettled = ""  # why the chain could not be asked, the last time
        self.let_seal = False  # of an office alone
        self.begun = False  # a gate round, as far as the worker's words were read
        self.judged: object = ()  # the newest revocation in the book when they were last judged

    @property
    def worker(self) -> Worker:
        """The process that computes."""
        if self.attempt.worker is None:
            raise Failed("worker.failed", "there is no worker")
        return self.attempt.worker

    def _from_now(self) -> None:
        """Its time begins."""
        left = self.papers.deadline.timestamp() - time.time()
        self.seconds = max(1.0, min(left, float(self.home.session_seconds)))
        self.until = time.monotonic() + self.seconds

    def run(self) -> None:
        """From the order to the envelope, or to a failure that names its cause."""
        papers = self.papers
        self._from_now()  # anew: until now its worker was being started
        note("session.started", job=papers.job, attempt=papers.attempt, seat=papers.seat)
        try:
            self._record("session.started", session=self.session.id)
            self._guard()
            self.home.book.begin(papers.job_hash, papers.attempt)
            self.worker.send(self._order())
            self._serve()
        except Failed as error:
            self._fail(error)
        except Refused as error:
            self._fail(Failed(error.code, error.rule))
        except (sqlite3.Error, OSError) as error:
            self._fail(Failed("node.disk_full" if is_full(error) else "worker.failed", type(error).__name__))
        except Exception as error:  # the last door: whatever it was, the job must end with a name
            note("session.error", job=papers.job, kind=type(error).__name__)
            self._fail(Failed("worker.failed", type(error).__name__))
        finally:
            self.attempt.finished.set()

    def _order(self) -> dict[str, Any]:
        return order(self.attempt, self.session, self.home, self.seconds)

    def _serve(self) -> None:
        """Messages of the worker, until the last one; between them stop, revocation and deadline are looked at."""
        worker = self.worker
        while True:
            message = worker.receive(TICK)
            if message is not None and message.get("event") == GATE:
                self.begun = True  # whether or not the book has room for it now
                self._count()  # before anything may end the attempt
            self._guard()
            if message is None:
                if worker.ended:
                    raise Failed(worker.cause_of_death(), "the worker ended without a word")
                self._wait()
                continue
            event = message.get("event")
            if event == GATE:
                self._gate_started()
            elif event == "sealed" and self.home.party:
                self._sealed(message)
                return
            elif event == ALL_READY and not self.home.party:
                self._let_seal()
            elif event == "finished" and self.let_seal:
                self.home.book.end(self.papers.job_hash, self.papers.attempt, "finished")
                note("session.finished", job=self.papers.job, attempt=self.papers.attempt)
                return
            elif event == "failed":
                raise Failed(str(message.get("code")), "the worker reports a failure",
                             self._member(message.get("about_seat")))

    def _member(self, seat: object) -> str | None:
        known = {peer["seat"]: str(peer["participant"]) for peer in self.session.peers}
        return known.get(seat) if type(seat) is int else None

    def _guard(self) -> None:
        """Stop, deadline, the word of the hospital's people, and what takes permission away and came by file: asked at
        every step and every tick, here, because whoever else would tell us may be busy for minutes."""
        code = self.attempt.stop_code or self._ruled(self.papers.job_hash, self.papers.job)
        if code:
            raise Failed(code, "the portal, the agent or the hospital's people stopped the job")
        if time.monotonic() > self.until + GRACE:
            raise Failed("session.deadline", "the session's time is over")
        book = self.home.book
        inbox.take(self.home.inbox, book)
        newest = book.rows("SELECT max(rowid) FROM revocation")[0][0]  # the agent's other threads take files, too
        if newest == self.judged:
            return
        revocations = book.revocations([*(one.id for one in self.papers.grants), *self.papers.records])
        try:
            check_not_revoked(self.papers.grants, revocations, self.home.trust, self.papers.records)
        except Refused as error:
            raise Failed(error.code, error.rule) from error
        self.judged = newest

    def _count(self) -> None:
        """The use counts from now on. A dealer has none of its own."""
        own = self.papers.own
        self.home.book.start_gate(self.papers.job_hash, self.papers.attempt, grant=own.id if own else None)

    def _gate_started(self) -> None:
        """A party's use must be final before it lets go; a dealer looks at chain and book and goes on."""
        self.waiting_for = "word" if self.papers.own is None else "use"
        self._wait()

    def _wait(self) -> None:
        """One look at the chain, if one is due; a chain that is away is asked again while there is time."""
        if not self.waiting_for or time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + TICK
        if time.monotonic() > self.until:
            raise Failed("session.deadline", "the use did not become final in time")
        try:
            if self.waiting_for == "use" and self._used():
                self.waiting_for = "word"
            if self.waiting_for == "word":
                self._proceed()
                self.waiting_for = ""
            self.unsettled = ""
        except Unsettled as error:
            self.unsettled = error.code
            note("chain.unsettled", job=self.papers.job, code=error.code)
        except Refused as error:
            raise Failed(error.code, error.rule) from error

    def _used(self) -> bool:
        """Send our signed use (again, until it is taken); true once our own chain shows it as final."""
        own = self.papers.own
        if own is None:
            return True
        if not self.posted_use:
            self._post_use(own)
        if not self.home.chain.used(own, self.papers.job_hash):
            if time.monotonic() > self.send_use_at:
                self._send_use(own)
            return False
        self.home.book.consume_use(own.id, self.papers.job_hash)
        return True

    def _post_use(self, own: Grant) -> None:
        keys, job_hash = self.home.keys, self.papers.job_hash
        if keys.service is None:
            raise Failed("worker.failed", "this node has no service key")
        if self.signed_use is None:
            self.signed_use = {"grant_chain_id": own.chain_id, "job_hash": job_hash, "signature": sign_use(
                own.chain_id, job_hash, keys.service, domain_of(self.home.trust))}
            self.send_use_at = time.monotonic() + USE_PATIENCE
        try:
            self.home.post("/uses", self.signed_use)
            self.posted_use = True
        except PortalUnavailable:
            note("use.delayed", job=self.papers.job)
        except PortalRefused as error:
            # the portal is not asked for permission: whether the use may be is the chain's to say
            note("use.refused", job=self.papers.job, code=error.code)
            self.posted_use, self.send_use_at = True, min(self.send_use_at, time.monotonic() + TICK)

    def _send_use(self, own: Grant) -> None:
        """The portal does not bring our use to the chain: bring it ourselves, and again after a while."""
        self.send_use_at = time.monotonic() + USE_PATIENCE
        if self.signed_use is None:
            return
        try:
            self.home.chain.consume(own, self.papers.job_hash, self.signed_use["signature"])
        except Refused as error:
            raise Failed(error.code, error.rule) from error
        except Unsettled as error:  # it may well be read: the portal may still bring the use
            note("use.unsent", job=self.papers.job, code=error.code)
            return
        note("use.sent", job=self.papers.job)
        self._record("use.sent_by_ourselves")

    def _proceed(self) -> None:
        """The last look before anything can leave: no revocation in book or on chain, final or latest."""
        self._guard()
        if code := self.home.chain.stopped(self.papers):
            raise Failed(code, "a grant was revoked or suspended on chain, or a participant suspended")
        self._still_allowed(self.papers)
        if not self.home.party:
            Frozen(self.home.book).deal(self.papers)
        self.worker.send({"proceed": True})

    def _let_seal(self) -> None:
        """At the dealer's office, when every party is ready: its gate counts, and they hear that they may seal."""
        self._guard()
        self.home.book.count_gate(self.papers.job_hash, self.papers.attempt)
        self.let_seal = True
        self.worker.send({"proceed": True})

    def _sealed(self, message: Mapping[str, Any]) -> None:
        papers, home = self.papers, self.home
        own = papers.own
        if own is None or home.book.use_state(own.id, papers.job_hash) != "consumed":
            raise Failed("worker.failed", "the worker sealed before its use was final")
        envelope = new_document(
            "result_envelope", job=papers.job, job_hash=papers.job_hash, attempt=papers.attempt,
            session=self.session.id, sender=home.participant, seat=papers.seat,
            recipient=papers.spec["recipient"]["participant"], recipient_key=papers.spec["recipient"]["sealing"],
            gate_hash=message["gate_hash"], sealed=message["sealed"], engine=dict(message["engine"]))
        self._keep("session.sealed", session=self.session.id, gate=str(message["gate_hash"]))
        home.book.seal(papers.job_hash, papers.attempt, path=f"/jobs/{papers.job}/envelopes",
                       envelope={"envelope": signed(envelope, home.keys.signing)},
                       until=int(papers.deadline.timestamp()))
        note("session.sealed", job=papers.job, attempt=papers.attempt)
        home.flush()

    def _keep(self, event: str, **facts: str | int | None) -> None:
        """Nothing leaves this house unrecorded."""
        self.home.audit.keep(event, job=self.papers.job, job_hash=self.papers.job_hash, attempt=self.papers.attempt,
                             **facts)

    def _record(self, event: str, **facts: str | int | None) -> None:
        self.home.audit.note(event, job=self.papers.job, job_hash=self.papers.job_hash, attempt=self.papers.attempt,
                             **facts)

    def _fail(self, error: Failed) -> None:
        if error.code == "session.deadline" and self.unsettled:
            error = Failed(self.unsettled, "time ran out while the chain could not be asked")
        note("session.failed", job=self.papers.job, attempt=self.papers.attempt, code=error.code)
        worker = self.attempt.worker
        if worker is not None:
            worker.stop(error.code)
        try:
            unread = worker.unread() if worker is not None else []
            begun = self.begun or any(message.get("event") == GATE for message in unread)
            self.home.book.end(self.papers.job_hash, self.papers.attempt, "failed", begun=begun)
        except sqlite3.Error:
            note("book.unwritten", job=self.papers.job)  # still open there: the next start ends and reports it
        self._record("session.failed", code=error.code, about=error.about)
        if self.attempt.told:
            return
        report_failure(self.home, self.papers.seen, error.code, about=error.about)


def report_failure(home: Home, job: SeenJob, code: str, *, about: str | None = None) -> None:
    """Leave a signed failure in the outbox and try to deliver it; with a book that cannot be written, deliver it now
    or never."""
    failure = new_document("job_failure", job=job.job, job_hash=job.job_hash, attempt=job.attempt,
                           participant=home.participant, code=code, about=about)
    path, body = f"/jobs/{job.job}/failures", {"failure": signed(failure, home.keys.signing)}
    try:
        try:
            home.book.post(path, body, until=max(job.deadline, int(datetime.now(UTC).timestamp()) + 60))
            home.flush()
        except sqlite3.Error:
            home.post(path, body)
    except LedgerError:
        note("portal.unavailable", job=job.job)
    except Exception as error:  # the last door: to say that a job failed ends no agent
        note("failure.unsent", job=job.job, error=type(error).__name__)
