"""Puts the receipt of an event together from the log's tables, for its page and its file."""

from dataspace.grants.queries import approvals_of
from dataspace.provenance import space
from dataspace.provenance.models import ChainTx, Checkpoint, Event
from dataspace.provenance.store import log
from ledger.documents import Document
from ledger.receipt import chain_leg, make_receipt


def receipt_of(event: Event) -> Document | None:
    """The receipt under the first anchored checkpoint that holds the entry, else the first signed one; or None yet."""
    leaf = getattr(event, "leaf", None)
    if leaf is None:
        return None
    rows = Checkpoint.objects.filter(size__gt=leaf.index).order_by("size")
    held = rows.filter(anchor__tx__status__in=[ChainTx.State.MINED, ChainTx.State.FINAL]).first()
    checkpoint = held or rows.first()
    if checkpoint is None:
        return None
    trust = space.trust()
    return make_receipt(
        event.entry,
        space_id=trust.space_id,
        index=leaf.index,
        inclusion=log().inclusion(leaf.index, checkpoint.size),
        checkpoint=checkpoint.note,
        approvals=approvals_of(event.entry["body"].get("grants", [])),
        chain=chain_leg(trust) if held else None,
    )
