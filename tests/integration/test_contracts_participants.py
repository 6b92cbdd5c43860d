"""ParticipantRegistry on a real chain: who admits, who hands over, who may refuse, and that nobody alone swaps keys."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest

from deploy.waiting import wait_until
from ledger.approval import PROPOSAL_TYPE, RECORD_TYPE, sign_record, sign_suspension, sign_veto, signed_by
from ledger.approval import digest as eip712
from ledger.errors import ChainRefused
from ledger.keys import EthKey
from ledger.participant import CONTROL_TYPE, HANDOVER_TYPE
from tests.integration.chain_space import VETO_DELAY, ChainSpace

pytestmark = pytest.mark.stack


@pytest.fixture
def space(chain_space: ChainSpace) -> ChainSpace:
    return chain_space


@pytest.fixture
def participant() -> str:
    return fresh()


def fresh() -> str:
    return "0x" + secrets.token_hex(32)


def refused(code: str) -> pytest.RaisesExc[ChainRefused]:
    return pytest.RaisesExc(ChainRefused, check=lambda error: error.code == f"chain.refused.{code}")


def content(space: ChainSpace, participant: str, record: str, number: int, holder: EthKey, *, by: EthKey | None,
            type: str) -> dict[str, Any]:
    signed = sign_record(participant, record, number, by or space.regulator, space.participants,
                         controller=holder.address, type=type, sign_by=int(time.time()) + 600)
    control = signed_by(holder, eip712(space.participants, CONTROL_TYPE, participant, record, number, holder.address))
    return {"participant_id": participant, "record_hash": record, "number": number, "controller": holder.address,
            "decider": signed["decider"], "sign_by": signed["sign_by"], "signature": signed["signature"],
            "control": control["signature"]}


def put(space: ChainSpace, participant: str, record: str, number: int, holder: EthKey, *, by: EthKey | None = None,
        former: EthKey | None = None, **lies: Any) -> None:
    given = content(space, participant, record, number, holder, by=by, type=RECORD_TYPE)
    if former is not None:
        given["handover"] = signed_by(former, eip712(
            space.participants, HANDOVER_TYPE, participant, record, number, holder.address, former.address,
        ))["signature"]
    space.send(space.chain.sign_put_participant(
        space.stranger, space.nonce(space.stranger), **{**given, **lies}))


def propose(space: ChainSpace, participant: str, record: str, number: int, holder: EthKey, **lies: Any) -> None:
    given = content(space, participant, record, number, holder, by=lies.pop("by", None), type=PROPOSAL_TYPE)
    space.send(space.chain.sign_propose_participant(
        space.stranger, space.nonce(space.stranger), **{**given, **lies}))


def finish(space: ChainSpace, participant: str) -> None:
    space.send(space.chain.sign_finish_participant(
        space.stranger, space.nonce(space.stranger), participant_id=participant))


def test_it_works(space: ChainSpace, participant: str) -> None:
    first, second, third, holder, next_holder = fresh(), fresh(), fresh(), EthKey.create(), EthKey.create()
    assert space.chain.participant_record(participant, "latest") is None
    put(space, participant, first, 1, holder)
    put(space, participant, first, 1, holder)  # again: no error
    put(space, participant, second, 5, holder)
    for number in (5, 4, 1, 1006):
        with refused("stale_number"):
            put(space, participant, first, number, holder)
    found = space.chain.participant_record(participant, "latest")
    assert found is not None
    assert (found.record_hash, found.number, found.controller, found.suspended) == (second, 5, holder.address, False)
    put(space, participant, third, 6, next_holder, former=holder)
    found = space.chain.participant_record(participant, "latest")
    assert found is not None
    assert (found.record_hash, found.controller) == (third, next_holder.address)


def test_only_a_regulator_admits(space: ChainSpace, participant: str) -> None:
    record, holder = fresh(), EthKey.create()
    for key in (space.operator, space.deployer, space.stranger, holder):
        with refused("not_regulator"):
            put(space, participant, record, 1, holder, by=key)
    with refused("bad_signer"):
        put(space, participant, record, 1, holder, by=space.stranger, decider=space.regulator.address)


def test_nobody_becomes_controller_unasked(space: ChainSpace, participant: str) -> None:
    with refused("bad_signer"):
        put(space, participant, fresh(), 1, EthKey.create(), controller=EthKey.create().address)
    with refused("bad_signer"):
        put(space, participant, fresh(), 1, EthKey.create(), control="0x" + "11" * 65)


def test_a_regulator_alone_swaps_no_keys(space: ChainSpace, participant: str) -> None:
    """The demo's regulator has one key: stolen, it may name a thief's record, and does not get it in."""
    holder, thief = EthKey.create(), EthKey.create()
    put(space, participant, fresh(), 1, holder)
    with refused("bad_signer"):
        put(space, participant, fresh(), 2, thief)
    with refused("bad_signer"):
        put(space, participant, fresh(), 2, thief, former=thief)
    found = space.chain.participant_record(participant, "latest")
    assert found is not None
    assert found.controller == holder.address


def test_the_holder_vetoes(space: ChainSpace, participant: str) -> None:
    holder, thief, record = EthKey.create(), EthKey.create(), fresh()
    put(space, participant, fresh(), 1, holder)
    propose(space, participant, record, 2, thief)
    with refused("proposal_pending"):
        propose(space, participant, fresh(), 3, thief)
    with refused("not_controller"):
        veto(space, participant, record, 2, thief, by=thief)
    veto(space, participant, record, 2, thief, by=holder)
    assert space.chain.participant_proposal(participant) is None
    with refused("burned"):
        propose(space, participant, record, 2, thief)  # the same signature again
    with refused("no_proposal"):
        finish(space, participant)


def veto(space: ChainSpace, participant: str, record: str, number: int, controller: EthKey, *, by: EthKey) -> None:
    signed = sign_veto(participant, record, number, by, space.participants, controller=controller.address)
    space.send(space.chain.sign_veto_participant(
        space.stranger, space.nonce(space.stranger), participant_id=participant, number=number,
        decider=signed["decider"], signature=signed["signature"]))


def test_a_lost_key_is_replaced_after_the_delay(space: ChainSpace, participant: str) -> None:
    lost, holder, record = EthKey.create(), EthKey.create(), fresh()
    put(space, participant, fresh(), 1, lost)
    propose(space, participant, record, 2, holder)
    proposal = space.chain.participant_proposal(participant)
    assert proposal is not None
    assert (proposal.record_hash, proposal.controller, proposal.number) == (record, holder.address, 2)
    assert proposal.ripe >= int(time.time()) - 60 + VETO_DELAY
    with refused("not_ripe"):
        finish(space, participant)
    assert wait_until(lambda: space.chain.head().time >= proposal.ripe, seconds=60)
    finish(space, participant)
    found = space.chain.participant_record(participant, "latest")
    assert found is not None
    assert (found.record_hash, found.controller) == (record, holder.address)


def test_a_record_signature_is_no_proposal(space: ChainSpace, participant: str) -> None:
    """Whoever relays cannot turn a rotation that the holder has not signed yet into one without the holder."""
    holder, later, record = EthKey.create(), EthKey.create(), fresh()
    put(space, participant, fresh(), 1, holder)
    meant = content(space, participant, record, 2, later, by=None, type=RECORD_TYPE)
    with refused("bad_signer"):
        propose(space, participant, record, 2, later, signature=meant["signature"])


def test_a_participant_is_suspended_and_restored(space: ChainSpace, participant: str) -> None:
    put(space, participant, fresh(), 1, EthKey.create())
    now = int(time.time() * 1000)

    def suspend(suspended: bool, number: int, by: EthKey) -> None:
        signed = sign_suspension(participant, suspended, number, by, space.participants)
        space.send(space.chain.sign_suspend_participant(
            space.stranger, space.nonce(space.stranger), participant_id=participant, suspended=suspended,
            number=number, decider=signed["decider"], signature=signed["signature"]))

    def is_suspended() -> bool:
        found = space.chain.participant_record(participant, "latest")
        assert found is not None
        return found.suspended

    with refused("not_regulator"):
        suspend(True, now, space.stranger)
    suspend(True, now, space.regulator)
    suspend(True, now, space.regulator)  # again: no error
    assert is_suspended()
    suspend(False, now + 1, space.regulator)
    assert not is_suspended()
    for number in (now, now + 1, now + 2 * 86_400_000):  # an old one again; another of the same; far in the future
        with refused("stale_number"):
            suspend(True, number, space.regulator)
