"""Every check of a job that asks more than its documents: book, chain, policy, the file itself. All pure.

Facts and `now` come in as arguments; a check returns nothing or raises `Refused(code, rule, who_must_act)`. Together
with `papers.verify_papers` this is the whole of DESIGN 5.2; the order is from cheap to dear, and the first thing wrong
is what is said. Which code is raised never depends on a value of a row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from ledger.approval import (
    Domain,
    domain_of,
    grant_chain_id,
    participants_domain_of,
    verify_revocation,
    verify_suspension,
)
from ledger.documents import document_hash, from_b64, parse_time, verify_signed
from ledger.errors import LedgerError
from ledger.participant import passkeys_of, record_chain_id
from ledger.trust import Trust
from mpc.catalog import CATALOG
from mpc.errors import MpcError
from mpc.node.book import OPEN_STATES, History, Shape, check_gates
from mpc.node.errors import Refused, about
from mpc.node.grants import Document, Grant
from mpc.node.papers import SKEW, Papers
from mpc.spec import MOST_ATTEMPTS, are_apart, session_id
from mpc.transport.identity import Place, check_leaf

STALE_HEAD = 120
NOBODY: Mapping[str, Document] = MappingProxyType({})


@dataclass(frozen=True)
class GrantOnChain:
    """What the chain says about one grant at finality; `revoked` also counts the latest block."""

    terms_hash: str
    custodian: str
    service: str
    not_before: int
    not_after: int
    max_uses: int
    uses: int
    used_by_job: bool


@dataclass(frozen=True)
class ChainFacts:
    """One reading of the chain: final state, and the age of the head; what is revoked, and which grants and which
    participants are `suspended`, whether that is final or only the latest."""

    block: int
    time: int
    grants: Mapping[str, GrantOnChain | None]
    revoked: frozenset[str]
    records: Mapping[str, str | None]
    suspended: frozenset[str] = frozenset()


def check_book(papers: Papers, history: History, trust: Trust) -> None:
    """One spec for each id, nothing twice, uses left, no second table, nothing revoked."""
    known = history.same_id
    if known is not None and known.job_hash != papers.job_hash:
        raise Refused("spec.two_specs", "another spec with this id was accepted here")
    if history.nonce_used_by not in (None, papers.job_hash):
        raise Refused("spec.replayed", "the spec's nonce was used before")
    anew = are_apart(papers.spec) and known is not None and known.state not in OPEN_STATES  # and nothing left the house
    if history.sealed or (known is not None and known.attempt >= papers.attempt and not anew):
        raise Refused("spec.replayed", "this spec was answered here before")
    if papers.attempt > MOST_ATTEMPTS:
        raise Refused("spec.replayed", "a job is tried twice at most")
    for seat, grant in papers.counted:
        with about(seat):
            check_not_revoked([grant], history.revocations, trust, _only(papers.records, grant.terms["custodian"]))
    check_not_revoked((), history.revocations, trust, papers.records)
    if papers.own is not None and history.uses >= papers.own.terms["max_uses"]:
        raise Refused("grant.exhausted", "every use of the grant is taken in this node's book")
    for before in history.asked:
        _second_table(papers.shape, before)
    if history.released_by not in (None, papers.job_hash):
        raise Refused("disclosure.already_released", "the same question was released before: open that result again")
    check_gates(history.gates, papers.shape.columns)


def _second_table(now: Shape, before: Shape) -> None:
    """Under a grant a column enters one table, at one floor. So all that other tables can tell about the cells of this
    one is how many persons there are in all, against which the gate's tree holds (docs/adr/0006-splits.md); two tables
    that share a column could be combined, and two floors tell how much of a cell one hospital holds. Nor is there
    a second filter: the difference of two that part at one person is that person (docs/adr/0014-filters.md). Where a
    total may be of a part of the roster, the same table over other grants or snapshots could be of another part, and
    their difference one hospital (docs/adr/0011-one-total-of-one-frozen-set.md)."""
    if now.filter != before.filter:
        raise Refused("disclosure.another_filter", "another filter, or none, was asked for under the same grant")
    if now.columns & before.columns and now != before:
        raise Refused("disclosure.column_tabulated",
                      "a column of this table is in another table, or under another floor, of the same grant")
    if now.columns & before.columns and (now.apart or before.apart) and now.question != before.question:
        raise Refused("disclosure.column_tabulated",
                      "the same table was asked for under other grants of the other hospitals, or of other snapshots")


def check_not_revoked(grants: Iterable[Grant], revocations: Sequence[Mapping[str, Any]], trust: Trust,
                      records: Mapping[str, Document] = NOBODY) -> None:
    """A signed revocation is final wherever it is seen, whatever the portal or the chain show; a suspension that came
    by file holds until a later one by the same side lets go. A custodian's passkeys are those of its record."""
    for grant in grants:
        for revocation in revocations:
            if revocation.get("grant") == grant.id and revokes(
                    grant.terms, revocation, trust, records.get(grant.terms["custodian"])):
                raise Refused("grant.revoked", "a signed revocation of a grant is known here")
        custodian = records.get(grant.terms["custodian"])
        passkeys = {**(passkeys_of(custodian) if custodian else {}), **trust.regulator.passkeys}
        sides = (trust.regulator.approvers, (grant.terms["custodian_approver"],))
        said = _about(revocations, "grant", grant.id)
        if _held(said, sides, grant_chain_id(grant.terms), domain_of(trust), passkeys):
            raise Refused("grant.suspended", "a signed suspension of a grant is known here")
    for id, record in records.items():
        said, chain_id = _about(revocations, "participant", id), record_chain_id(record)
        if _held(said, [trust.regulator.approvers], chain_id, participants_domain_of(trust), trust.regulator.passkeys):
            raise Refused("participant.suspended", "a signed suspension of a participant is known here")


