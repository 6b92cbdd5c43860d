"""What a node says when it will not: a stable code, the rule it stands on, and who can change that.

The texts name documents and rules, never a value of a row; which code is raised never depends on data, but for one:
`dataset.changed` says that bytes differ, not how.
"""

from types import MappingProxyType

from mpc.errors import MpcError

CODES = MappingProxyType({
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
    "paillier.too_early": "operator",
    "paillier.too_few": "consumer",
    "paillier.too_late": "consumer",
    "paillier.use_not_final": "operator",
    "paillier.malformed": "operator",
    "paillier.second_freeze": "consumer",
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
    "node.disk_full": "custodian",
    "worker.out_of_memory": "custodian",
    "worker.out_of_time": "custodian",
    "worker.killed": "custodian",
    "worker.failed": "custodian",
})


class NodeError(MpcError):
    """Root of what the node itself raises: a code and a text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text, code=code)


class Refused(NodeError):
    """This node does not take part in this job."""

    def __init__(self, code: str, rule: str, who_must_act: str | None = None) -> None:
        if code not in CODES:
            raise ValueError(f"{code} is not a public code")
        super().__init__(code, rule)
        self.rule = rule
        self.who_must_act = who_must_act or CODES[code]


class Unfit(NodeError):
    """Something at this node is not as it must be: a file, a dictionary, a setting."""


class Unsettled(NodeError):
    """We could not find out now (chain or portal unreachable); says nothing of the answer."""
