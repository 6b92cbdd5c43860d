"""What the book knows against a job: replays, second specs, spent uses, second tables, withheld revocations."""

from dataclasses import replace
from typing import Any

import pytest

from ledger.approval import domain_of, sign_revocation
from mpc.node import checks
from mpc.node.book import History, SeenJob, Shape
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import NOW, World

CLEAN = History(same_id=None, nonce_used_by=None, sealed=False, uses=0, asked=(), released_by=None, revocations=())


@pytest.fixture(scope="module")
def papers(world: World) -> Papers:
    return verify_papers(world.item(function="crosstab"), me=world.me("hospital_a"), trust=world.trust, now=NOW)


def refused(papers: Papers, world: World, **history: Any) -> str:
    with pytest.raises(Refused) as caught:
        checks.check_book(papers, replace(CLEAN, **history), world.trust)
    return caught.value.code


def seen(papers: Papers, **values: Any) -> SeenJob:
    return replace(papers.seen, state="failed", **values)


def test_it_works(papers: Papers, world: World) -> None:
    checks.check_book(papers, CLEAN, world.trust)


def test_a_later_attempt_is_no_replay(papers: Papers, world: World) -> None:
    checks.check_book(replace(papers, attempt=2), replace(CLEAN, same_id=seen(papers), nonce_used_by=papers.job_hash),
                      world.trust)


def test_two_specs_under_one_id(papers: Papers, world: World) -> None:
    assert refused(papers, world, same_id=seen(papers, job_hash="00" * 32)) == "spec.two_specs"


def test_a_nonce_used_before(papers: Papers, world: World) -> None:
    assert refused(papers, world, nonce_used_by="00" * 32) == "spec.replayed"


def test_the_same_attempt_again(papers: Papers, world: World) -> None:
    assert refused(papers, world, same_id=seen(papers)) == "spec.replayed"


def test_a_job_that_was_sealed(papers: Papers, world: World) -> None:
    assert refused(replace(papers, attempt=2), world, same_id=seen(papers), sealed=True) == "spec.replayed"


def test_uses_spent_in_our_own_book(papers: Papers, world: World) -> None:
    assert refused(papers, world, uses=5) == "grant.exhausted"
    checks.check_book(papers, replace(CLEAN, uses=4), world.trust)


def test_a_second_table_over_a_column_with_other_codes(papers: Papers, world: World) -> None:
    before = replace(papers.shape, cells={"pain": "00" * 32})
    assert refused(papers, world, asked=(before,)) == "disclosure.column_tabulated"


def test_a_second_table_with_the_same_codes(papers: Papers, world: World) -> None:
    checks.check_book(papers, replace(CLEAN, asked=(papers.shape,)), world.trust)


def test_a_second_table_over_a_column_with_another_floor(papers: Papers, world: World) -> None:
    before = Shape(papers.floor + 1, {}, frozenset({"age", "pain"}))
    assert refused(papers, world, asked=(before,)) == "disclosure.column_tabulated"
    checks.check_book(papers, replace(CLEAN, asked=(replace(before, complete=frozenset({"age"})),)), world.trust)


def test_sums_of_a_column_over_other_groups(world: World) -> None:
    papers = verify_papers(world.item(), me=world.me("hospital_a"), trust=world.trust, now=NOW)
    for cells in ({}, {"pain": "codes"}):
        before = Shape(papers.floor, cells, frozenset({"age", *cells}))
        assert refused(papers, world, asked=(before,)) == "disclosure.column_tabulated"
    other_column = Shape(papers.floor, papers.shape.cells, frozenset({"bp", "sex"}))
    checks.check_book(papers, replace(CLEAN, asked=(papers.shape, other_column)), world.trust)


def test_tables_to_compare_share_a_column_and_count_other_rows(papers: Papers) -> None:
    assert papers.shape.complete == {"pain", "grade"} == set(papers.shape.cells)

    def compared(cells: set[str], *complete: str) -> Any:
        before = Shape(10, dict.fromkeys(cells, "codes"), frozenset(complete))
        return checks.other_rows(papers, replace(CLEAN, asked=(papers.shape, before)))
    assert compared(set(), "age", "grade") == {((), frozenset({"age", "grade"}))}
    assert compared({"sex", "grade"}, "sex", "grade") == {(("grade",), frozenset({"sex", "grade"}))}
    assert compared({"sex"}, "sex", "age") == compared({"pain"}, "pain", "grade") == set()


@pytest.mark.parametrize(("differing", "close"), [([], False), ([0, 10, 400], False), ([9], True), ([50, 1], True)])
def test_tables_over_almost_the_same_rows(differing: list[int], close: bool) -> None:
    if not close:
        checks.check_other_rows(differing, 10)
        return
    with pytest.raises(Refused) as caught:
        checks.check_other_rows(differing, 10)
    assert caught.value.code == "disclosure.column_tabulated"


def test_the_same_question_released_by_another_job(papers: Papers, world: World) -> None:
    assert refused(papers, world, released_by="00" * 32) == "disclosure.already_released"


@pytest.mark.parametrize(("by", "name"), [("regulator", "office"), ("custodian", "hospital_b")])
def test_a_revocation_withheld_by_the_portal(papers: Papers, world: World, by: str, name: str) -> None:
    custodian = world.keys[name].participant
    grant = next((one for one in papers.grants if one.terms["custodian"] == custodian), papers.grants[0])
    revocation = sign_revocation(grant.terms, world.approver(name), by=by, reason="stop",
                                 domain=domain_of(world.trust))
    assert refused(papers, world, revocations=(revocation,)) == "grant.revoked"


def test_a_revocation_by_somebody_who_may_not(papers: Papers, world: World) -> None:
    terms, domain = papers.grants[0].terms, domain_of(world.trust)
    for by in ("regulator", "custodian"):
        forged = sign_revocation(terms, world.approver("outsider"), by=by, reason="stop", domain=domain)
        checks.check_book(papers, replace(CLEAN, revocations=(forged,)), world.trust)
    true = sign_revocation(terms, world.approver("office"), by="regulator", reason="stop", domain=domain)
    true["reason_hash"] = "0x" + "00" * 32
    checks.check_book(papers, replace(CLEAN, revocations=(true,)), world.trust)


def test_policy_and_file(papers: Papers) -> None:
    record = papers.datasets[papers.seat]
    checks.check_own_data(papers, record["fingerprint"])
    for found, code in ((None, "grant.wrong_dataset"), ("", "dataset.changed"), ("00" * 32, "dataset.changed")):
        with pytest.raises(Refused) as caught:
            checks.check_own_data(papers, found)
        assert caught.value.code == code
