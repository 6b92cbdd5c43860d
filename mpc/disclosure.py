"""What may be opened, to whom, and how all parties prove that they mean the same decision.

A cell opens only if for every party the count of the *others* reaches the floor k. The decision is a pattern, one bit
a cell; every party learns it, the consumer learns it inside the sealed part, nobody else does: outside travels only
gate_hash = HMAC(gate_key, session || pattern), where gate_key comes from 32 random bytes of each party.
Shares of cells that stay closed are replaced by zeros before sealing, so that all envelopes of a job have one length.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ledger.documents import canonical, from_b64, load_json, to_b64
from ledger.errors import LedgerError
from mpc.errors import FloorTooLow, NotOpenable, ProtocolBroken
from mpc.sharing import combine, pack, unpack

Pattern = tuple[bool, ...]


def strictest(*floors: int) -> int:
    """k: the largest of all that have a say (spec, grants, local policies, the function itself)."""
    if not floors or min(floors) < 1:
        raise FloorTooLow("a floor is a number from 1")
    return max(floors)


def passes(total: int, own: Sequence[int], floor: int) -> bool:
    """The rule itself, in the clear: used by the oracle and by tests, never on real counts."""
    return all(total - count >= floor for count in own)


def gate_key(contributions: Sequence[bytes]) -> bytes:
    """32 bytes that depend on every party's contribution, in order of seats."""
    if any(len(part) != 32 for part in contributions):
        raise ProtocolBroken("a contribution is 32 bytes")
    return sha256(b"xinglin/gate/v1\n" + b"".join(contributions)).digest()


def gate_hash(key: bytes, session: str, pattern: Pattern) -> str:
    bits = "".join("1" if bit else "0" for bit in pattern)
    return hmac.new(key, bytes.fromhex(session) + bits.encode(), sha256).hexdigest()


@dataclass(frozen=True)
class Opening:
    """One sealed part: everything the consumer needs from one party. `spans[c]` in a plan says which values cell c
    opens."""

    seat: int
    floor: int
    key: bytes
    pattern: Pattern
    shares: tuple[int, ...]

    def to_bytes(self) -> bytes:
        return canonical({
            "type": "xinglin/opening", "version": 1, "seat": self.seat, "floor": self.floor, "gate_key": self.key.hex(),
            "pattern": "".join("1" if bit else "0" for bit in self.pattern), "shares": to_b64(pack(self.shares)),
        })

    @classmethod
    def from_bytes(cls, plain: bytes) -> Opening:
        try:
            body: Mapping[str, Any] = load_json(plain)
            if body["type"] != "xinglin/opening" or body["version"] != 1 or not set(body["pattern"]) <= {"0", "1"}:
                raise NotOpenable("the sealed part is of another kind")
            opening = cls(
                seat=int(body["seat"]), floor=int(body["floor"]), key=bytes.fromhex(body["gate_key"]),
                pattern=tuple(bit == "1" for bit in body["pattern"]), shares=tuple(unpack(from_b64(body["shares"]))),
            )
        except (KeyError, TypeError, ValueError, LedgerError) as trouble:
            raise NotOpenable("the sealed part is malformed") from trouble
        if opening.to_bytes() != plain:
            raise NotOpenable("the sealed part is malformed")
        return opening


def withhold(shares: Sequence[int], pattern: Pattern, spans: Sequence[Sequence[int]]) -> list[int]:
    """Zeros in the place of every value whose cell stays closed; the length never changes."""
    kept = [0] * len(shares)
    for opened, span in zip(pattern, spans, strict=True):
        for index in span:
            kept[index] = shares[index] if opened else 0
    return kept


def open_result(plains: Sequence[bytes], *, parties: int, session: str, gate_hash_hex: str,
                spans: Sequence[Sequence[int]]) -> tuple[Pattern, list[int]]:
    """Pattern and totals, from the opened envelopes of *every* party; anything less opens nothing."""
    openings = [Opening.from_bytes(plain) for plain in plains]
    if sorted(opening.seat for opening in openings) != list(range(parties)):
        raise NotOpenable("one envelope of every party is needed")
    first = openings[0]
    same = all((item.key, item.pattern, item.floor) == (first.key, first.pattern, first.floor) for item in openings)
    if not same or not hmac.compare_digest(gate_hash(first.key, session, first.pattern), gate_hash_hex):
        raise NotOpenable("the parties do not mean the same decision")
    width = sum(len(span) for span in spans)
    if len(first.pattern) != len(spans) or any(len(item.shares) != width for item in openings):
        raise NotOpenable("the result has another shape than the function")
    return first.pattern, withhold(combine([item.shares for item in openings]), first.pattern, spans)
