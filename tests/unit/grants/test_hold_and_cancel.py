"""Holding a grant and letting it go, each side for itself; and taking back what nobody registered yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from dataspace.grants.models import Grant
from dataspace.grants.services import refusal_of
from dataspace.provenance.models import ChainTx, Event
from ledger import acts
from ledger.approval import domain_of, sign_suspension
from ledger.errors import PortalRefused, VerificationError
from tests.simulators.portal_space import HOSPITALS, Space, Stage, now, staged


def _build(space: Space) -> list[str]:
    grants = space.ready().decide(space.applied())
    space.consent(grants[0])
    space.pass_time()
    return grants


stage = staged(_build)


@pytest.fixture
def people(stage: Stage, db: None) -> Iterator[Space]:
    with stage.act() as space:
        yield space


@pytest.fixture
def active(people: Space, stage: Stage) -> str:
    return str(stage.made[0])


@pytest.fixture
def waiting(people: Space, stage: Stage) -> str:
    """Approved; its custodian has not consented."""
    return str(stage.made[1])


def custodian(people: Space, grant: str) -> str:
    return people.name_of(str(Grant.objects.get(pk=grant).custodian_id))


def hold(people: Space, grant: str, name: str, *, suspended: bool = True) -> dict[str, Any]:
    return acts.suspend_grant(
        people.door(name), people.trust, grant, approver=people.approver(name), suspended=suspended
    )


def state(grant: str) -> str:
    return str(Grant.objects.get(pk=grant).state)


def kinds(grant: str) -> list[str]:
    return list(Event.objects.filter(subject_id=grant).order_by("number").values_list("kind", flat=True))


def test_it_works(people: Space, active: str) -> None:
    assert hold(people, active, "office")["delivered"]
    assert (state(active), refusal_of(state(active))) == ("suspended", "suspended")
    acts.resume_grant(people.door("office"), people.trust, active, approver=people.approver("office"))
    assert state(active) == "active"
    assert kinds(active)[-2:] == ["grant.suspended", "grant.resumed"]
    assert ChainTx.objects.filter(kind="suspend_grant", subject_id=active).count() == 2


def test_it_stays_suspended_while_either_side_holds_it(people: Space, active: str) -> None:
    """The regulator's word does not undo the hospital's."""
    hospital = custodian(people, active)
    hold(people, active, "office")
    hold(people, active, hospital)
    hold(people, active, "office", suspended=False)
    assert state(active) == "suspended"
    hold(people, active, hospital, suspended=False)
    assert (state(active), kinds(active)[-2:]) == ("active", ["grant.suspension_lifted", "grant.resumed"])


def test_nobody_else_holds_it_or_lets_it_go(people: Space, active: str) -> None:
    other = next(name for name in HOSPITALS if name != custodian(people, active))
    with pytest.raises(VerificationError, match=r"key\.wrong_role"):
        acts.suspend_grant(people.door("office"), people.trust, active, approver=people.approver(other))
    given = hold(people, active, "office")["suspension"]
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").post(f"/grants/{active}/suspension", {"suspension": given})
    assert refused.value.status == 403
    forged = {**given, "suspended": False, "number": given["number"] + 1}
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/grants/{active}/suspension", {"suspension": forged})
    assert refused.value.code == "approval.signature"


def test_an_earlier_word_does_not_come_back(people: Space, active: str) -> None:
    """Whoever kept the lifting of last week's suspension cannot lift this week's with it."""
    hold(people, active, "office")
    lifted = hold(people, active, "office", suspended=False)["suspension"]
    hold(people, active, "office")
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/grants/{active}/suspension", {"suspension": lifted})
    assert (refused.value.code, state(active)) == ("grant.stale_number", "suspended")


def test_nobody_uses_the_numbers_up(people: Space, active: str) -> None:
    """As on the chain: after a stolen key's word no later one would count."""
    number = int(now().timestamp() + 2 * 86_400) * 1000
    far = sign_suspension(
        Grant.objects.get(pk=active).chain_id, False, number, people.approver("office"), domain_of(people.trust)
    )
    with pytest.raises(PortalRefused) as refused:
        people.door("office").post(f"/grants/{active}/suspension", {"suspension": far})
    assert refused.value.code == "grant.stale_number"
    hold(people, active, "office")


