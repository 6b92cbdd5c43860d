"""Verbs about grants: approve a scenario with its grants, consent, revoke, use; and what the chain then says."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F, Q, QuerySet

from dataspace.actor import SYSTEM, Actor
from dataspace.errors import Conflict, DataspaceError, Invalid, Refused
from dataspace.grants import policies
from dataspace.grants.models import Grant, GrantUse
from dataspace.grants.states import BEGIN, INITIAL, MOVES, Move, State
from dataspace.moves import advance, begin
from dataspace.provenance import calls, chainwork, space
from dataspace.provenance.models import ChainTx
from dataspace.scenarios import services as scenarios
from dataspace.scenarios.models import Scenario
from dataspace.scenarios.states import Move as ScenarioMove
from ledger.acts import verify_regulator_approval, verify_terms
from ledger.approval import (
    domain_of,
    grant_chain_id,
    latest_number,
    verify_approval,
    verify_cancellation,
    verify_revocation,
    verify_suspension,
    verify_use,
)
from ledger.documents import document_hash, parse_time
from ledger.errors import VerificationError
from ledger.participant import passkeys_of
from mpc.catalog import CATALOG

log = logging.getLogger(__name__)


def audience_of(grant: Grant) -> list[UUID]:
    return [grant.custodian_id, grant.grantee_id, space.regulator_id()]


def named(grants: Sequence[Grant]) -> list[dict[str, str]]:
    """How an entry names grants; a receipt carries their approvals."""
    return [{"id": str(one.pk), "terms_hash": one.terms_hash} for one in sorted(grants, key=lambda row: str(row.pk))]


@transaction.atomic
def approve_scenario(
    scenario: Scenario,
    *,
    decision: Mapping[str, Any],
    grants: Sequence[Mapping[str, Any]],
    actor: Actor,
    now: datetime,
) -> list[Grant]:
    """The regulator's decision; an approval brings the signed terms of one grant for each dataset."""
    move = scenarios.decide(scenario, decision=decision, actor=actor, now=now)
    if move != ScenarioMove.APPROVE:
        if grants:
            raise Invalid("only an approval brings grants", code="scenario.grants")
        return []
    rows = {str(row.pk): row for row in scenario.datasets.select_related("provider")}
    if sorted(one["terms"]["dataset"] for one in grants) != sorted(rows):
        raise Invalid("an approval brings one grant for each dataset", code="scenario.grants")
    return [
        _submit(scenario, one["terms"], one["approval"], dataset=rows[one["terms"]["dataset"]], actor=actor, now=now)
        for one in grants
    ]


def _submit(
    scenario: Scenario,
    terms: dict[str, Any],
    approval: Mapping[str, Any],
    *,
    dataset: Any,
    actor: Actor,
    now: datetime,
) -> Grant:
    trust = space.trust()
    verify_terms(terms, scenario.document["document"], trust)
    verify_regulator_approval(terms, approval, trust)
    for one in terms["functions"]:
        if CATALOG[f"{one['name']}@{one['version']}"].digest != one["digest"]:
            raise Invalid(f"{one['name']} has another digest here", code="spec.function_digest")
    approvers = [one["address"] for one in dataset.provider.record["document"]["keys"]["approval"]]
    if terms["custodian_approver"] not in approvers:
        raise Invalid("the custodian has no such approval key", code="grant.wrong_custodian")
    row = Grant(
        id=UUID(terms["id"]),
        scenario=scenario,
        dataset=dataset,
        custodian=dataset.provider,
        grantee=scenario.consumer,
        terms=terms,
        terms_hash=document_hash(terms),
        chain_id=grant_chain_id(terms),
        approval=dict(approval),
        not_before=parse_time(terms["not_before"]),
        not_after=parse_time(terms["not_after"]),
        max_uses=terms["max_uses"],
        created_at=now,
    )
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=audience_of(row), body={"grants": named([row])})
    return row


@transaction.atomic
def consent(grant: Grant, *, consent: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """Take in the custodian's signature; the registration on chain follows."""
    policies.check_may_consent(actor, custodian_id=grant.custodian_id)
    if grant.consent is not None and grant.consent == dict(consent):
        return
    passkeys = _passkeys(grant)
    verify_approval(grant.terms, consent, domain=domain_of(space.trust()), role="custodian", passkeys=passkeys)
    if consent["sign_by"] <= now.timestamp():
        raise Refused("the consent was to be registered before now", code="approval.late")
    advance(
        grant,
        Move.CONSENT,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant])},
        changes={"consent": dict(consent)},
    )