def _only(records: Mapping[str, Document], id: str) -> Mapping[str, Document]:
    return {id: records[id]} if id in records else NOBODY


def _about(handed: Iterable[Mapping[str, Any]], about: str, subject: str) -> list[Mapping[str, Any]]:
    return [one["suspension"] for one in handed if (one.get("about"), one.get("subject")) == (about, subject)]


def _held(said: Sequence[Mapping[str, Any]], sides: Sequence[Collection[str]], chain_id: str, domain: Domain,
          passkeys: Mapping[str, Sequence[Mapping[str, Any]]]) -> bool:
    """Whether the last word of one side, by its number, is to hold; of two with one number the one that holds counts.
    What was handed over is lifted only like this."""
    last: dict[int, tuple[int, bool]] = {}
    for one in said:
        try:
            decider = verify_suspension(chain_id, one, domain=domain, passkeys=passkeys)
        except LedgerError:
            continue
        for side, deciders in enumerate(sides):
            if decider in deciders:
                last[side] = max(last.get(side, (0, False)), (one["number"], one["suspended"]))
    return any(suspended for _, suspended in last.values())


def revokes(terms: Mapping[str, Any], revocation: Mapping[str, Any], trust: Trust,
            custodian: Document | None = None) -> bool:
    """True when this is a valid revocation of these terms by one who may; anything else is no revocation."""
    passkeys = {**(passkeys_of(custodian) if custodian else {}), **trust.regulator.passkeys}
    try:
        decider = verify_revocation(terms, revocation, domain=domain_of(trust), passkeys=passkeys)
    except LedgerError:
        return False
    if revocation["by"] == "regulator":
        return decider in trust.regulator.approvers
    return str(terms["custodian_approver"]) == decider


def check_chain(papers: Papers, chain: ChainFacts, now: datetime) -> None:
    """The chain, which can only take permission away: registered and final, equal, not revoked, in time, uses left."""
    check_clock(chain.time, now)
    for seat, grant in papers.counted:
        with about(seat):
            if grant.id in chain.revoked:
                raise Refused("grant.revoked", "a grant is revoked on chain")
            if grant.id in chain.suspended:
                raise Refused("grant.suspended", "a grant is suspended on chain")
    for seat, grant in papers.counted:
        with about(seat):
            _grant_on_chain(grant, chain)
    for seat, grant in papers.counted:
        with about(seat):
            _record_on_chain(papers.records.get(grant.terms["custodian"]), chain)
            if grant.terms["custodian"] in chain.suspended:
                raise Refused("participant.suspended", "a participant of this job is suspended on chain")
    sealed_to = [papers.spec["dealer"]["participant"]] if are_apart(papers.spec) else []
    lead = [papers.agreement["provider"]] if papers.present is None else []
    for member in (papers.consumer, *lead, *sealed_to):
        _record_on_chain(papers.records.get(member), chain)
    if chain.suspended & papers.records.keys():
        raise Refused("participant.suspended", "a participant of this job is suspended on chain")


def check_clock(head: int, now: datetime) -> None:
    """The head is young, and not ahead of this node's clock."""
    age = now.timestamp() - head
    if age > STALE_HEAD:
        raise Refused("chain.stale_head", "the chain's newest block is older than two minutes")
    if age < -SKEW.total_seconds():
        raise Refused("clock.skew", "the chain's time is more than a minute ahead of this node's clock")


