"""The chain against a job: it can only take permission away, and not to know is to refuse."""

import copy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.documents import chain_id_of, document_hash, parse_time
from ledger.errors import VerificationError
from mpc.node import checks
from mpc.node.chainview import ChainView
from mpc.node.checks import ChainFacts, GrantOnChain
from mpc.node.errors import Refused, Unsettled
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import NOW, ChainInMemory, Document, World


@pytest.fixture(scope="module")
def item(world: World) -> Document:
    return world.item()


@pytest.fixture(scope="module")
def papers(world: World, item: Document) -> Papers:
    return verify_papers(item, me=world.me("hospital_a"), trust=world.trust, now=NOW)


@pytest.fixture
def facts(world: World, item: Document, papers: Papers) -> ChainFacts:
    found = ChainView(ChainInMemory.of(world, item), world.trust).facts(papers)
    return replace(found, time=int(NOW.timestamp()))


def refused(papers: Papers, facts: ChainFacts, **changes: Any) -> str:
    with pytest.raises(Refused) as caught:
        checks.check_chain(papers, replace(facts, **changes), NOW)
    return caught.value.code


def one(papers: Papers, facts: ChainFacts, **changes: Any) -> dict[str, GrantOnChain | None]:
    """The grants with one of them changed; not our own."""
    other = next(grant for grant in papers.grants if grant is not papers.own)
    known = facts.grants[other.id]
    if known is None:
        raise LookupError(other.id)
    return {**facts.grants, other.id: replace(known, **changes)}


def test_it_works(papers: Papers, facts: ChainFacts) -> None:
    checks.check_chain(papers, facts, NOW)


def test_a_grant_that_is_not_registered(papers: Papers, facts: ChainFacts) -> None:
    assert refused(papers, facts, grants={**facts.grants, papers.grants[1].id: None}) == "grant.not_registered"


@pytest.mark.parametrize(("changes", "code"), [
    ({"terms_hash": "0x" + "00" * 32}, "grant.terms_mismatch"),
    ({"custodian": "0x" + "00" * 20}, "grant.wrong_custodian"),
    ({"service": "0x" + "00" * 20}, "grant.wrong_custodian"),
    ({"not_before": int(NOW.timestamp()) + 1}, "grant.not_yet"),
    ({"not_after": int(NOW.timestamp())}, "grant.expired"),
    ({"uses": 5}, "grant.exhausted"),
])
def test_a_grant_that_is_not_ours_to_use(papers: Papers, facts: ChainFacts, changes: Document, code: str) -> None:
    assert refused(papers, facts, grants=one(papers, facts, **changes)) == code


def test_the_last_use_taken_by_this_job(papers: Papers, facts: ChainFacts) -> None:
    checks.check_chain(papers, replace(facts, grants=one(papers, facts, uses=5, used_by_job=True)), NOW)


def test_expired_by_the_chains_time_alone(papers: Papers, facts: ChainFacts) -> None:
    end = parse_time(papers.grants[0].terms["not_after"])
    with pytest.raises(Refused) as caught:
        checks.check_chain(papers, replace(facts, time=int(end.timestamp())), end - timedelta(seconds=30))
    assert caught.value.code == "grant.expired"


def test_a_revoked_grant_though_registered(papers: Papers, facts: ChainFacts) -> None:
    assert refused(papers, facts, revoked=frozenset({papers.grants[2].id})) == "grant.revoked"


def test_a_record_that_is_no_longer_current(papers: Papers, facts: ChainFacts) -> None:
    for member in (papers.consumer, papers.spec["roster"][1]["participant"]):
        assert refused(papers, facts, records={**facts.records, member: "0x" + "00" * 32}) == (
            "participant.record_mismatch")
        assert refused(papers, facts, records={**facts.records, member: None}) == "participant.record_mismatch"


@pytest.mark.parametrize(("seconds", "code"), [(-121, "chain.stale_head"), (61, "clock.skew")])
def test_a_head_of_another_time(papers: Papers, facts: ChainFacts, seconds: int, code: str) -> None:
    assert refused(papers, facts, time=int(NOW.timestamp()) + seconds) == code


