"""The agent: takes the portal's work items one by one, judges each itself, and answers with signed documents.

It gathers facts (papers, book, chain, policy, file) for the pure checks and turns their outcome into a verdict; it
starts and ends attempts. It never believes the portal about permission, opens no inbound port but the session's own,
and keeps the session keys of an attempt in memory only.
"""

import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ledger.documents import document_hash, new_document, signed, to_b64
from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from mpc.catalog import CATALOG
from mpc.node import checks, data, inbox, policy
from mpc.node.book import OPEN_STATES
from mpc.node.config import Config
from mpc.node.desk import sign_agreement
from mpc.node.errors import NodeError, Refused, Unfit, Unsettled
from mpc.node.logs import note
from mpc.node.papers import Me, Papers, verify_papers
from mpc.node.sessions import Attempt, Fresh, Home, Run, report_failure
from mpc.node.workers import Workers
from mpc.transport.identity import SessionIdentity

MAX_ATTEMPTS = 4
HOLD_AGAIN = 15.0
CHAIN_PATIENCE = 4.0


def fresh_keys(now: datetime) -> Fresh:
    """A certificate and an exchange key that nobody has seen before."""
    identity = SessionIdentity.fresh(now=now)
    return Fresh(certificate=to_b64(identity.certificate), private_key=to_b64(identity.private_key),
                 exchange_private=identity.exchange_private.hex(), exchange=identity.exchange.hex())


