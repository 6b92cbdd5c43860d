"""ParticipantRegistry as the chain in memory keeps it: put, proposed, vetoed, finished. No signature is checked.

Its calls are decoded from the bytes that were sent, so that what the portal encodes is what is tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from eth_abi import decode

from ledger import abi
from ledger.chain import ProposalOnChain, RecordOnChain

LAPSES_AFTER = 30 * 24 * 3600
CALLS = ("put", "propose", "veto", "finish", "suspend")


@dataclass
class Registry:
    """Of each participant all it was, with the height at which it became so."""

    records: dict[str, list[tuple[int, RecordOnChain]]] = field(default_factory=dict)
    proposals: dict[str, list[tuple[int, ProposalOnChain | None]]] = field(default_factory=dict)
    veto_delay: int = 3600

    def apply(self, data: str, *, height: int, now: int) -> bool:
        """Do what a transaction asks; False is a revert."""
        raw = bytes.fromhex(data.removeprefix("0x"))
        for name in CALLS:
            selector, takes, _ = abi._function("participants", name)
            if raw[:4] == selector:
                done: bool = getattr(self, f"_{name}")(height, now, *decode(takes, raw[4:]))
                return done
        return False

    def record(self, participant: str, until: int | None = None) -> RecordOnChain | None:
        return next((one for height, one in reversed(self.records.get(participant, []))
                     if until is None or height <= until), None)

    def proposal(self, participant: str, until: int | None = None) -> ProposalOnChain | None:
        return next((one for height, one in reversed(self.proposals.get(participant, []))
                     if until is None or height <= until), None)

    def _keep(self, height: int, participant: str, record: RecordOnChain) -> bool:
        self.records.setdefault(participant, []).append((height, record))
        return True

    def _propose_none(self, height: int, participant: str) -> None:
        self.proposals.setdefault(participant, []).append((height, None))

    def _put(self, height: int, now: int, given: Any, *rest: Any) -> bool:
        participant, record = _read(given)
        known = self.record(participant)
        if known is not None and record.number <= known.number:
            return False
        self._propose_none(height, participant)
        return self._keep(height, participant, replace(record, suspended=known.suspended if known else False))

    def _propose(self, height: int, now: int, given: Any, decision: Any, *rest: Any) -> bool:
        participant, record = _read(given)
        known = self.record(participant)
        other = self.proposal(participant)
        if known is None or record.number <= known.number or (other and now <= other.ripe + LAPSES_AFTER):
            return False
        self.proposals.setdefault(participant, []).append((height, ProposalOnChain(
            record.record_hash, record.controller, record.number, decision[0], now + self.veto_delay)))
        return True

    def _veto(self, height: int, now: int, participant: bytes, number: int, *rest: Any) -> bool:
        known = self.proposal("0x" + participant.hex())
        if known is None or known.number != number:
            return False
        self._propose_none(height, "0x" + participant.hex())
        return True

    def _finish(self, height: int, now: int, participant: bytes) -> bool:
        name = "0x" + participant.hex()
        known, before = self.proposal(name), self.record(name)
        if known is None or before is None or not known.ripe <= now <= known.ripe + LAPSES_AFTER:
            return False
        self._propose_none(height, name)
        return self._keep(height, name, RecordOnChain(known.record_hash, known.number, known.controller,
                                                      before.suspended))

    def _suspend(self, height: int, now: int, participant: bytes, suspended: bool, *rest: Any) -> bool:
        name = "0x" + participant.hex()
        known = self.record(name)
        return known is not None and self._keep(height, name, replace(known, suspended=suspended))


def _read(given: Any) -> tuple[str, RecordOnChain]:
    participant, record_hash, number, controller = given
    return "0x" + participant.hex(), RecordOnChain("0x" + record_hash.hex(), number, controller)