@transaction.atomic
def revoke(grant: Grant, *, revocation: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A signed revocation is final when it is seen; the chain learns it next."""
    policies.check_may_revoke(actor, custodian_id=grant.custodian_id, by=str(revocation.get("by")))
    trust = space.trust()
    decider = verify_revocation(grant.terms, revocation, domain=domain_of(trust), passkeys=_passkeys(grant))
    if revocation["by"] == "regulator" and decider not in trust.regulator.approvers:
        raise Refused("the trust file names no such approver", code="approval.wrong_signer")
    if grant.state == State.REVOKED:
        return
    advance(
        grant,
        Move.REVOKE,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant]), "by": revocation["by"], "reason_hash": revocation["reason_hash"]},
        changes={"revocation": dict(revocation)},
    )


@transaction.atomic
def suspend(grant: Grant, *, suspension: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """One side's signed word: the grant is held, or let go; it stays suspended while either side holds it."""
    grant = Grant.objects.select_for_update().get(pk=grant.pk)
    trust = space.trust()
    decider = verify_suspension(grant.chain_id, suspension, domain=domain_of(trust), passkeys=_passkeys(grant))
    by = _side(grant, decider)
    policies.check_may_suspend(actor, custodian_id=grant.custodian_id, by=by)
    last = grant.suspensions.get(by)
    if last == dict(suspension):
        return
    if suspension["number"] > latest_number(now.timestamp()):
        raise Refused("the decision's number lies too far ahead", code="grant.stale_number")
    if last is not None and suspension["number"] <= last["number"]:
        raise Conflict("a later decision of this side is known", code="grant.stale_number")
    held = {**grant.suspensions, by: dict(suspension)}
    still = any(one["suspended"] for one in held.values())
    move = Move.SUSPEND if suspension["suspended"] else Move.LIFT if still else Move.RESUME
    advance(
        grant,
        move,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant]), "by": by, "number": suspension["number"]},
        changes={"suspensions": held},
    )


@transaction.atomic
def cancel(grant: Grant, *, cancellation: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """Take back an approval or a consent that nobody registered: without approval the grant ends, without consent it
    waits for another one."""
    grant = Grant.objects.select_for_update().get(pk=grant.pk)
    decider = verify_cancellation(
        grant.terms, cancellation, domain=domain_of(space.trust()), passkeys=_passkeys(grant)
    )
    by = _side(grant, decider)
    policies.check_may_cancel(actor, custodian_id=grant.custodian_id, by=by)
    if dict(cancellation) in grant.cancellations:
        return
    signed = grant.approval if by == "regulator" else grant.consent
    if signed is None or signed["nonce"] != cancellation["nonce"]:
        raise Refused("this side signed nothing of the kind here", code="approval.missing")
    if _registrations(grant).exclude(status=ChainTx.State.FAILED).exists():
        raise Refused("the grant is on its way to the chain, or on it: revoke it", code="grant.registered")
    kept = {"cancellations": [*grant.cancellations, dict(cancellation)]}
    advance(
        grant,
        Move.CANCEL if by == "regulator" else Move.TAKE_BACK,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant]), "by": by},
        changes=kept if by == "regulator" else {**kept, "consent": None},
    )


def _side(grant: Grant, decider: str) -> str:
    if decider in space.trust().regulator.approvers:
        return "regulator"
    if decider == grant.terms["custodian_approver"]:
        return "custodian"
    raise Refused("neither the regulator nor this custodian signed this", code="approval.wrong_signer")


def _passkeys(grant: Grant) -> dict[str, Any]:
    """The keys behind the regulator's and this custodian's accounts of passkeys."""
    return {**passkeys_of(grant.custodian.record["document"]), **space.trust().regulator.passkeys}


def _registrations(grant: Grant) -> QuerySet[ChainTx]:
    return ChainTx.objects.filter(kind="register", subject_id=grant.pk)


@transaction.atomic
def use(grant: Grant, *, job_hash: str, signature: str, actor: Actor, now: datetime) -> GrantUse:
    """Take in a node's signed use, once for a job; the relay to the chain follows."""
    policies.check_may_use(actor, custodian_id=grant.custodian_id)
    grant = Grant.objects.select_for_update().get(pk=grant.pk)  # a revocation at this moment waits, or is seen
    if grant.consent is None or grant.state not in {State.ACTIVE, State.EXHAUSTED}:
        raise Refused(f"the grant is {grant.state}", code=f"grant.{refusal_of(grant.state)}")
    service = verify_use(grant.chain_id, job_hash, signature, domain=domain_of(space.trust()))
    if service != grant.consent["service"]:
        raise Refused("not signed by the service key the custodian named", code="grant.wrong_custodian")
    known = GrantUse.objects.filter(grant=grant, job_hash=job_hash).first()
    if known is not None:
        return known
    if GrantUse.objects.filter(grant=grant).count() >= grant.max_uses:
        raise Refused("every use of the grant is taken", code="grant.exhausted")
    row, _ = GrantUse.objects.get_or_create(
        grant=grant, job_hash=job_hash, defaults={"signature": signature, "at": now}
    )
    return row


def refusal_of(state: str) -> str:
    """The last word of the refusal code for a grant that is not active."""
    return {"submitted": "not_registered", "consented": "not_registered"}.get(state, state)


def relay_registration(grant: Grant) -> ChainTx:
    """Carry both signatures to the chain, once."""
    approval, consent = grant.approval, grant.consent
    if consent is None:
        raise Conflict("the custodian has not consented")
    return chainwork.post(
        "register",
        key=f"register:{grant.pk}:{consent['nonce'][2:18]}",
        subject_id=grant.pk,
        build=lambda door, key, nonce: calls.register(
            door, key, nonce, terms=grant.terms, approval=approval, consent=consent
        ),
    )


