"""Reading grants, actor first: custodian, grantee, the regulator, and the roster's other providers and dealer."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.grants.models import Grant
from dataspace.provenance.models import ChainTx


def grants_for(actor: Actor) -> QuerySet[Grant]:
    """With each the number of its uses and, where the chain refused to register it, the chain's reason."""
    reverted = ChainTx.objects.filter(kind="register", status=ChainTx.State.FAILED, subject_id=OuterRef("pk"))
    rows = Grant.objects.select_related("scenario", "dataset", "custodian", "grantee").annotate(
        uses_count=Count("uses", distinct=True), trouble=Subquery(reverted.values("code")[:1])
    )
    if actor.is_regulator or "dealer" in actor.admitted_as:
        return rows
    if not actor.is_admitted and not actor.suspended:  # who is suspended may still revoke
        return rows.none()
    own = Q(custodian_id=actor.participant_id) | Q(grantee_id=actor.participant_id)
    return rows.filter(own)


def grant_for(actor: Actor, grant_id: UUID) -> Grant:
    row = grants_for(actor).filter(pk=grant_id).first()
    if row is None:
        raise NotFound("no such grant")
    return row


def approvals_of(grants: Iterable[Any]) -> list[dict[str, Any]]:
    """The terms and both signatures of the grants that an entry names, as a receipt carries them."""
    ids = [str(grant["id"]) for grant in grants]
    found: list[dict[str, Any]] = []
    for row in Grant.objects.filter(pk__in=ids).order_by("pk"):
        found.append({"terms": row.terms, "approval": row.approval})
        if row.consent is not None:
            found.append({"terms": row.terms, "approval": row.consent})
    return found