def _grant_on_chain(grant: Grant, chain: ChainFacts) -> None:
    found, terms = chain.grants.get(grant.id), grant.terms
    if found is None:
        raise Refused("grant.not_registered", "a grant is not registered on chain, or not final yet")
    if found.terms_hash.removeprefix("0x") != document_hash(terms):
        raise Refused("grant.terms_mismatch", "a grant's terms on chain are others", "regulator")
    if found.custodian.lower() != terms["custodian_approver"]:
        raise Refused("grant.wrong_custodian", "a grant was registered by another custodian")
    if found.service.lower() != str(grant.consent["service"]):
        raise Refused("grant.wrong_custodian", "a grant was registered with another service key")
    if chain.time < max(found.not_before, int(parse_time(terms["not_before"]).timestamp())):
        raise Refused("grant.not_yet", "a grant does not hold yet, by the chain's time")
    if chain.time >= min(found.not_after, int(parse_time(terms["not_after"]).timestamp())):
        raise Refused("grant.expired", "a grant is over, by the chain's time")
    if found.uses >= min(found.max_uses, terms["max_uses"]) and not found.used_by_job:
        raise Refused("grant.exhausted", "a grant has no use left on chain")


def _record_on_chain(record: Mapping[str, Any] | None, chain: ChainFacts) -> None:
    if record is None:
        raise Refused("participant.record_mismatch", "a participant's record is missing", "operator")
    if (chain.records.get(record["id"]) or "").removeprefix("0x") != document_hash(record):
        raise Refused("participant.record_mismatch", "a participant's record is not its current one on chain")


def check_policy(papers: Papers, floor: int) -> int:
    """The floor that stands whatever the spec asks: the largest of the policy's, the grants' and the function's."""
    return strictest(floor, CATALOG[papers.function].minimum_floor, *(grant.terms["floor"] for grant in papers.grants))


def strictest(*floors: int) -> int:
    """k is the largest of all that have a say, one at least."""
    return max(1, *floors)


def check_own_data(papers: Papers, fingerprint_now: str | None) -> None:
    """The file here is the snapshot that was granted; `None` says that no readable file is registered."""
    if papers.own is None:
        return
    record = papers.datasets[papers.seat]
    if fingerprint_now is None:
        raise Refused("grant.wrong_dataset", "the dataset is not registered at this node", "custodian")
    if fingerprint_now != record["fingerprint"]:
        raise Refused("dataset.changed", "the file is not the snapshot that was registered")


@dataclass(frozen=True)
class Session:
    """What all verdicts together say: the session's id and every member's fresh keys, dealer last."""

    id: str
    peers: tuple[dict[str, Any], ...]


def verify_session(papers: Papers, verdicts: Sequence[object], dealer: object, own: Mapping[str, Any]) -> Session:
    """Every member accepted this very spec in this attempt, with keys of its own; ours is the one that we signed."""
    members = [(seat["participant"], seat["signing"]) for seat in papers.spec["roster"]]
    members.append((papers.spec["dealer"]["participant"], papers.spec["dealer"]["signing"]))
    found = [_verdict(wire, papers, members) for wire in (*verdicts, dealer)]
    if [verdict["participant"] for verdict in found[:-1]] != [member for member, _ in members[:-1]]:
        found[:-1] = sorted(found[:-1], key=lambda verdict: int(verdict["seat"]))
    if [(verdict["seat"], verdict["participant"]) for verdict in found] != [
        (seat, member) for seat, (member, _) in enumerate(members)
    ]:
        raise Refused("session.mismatch", "there is not one verdict from each member")
    if found[papers.seat] != dict(own):
        raise Refused("session.mismatch", "our own verdict is not the one that we signed")
    for name in ("certificate", "exchange"):
        if len({verdict["session"][name] for verdict in found}) != len(found):
            raise Refused("session.mismatch", "two members brought the same key")
    hashes = [document_hash(verdict) for verdict in found]
    try:
        identity = session_id(papers.job_hash, papers.attempt, hashes[:-1], hashes[-1])
    except MpcError as error:
        raise Refused("session.mismatch", "the verdicts make no session") from error
    return Session(identity, tuple(
        {"seat": verdict["seat"], "participant": verdict["participant"], **verdict["session"]} for verdict in found))


def _verdict(wire: object, papers: Papers, members: Sequence[tuple[str, str]]) -> dict[str, Any]:
    try:
        claimed = wire["document"]["seat"] if isinstance(wire, dict) else -1
        key = members[claimed][1] if type(claimed) is int and 0 <= claimed < len(members) else ""
        verdict = verify_signed(wire, type="verdict", keys=[key])
    except (LedgerError, KeyError, TypeError) as error:
        raise Refused("session.mismatch", "a verdict is not signed by the member it names") from error
    if (verdict["job"], verdict["job_hash"], verdict["attempt"]) != (papers.job, papers.job_hash, papers.attempt):
        raise Refused("session.mismatch", "a member answered another spec or attempt")
    if verdict["decision"] != "accept" or verdict["session"] is None:
        raise Refused("session.mismatch", "a member did not accept")
    try:
        check_leaf(from_b64(verdict["session"]["certificate"]), key, Place(papers.job_hash, papers.attempt, claimed))
    except MpcError as error:
        raise Refused("session.mismatch", error.text) from error
    return verdict
