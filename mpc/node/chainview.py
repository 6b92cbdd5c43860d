"""The node's view of the chain: what `ledger.chain` answers, as the facts that the pure checks ask for.

Reads from the endpoints of the trust file, each answer under their quorum, and writes one thing: the node's own use,
when the portal does not. Not reachable, stale or disagreeing is said as such (`chain.unavailable`, `chain.stale_head`,
`chain.disagree`), never taken for a yes.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ledger.documents import chain_id_of
from ledger.errors import ChainRefused, ChainUnavailable, VerificationError
from ledger.keys import EthKey
from ledger.trust import Trust
from mpc.node.checks import ChainFacts, GrantOnChain
from mpc.node.errors import CODES, Refused, Unsettled
from mpc.node.grants import Grant
from mpc.node.papers import Papers

FINAL, LATEST = "finalized", "latest"
REFUSALS = {"chain.refused.used_up": "grant.exhausted", "chain.refused.not_registered": "grant.not_registered",
            "chain.refused.not_active": "grant.expired"}


class ChainLike(Protocol):
    """The part of `ledger.chain.Chain` that a node reads; a simulator has the same."""

    def head(self) -> Any: ...

    def check_contracts(self, trust: Trust) -> None: ...

    def grant(self, grant_id: str, block: str = FINAL) -> Any: ...

    def is_revoked(self, grant_id: str, deciders: Sequence[str] = ()) -> bool: ...

    def used(self, grant_id: str, job_hash: str, block: str = FINAL) -> bool: ...

    def sign_consume(self, key: EthKey, nonce: int, *, grant_id: str, job_hash: str, signature: str) -> Any: ...

    def send_raw(self, raw: str) -> str: ...

    def preflight(self, tx: Any) -> None: ...

    def participant_record(self, id: str, block: str = FINAL) -> Any: ...


class ChainView:
    """One chain, seen with one trust file; contracts are compared with it before the first answer is used."""

    def __init__(self, chain: ChainLike, trust: Trust) -> None:
        self._chain, self._trust = chain, trust
        self._checked = False

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            if not self._checked:
                self._chain.check_contracts(self._trust)
                self._checked = True
            return question()
        except ChainUnavailable as error:
            self._checked = False
            raise Unsettled(error.code if error.code in CODES else "chain.unavailable", error.message) from error
        except VerificationError as error:
            self._checked = False
            raise Refused("chain.wrong", "the chain is not the one of the trust file") from error

    def time(self) -> int:
        """That of the newest block."""
        return int(self._ask(lambda: self._chain.head().time))

    def facts(self, papers: Papers) -> ChainFacts:
        """All that the checks ask about this job."""
        return self._ask(lambda: self._facts(papers))  # type: ignore[no-any-return]

    def _facts(self, papers: Papers) -> ChainFacts:
        head = self._chain.head()
        grants = {grant.id: self._grant(grant, papers.job_hash) for grant in papers.grants}
        return ChainFacts(
            block=head.number, time=head.time, grants=grants,
            revoked=frozenset(grant.id for grant in papers.grants if self._revoked(grant, grants[grant.id])),
            records={id: self._record(record) for id, record in papers.records.items()},
            suspended=self._suspended(papers),
        )

    def _suspended(self, papers: Papers) -> frozenset[str]:
        """Grants and participants that are held, final or latest: a hold counts at once, its end when it is final."""
        grants = (grant.id for grant in papers.grants for block in (LATEST, FINAL)
                  if (found := self._chain.grant(grant.chain_id, block)) is not None and found.suspended)
        members = (id for id, record in papers.records.items() for block in (LATEST, FINAL)
                   if (found := self._chain.participant_record(chain_id_of(id, record["id_salt"]), block)) is not None
                   and found.suspended)
        return frozenset(grants) | frozenset(members)

    def _grant(self, grant: Grant, job_hash: str) -> GrantOnChain | None:
        found = self._chain.grant(grant.chain_id, FINAL)
        if found is None:
            return None
        uses = int(found.uses)
        return GrantOnChain(
            terms_hash=found.terms_hash, custodian=found.custodian, service=found.service,
            not_before=int(found.not_before), not_after=int(found.not_after), max_uses=int(found.max_uses), uses=uses,
            used_by_job=bool(uses) and bool(self._chain.used(grant.chain_id, "0x" + job_hash, FINAL)),
        )

    def _record(self, record: dict[str, Any]) -> str | None:
        found = self._chain.participant_record(chain_id_of(record["id"], record["id_salt"]), FINAL)
        return None if found is None else str(found.record_hash)

    def used(self, grant: Grant, job_hash: str) -> bool:
        """Our own use stands on chain, final."""
        return bool(self._ask(lambda: self._chain.used(grant.chain_id, "0x" + job_hash, FINAL)))

    def consume(self, grant: Grant, job_hash: str, signature: str) -> None:
        """Bring our signed use to the chain from an account made for it: anyone may relay it. On a chain that asks for
        gas this account has none, and the chain says so; then the use waits for the portal after all."""
        self._ask(lambda: self._consume(grant, "0x" + job_hash, signature))

    def _consume(self, grant: Grant, job_hash: str, signature: str) -> None:
        tx = self._chain.sign_consume(EthKey.create(), 0, grant_id=grant.chain_id, job_hash=job_hash,
                                      signature=signature)
        try:
            self._chain.preflight(tx)
        except ChainRefused as error:
            if self._chain.used(grant.chain_id, job_hash, LATEST):
                return  # it is there already, and will be final
            code = "grant.revoked" if self._chain.is_revoked(grant.chain_id) else REFUSALS.get(error.code)
            raise Refused(code or "grant.wrong_custodian", "the chain does not take our use") from error
        try:
            self._chain.send_raw(tx.raw)
        except ChainRefused as error:
            raise ChainUnavailable("chain.unavailable", "the chain takes no transaction of ours") from error

    def stopped(self, papers: Papers) -> str | None:
        """The code of what stands against the job by now: a grant revoked or suspended, a participant suspended."""
        return self._ask(lambda: self._stopped(papers))  # type: ignore[no-any-return]

    def _stopped(self, papers: Papers) -> str | None:
        if any(self._chain.is_revoked(grant.chain_id) for grant in papers.grants):
            return "grant.revoked"
        held = self._suspended(papers)
        if any(grant.id in held for grant in papers.grants):
            return "grant.suspended"
        return "participant.suspended" if held else None

    def _revoked(self, grant: Grant, found: GrantOnChain | None) -> bool:
        """Revoked, final or latest; of a grant that is not registered also: barred by its custodian beforehand."""
        return self._chain.is_revoked(grant.chain_id, [] if found else [grant.terms["custodian_approver"]])
