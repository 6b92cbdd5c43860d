"""The agent: takes the portal's work items one by one, judges each itself, and answers with signed documents.

It turns a judgement (`judge.py`) into a signed verdict (`answers.py`), starts and ends attempts (`attempts.py`), and
does at once what the people of the hospital say in between: hold, release, deny, stop. It never believes the portal
about permission, opens no inbound port, and keeps the session keys of an attempt in memory only.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import document_hash, to_b64
from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from mpc.node import checks, freezing, inbox, reach
from mpc.node.answers import Answers
from mpc.node.attempts import Attempts
from mpc.node.book import OPEN_STATES
from mpc.node.cases import Cases
from mpc.node.config import Config
from mpc.node.contributing import Contribute, Contributions
from mpc.node.cosigning import Cosigner
from mpc.node.errors import NodeError, Refused, Unsettled
from mpc.node.freezing import Freezer
from mpc.node.judge import Judge, Judgement, as_refusal, book_trouble
from mpc.node.logs import note
from mpc.node.papers import Me, Papers
from mpc.node.rulebook import Rulebook
from mpc.node.sessions import NO_KEYS, Attempt, Fresh, Home, Run, report_failure
from mpc.node.workers import Worker, Workers
from mpc.spec import are_apart
from mpc.transport.identity import Place, SessionIdentity

HOLD_AGAIN = 15.0
FORGET_EVERY = 60.0


def fresh_keys(signing: Ed25519PrivateKey, place: Place, now: datetime) -> Fresh:
    """A leaf for this place and an exchange key, that nobody has seen before; the signing key stays here."""
    identity = SessionIdentity.fresh(signing, place, now=now)
    return Fresh(certificate=to_b64(identity.certificate), private_key=to_b64(identity.private_key),
                 exchange_private=identity.exchange_private.hex(), exchange=identity.exchange.hex())


class Agent:
    """One node's judgement and its running attempts."""

    def __init__(self, config: Config, home: Home, door: Any, workers: Workers, *,
                 now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.config, self.home, self.door, self.workers, self.now = config, home, door, workers, now
        self.book = home.book
        self.cases = Cases(home.book)
        self.lock = threading.RLock()
        self.me = Me(config.participant, home.keys.signing_public, home.party, approver=config.approver,
                     service=config.service)
        rules = Rulebook(config.policy, config.local_key(), self.cases, home.audit) if home.party else None
        # the clock is asked for at every judgement: a test may set it
        self.judging = Judge(config, self.me, home, cases=self.cases, rulebook=rules, now=lambda: self.now())  # noqa: PLW0108
        self.contributions = Contributions(home.book)
        self.freezer = Freezer(home, now=lambda: self.now())  # noqa: PLW0108
        self.answers = Answers(self.me, home, self.cases, door)
        self.cosigner = Cosigner(home, door, self.judging.policy)
        self.attempts = Attempts()
        self._held: dict[tuple[str, int], float] = {}
        self._forgot = time.monotonic()

    # work items
    def handle(self, item: Mapping[str, Any]) -> None:
        """Do one work item; whatever is wrong with it ends here, with a line in the log."""
        kind = item.get("kind")
        try:
            with self.lock:
                self._do(kind, item)
        except PortalUnavailable:
            note("portal.unavailable", kind=str(kind))
        except PortalRefused as error:
            note("portal.refused", kind=str(kind), code=error.code)
        except (LedgerError, NodeError) as error:
            note("work.failed", kind=str(kind), code=error.code)
        except sqlite3.Error as error:
            note("work.failed", kind=str(kind), code=book_trouble(error).code)
        except Exception as error:  # the last door: no item of the portal's ends the agent
            note("work.malformed", kind=str(kind), error=type(error).__name__)

    def _do(self, kind: object, item: Mapping[str, Any]) -> None:
        if kind == "check":
            self.check(item)
        elif kind == "contribute":
            self.contribute(item)
        elif kind == "freeze":
            self.freeze(item)
        elif kind == "session":
            self.session(item)
        elif kind == "stop":
            self.stop(str(item.get("job")), str(item.get("code") or "session.deadline"))
        elif kind == "agreement":
            self.cosigner.sign(item)
        else:
            note("work.unknown")

    def check(self, item: Mapping[str, Any]) -> None:
        """Judge a spec and answer; the same attempt asked again gets the same answer again."""
        spec, attempt = item["spec"]["document"], int(item["attempt"])
        job_hash = document_hash(spec)
        running = self.attempts.get(job_hash)
        if running is not None and running.papers.attempt == attempt:
            self.answers.send(item["job"], running.verdict)
            return
        if self._held.get((job_hash, attempt), 0.0) > time.monotonic():
            return
        accepted, verdict = self.judge(item)  # also while as many run as may: nobody is to be blamed for being busy
        if verdict["document"]["decision"] == "hold":
            now = time.monotonic()
            self._held = {one: until for one, until in self._held.items() if until > now}
            self._held[(job_hash, attempt)] = now + HOLD_AGAIN
        try:
            self.answers.send(item["job"], verdict)
        except PortalRefused as error:
            if accepted is not None and error.final:  # else the portal asks again, and gets the very same answer
                self._close(accepted, "withdrawn")
            raise
        finally:
            if accepted is not None and accepted.papers.job_hash in self.attempts:
                self._obey(accepted)  # a stop may have come while this was judged

    def contribute(self, item: Mapping[str, Any]) -> None:
        """Judge, and contribute as soon as there is room; a contribution that was made is sent again as it was, or the
        portal hears why it is not."""
        spec = item["spec"]["document"]
        job_hash = document_hash(spec)
        made = self.contributions.made(job_hash)

        def ended() -> str:
            return self._ruled(job_hash, str(item["job"])) or self.contributions.barred(job_hash, self.home.trust)

        code = ended()
        if made is not None and not code:
            if self.cases.offer(job_hash, lambda: bool(ended())) is not None:
                self.door.post(*made)
                self.cases.note_left(job_hash)
            return
        if made is not None:
            self._refuse(item, Refused(code, "what was contributed may not leave the house any more"))
            return
        if not self.me.party or not are_apart(spec):
            note("work.unknown")
            return
        standing = self.attempts.get(document_hash(spec))
        if (standing is None or standing.thread is None) and self.attempts.running >= self.config.at_once:
            note("work.later", job=str(item["job"]))  # shown again in a moment, and nobody waits for us online
            return
        self.check(item)
        attempt = self.attempts.get(document_hash(spec))
        if attempt is not None and attempt.thread is None:
            self._start(attempt, Contribute(self.home, attempt, self.contributions, ruled=self._ruled,
                                            still_allowed=self.judging.still_allowed))

    def _refuse(self, item: Mapping[str, Any], refusal: Refused) -> None:
        """Answer with what is known without a look at the papers."""
        made = Judgement(self.judging.policy())
        made.ended(refusal)
        verdict = self.answers.verdict(item, made)
        self.answers.keep(item, made, verdict["document"])
        self.answers.send(item["job"], verdict)

    def freeze(self, item: Mapping[str, Any]) -> None:
        """The dealer's word on one set of contributors, or why not."""
        if self.me.party or not are_apart(item["spec"]["document"]):
            note("work.unknown")
            return
        made = self.judging.judge(item, of=freezing.contributors(item))
        if made.refusal is None and made.papers is not None:
            try:
                self.freezer.freeze(made.papers, item)
            except (Refused, Unsettled) as error:
                made.ended(as_refusal(error))
            except sqlite3.Error as error:
                made.ended(book_trouble(error))
        verdict = self.answers.verdict(item, made, without=made.refusal.seats if made.refusal else ())
        self.answers.keep(item, made, verdict["document"])
        if made.refusal is not None:
            self.answers.send(item["job"], verdict)

    # judgement
    def judge(self, item: Mapping[str, Any], *, dry: bool = False) -> tuple[Attempt | None, dict[str, Any]]:
        """All checks, then the signed verdict; `dry` reserves nothing, starts nothing and keeps nothing."""
        made = self.judging.judge(item)
        accepted: Attempt | None = None
        if dry:
            return None, self.answers.verdict(item, made)
        if made.refusal is None and made.papers is not None:
            try:
                accepted, verdict = self._accept(item, made, made.papers)
            except (Refused, Unsettled) as error:
                made.ended(as_refusal(error))
            except sqlite3.Error as error:
                made.ended(book_trouble(error))
        if accepted is None:
            verdict = self.answers.verdict(item, made)
        self.answers.keep(item, made, verdict["document"], recorded=accepted is not None)
        return accepted, verdict

    def _accept(self, item: Mapping[str, Any], made: Judgement, papers: Papers) -> tuple[Attempt, dict[str, Any]]:
        """Reserve the use, make the keys, sign. No worker yet: a job may wait for days for another hospital."""
        waiting = self.attempts.waiting_of(papers.consumer, but=papers.job_hash)
        if waiting >= self.config.waiting_per_customer:
            raise Refused("node.busy", f"{waiting} jobs of this customer wait here for others already")
        apart = are_apart(papers.spec)
        fresh, session = NO_KEYS, None
        if apart:
            self.contributions.check_tries(papers.job_hash)
        else:
            place = Place(papers.job_hash, papers.attempt, papers.seat)
            fresh = fresh_keys(self.home.keys.signing, place, self.now())
            session = {"certificate": fresh.certificate, "exchange": fresh.exchange}
        verdict = self.answers.verdict(item, made, session=session)
        self.answers.record(verdict["document"])
        self.book.accept(
            job=papers.job, job_hash=papers.job_hash, consumer=papers.consumer, nonce=papers.spec["nonce"],
            attempt=papers.attempt, deadline=int(papers.deadline.timestamp()),
            grant=papers.own.id if papers.own else None,
            max_uses=papers.own.terms["max_uses"] if papers.own else 0, release_key=papers.release_key,
            shape=papers.shape, gated=papers.gated, anew=apart,
            also=(lambda db: self.contributions.begin(db, papers.job_hash)) if apart else None)
        attempt = Attempt(papers, verdict, fresh, made.floor, made.source)
        if (before := self.attempts.enter(attempt)) is not None:
            before.stop_code = "session.mismatch"
        return attempt, verdict

    # sessions
    def session(self, item: Mapping[str, Any]) -> None:
        """All have accepted: verify that they did, and start."""
        job, number = str(item["job"]), int(item["attempt"])
        attempt = self.attempts.of(job)
        if attempt is None or attempt.papers.attempt != number:
            known = self.book.seen(job=job)
            if known is not None and known.attempt == number and known.state in OPEN_STATES:
                self.book.end(known.job_hash, known.attempt, "failed")
                report_failure(self.home, known, "worker.failed")
            return
        if attempt.thread is not None:
            return
        if self.attempts.running >= self.config.at_once:
            note("session.later", job=job)  # shown again in a moment
            return
        papers = attempt.papers
        try:
            session = checks.verify_session(papers, item["verdicts"], item["dealer"], attempt.verdict["document"])
            attempt.relay = reach.way(item.get("relay"), self.config)
        except Refused as error:
            note("session.refused", job=job, code=error.code)
            self._end(attempt, error.code)
            return
        self._start(attempt, Run(self.home, attempt, session, ruled=self._ruled,
                                 still_allowed=self.judging.still_allowed))

    def _start(self, attempt: Attempt, run: Run) -> None:
        """A worker of its own, and a thread."""
        try:
            attempt.worker = self.workers.take()
        except (NodeError, OSError) as error:
            note("worker.missing", job=attempt.papers.job, kind=type(error).__name__)
            self._end(attempt, "worker.failed")
            return
        name = f"job-{attempt.papers.job[:8]}"
        attempt.thread = threading.Thread(target=self._run, args=(run, attempt.worker), name=name, daemon=True)
        attempt.thread.start()

    def _run(self, run: Run, worker: Worker) -> None:
        try:
            run.run()
        finally:
            self.attempts.leave(run.attempt)
            self.workers.give_back(worker)

    def stop(self, job: str, code: str) -> None:
        """The portal says that the job is over: end our part. A sealed question may then be asked by another job."""
        attempt = self.attempts.of(job)
        if attempt is not None and attempt.thread is not None:
            attempt.told = True
            attempt.stop_code = code
            return
        if attempt is not None:
            self._close(attempt, "stopped")
            return
        known = self.book.seen(job=job)
        if known is not None:
            self.book.withdraw(known.job_hash)
            self.book.end(known.job_hash, known.attempt, "stopped")
            self.book.unrelease(known.job_hash)

    def _close(self, attempt: Attempt, state: str) -> None:
        """An attempt that never ran is over."""
        self.attempts.leave(attempt)
        self.book.end(attempt.papers.job_hash, attempt.papers.attempt, state)

    def _end(self, attempt: Attempt, code: str) -> None:
        """An attempt that never ran failed, and the others must hear of it."""
        self._close(attempt, "failed")
        report_failure(self.home, attempt.papers.seen, code)

    # what the hospital's people say
    def look(self) -> None:
        """Their rulings and the switch, as they stand in the book now; called whenever somebody else wrote there."""
        standing = self.attempts.all()
        for attempt in standing:
            self._told(attempt)  # all of them, before anything waits for the lock: a file may be read under it for long
        for attempt in standing:
            self._obey(attempt)
        for known in self.book.sealed():  # the portal was away: what lies in the outbox has not left the house
            barred = self.contributions.barred(known.job_hash, self.home.trust)
            code = self._ruled(known.job_hash, known.job) or (barred if barred == "grant.revoked" else "")
            if code and self.book.withdraw(known.job_hash):
                report_failure(self.home, known, code)
        self.contributions.take_back(self.home, lambda job_hash, job: self.cases.ruling(
            job_hash=job_hash, job=job) == "deny")
        if self.cases.stopped is not None:
            return
        for case in self.cases.newest(decision="hold"):
            ruled = self.cases.ruling(job_hash=case.job_hash, job=case.job)
            item = self.cases.item(case.job_hash) if ruled in ("release", "deny") else None
            if item is not None:
                self._held.pop((case.job_hash, case.attempt), None)
                self.handle({**item, "kind": "check"})

    def _told(self, attempt: Attempt) -> str:
        """Mark an attempt that they ended; the code, or nothing."""
        code = self._ruled(attempt.papers.job_hash, attempt.papers.job)
        if code and not attempt.stop_code:
            attempt.stop_code = code
            if attempt.worker is not None:  # its own thread may hang on a portal that never answers
                attempt.worker.send({"stop": code})
        return code

    def _ruled(self, job_hash: str, job: str) -> str:
        """The code under which they ended a job, or nothing."""
        if self.cases.stopped is not None:
            return "node.stopped"
        return "policy.denied" if self.cases.ruling(job_hash=job_hash, job=job) == "deny" else ""

    def _obey(self, attempt: Attempt) -> None:
        papers, code = attempt.papers, self._told(attempt)
        if code and attempt.thread is None:
            with self.lock:
                if attempt.thread is None and self.attempts.get(papers.job_hash) is attempt:
                    self._end(attempt, code)

    # between items
    def tend(self) -> None:
        """What time alone brings: new revocations, attempts whose deadline passed, messages not yet delivered."""
        inbox.take(self.config.inbox, self.book)
        self.workers.tend()
        now = self.now()
        for attempt in self.attempts.all():
            if attempt.thread is None and now > attempt.papers.deadline:
                note("attempt.expired", job=attempt.papers.job)
                self._close(attempt, "expired")
        if time.monotonic() - self._forgot > FORGET_EVERY:
            self._forgot = time.monotonic()
            self.contributions.forget(before=int(now.timestamp()))
        self.home.flush()

    def recover(self) -> None:
        """After a restart: the session keys of unfinished attempts are gone, so say so; nothing waits for ever."""
        for known in self.book.unfinished():
            note("attempt.lost", job=known.job, attempt=known.attempt)
            self.book.end(known.job_hash, known.attempt, "failed")
            report_failure(self.home, known, "worker.failed")

    def close(self) -> None:
        """End every attempt and every worker."""
        for attempt in self.attempts.all():
            attempt.stop_code = attempt.stop_code or "worker.failed"
        for attempt in self.attempts.all():
            if attempt.thread is not None and attempt.thread.is_alive():  # a signal may come before it has begun
                attempt.thread.join(3.0)
        self.workers.close()
