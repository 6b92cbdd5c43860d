"""A node's judgement of one job: facts gathered for the pure checks, in order, and the way to the outcome kept.

Believes nothing that the portal says about permission. Reserves nothing, starts nothing, signs nothing: the agent makes
a verdict of what comes out. What a person of the hospital ruled on this very spec counts after everything else: a
release opens what the policy holds, and nothing that is refused.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ledger.documents import parse_time
from mpc.catalog import CATALOG
from mpc.node import checks, contributing, inbox, sources
from mpc.node.book import History, is_full
from mpc.node.cases import Cases
from mpc.node.config import Config
from mpc.node.errors import NodeError, Refused, Unfit, Unsettled
from mpc.node.frozen import Frozen
from mpc.node.logs import note
from mpc.node.papers import SKEW, Me, Papers, verify_papers
from mpc.node.policy import Policy, Ruling, deny_all
from mpc.node.rulebook import Rulebook
from mpc.node.sessions import Home
from mpc.sources.duck import CHANGED, UNREACHABLE
from mpc.spec import IDENTIFIER, are_apart

CHAIN_PATIENCE = 4.0
MOST = 70
# in the order in which they are looked at; `explain` shows those that were not reached, too
STEPS = ("switch", "signature", "freshness", "function", "roster", "grants", "own_grant", "datasets", "agreement",
         "parameters", "period", "engine", "book", "policy", "data", "chain", "reserve")


@dataclass
class Judgement:
    """What came out, and every step that led there."""

    policy: Policy
    steps: list[dict[str, Any]] = field(default_factory=list)
    papers: Papers | None = None
    floor: int = 1
    source: dict[str, Any] | None = field(default=None, repr=False)  # with the key of fingerprints
    block: int | None = None
    refusal: Refused | None = None
    held: Refused | None = None

    @property
    def decision(self) -> str:
        """accept, hold or refuse."""
        if self.refusal is None:
            return "accept"
        return "hold" if self.refusal.code == "policy.held" else "refuse"

    def passed(self, step: str) -> None:
        """This step held."""
        self.steps.append({"step": step, "outcome": "passed"})

    def ended(self, refusal: Refused) -> None:
        """The first thing wrong; the steps after it were not looked at."""
        if self.refusal is not None:
            return
        self.refusal = refusal
        names = [step["step"] for step in self.steps]
        missing = next((name for name in STEPS if name not in names), STEPS[-1])
        self.steps.append({"step": missing, "outcome": "refused", "code": refusal.code, "rule": refusal.rule,
                           "who_must_act": refusal.who_must_act})


class Judge:
    """Judges for one home."""

    def __init__(self, config: Config, me: Me, home: Home, *, cases: Cases, rulebook: Rulebook | None,
                 now: Callable[[], datetime]) -> None:
        self._config, self._me, self._home, self._cases, self._rulebook = config, me, home, cases, rulebook
        self._now = now

    def policy(self) -> Policy:
        """The policy that counts now; a dealer has none of its own."""
        if self._rulebook is None:
            return deny_all(key=self._config.local_key())
        return self._rulebook.current()

    def judge(self, item: Mapping[str, Any], *, of: Collection[str] | None = None) -> Judgement:
        """All checks, from cheap to dear; the first thing wrong is what is said. `of`: whose standing counts, where it
        is not everybody's."""
        try:
            made = Judgement(self.policy())
        except (sqlite3.Error, OSError) as error:  # a change of the policy that cannot be recorded
            made = Judgement(deny_all(key=self._config.local_key()))
            made.ended(book_trouble(error))
            return made
        try:
            if self._cases.stopped is not None:
                raise Refused("node.stopped", "the hospital has stopped its node")
            made.passed("switch")
            _sizes(item)
            made.papers = verify_papers(item, me=self._me, trust=self._home.trust, now=self._now(), passed=made.passed,
                                        of=of)
            if are_apart(made.papers.spec):
                contributing.check_time(made.papers, self._now())
                contributing.question_of(made.papers, self._home.trust)
            made.passed("engine")
            self._here(made, made.papers)
            made.block = self._chain(made.papers)
            made.passed("chain")
            made.refusal = made.held  # a person is asked only about what holds in every other way
        except (Refused, Unsettled, Unfit) as error:
            made.ended(self._whose_clock(item, error) if isinstance(error, Refused) else as_refusal(error))
        except sqlite3.Error as error:
            made.ended(book_trouble(error))
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            note("work.malformed", error=type(error).__name__)
            made.ended(Refused("spec.malformed", "the work item is malformed", "operator"))
        return made

    def _whose_clock(self, item: Mapping[str, Any], refusal: Refused) -> Refused:
        """A spec that is stale by our clock may be fresh by the chain's: then the fault is here, not the consumer's."""
        if refusal.code != "spec.stale":
            return refusal
        now = self._now()
        try:
            head = self._home.chain.time()
            checks.check_clock(head, now)
        except Refused as clock:
            return clock
        except Unsettled:
            return refusal
        issued = parse_time(item["spec"]["document"]["issued_at"]).timestamp()
        if now.timestamp() < head and issued <= head + SKEW.total_seconds():
            return Refused("clock.skew", "the spec is fresh by the chain's time, which is ahead of this node's clock")
        return refusal

    def still_allowed(self, papers: Papers) -> None:
        """The policy asked again before anything leaves: raises `Refused` when it was changed to deny meanwhile. A job
        that it would only hold by now goes on: it was accepted, or released by a person."""
        if self._cases.stopped is not None:
            raise Refused("node.stopped", "the hospital has stopped its node")
        if papers.own is None:
            return
        if self._cases.ruling(job_hash=papers.job_hash, job=papers.job) == "deny":
            raise Refused("policy.denied", "a person at the hospital denied it")
        self._ruling(papers, self._history(papers), self.policy()).check(released=True)

    def _here(self, made: Judgement, papers: Papers) -> None:
        """Book, policy and file; the floor, and what the worker needs to open the file."""
        inbox.take(self._config.inbox, self._home.book)
        history = self._history(papers)
        checks.check_book(papers, history, self._home.trust)
        made.passed("book")
        if papers.own is None:
            if not are_apart(papers.spec):
                Frozen(self._home.book).check_session(papers)
            made.floor = checks.strictest(papers.floor, CATALOG[papers.function].minimum_floor)
            return
        standing = self._hospital(made, papers, history)
        dataset = self._home.book.dataset(papers.own.terms["dataset"])
        found: str | None = None
        if dataset is not None:
            try:
                found = sources.standing(self._config, dataset)
            except Unfit as unfit:
                if unfit.code != CHANGED:  # nobody can say whether the rows changed
                    raise Refused(UNREACHABLE, unfit.text, "custodian") from unfit
                found = ""
        checks.check_own_data(papers, found)
        if dataset is None:
            raise Refused("grant.wrong_dataset", "the dataset is not registered at this node", "custodian")
        made.passed("data")
        # registration decided whether codes that are not listed may count as missing; the fingerprint pins that file
        made.floor = checks.strictest(papers.floor, standing)
        made.source = {
            **sources.worker_source(self._config, dataset), "unlisted_as_missing": True,
            "identifiers": [one["name"] for one in papers.datasets[papers.seat]["columns"]
                            if one["kind"] == IDENTIFIER],
            "fingerprint_check": {"key": self._config.local_key().hex(), "expected": dataset.record["fingerprint"]}}

    def _hospital(self, made: Judgement, papers: Papers, history: History) -> int:
        """The policy, and a person's own ruling on this very spec; returns the floor that stands here."""
        ruled = self._cases.ruling(job_hash=papers.job_hash, job=papers.job)
        ruling = self._ruling(papers, history, made.policy)
        how: dict[str, Any] = {"rules": [one.as_dict() for one in ruling.steps], "by_hand": ruled}
        try:
            if ruled == "deny":
                raise Refused("policy.denied", "a person at the hospital denied it")
            ruling.check(released=ruled == "release")
            if ruled == "hold":
                raise Refused("policy.held", "a person at the hospital holds it")
            made.passed("policy")
        except Refused as refusal:
            if refusal.code != "policy.held":
                made.ended(refusal)
                raise
            made.held = refusal
            made.steps.append({"step": "policy", "outcome": "held", "code": refusal.code, "rule": refusal.rule,
                               "who_must_act": refusal.who_must_act})
        finally:
            made.steps[-1] |= how
        return checks.check_policy(papers, ruling.floor)

    def _ruling(self, papers: Papers, history: History, policy: Policy) -> Ruling:
        if self._rulebook is None:
            raise Unfit("config.role", "a dealer has no policy")
        return policy.rule_on(self._rulebook.question(papers, self._now(), history.uses))

    def _history(self, papers: Papers) -> History:
        return self._home.book.history(
            job=papers.job, job_hash=papers.job_hash, consumer=papers.consumer, nonce=papers.spec["nonce"],
            own_grant=papers.own.id if papers.own else None, release_key=papers.release_key, gated=papers.gated,
            attempt=papers.attempt, subjects=[*(grant.id for grant in papers.grants), *papers.records])

    def _chain(self, papers: Papers) -> int:
        """The chain's facts, asked again for a moment when it cannot be reached; returns the block they stand on."""
        until = time.monotonic() + CHAIN_PATIENCE
        while True:
            try:
                facts = self._home.chain.facts(papers)
                break
            except Unsettled:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
        checks.check_chain(papers, facts, self._now())
        return facts.block


def _sizes(item: Mapping[str, Any]) -> None:
    """No longer lists than a job can have: every entry costs a signature's check."""
    for name in ("grants", "participants", "datasets"):
        if not isinstance(item[name], list) or len(item[name]) > MOST:
            raise Refused("spec.malformed", f"the work item's {name} are not a list of at most {MOST}", "operator")


def as_refusal(error: NodeError) -> Refused:
    """Not to know is to refuse: an unreachable chain by its own code, anything unfit at this node as its denial."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, Unsettled):
        return Refused(error.code, error.text)
    return Refused("policy.denied", "this node is not fit to take part")


def book_trouble(error: Exception) -> Refused:
    """What cannot be written down is not done; a full disk has a code of its own."""
    if is_full(error):
        return Refused("node.disk_full", "the node's disk is full: nothing can be written in its book")
    return Refused("worker.failed", "the node's book cannot be read or written")