def test_a_suspended_grant_can_be_revoked(people: Space, active: str) -> None:
    hold(people, active, "office")
    acts.revoke_grant(people.door("office"), people.trust, active, approver=people.approver("office"), reason="stop")
    assert state(active) == "revoked"


def test_a_revocation_that_the_chain_did_not_take_is_sent_again(people: Space, active: str) -> None:
    """Its transaction failed, as with somebody else's in its place: the grant must not stay usable on chain."""
    acts.revoke_grant(people.door("office"), people.trust, active, approver=people.approver("office"), reason="stop")
    sent = ChainTx.objects.filter(kind="revoke", subject_id=active)
    earlier = now() - timedelta(hours=1)
    sent.update(status="failed", code="chain.nonce_taken", created_at=earlier)
    people.pass_time()
    assert list(sent.order_by("nonce").values_list("status", flat=True)) == ["failed", "final"]
    people.pass_time()
    assert sent.count() == 2, "and not again when it stands"
    sent.update(status="failed", code="chain.refused.bad_signer")
    people.pass_time()
    assert sent.count() == 2, "nor at once"
    sent.update(created_at=earlier)
    people.pass_time()
    assert sent.count() == 3


def test_a_suspension_that_a_later_one_overtook_is_not(people: Space, active: str) -> None:
    hold(people, active, "office")
    sent = ChainTx.objects.filter(kind="suspend_grant", subject_id=active)
    earlier = now() - timedelta(hours=1)
    sent.update(status="failed", code="chain.refused.stale_number", created_at=earlier)
    people.pass_time()
    assert sent.count() == 1
    sent.update(code="chain.reverted")
    people.pass_time()
    assert sent.count() == 2


def test_while_the_chain_is_away_a_suspension_stands_and_waits(people: Space, active: str) -> None:
    people.chain.switches.on = False
    hold(people, active, "office")
    assert state(active) == "suspended"
    assert not ChainTx.objects.filter(kind="suspend_grant").exclude(status="signed").exists()
    people.chain.switches.on = True
    people.pass_time()
    assert ChainTx.objects.get(kind="suspend_grant").status == "final"


def test_the_regulator_takes_its_approval_back(people: Space, waiting: str) -> None:
    acts.cancel_approval(people.door("office"), people.trust, waiting, approver=people.approver("office"))
    assert (state(waiting), kinds(waiting)[-1]) == ("cancelled", "grant.cancelled")
    assert ChainTx.objects.filter(kind="cancel", subject_id=waiting).count() == 1
    with pytest.raises(PortalRefused) as refused:
        people.consent(waiting)
    assert refused.value.code == "illegal_move"


def test_a_custodian_takes_its_consent_back_and_may_give_another(people: Space, waiting: str) -> None:
    hospital = custodian(people, waiting)
    people.consent(waiting)
    acts.cancel_approval(people.door(hospital), people.trust, waiting, approver=people.approver(hospital))
    assert (state(waiting), Grant.objects.get(pk=waiting).consent) == ("submitted", None)
    people.pass_time()
    assert not ChainTx.objects.filter(kind="register", subject_id=waiting).exists()
    people.consent(waiting)
    people.pass_time()
    assert state(waiting) == "active"


def test_what_is_registered_is_revoked_and_not_cancelled(people: Space, active: str) -> None:
    with pytest.raises(PortalRefused) as refused:
        acts.cancel_approval(people.door("office"), people.trust, active, approver=people.approver("office"))
    assert (refused.value.code, state(active)) == ("grant.registered", "active")


def test_who_signed_nothing_takes_nothing_back(people: Space, waiting: str) -> None:
    hospital = custodian(people, waiting)
    with pytest.raises(VerificationError, match=r"approval\.missing"):
        acts.cancel_approval(people.door(hospital), people.trust, waiting, approver=people.approver(hospital))
