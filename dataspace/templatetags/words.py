"""The words of the pages for what the code names: states, events, refusal codes, roles.

Only wording: nothing here decides anything. A word that is missing shows as its code, never as an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Text = str | Promise


@dataclass(frozen=True)
class Look:
    """How a state shows: its family's colour, its own icon, its word."""

    family: str
    icon: str
    word: Text


STATES: Mapping[str, Mapping[str, Look]] = MappingProxyType(
    {
        "participant": {
            "applied": Look("wait", "send", _("Applied")),
            "admitted": Look("good", "circle-check", _("Admitted")),
            "suspended": Look("stop", "player-pause", _("Suspended")),
        },
        "dataset": {
            "registered": Look("good", "database", _("Registered")),
            "withdrawn": Look("rest", "archive", _("Withdrawn")),
        },
        "product": {
            "draft": Look("rest", "pencil", _("Draft")),
            "in_review": Look("move", "eye-check", _("In review")),
            "listed": Look("good", "building-store", _("Listed")),
            "delisted": Look("rest", "building-off", _("Delisted")),
        },
        "scenario": {
            "draft": Look("rest", "pencil", _("Draft")),
            "submitted": Look("wait", "send", _("Submitted")),
            "returned": Look("wait", "arrow-back-up", _("Returned")),
            "approved": Look("good", "circle-check", _("Approved")),
            "rejected": Look("stop", "circle-x", _("Rejected")),
            "closed": Look("rest", "archive", _("Closed")),
        },
        "grant": {
            "submitted": Look("wait", "clock-hour-4", _("Waits for consent")),
            "consented": Look("move", "writing-sign", _("Consented")),
            "active": Look("good", "key", _("Active")),
            "suspended": Look("stop", "player-pause", _("Suspended")),
            "revoked": Look("stop", "ban", _("Revoked")),
            "expired": Look("rest", "calendar-off", _("Expired")),
            "exhausted": Look("rest", "battery-1", _("Used up")),
            "cancelled": Look("rest", "x", _("Cancelled")),
        },
        "agreement": {
            "offered": Look("wait", "send", _("Offered")),
            "signed": Look("good", "writing-sign", _("Signed")),
            "ended": Look("rest", "archive", _("Ended")),
        },
        "job": {
            "queued": Look("rest", "stack-2", _("Queued")),
            "offered": Look("move", "broadcast", _("Offered to the parties")),
            "ready": Look("move", "plug-connected", _("Ready")),
            "running": Look("move", "loader-2", _("Computing")),
            "collecting": Look("wait", "users", _("Collecting contributions")),
            "closing": Look("move", "lock", _("Waits for the dealer's office")),
            "released": Look("good", "lock-open", _("Released")),
            "settled": Look("good", "receipt-2", _("Settled")),
            "refused": Look("stop", "hand-stop", _("Refused")),
            "failed": Look("stop", "alert-triangle", _("Failed")),
            "cancelled": Look("rest", "x", _("Cancelled")),
            "expired": Look("rest", "calendar-off", _("Expired")),
        },
        "verdict": {
            "accept": Look("good", "check", _("Accepted")),
            "hold": Look("wait", "hand-stop", _("Held")),
            "refuse": Look("stop", "hand-stop", _("Refused")),
            "waiting": Look("rest", "clock-hour-4", _("No answer yet")),
            "contributed": Look("good", "check", _("Contributed")),
            "frozen": Look("good", "lock", _("Set frozen")),
            "absent": Look("rest", "circle-dashed", _("Did not contribute")),
            "left_out": Look("stop", "arrow-back-up", _("Not in the set")),
        },
        "level": {
            "valid": Look("good", "circle-check", _("Valid")),
            "invalid": Look("stop", "circle-x", _("Invalid")),
            "not checked": Look("rest", "circle-dashed", _("Not checked")),
        },
        "witness": {
            "cosigning": Look("good", "circle-check", _("Signs")),
            "behind": Look("wait", "clock-hour-4", _("Behind")),
            "refusing": Look("stop", "hand-stop", _("Refuses")),
            "away": Look("stop", "alert-triangle", _("Away")),
            "new": Look("rest", "circle-dashed", _("Not asked yet")),
        },
        "endpoint": {
            "answers": Look("good", "circle-check", _("Answers")),
            "away": Look("stop", "alert-triangle", _("Away")),
        },
        "tx": {
            "signed": Look("wait", "clock-hour-4", _("Pending")),
            "sent": Look("wait", "clock-hour-4", _("Pending")),
            "mined": Look("move", "check", _("In a block")),
            "final": Look("good", "circle-check", _("Final")),
            "failed": Look("stop", "alert-triangle", _("Failed")),
        },
    }
)