class Agent:
    """One node's judgement and its running attempts."""

    def __init__(self, config: Config, home: Home, door: Any, workers: Workers, *,
                 now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.config, self.home, self.door, self.workers, self.now = config, home, door, workers, now
        self.book = home.book
        self.me = Me(config.participant, home.keys.signing_public, home.party, approver=config.approver,
                     service=config.service)
        self.attempts: dict[str, Attempt] = {}
        self._held: dict[tuple[str, int], float] = {}
        self._agreements: set[str] = set()
        self._threads: list[threading.Thread] = []

    # work items
    def handle(self, item: Mapping[str, Any]) -> None:
        """Do one work item; whatever is wrong with it ends here, with a line in the log."""
        kind = item.get("kind")
        try:
            if kind == "check":
                self.check(item)
            elif kind == "session":
                self.session(item)
            elif kind == "stop":
                self.stop(str(item.get("job")), str(item.get("code") or "session.deadline"))
            elif kind == "agreement":
                self.agreement(item)
            else:
                note("work.unknown")
        except PortalUnavailable:
            note("portal.unavailable", kind=str(kind))
        except PortalRefused as error:
            note("portal.refused", kind=str(kind), code=error.code)
        except (LedgerError, NodeError) as error:
            note("work.failed", kind=str(kind), code=error.code)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            note("work.malformed", kind=str(kind), error=type(error).__name__)

    def check(self, item: Mapping[str, Any]) -> None:
        """Judge a spec and answer; the same attempt asked again gets the same answer again."""
        spec, attempt = item["spec"]["document"], int(item["attempt"])
        job_hash = document_hash(spec)
        running = self.attempts.get(job_hash)
        if running is not None and running.papers.attempt == attempt:
            self._answer(item["job"], running.verdict)
            return
        if self._held.get((job_hash, attempt), 0.0) > time.monotonic():
            return
        if len(self.attempts) >= MAX_ATTEMPTS:
            note("work.later", job=str(item["job"]))
            return
        accepted, verdict = self.judge(item)
        if verdict["document"]["decision"] == "hold":
            self._held[(job_hash, attempt)] = time.monotonic() + HOLD_AGAIN
        try:
            self._answer(item["job"], verdict)
        except PortalRefused:
            if accepted is not None:
                self._close(accepted, "withdrawn")
            raise

    def _answer(self, job: str, verdict: Mapping[str, Any]) -> None:
        body = verdict["document"]
        note("verdict", job=body["job"], attempt=body["attempt"], decision=body["decision"], code=body["code"])
        self.door.post(f"/jobs/{job}/verdicts", {"verdict": dict(verdict)})

    # judgement
    def judge(self, item: Mapping[str, Any], *, dry: bool = False) -> tuple[Attempt | None, dict[str, Any]]:
        """All checks, then the signed verdict; `dry` reserves nothing and starts nothing."""
        rules = self._policy()
        papers: Papers | None = None
        block: int | None = None
        try:
            papers = verify_papers(item, me=self.me, trust=self.home.trust, now=self.now())
            floor, source = self._judge_here(papers, rules)
            block = self._judge_chain(papers)
            if dry:
                return None, self._verdict(item, rules, papers=papers, block=block)
            return self._accept(item, papers, rules, floor=floor, source=source, block=block)
        except (Refused, Unsettled, Unfit) as error:
            refusal = error if isinstance(error, Refused) else _as_refusal(error)
            return None, self._verdict(item, rules, papers=papers, refusal=refusal, block=block)

    def _judge_here(self, papers: Papers, rules: policy.Policy) -> tuple[int, dict[str, Any] | None]:
        """Book, policy and file; returns the floor and what the worker needs to open the file."""
        inbox.take(self.config.inbox, self.book)
        history = self.book.history(
            job=papers.job, job_hash=papers.job_hash, consumer=papers.consumer, nonce=papers.spec["nonce"],
            own_grant=papers.own.id if papers.own else None, grants=[grant.id for grant in papers.grants],
            release_key=papers.release_key)
        checks.check_book(papers, history, self.home.trust)
        if papers.own is None:
            return checks.strictest(papers.floor, CATALOG[papers.function].minimum_floor), None
        standing = checks.check_policy(papers, rules)
        dataset = self.book.dataset(papers.own.terms["dataset"])
        found: str | None = None
        if dataset is not None:
            try:
                found = data.fingerprint(dataset.path, self.config.local_key())
            except Unfit:
                found = ""
        checks.check_own_data(papers, found)
        if dataset is None:
            raise Refused("grant.wrong_dataset", "the dataset is not registered at this node", "custodian")
        # registration decided whether codes that are not listed may count as missing; the fingerprint pins that file
        return checks.strictest(papers.floor, standing), {
            "path": str(dataset.path.resolve()), "kind": dataset.kind, "unlisted_as_missing": True,
            "fingerprint_check": {"key": self.config.local_key().hex(), "expected": dataset.record["fingerprint"]}}

    def _judge_chain(self, papers: Papers) -> int:
        """The chain's facts, asked again for a moment when it cannot be reached; returns the block they stand on."""
        until = time.monotonic() + CHAIN_PATIENCE
        while True:
            try:
                facts = self.home.chain.facts(papers)
                break
            except Unsettled:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        checks.check_chain(papers, facts, self.now())
        return facts.block

    def _accept(self, item: Mapping[str, Any], papers: Papers, rules: policy.Policy, *, floor: int,
                source: dict[str, Any] | None, block: int) -> tuple[Attempt, dict[str, Any]]:
        """Reserve the use, open the socket, make the keys, sign."""
        worker = self.workers.take()
        try:
            fresh = fresh_keys(self.now())
            verdict = self._verdict(item, rules, papers=papers, block=block, session={
                "certificate": fresh.certificate, "exchange": fresh.exchange, "address": worker.listen()})
            self.book.accept(
                job=papers.job, job_hash=papers.job_hash, consumer=papers.consumer, nonce=papers.spec["nonce"],
                attempt=papers.attempt, deadline=int(papers.deadline.timestamp()),
                grant=papers.own.id if papers.own else None,
                max_uses=papers.own.terms["max_uses"] if papers.own else 0, release_key=papers.release_key,
                shape=papers.shape, verdict=verdict)
        except BaseException:
            self.workers.give_back(worker)
            raise
        before = self.attempts.pop(papers.job_hash, None)
        attempt = Attempt(papers, verdict, fresh, worker, floor, source)
        self.attempts[papers.job_hash] = attempt
        if before is not None:
            before.stop_code = "session.mismatch"
            self.workers.give_back(before.worker)
        return attempt, verdict

    def _verdict(self, item: Mapping[str, Any], rules: policy.Policy, *, papers: Papers | None,
                 refusal: Refused | None = None, block: int | None = None,
                 session: dict[str, str] | None = None) -> dict[str, Any]:
        spec = item["spec"]["document"]
        decision = "accept" if refusal is None else "hold" if refusal.code == "policy.held" else "refuse"
        document = new_document(
            "verdict", job=item["job"], job_hash=document_hash(spec), attempt=item["attempt"],
            participant=self.me.participant, seat=papers.seat if papers else self._seat(spec), decision=decision,
            code=refusal.code if refusal else None, rule=refusal.rule[:500] if refusal else None,
            who_must_act=refusal.who_must_act if refusal else None, grant_block=block, policy_hash=rules.hash,
            session=session)
        return signed(document, self.home.keys.signing)

    def _seat(self, spec: Mapping[str, Any]) -> int:
        """The seat we answer for when the papers did not hold; 0 when the spec gives us none."""
        roster = spec.get("roster")
        seats = [seat["participant"] for seat in roster] if isinstance(roster, list) else []
        if not self.me.party:
            return min(len(seats), 63)
        return seats.index(self.me.participant) if self.me.participant in seats else 0

    def _policy(self) -> policy.Policy:
        """The policy as it stands in the file now; one that cannot be read denies everything."""
        key = self.config.local_key()
        if not self.me.party:
            return policy.deny_all(key=key)
        try:
            return policy.load(self.config.policy.read_bytes(), key=key)
        except (OSError, Unfit):
            note("policy.unreadable")
            return policy.deny_all(key=key)

    # sessions
    def session(self, item: Mapping[str, Any]) -> None:
        """All have accepted: verify that they did, and start."""
        job, number = str(item["job"]), int(item["attempt"])
        attempt = next((one for one in self.attempts.values() if one.papers.job == job), None)
        if attempt is None or attempt.papers.attempt != number:
            known = self.book.seen(job=job)
            if known is not None and known.attempt == number and known.state in OPEN_STATES:
                self.book.end(known.job_hash, known.attempt, "failed")
                report_failure(self.home, known, "worker.failed")
            return
        if attempt.thread is not None:
            return
        papers = attempt.papers
        try:
            session = checks.verify_session(papers, item["verdicts"], item["dealer"], attempt.verdict["document"])
        except Refused as error:
            note("session.refused", job=job, code=error.code)
            self._close(attempt, "failed")
            report_failure(self.home, papers.seen, error.code)
            return
        attempt.thread = threading.Thread(target=self._run, args=(Run(self.home, attempt, session),),
                                          name=f"job-{job[:8]}", daemon=True)
        attempt.thread.start()

    def _run(self, run: Run) -> None:
        try:
            run.run()
        finally:
            if self.attempts.get(run.papers.job_hash) is run.attempt:
                del self.attempts[run.papers.job_hash]
            self.workers.give_back(run.attempt.worker)

    def stop(self, job: str, code: str) -> None:
        """The portal says that the job is over: end our part. A sealed question may then be asked by another job."""
        attempt = next((one for one in self.attempts.values() if one.papers.job == job), None)
        if attempt is not None and attempt.thread is not None:
            attempt.told = True
            attempt.stop_code = code
            return
        if attempt is not None:
            self._close(attempt, "stopped")
            return
        known = self.book.seen(job=job)
        if known is not None:
            self.book.end(known.job_hash, known.attempt, "stopped")
            self.book.unrelease(known.job_hash)

    def _close(self, attempt: Attempt, state: str) -> None:
        self.attempts.pop(attempt.papers.job_hash, None)
        self.book.end(attempt.papers.job_hash, attempt.papers.attempt, state)
        self.workers.give_back(attempt.worker)

    # between items
    def tend(self) -> None:
        """What time alone brings: new revocations, attempts whose deadline passed, messages not yet delivered."""
        inbox.take(self.config.inbox, self.book)
        now = self.now()
        for attempt in list(self.attempts.values()):
            if attempt.thread is None and now > attempt.papers.deadline:
                note("attempt.expired", job=attempt.papers.job)
                self._close(attempt, "expired")
        self.home.flush()

    def recover(self) -> None:
        """After a restart: the session keys of unfinished attempts are gone, so say so; nothing waits for ever."""
        for known in self.book.unfinished():
            note("attempt.lost", job=known.job, attempt=known.attempt)
            self.book.end(known.job_hash, known.attempt, "failed")
            report_failure(self.home, known, "worker.failed")

    def close(self) -> None:
        """End every attempt and every worker."""
        for attempt in list(self.attempts.values()):
            attempt.stop_code = attempt.stop_code or "worker.failed"
        for attempt in list(self.attempts.values()):
            if attempt.thread is not None:
                attempt.thread.join(3.0)
        self.workers.close()

    # agreements
    def agreement(self, item: Mapping[str, Any]) -> None:
        """Co-sign an agreement over a product that this organisation leads, when the policy says so."""
        if not self.me.party or item["id"] in self._agreements:
            return
        if self._policy().agreements is not policy.Decision.AUTO:
            note("agreement.held", agreement=item["id"])
            self._agreements.add(item["id"])
            return
        try:
            wire = sign_agreement(self.door, self.home.keys, self.home.trust, item)
        except PortalUnavailable:
            raise
        except LedgerError as error:
            note("agreement.refused", agreement=item["id"], code=error.code)
            self._agreements.add(item["id"])
            return
        self.door.post(f"/agreements/{item['id']}/signature", {"document": wire})
        note("agreement.signed", agreement=item["id"])


def _as_refusal(error: NodeError) -> Refused:
    """Not to know is to refuse: an unreachable chain by its own code, anything unfit at this node as its denial."""
    if isinstance(error, Unsettled):
        return Refused(error.code, error.text)
    return Refused("policy.denied", "this node is not fit to take part")
