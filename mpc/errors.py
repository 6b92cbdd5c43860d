"""Why a secure computation did not end in a result: one tree, a stable code each.

* MpcError                  root; `code` is for programs, the text for people, `about_seat` names whose fault it was
  - ParametersInvalid       parameters.invalid         the request does not fit the function or the dictionary
  - SpecRefused             spec.*                     the job's description is not one a party may work on
  - SetRefused              paillier.second_freeze     another set was frozen (or: too_early, too_few)
  - RangeExceeded           encoding.range             bounds and rows do not fit (or: coarse, budget, domain)
  - DataRefused             dataset.*                  the rows are not as described, or not those registered
  - FloorTooLow             disclosure.floor           the order's floor lies under what the function needs
  - GateInconsistent        gate.inconsistent          own counts and the shared total disagree
  - NotOpenable             result.unopenable          an envelope is missing, altered, another's (or: impossible)
  - SessionMismatch         session.mismatch           a peer is in another session, or means another computation
  - PeerLost                session.peer_lost          a peer's link broke
  - PeerSilent              session.peer_silent        a peer is connected and says nothing
  - DealerLost              dealer.lost                the dealer's link broke or fell silent
  - DeadlinePassed          session.deadline           the order's deadline passed first
  - ProtocolBroken          session.protocol           a peer sent what the protocol does not allow
  - RelayRefused            relay.refused              the relay does not let this seat in, or not any longer
  - ProxyRefused            proxy.refused              the hospital's own proxy does not let this seat out
  - RelayLost               relay.lost                 the relay cannot be reached, or not any longer
  - Tampered                relay.tampered             what arrived is not what the peer sent: somebody on the way lies
  - Stopped                 the agent's own code       the agent (or a peer's agent) asked to stop, e.g. grant.revoked
  - EngineUnfit             engine.unfit               a safeguard of the engine is not in place: nothing runs
  - WorkerFailed            worker.failed              anything unforeseen; the text never quotes data

No text here may carry a value of a row, a share, a count or a pattern.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

WHO_MUST_ACT = MappingProxyType({
    "spec.signature_invalid": "consumer",
    "spec.malformed": "consumer",
    "spec.stale": "consumer",
    "spec.replayed": "consumer",
    "spec.roster_mismatch": "consumer",
    "spec.function_digest": "operator",
    "spec.parameters": "consumer",
    "spec.two_specs": "consumer",
    "grant.outside_scope": "consumer",
    "grant.revoked": "regulator",
    "grant.suspended": "regulator",
    "grant.expired": "consumer",
    "grant.not_yet": "consumer",
    "grant.exhausted": "consumer",
    "grant.wrong_dataset": "consumer",
    "grant.wrong_custodian": "regulator",
    "grant.approval_invalid": "regulator",
    "grant.not_registered": "operator",
    "grant.terms_mismatch": "operator",
    "participant.record_mismatch": "regulator",
    "participant.suspended": "regulator",
    "agreement.invalid": "consumer",
    "dataset.changed": "custodian",
    "dataset.unreachable": "custodian",
    "policy.denied": "custodian",
    "policy.held": "custodian",
    "chain.unavailable": "operator",
    "chain.stale_head": "operator",
    "chain.disagree": "operator",
    "chain.wrong": "operator",
    "clock.skew": "custodian",
    "disclosure.another_filter": "consumer",
    "disclosure.column_tabulated": "consumer",
    "disclosure.already_released": "consumer",
    "disclosure.tried_too_often": "consumer",
    "paillier.too_early": "operator",
    "paillier.too_few": "consumer",
    "paillier.too_late": "consumer",
    "paillier.use_not_final": "operator",
    "paillier.malformed": "operator",
    "paillier.second_freeze": "consumer",
    "paillier.withdrawn": "custodian",
    "book.older_than_its_words": "regulator",
    "gate.inconsistent": "regulator",
    "engine.unfit": "custodian",
    "session.mismatch": "operator",
    "session.peer_lost": "custodian",
    "session.peer_silent": "custodian",
    "session.deadline": "custodian",
    "dealer.lost": "regulator",
    "relay.refused": "operator",
    "proxy.refused": "custodian",
    "relay.lost": "operator",
    "relay.tampered": "operator",
    "node.stopped": "custodian",
    "node.busy": "consumer",
    "node.disk_full": "custodian",
    "node.unrecorded": "custodian",
    "worker.out_of_memory": "custodian",
    "worker.out_of_time": "custodian",
    "worker.killed": "custodian",
    "worker.failed": "custodian",
})
"""Every code that a node says in public, as a verdict or as a failure, and whose turn it is then: the consumer's, the
custodian's, the regulator's, or that of the space's operator. Nodes, portal and SDK read this one table."""


class MpcError(Exception):
    """Root of the tree; `code` may be narrowed by the raiser."""

    code = "worker.failed"

    def __init__(self, text: str = "", *, code: str | None = None, about_seat: int | None = None) -> None:
        super().__init__(text or (code or self.code))
        if code is not None:
            self.code = code
        self.text = text
        self.about_seat = about_seat


class ParametersInvalid(MpcError):
    code = "parameters.invalid"


class SpecRefused(MpcError):
    code = "spec.malformed"


class SetRefused(MpcError):
    """`seats`: without whose contributions the set might be another."""

    code = "paillier.second_freeze"

    def __init__(self, text: str = "", *, code: str | None = None, seats: Iterable[int] = ()) -> None:
        super().__init__(text, code=code)
        self.seats = tuple(seats)


class RangeExceeded(MpcError):
    code = "encoding.range"


class DataRefused(MpcError):
    code = "dataset.off_dictionary"


class FloorTooLow(MpcError):
    code = "disclosure.floor"


class GateInconsistent(MpcError):
    code = "gate.inconsistent"


class NotOpenable(MpcError):
    code = "result.unopenable"


class SessionMismatch(MpcError):
    code = "session.mismatch"


class PeerLost(MpcError):
    code = "session.peer_lost"


class PeerSilent(MpcError):
    code = "session.peer_silent"


class DealerLost(MpcError):
    code = "dealer.lost"


class DeadlinePassed(MpcError):
    code = "session.deadline"


class ProtocolBroken(MpcError):
    code = "session.protocol"


class RelayRefused(MpcError):
    code = "relay.refused"


class ProxyRefused(MpcError):
    code = "proxy.refused"


class RelayLost(MpcError):
    code = "relay.lost"


class Tampered(MpcError):
    code = "relay.tampered"


class Stopped(MpcError):
    code = "session.stopped"


class EngineUnfit(MpcError):
    code = "engine.unfit"


class WorkerFailed(MpcError):
    code = "worker.failed"
