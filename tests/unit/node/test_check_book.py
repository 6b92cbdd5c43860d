"""What the book knows against a job: replays, second specs, spent uses, second tables, withheld revocations."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ledger.approval import domain_of, sign_revocation
from ledger.documents import timestamp
from mpc.node import checks
from mpc.node.book import History, SeenJob, Shape
from mpc.node.errors import Refused
from mpc.node.papers import Papers, verify_papers
from tests.simulators.node_world import HOSPITALS, NOW, World

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


def test_a_third_attempt_whatever_the_portal_says(papers: Papers, world: World) -> None:
    """One use buys two computations at most."""
    before = {"same_id": replace(seen(papers), attempt=2), "nonce_used_by": papers.job_hash}
    assert refused(replace(papers, attempt=3), world, **before) == "spec.replayed"


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


def test_a_column_enters_one_table(papers: Papers, world: World) -> None:
    """Other codes, other groups, another second column, rows for columns: all could be combined with this one."""
    assert papers.shape.columns == {"pain", "grade"}
    for columns in ({"pain", "grade"}, {"pain"}, {"grade", "age"}):
        before = Shape(papers.floor, "00" * 32, frozenset(columns))
        assert refused(papers, world, asked=(before,)) == "disclosure.column_tabulated"


def test_the_same_table_again(papers: Papers, world: World) -> None:
    checks.check_book(papers, replace(CLEAN, asked=(papers.shape,)), world.trust)


def test_the_same_table_at_another_floor(papers: Papers, world: World) -> None:
    before = replace(papers.shape, floor=papers.floor + 1)
    assert refused(papers, world, asked=(before,)) == "disclosure.column_tabulated"


def test_tables_of_other_columns(papers: Papers, world: World) -> None:
    others = tuple(Shape(floor, "00" * 32, frozenset({"age", "sex"})) for floor in (papers.floor, papers.floor + 1))
    checks.check_book(papers, replace(CLEAN, asked=others), world.trust)


def test_one_table_over_two_sets_of_grants_gives_a_hospital_away(world: World) -> None:
    """Of jobs that end with a part of the roster: one hospital's grant anew is another question to the dealer's office,
    which would freeze another set for it; the difference of the two sets is a hospital. All members of a session are
    in either total."""
    plan = world.scenario()
    records = sorted((world.datasets[name]["document"] for name in HOSPITALS), key=lambda one: str(one["id"]))
    first = [world.grant(plan, one) for one in records]
    own = next(at for at, one in enumerate(records) if one["provider"] == world.keys["hospital_a"].participant)
    other = (own + 1) % 3
    anew = [*first[:other], world.grant(plan, records[other]), *first[other + 1 :]]
    waits = {"engine": "paillier/1", "contributions": {
        "by": timestamp(NOW + timedelta(minutes=30)), "minimum": 3, "ciphertexts": 1,
        "key": {"n": "f" * 512, "hs": "2b"}}}

    def asked(grants: list[Any], **spec: Any) -> Papers:
        item = world.item(scenario=plan, grants=grants, **spec)
        return verify_papers(item, me=world.me("hospital_a"), trust=world.trust, now=NOW)

    together, apart = asked(first), asked(first, **waits)
    assert apart.shape == asked(anew, **waits).shape and apart.release_key != asked(anew, **waits).release_key
    for before, now in ((apart, asked(anew, **waits)), (together, asked(anew, **waits)), (apart, asked(anew))):
        kept = Shape.from_text(before.shape.to_text())
        assert refused(now, world, asked=(kept,)) == "disclosure.column_tabulated"
    for before, now in ((apart, asked(first, **waits)), (apart, together), (together, asked(anew))):
        checks.check_book(now, replace(CLEAN, asked=(before.shape,)), world.trust)


def test_rows_and_columns_swapped_are_another_table(world: World) -> None:
    shapes = {verify_papers(world.item(function="crosstab", parameters=parameters), me=world.me("hospital_a"),
                            trust=world.trust, now=NOW).shape
              for parameters in ({"rows": "pain", "columns": "grade"}, {"rows": "grade", "columns": "pain"})}
    assert len(shapes) == 2


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
