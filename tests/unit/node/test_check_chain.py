"""The chain against a job: it can only take permission away, and not to know is to refuse."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.documents import document_hash, parse_time
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


def test_what_is_asked_is_final(world: World, item: Document, papers: Papers) -> None:
    asked: list[str] = []

    class Listening(ChainInMemory):
        def __getattribute__(self, name: str) -> Any:
            found = super().__getattribute__(name)
            if name not in ("grant", "participant_record", "used"):
                return found

            def note(*arguments: Any) -> Any:
                asked.append(arguments[-1])
                return found(*arguments)
            return note
    chain = Listening(**ChainInMemory.of(world, item).__dict__)
    view: Callable[[Papers], ChainFacts] = ChainView(chain, world.trust).facts
    view(papers)
    assert asked and set(asked) == {"finalized"}
    assert all(found.terms_hash == "0x" + document_hash(grant.terms) for grant, found in (
        (grant, view(papers).grants[grant.id]) for grant in papers.grants) if found is not None)


def test_a_grant_barred_before_it_was_registered(world: World, item: Document, papers: Papers) -> None:
    chain = ChainInMemory.of(world, item)
    barred = papers.grants[0]
    del chain.registered[barred.chain_id]
    chain.tombstones.add((barred.chain_id, barred.terms["custodian_approver"]))
    found = ChainView(chain, world.trust).facts(papers)
    assert refused(papers, replace(found, time=int(NOW.timestamp()))) == "grant.revoked"