@pytest.mark.parametrize("seconds", [-120, 60])
def test_a_head_just_young_enough(papers: Papers, facts: ChainFacts, seconds: int) -> None:
    checks.check_chain(papers, replace(facts, time=int(NOW.timestamp()) + seconds), NOW)


@pytest.mark.parametrize(("trouble", "code"), [
    ("chain.unavailable", "chain.unavailable"), ("chain.stale_head", "chain.stale_head"),
    ("chain.disagree", "chain.disagree"), ("chain.rpc", "chain.unavailable"),
])
def test_a_chain_that_cannot_be_asked(world: World, item: Document, papers: Papers, trouble: str, code: str) -> None:
    chain = ChainInMemory.of(world, item)
    chain.unavailable = trouble
    with pytest.raises(Unsettled) as caught:
        ChainView(chain, world.trust).facts(papers)
    assert caught.value.code == code


def test_a_strangers_chain(world: World, item: Document, papers: Papers, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object) -> None:
        raise VerificationError("chain.wrong", "another genesis")
    chain = ChainInMemory.of(world, item)
    monkeypatch.setattr(chain, "check_contracts", wrong)
    with pytest.raises(Refused) as caught:
        ChainView(chain, world.trust).facts(papers)
    assert caught.value.code == "chain.wrong"


def test_only_what_is_final_gives_permission(world: World, item: Document, papers: Papers) -> None:
    """The newest block may take permission away; that it gives some says nothing yet."""
    class NotYetFinal(ChainInMemory):
        def grant(self, grant_id: str, block: str = "finalized") -> Any:
            return None if block == "finalized" else super().grant(grant_id, block)

        def participant_record(self, id: str, block: str = "finalized") -> Any:
            return None if block == "finalized" else super().participant_record(id, block)

        def used(self, grant_id: str, job_hash: str, block: str = "finalized") -> bool:
            return block != "finalized"
    found = ChainView(NotYetFinal(**ChainInMemory.of(world, item).__dict__), world.trust).facts(papers)
    assert set(found.grants.values()) == set(found.records.values()) == {None}
    facts = ChainView(ChainInMemory.of(world, item), world.trust).facts(papers)
    assert all(one is not None and one.terms_hash == "0x" + document_hash(grant.terms)
               for grant in papers.grants for one in [facts.grants[grant.id]])


def test_a_grant_barred_before_it_was_registered(world: World, item: Document, papers: Papers) -> None:
    chain = ChainInMemory.of(world, item)
    barred = papers.grants[0]
    del chain.registered[barred.chain_id]
    chain.tombstones.add((barred.chain_id, barred.terms["custodian_approver"]))
    found = ChainView(chain, world.trust).facts(papers)
    assert refused(papers, replace(found, time=int(NOW.timestamp()))) == "grant.revoked"


def test_a_suspended_grant_or_participant(papers: Papers, facts: ChainFacts) -> None:
    assert refused(papers, facts, suspended=frozenset({papers.grants[0].id})) == "grant.suspended"
    for member in (papers.consumer, papers.spec["dealer"]["participant"], papers.spec["roster"][2]["participant"]):
        assert refused(papers, facts, suspended=frozenset({member})) == "participant.suspended"


@pytest.mark.parametrize("block", ["latest", "finalized"])
def test_a_hold_counts_at_once_and_its_end_when_it_is_final(world: World, item: Document, papers: Papers,
                                                            block: str) -> None:
    """Seen at the newest block only, or still at the final one: either way it is held, also while the job runs."""
    for name, code, subject in (("grant", "grant.suspended", papers.grants[0].id),
                                ("participant_record", "participant.suspended", papers.consumer)):
        chain = ChainInMemory.of(world, item)
        ask = getattr(chain, name)
        wanted = (papers.grants[0].chain_id if name == "grant"
                  else chain_id_of(papers.consumer, papers.records[papers.consumer]["id_salt"]))

        def held(id: str, at: str = "finalized", *, ask: Any = ask, wanted: str = wanted) -> Any:
            found = copy.copy(ask(id, at))
            if id == wanted:
                found.suspended = at == block
            return found

        setattr(chain, name, held)
        view = ChainView(chain, world.trust)
        assert view.facts(papers).suspended == {subject}
        assert view.stopped(papers) == code
    assert ChainView(ChainInMemory.of(world, item), world.trust).stopped(papers) is None