KINDS: Mapping[str, tuple[Text, Text]] = MappingProxyType(
    {
        "participant.applied": (_("Organisation applied"), _("Its own keys signed its record.")),
        "participant.admitted": (
            _("Organisation admitted"),
            _("The regulator signed the record; its hash is on the chain."),
        ),
        "participant.suspended": (_("Organisation suspended"), _("It takes no part until it is restored.")),
        "participant.restored": (_("Organisation restored"), ""),
        "participant.record_offered": (_("New keys offered"), _("Under the old keys; the regulator admits them next.")),
        "participant.record_proposed": (
            _("New keys proposed for lost ones"),
            _("Whoever still holds the old key can veto them for some time."),
        ),
        "participant.record_vetoed": (_("Proposed keys vetoed"), _("The keys stay as they were.")),
        "participant.keys_changed": (
            _("Keys changed"),
            _("The chain holds the new record; the old keys count no more."),
        ),
        "dataset.registered": (_("Dataset registered"), _("Description and fingerprint only; the rows stay.")),
        "dataset.renewed": (
            _("Dataset described anew"),
            _("Grants go on naming the version they were given for."),
        ),
        "dataset.withdrawn": (_("Dataset withdrawn"), ""),
        "product.drafted": (_("Product drafted"), ""),
        "product.confirmed": (_("Provider confirmed its part"), ""),
        "product.submitted": (_("Product submitted for review"), ""),
        "product.returned": (_("Product returned"), ""),
        "product.listed": (_("Listing approved"), _("Signed by the regulator.")),
        "product.delisted": (_("Product delisted"), ""),
        "scenario.drafted": (_("Scenario drafted"), _("Signed by the consumer.")),
        "scenario.submitted": (_("Scenario submitted"), _("The regulator decides.")),
        "scenario.returned": (_("Scenario returned"), _("The consumer may submit it again.")),
        "scenario.approved": (_("Scenario approved"), _("Each custodian signs its own grant next.")),
        "scenario.rejected": (_("Scenario rejected"), ""),
        "scenario.closed": (_("Scenario closed"), ""),
        "grant.approved": (_("Grant approved by the regulator"), _("Waits for the custodian's own signature.")),
        "grant.consented": (_("Custodian consented"), _("Both signatures go to the chain.")),
        "grant.registered": (_("Grant in force"), _("Both signatures stand on the chain and are final.")),
        "grant.revoked": (_("Grant revoked"), _("No node computes under it from now on.")),
        "grant.expired": (_("Grant expired"), ""),
        "grant.exhausted": (_("Grant used up"), ""),
        "grant.suspended": (_("Grant suspended"), _("No node computes under it until it is let go.")),
        "grant.suspension_lifted": (_("One suspension lifted"), _("The other side still holds the grant.")),
        "grant.resumed": (_("Grant in force again"), _("Neither side holds it any more.")),
        "grant.cancelled": (_("Approval taken back"), _("Before it was registered; it can never be used.")),
        "grant.consent_taken_back": (_("Consent taken back"), _("Before it was registered; another may be given.")),
        "grant.used": (_("One use counted"), _("Signed by the node that keeps the data.")),
        "agreement.offered": (_("Agreement offered"), _("Signed by the consumer.")),
        "agreement.signed": (_("Agreement signed"), _("Signed by both sides.")),
        "agreement.ended": (_("Agreement ended"), ""),
        "job.ordered": (_("Job order signed"), _("Signed by the consumer's own key.")),
        "job.offered": (_("Offered to the parties"), _("Agreement and grants are in order; each node checks again.")),
        "job.verdict": (_("A party answered"), _("Each node reads the chain itself before it answers.")),
        "job.accepted": (_("All parties and the dealer accepted"), _("Each node checked permission by itself.")),
        "job.started": (_("Encrypted links stand, computing"), _("Mutual TLS 1.3 with fresh keys.")),
        "job.invited": (
            _("Contributions invited"),
            _("Each hospital contributes whenever its node is awake; nobody need be online with the others."),
        ),
        "job.contributed": (_("A hospital contributed"), _("Masked, then encrypted to the consumer; signed.")),
        "job.withdrawn": (
            _("A hospital took its part back"),
            _("A contribution can be taken back until the set is frozen."),
        ),
        "job.closed": (_("Set of contributors chosen"), _("The dealer's office freezes it, once and for good.")),
        "job.released": (_("Result released"), _("Sealed to the consumer's key; only its SDK can open it.")),
        "job.settled": (_("Settled"), ""),
        "job.refused": (_("Refused"), _("Nothing was computed and nothing was charged.")),
        "job.retried": (_("Offered a second time"), _("An attempt lost a party on the way; nothing had been sealed.")),
        "job.failed": (_("Ended without a result"), _("Nothing was charged.")),
        "job.cancelled": (_("Cancelled"), _("By the consumer.")),
        "job.expired": (_("Expired"), _("The deadline passed.")),
    }
)

