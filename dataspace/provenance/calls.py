"""The transactions that a portal sends, built and signed by the one door to the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ledger.keys import EthKey
from ledger.participant import controller_of

if TYPE_CHECKING:
    from ledger.chain import Chain, RawTx


def anchor(
    door: Chain, key: EthKey, nonce: int, *, log_id: str, prev_size: int, size: int, root: str, proof: Sequence[bytes]
) -> RawTx:
    """A checkpoint's root, with the proof that the log only grew."""
    steps = ["0x" + one.hex() for one in proof]
    return door.sign_anchor(key, nonce, log_id=log_id, prev_size=prev_size, size=size, root="0x" + root, proof=steps)


def put_participant(
    door: Chain,
    key: EthKey,
    nonce: int,
    *,
    participant_id: str,
    record_hash: str,
    record: Mapping[str, Any],
    admission: Mapping[str, Any],
) -> RawTx:
    """A participant record that its controller accepted and the regulator admitted; `record` as on the wire."""
    handover = record["handover"]
    return door.sign_put_participant(
        key,
        nonce,
        participant_id=participant_id,
        record_hash="0x" + record_hash,
        number=admission["number"],
        controller=controller_of(record["document"]),
        decider=admission["decider"],
        sign_by=admission["sign_by"],
        signature=admission["signature"],
        control=record["control"]["signature"],
        handover=handover["signature"] if handover else "0x",
    )


def propose_participant(
    door: Chain,
    key: EthKey,
    nonce: int,
    *,
    participant_id: str,
    record_hash: str,
    record: Mapping[str, Any],
    proposal: Mapping[str, Any],
) -> RawTx:
    """A record that the regulator proposes for who lost its keys; `record` as on the wire."""
    return door.sign_propose_participant(
        key,
        nonce,
        participant_id=participant_id,
        record_hash="0x" + record_hash,
        number=proposal["number"],
        controller=controller_of(record["document"]),
        decider=proposal["decider"],
        sign_by=proposal["sign_by"],
        signature=proposal["signature"],
        control=record["control"]["signature"],
    )


def veto_participant(door: Chain, key: EthKey, nonce: int, *, participant_id: str, veto: Mapping[str, Any]) -> RawTx:
    """A veto as it was signed."""
    return door.sign_veto_participant(
        key,
        nonce,
        participant_id=participant_id,
        number=veto["number"],
        decider=veto["decider"],
        signature=veto["signature"],
    )


def suspend_participant(
    door: Chain, key: EthKey, nonce: int, *, participant_id: str, suspension: Mapping[str, Any]
) -> RawTx:
    """A suspension or restoration as the regulator signed it."""
    return door.sign_suspend_participant(
        key,
        nonce,
        participant_id=participant_id,
        suspended=suspension["suspended"],
        number=suspension["number"],
        decider=suspension["decider"],
        signature=suspension["signature"],
    )


def register(
    door: Chain,
    key: EthKey,
    nonce: int,
    *,
    terms: Mapping[str, Any],
    approval: Mapping[str, Any],
    consent: Mapping[str, Any],
) -> RawTx:
    """A grant that regulator and custodian both signed."""
    return door.sign_register(key, nonce, terms=terms, approval=approval, consent=consent)


def revoke(door: Chain, key: EthKey, nonce: int, *, grant_id: str, revocation: Mapping[str, Any]) -> RawTx:
    """A revocation as it was signed."""
    return door.sign_revoke(
        key,
        nonce,
        grant_id=grant_id,
        reason_hash=revocation["reason_hash"],
        decider=revocation["decider"],
        signature=revocation["signature"],
    )


def suspend_grant(door: Chain, key: EthKey, nonce: int, *, grant_id: str, suspension: Mapping[str, Any]) -> RawTx:
    """A suspension of a grant, or the lifting of one, as it was signed."""
    return door.sign_suspend_grant(
        key,
        nonce,
        grant_id=grant_id,
        suspended=suspension["suspended"],
        number=suspension["number"],
        decider=suspension["decider"],
        signature=suspension["signature"],
    )


def cancel(door: Chain, key: EthKey, nonce: int, *, grant_id: str, cancellation: Mapping[str, Any]) -> RawTx:
    """The taking back of an approval or consent, as it was signed."""
    return door.sign_cancel(
        key,
        nonce,
        grant_id=grant_id,
        approval_nonce=cancellation["nonce"],
        decider=cancellation["decider"],
        signature=cancellation["signature"],
    )


def consume(door: Chain, key: EthKey, nonce: int, *, grant_id: str, job_hash: str, signature: str) -> RawTx:
    """A use that a custodian's node signed."""
    return door.sign_consume(key, nonce, grant_id=grant_id, job_hash="0x" + job_hash, signature=signature)
