"""Reading grants, actor first: custodian, grantee, the regulator, and the roster's other providers and dealer.

And receipts, which carry the grants' signatures.
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.grants.models import Grant
from dataspace.provenance import proofs, space
from dataspace.provenance.models import ChainTx, Event
from dataspace.provenance.queries import published
from dataspace.provenance.store import log
from ledger.documents import Document
from ledger.entry import grants_of
from ledger.receipt import make_receipt


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


def approvals_of(grants: Iterable[str]) -> list[dict[str, Any]]:
    """The terms and the signatures of these grants, as a receipt carries them."""
    rows = Grant.objects.filter(pk__in=list(grants)).order_by("pk")
    return [{"terms": row.terms, "signatures": [one for one in (row.approval, row.consent) if one]} for row in rows]


def receipt_of(event: Event, *, whole: bool = False) -> Document | None:
    """The receipt under the first checkpoint whose anchor is proved and vouched for; or None yet.

    Unless it must be `whole`, the first published checkpoint will do in the meantime, without a chain leg.
    """
    leaf = getattr(event, "leaf", None)
    if leaf is None:
        return None
    held = proofs.held(leaf.index)
    checkpoint, leg = held or (None if whole else published(beyond=leaf.index), None)
    if checkpoint is None:
        return None
    return make_receipt(
        event.entry,
        space_id=space.trust().space_id,
        index=leaf.index,
        inclusion=log().inclusion(leaf.index, checkpoint.size),
        checkpoint=checkpoint.cosigned,
        approvals=approvals_of(grants_of(event.entry)),
        chain=leg,
    )