def relay_revocation(grant: Grant) -> ChainTx:
    """Carry a revocation to the chain: once, unless it fails."""
    revocation = grant.revocation
    if revocation is None:
        raise Conflict("the grant is not revoked")
    return chainwork.post(
        "revoke",
        key=f"revoke:{grant.pk}",
        subject_id=grant.pk,
        build=lambda door, key, nonce: calls.revoke(door, key, nonce, grant_id=grant.chain_id, revocation=revocation),
        again=True,
    )


def relay_suspensions(grant: Grant) -> None:
    """Carry the last word of either side to the chain, once."""
    for by, suspension in grant.suspensions.items():
        chainwork.post(
            "suspend_grant",
            key=f"hold:{grant.pk}:{by}:{suspension['number']}",
            subject_id=grant.pk,
            build=partial(calls.suspend_grant, grant_id=grant.chain_id, suspension=suspension),
            again=True,
        )


def relay_cancellations(grant: Grant) -> None:
    """Carry what was taken back to the chain, so that nobody registers it there."""
    for one in grant.cancellations:
        chainwork.post(
            "cancel",
            key=f"cancel:{grant.pk}:{one['nonce'][2:18]}",
            subject_id=grant.pk,
            build=partial(calls.cancel, grant_id=grant.chain_id, cancellation=one),
            again=True,
        )


def relay_use(row: GrantUse) -> ChainTx:
    """Carry a use to the chain, once."""
    return chainwork.post(
        "consume",
        key=f"consume:{row.grant_id}:{row.job_hash}",
        subject_id=row.grant_id,
        build=lambda door, key, nonce: calls.consume(
            door, key, nonce, grant_id=row.grant.chain_id, job_hash=row.job_hash, signature=row.signature
        ),
    )


def follow(*, now: datetime) -> None:
    """Carry on what waits for the chain or the clock. What takes permission away goes first; one row that cannot be
    carried on holds up no other."""
    sent = ChainTx.objects.filter(kind="revoke").exclude(status=ChainTx.State.FAILED).values("subject_id")
    for grant in Grant.objects.filter(state=State.REVOKED, revocation__isnull=False).exclude(pk__in=sent):
        with _apart("revocation", grant):
            relay_revocation(grant)
    for grant in Grant.objects.exclude(suspensions={}, cancellations=[]):
        with _apart("suspension or cancellation", grant):
            relay_suspensions(grant)
            relay_cancellations(grant)
    timed = [State.SUBMITTED, State.CONSENTED, State.ACTIVE, State.SUSPENDED]
    for grant in Grant.objects.filter(state__in=timed, not_after__lt=now):
        with _apart("expiry", grant):
            expire(grant, now=now)
    for grant in Grant.objects.filter(state=State.CONSENTED):
        with _apart("registration", grant):
            _register(grant, now=now)
    for row in GrantUse.objects.filter(relayed=False).select_related("grant"):
        with _apart("use", row.grant):
            if relay_use(row).status in chainwork.MINED:
                GrantUse.objects.filter(pk=row.pk).update(relayed=True)
    used = Grant.objects.filter(state=State.ACTIVE).annotate(
        done=Count("uses", filter=Q(uses__relayed=True), distinct=True)
    )
    for grant in used.filter(done__gte=F("max_uses")):
        with _apart("exhaustion", grant):
            exhaust(grant, now=now)


@contextmanager
def _apart(what: str, grant: Grant) -> Iterator[None]:
    """One row's own trouble is its own; a chain that is away stops the pass."""
    try:
        yield
    except (VerificationError, DataspaceError) as trouble:
        log.warning("the %s of grant %s waits: %s", what, grant.pk, trouble.code)


def _register(grant: Grant, *, now: datetime) -> None:
    tx = relay_registration(grant)
    if tx.status == ChainTx.State.FINAL and tx.block is not None:
        registered(grant, block=tx.block, now=now)


def registered(grant: Grant, *, block: int, now: datetime) -> None:
    """The registration is final: the grant is active."""
    if grant.state != State.CONSENTED:
        raise Conflict(f"the grant is {grant.state}")
    advance(
        grant,
        Move.REGISTER,
        moves=MOVES,
        actor=SYSTEM,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant]), "block": block},
        changes={"registered_block": block},
    )


def expire(grant: Grant, *, now: datetime) -> None:
    """The grant's time is over."""
    _end(grant, Move.EXPIRE, now=now)


def exhaust(grant: Grant, *, now: datetime) -> None:
    """Every use of the grant is on chain."""
    _end(grant, Move.EXHAUST, now=now)


def _end(grant: Grant, move: Move, *, now: datetime) -> None:
    advance(
        grant,
        move,
        moves=MOVES,
        actor=SYSTEM,
        now=now,
        audience=audience_of(grant),
        body={"grants": named([grant])},
    )