CODES: Mapping[str, Text] = MappingProxyType(
    {
        "spec.signature_invalid": _("The order's signature does not match the consumer's key."),
        "spec.malformed": _("The order is not well-formed."),
        "spec.stale": _("The order is too old or not yet valid."),
        "spec.replayed": _("This order was used before."),
        "spec.roster_mismatch": _("The order does not name exactly the datasets that were granted together."),
        "spec.function_digest": _("The order names another version of the function than the node runs."),
        "spec.parameters": _("The parameters do not fit the function or the data dictionary."),
        "spec.two_specs": _("Two different orders carry the same id."),
        "grant.outside_scope": _("What was ordered is outside the grant."),
        "grant.revoked": _("The grant has been revoked."),
        "grant.suspended": _("The grant is suspended."),
        "grant.expired": _("The grant has ended."),
        "grant.not_yet": _("The grant has not begun."),
        "grant.exhausted": _("The grant's uses are used up."),
        "grant.wrong_dataset": _("The grant is for another dataset."),
        "grant.wrong_custodian": _("The grant was signed by another custodian."),
        "grant.approval_invalid": _("A signature under the grant does not hold."),
        "grant.not_registered": _("The grant is not final on the chain yet."),
        "grant.terms_mismatch": _("The grant's terms differ from those on the chain."),
        "participant.record_mismatch": _("A participant's record differs from the one on the chain."),
        "participant.suspended": _("A participant of the job is suspended."),
        "agreement.invalid": _("The agreement does not cover this order."),
        "dataset.unreachable": _("The hospital's database could not be reached."),
        "dataset.changed": _("The data at the hospital changed since they were registered."),
        "policy.denied": _("The hospital's own policy does not allow it."),
        "policy.held": _("The hospital's own policy holds it for a person to look at."),
        "chain.unavailable": _("The chain could not be reached, so permission could not be confirmed."),
        "chain.stale_head": _("The chain's newest block is too old, so permission could not be confirmed."),
        "chain.disagree": _("The chain's endpoints disagree, so permission could not be confirmed."),
        "chain.wrong": _("The chain is not the one named in the trust file."),
        "clock.skew": _("The node's clock is off by more than a minute."),
        "disclosure.another_filter": _("Another filter, or none, was used under this grant."),
        "disclosure.column_tabulated": _("A column of this table was already tabulated under this grant."),
        "disclosure.already_released": _("The same question was already answered; the old result stands."),
        "disclosure.tried_too_often": _(
            "A hospital has sealed its part of this table as often as one grant allows. A result that was released "
            "stands; else it takes a new scenario."
        ),
        "gate.inconsistent": _(
            "The hospitals' own counts and the total of their shares disagree: one of them is not true."
        ),
        "engine.unfit": _("A safeguard of a node's engine is not in place, so nothing ran there."),
        "session.mismatch": _("The parties did not see the same order, so they did not meet."),
        "session.peer_lost": _("A party was lost during the computation."),
        "session.peer_silent": _("A party did not answer in time."),
        "session.deadline": _("The computation did not end within its deadline."),
        "job.cancelled": _("The consumer cancelled it."),
        "paillier.too_few": _("Too few hospitals had contributed when the time for it was over."),
        "paillier.too_early": _("The dealer's office was asked before the time to contribute was over."),
        "paillier.too_late": _("The contribution came after the time for it."),
        "paillier.second_freeze": _("Another set of contributors was frozen for this question; a second one never is."),
        "paillier.use_not_final": _("The use of the grant is not final on the chain yet."),
        "paillier.withdrawn": _("A hospital took its contribution back before the set was frozen."),
        "book.older_than_its_words": _("The book of the dealer's office lacks a word that it gave: an old copy of it."),
        "paillier.malformed": _("A contribution is not what its hospital signed, or not made for this order."),
        "dealer.lost": _("The dealer was lost during the computation."),
        "relay.refused": _("The relay did not admit a party, or no longer."),
        "proxy.refused": _("A party's own proxy did not let it out."),
        "relay.lost": _("A party could not reach the relay."),
        "relay.tampered": _("Something on the way changed the parties' messages; the session was ended."),
        "node.stopped": _("The hospital has stopped its node."),
        "node.busy": _("Too many orders of this consumer wait at a node for other hospitals."),
        "node.disk_full": _("A node's disk is full."),
        "node.unrecorded": _("A node cannot write its own record, and does nothing unrecorded."),
        "worker.out_of_memory": _("A node's worker asked for more memory than it is given."),
        "worker.out_of_time": _("A node's worker asked for more time than it is given."),
        "worker.killed": _("A node's worker was killed from outside."),
        "worker.failed": _("A node's worker process failed."),
        "chain.port_open": _("Other processes of this machine can reach the chain's own port past its door."),
        "chain.rewound": _("A block of the chain that was final has changed."),
        "chain.nonce_taken": _("Somebody else sent a transaction with the portal's chain key."),
    }
)

ADMITTED_AS: Mapping[str, Text] = MappingProxyType(
    {
        "provider": _("hospital"),
        "consumer": _("enterprise"),
        "service_firm": _("data service firm"),
        "regulator": _("regulator"),
        "dealer": _("computing office (dealer)"),
    }
)

MUST_ACT: Mapping[str, Text] = MappingProxyType(
    {
        "consumer": _("the enterprise that ordered"),
        "custodian": _("the hospital that keeps the data"),
        "operator": _("the operator"),
        "regulator": _("the regulator"),
    }
)

COLUMN_KINDS: Mapping[str, Text] = MappingProxyType(
    {
        "number": _("number"),
        "category": _("category"),
        "identifier": _("identifier"),
        "text": _("text"),
    }
)

UNKNOWN_LOOK = "circle-dashed"


def look(kind: str, state: str) -> Look:
    """How this state of this kind shows."""
    return STATES.get(kind, {}).get(state) or Look("rest", UNKNOWN_LOOK, state)


def event(kind: str) -> tuple[Text, Text]:
    """What happened, and one line of what it means."""
    return KINDS.get(kind, (kind, ""))


def code(value: str) -> Text:
    """What a refusal code says."""
    return CODES.get(value, value)
