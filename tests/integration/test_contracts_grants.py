"""GrantRegistry on a real chain: what registers, what is refused, and who may take away or count."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ledger.abi import address_bytes, bytes32, calldata
from ledger.approval import (
    grant_chain_id,
    sign_cancellation,
    sign_revocation,
    sign_suspension,
    sign_use,
    signed_by,
    terms_digest,
)
from ledger.chain import Chain
from ledger.documents import document_hash, new_id
from ledger.errors import ChainRefused
from ledger.keys import EthKey
from tests.integration.chain_space import ChainSpace, job_hash

pytestmark = pytest.mark.stack


@pytest.fixture
def space(chain_space: ChainSpace) -> ChainSpace:
    return chain_space


def refused(code: str) -> pytest.RaisesExc[ChainRefused]:
    return pytest.RaisesExc(ChainRefused, check=lambda error: error.code == f"chain.refused.{code}")


def revoke(space: ChainSpace, terms: dict[str, Any], key: EthKey, *, by: str = "custodian") -> None:
    signed = sign_revocation(terms, key, by=by, reason="no longer wanted", domain=space.grants)
    space.send(space.chain.sign_revoke(
        space.stranger, space.nonce(space.stranger), grant_id=grant_chain_id(terms),
        reason_hash=signed["reason_hash"], decider=signed["decider"], signature=signed["signature"]))


def test_it_works(space: ChainSpace) -> None:
    terms = space.terms()
    grant_id = space.register(terms)
    grant = space.chain.grant(grant_id, "latest")
    assert grant is not None
    assert grant.terms_hash == "0x" + document_hash(terms)
    assert (grant.regulator, grant.custodian, grant.service) == (
        space.regulator.address, space.custodian.address, space.service.address)
    assert (grant.uses, grant.max_uses, grant.revoked) == (0, 3, False)
    assert grant.registered_block > 0
    assert grant.grantee == terms["grantee_address"]
    assert space.chain.is_active(grant_id)
    assert space.chain.owner_of(terms["dataset_chain_id"], "latest") == space.custodian.address
    assert not space.chain.is_revoked(grant_id)


def test_registering_again_changes_nothing(space: ChainSpace) -> None:
    terms = space.terms()
    approval, given = space.approval(terms), space.consent(terms)
    grant_id = space.register(terms, approval, given)
    before = space.chain.grant(grant_id, "latest")
    space.register(terms, approval, given)
    assert space.chain.grant(grant_id, "latest") == before


def test_other_terms_under_the_same_id_are_refused(space: ChainSpace) -> None:
    terms = space.terms()
    space.register(terms)
    with refused("exists"):
        space.register(terms | {"max_uses": 1000})


def test_altered_terms_are_refused(space: ChainSpace) -> None:
    terms = space.terms()
    approval, given = space.approval(terms), space.consent(terms)
    with refused("bad_signer"):
        space.register(terms | {"max_uses": 1000}, approval, given)


def test_one_signature_cannot_fill_both_slots(space: ChainSpace) -> None:
    terms = space.terms()
    approval, given = space.approval(terms), space.consent(terms)
    with refused("bad_signer"):  # the regulator's signature shown as the custodian's
        space.register(terms, approval, given | {"signature": approval["signature"]})
    with refused("bad_signer"):
        space.register(terms, approval | {"signature": given["signature"]}, given)
    own = space.terms(custodian=space.regulator)
    with refused("not_custodian"):  # nor may one address decide twice, with two true signatures
        space.register(own, space.approval(own), space.consent(own, key=space.regulator))
    assert space.chain.grant(grant_chain_id(terms), "latest") is None


def test_only_a_regulator_approves(space: ChainSpace) -> None:
    terms = space.terms()
    with refused("not_regulator"):
        space.register(terms, space.approval(terms, key=space.stranger))


def test_a_service_key_cannot_be_exchanged(space: ChainSpace) -> None:
    terms = space.terms()
    with refused("bad_signer"):
        space.register(terms, given=space.consent(terms) | {"service": space.stranger.address})


def test_a_dataset_keeps_its_owner(space: ChainSpace) -> None:
    dataset, other = new_id(), EthKey.create()
    space.register(space.terms(dataset=dataset))
    stolen = space.terms(dataset=dataset, custodian=other)
    with refused("not_owner"):
        space.register(stolen, given=space.consent(stolen, key=other))


def test_who_relays_an_approval_takes_no_custodians_place(space: ChainSpace) -> None:
    """The operator sees the regulator's approval first: its own key's consent to the same grant is worth nothing."""
    terms = space.terms()
    mine = space.consent(terms | {"custodian_approver": space.operator.address}, key=space.operator)
    value = terms_digest(space.grants, terms, role="custodian", decider=space.operator.address, nonce=mine["nonce"],
                         sign_by=mine["sign_by"], service=mine["service"])
    with refused("bad_signer"):
        space.register(terms, given=mine | signed_by(space.operator, value))
    assert space.chain.owner_of(terms["dataset_chain_id"], "latest") is None
    space.register(terms)


def test_a_refused_registration_fixes_no_owner(space: ChainSpace) -> None:
    terms, other = space.terms(), EthKey.create()
    with refused("bad_signer"):
        space.register(terms, given=space.consent(terms) | {"signature": "0x" + "11" * 65})
    again = space.terms(dataset=terms["dataset"], custodian=other)
    space.register(again, given=space.consent(again, key=other))
    assert space.chain.owner_of(terms["dataset_chain_id"], "latest") == other.address


def test_signing_too_late_is_refused(space: ChainSpace) -> None:
    terms = space.terms()
    with refused("signed_too_late"):
        space.register(terms, space.approval(terms, sign_by=-30))
    with refused("signed_too_late"):
        space.register(terms, given=space.consent(terms, sign_by=-30))


def test_a_signature_of_another_space_is_refused(space: ChainSpace) -> None:
    terms = space.terms()
    elsewhere = ChainSpace(space.chain, space.deployed, new_id(), space.deployer, space.regulator, space.operator,
                           space.custodian, space.service)
    with refused("bad_signer"):
        space.register(terms, elsewhere.approval(terms))


def test_senseless_terms_are_refused(space: ChainSpace) -> None:
    with refused("bad_terms"):
        space.register(space.terms(begins=-7200, ends=-3600))
    with refused("bad_terms"):
        space.register(space.terms(ends=20 * 365 * 86400))


@pytest.mark.parametrize("who", ["custodian", "regulator"])
def test_revoke(space: ChainSpace, who: str) -> None:
    terms = space.terms()
    grant_id = space.register(terms)
    revoke(space, terms, getattr(space, who), by=who)
    grant = space.chain.grant(grant_id, "latest")
    assert grant is not None
    assert grant.revoked
    assert space.chain.is_revoked(grant_id)
    assert not space.chain.is_active(grant_id)
    with refused("not_active"):
        space.consume(grant_id, job_hash())
    revoke(space, terms, getattr(space, who), by=who)  # again: no error
    space.register(terms)  # nor does registering again bring it back
    assert not space.chain.is_active(grant_id)


def test_a_stranger_cannot_revoke(space: ChainSpace) -> None:
    terms = space.terms()
    grant_id = space.register(terms)
    with refused("not_custodian"):
        revoke(space, terms, space.stranger, by="regulator")
    assert space.chain.is_active(grant_id)


def test_a_regulator_bars_a_grant_before_it_is_registered(space: ChainSpace) -> None:
    terms = space.terms()
    revoke(space, terms, space.regulator, by="regulator")
    assert space.chain.is_revoked(grant_chain_id(terms))
    with refused("already_revoked"):
        space.register(terms)


def test_a_custodian_withdraws_its_consent_before_registration(space: ChainSpace) -> None:
    terms = space.terms()
    revoke(space, terms, space.custodian)
    assert space.chain.is_revoked(grant_chain_id(terms), [space.custodian.address])
    with refused("already_revoked"):
        space.register(terms)


def test_a_strangers_tombstone_stops_nobody_else(space: ChainSpace) -> None:
    terms = space.terms()
    revoke(space, terms, space.stranger, by="regulator")
    assert space.chain.is_active(space.register(terms))


def test_a_job_counts_once_and_only_to_the_end(space: ChainSpace) -> None:
    grant_id = space.register(space.terms(max_uses=2))
    first, second, third = job_hash(), job_hash(), job_hash()
    space.consume(grant_id, first)
    space.consume(grant_id, first, by=space.operator)  # anyone relays; the same job again changes nothing
    grant = space.chain.grant(grant_id, "latest")
    assert grant is not None
    assert grant.uses == 1
    space.consume(grant_id, second)
    with refused("used_up"):
        space.consume(grant_id, third)
    space.consume(grant_id, second)  # used up, and still no error for what is counted
    assert space.chain.used(grant_id, second, "latest")
    assert not space.chain.used(grant_id, third, "latest")
    assert not space.chain.is_active(grant_id)


def test_only_the_service_key_consumes(space: ChainSpace) -> None:
    grant_id = space.register(space.terms())
    for key in (space.custodian, space.regulator, space.stranger):
        with refused("bad_signer"):
            space.consume(grant_id, job_hash(), key=key)
    other = space.register(space.terms())
    job = job_hash()
    with refused("bad_signer"):  # a use signed for another grant
        space.send(space.chain.sign_consume(
            space.stranger, space.nonce(space.stranger), grant_id=grant_id, job_hash=job,
            signature=sign_use(other, job, space.service, space.grants)))


def test_outside_its_period_nothing_is_consumed(space: ChainSpace) -> None:
    early = space.register(space.terms(begins=600))
    with refused("not_active"):
        space.consume(early, job_hash())
    short = space.register(space.terms(ends=8))
    late = space.chain.grant(short, "latest")
    assert late is not None
    wait_for_block_time(space.chain, late.not_after)
    with refused("not_active"):
        space.consume(short, job_hash())


def wait_for_block_time(chain: Chain, moment: int) -> None:
    from deploy.waiting import wait_until

    assert wait_until(lambda: chain.head().time >= moment, seconds=60)


def test_what_is_not_registered_is_not_consumed(space: ChainSpace) -> None:
    with refused("not_registered"):
        space.consume("0x" + "77" * 32, job_hash())


def test_the_deployer_and_the_operator_hold_no_role(space: ChainSpace) -> None:
    for name in ("anchor", "grants", "participants"):
        assert not space.chain.has_role(name, "DEFAULT_ADMIN_ROLE", space.deployer.address)
        assert not space.chain.has_role(name, "DEFAULT_ADMIN_ROLE", space.operator.address)
        assert space.chain.has_role(name, "DEFAULT_ADMIN_ROLE", space.regulator.address)
        for role in ("REGULATOR_ROLE", "ANCHOR_ROLE"):
            assert not space.chain.has_role(name, role, space.deployer.address)
        assert not space.chain.has_role(name, "REGULATOR_ROLE", space.operator.address)
    assert space.chain.has_role("anchor", "ANCHOR_ROLE", space.operator.address)
    assert not space.chain.has_role("anchor", "ANCHOR_ROLE", space.regulator.address)


def test_the_operator_cannot_name_a_regulator(space: ChainSpace) -> None:
    arguments = [bytes32(_role("REGULATOR_ROLE")), address_bytes(space.operator.address)]
    for contract in ("anchor", "grants", "participants"):
        for function in ("grantRole", "scheduleRole"):
            data = calldata(contract, function, arguments)
            with pytest.raises(ChainRefused) as caught:
                space.chain._call({"from": space.operator.address, "to": space.deployed[contract]["address"],
                                   "data": data}, "latest")
            assert caught.value.code == "chain.refused.access_control_unauthorized_account"


def test_even_the_admin_names_a_regulator_only_a_day_ahead(space: ChainSpace) -> None:
    data = calldata("grants", "grantRole", [bytes32(_role("REGULATOR_ROLE")), address_bytes(space.stranger.address)])
    with refused("role_not_scheduled"):
        space.chain._call({"from": space.regulator.address, "to": space.deployed["grants"]["address"], "data": data},
                          "latest")


def cancel(space: ChainSpace, terms: dict[str, Any], approval: dict[str, Any], key: EthKey) -> None:
    signed = sign_cancellation(terms, approval["nonce"], key, space.grants)
    space.send(space.chain.sign_cancel(
        space.stranger, space.nonce(space.stranger), grant_id=grant_chain_id(terms), approval_nonce=signed["nonce"],
        decider=signed["decider"], signature=signed["signature"]))


@pytest.mark.parametrize("who", ["regulator", "custodian"])
def test_a_cancelled_signature_registers_nothing(space: ChainSpace, who: str) -> None:
    terms = space.terms()
    approval, given = space.approval(terms), space.consent(terms)
    mine = approval if who == "regulator" else given
    cancel(space, terms, mine, getattr(space, who))
    cancel(space, terms, mine, getattr(space, who))  # again: no error
    assert space.chain.is_cancelled(grant_chain_id(terms), mine["decider"], mine["nonce"])
    with refused("already_cancelled"):
        space.register(terms, approval, given)
    space.register(terms)  # signed anew: that one alone was taken back
    with refused("exists"):  # too late, and told so
        cancel(space, terms, space.approval(terms), space.regulator)


def test_a_stranger_cancels_nothing_but_its_own(space: ChainSpace) -> None:
    terms = space.terms()
    approval = space.approval(terms)
    cancel(space, terms, approval, space.stranger)
    space.register(terms, approval)


def suspend(space: ChainSpace, grant_id: str, suspended: bool, number: int, key: EthKey) -> None:
    signed = sign_suspension(grant_id, suspended, number, key, space.grants)
    space.send(space.chain.sign_suspend_grant(
        space.stranger, space.nonce(space.stranger), grant_id=grant_id, suspended=suspended, number=number,
        decider=signed["decider"], signature=signed["signature"]))


def test_a_grant_is_suspended_while_either_side_holds_it(space: ChainSpace) -> None:
    grant_id = space.register(space.terms())
    now = int(time.time() * 1000)
    suspend(space, grant_id, True, now, space.custodian)
    suspend(space, grant_id, True, now, space.custodian)  # again: no error
    suspend(space, grant_id, True, now, space.regulator)
    assert not space.chain.is_active(grant_id)
    with refused("not_active"):
        space.consume(grant_id, job_hash())
    suspend(space, grant_id, False, now + 1, space.regulator)
    grant = space.chain.grant(grant_id, "latest")
    assert grant is not None
    assert (grant.suspended_by_regulator, grant.suspended_by_custodian, grant.suspended) == (False, True, True)
    assert not space.chain.is_active(grant_id)
    suspend(space, grant_id, False, now + 1, space.custodian)
    assert space.chain.is_active(grant_id)
    for number in (now, now + 1, now + 2 * 86_400_000):  # played again; another of the same; far ahead
        with refused("stale_number"):
            suspend(space, grant_id, True, number, space.regulator)
    with refused("not_regulator"):
        suspend(space, grant_id, True, now + 2, space.stranger)
    with refused("not_registered"):
        suspend(space, "0x" + "66" * 32, True, now, space.regulator)


def test_active_for_one_grantee_dataset_and_purpose(space: ChainSpace) -> None:
    terms = space.terms()
    grant_id = space.register(terms)
    asked = [terms["grantee_address"], terms["dataset_chain_id"], terms["purpose_hash"]]
    assert space.chain.is_active_for(grant_id, *asked)
    for place, other in enumerate(("0x" + "01" * 20, "0x" + "01" * 32, "0x" + "01" * 32)):
        assert not space.chain.is_active_for(grant_id, *[*asked[:place], other, *asked[place + 1:]])
    revoke(space, terms, space.custodian)
    assert not space.chain.is_active_for(grant_id, *asked)


def test_terms_far_ahead_and_endless_signatures_are_refused(space: ChainSpace) -> None:
    with refused("bad_terms"):
        space.register(space.terms(begins=3600 * 86400, ends=3700 * 86400))
    terms = space.terms()
    with refused("bad_terms"):
        space.register(terms, space.approval(terms, sign_by=100 * 86400))


def _role(name: str) -> str:
    from ledger.keys import keccak256

    return keccak256(name.encode()).hex()
