"""Puts the receipt of an event together from the log's tables, for its page and its file."""

from dataspace.grants.queries import approvals_of
from dataspace.provenance import space
from dataspace.provenance.models import Event
from dataspace.provenance.queries import anchors, published
from dataspace.provenance.store import log
from ledger.documents import Document
from ledger.receipt import chain_leg, make_receipt


def receipt_of(event: Event) -> Document | None:
    """The receipt under the first anchored checkpoint that holds the entry, else the first signed one; or None yet."""
    leaf = getattr(event, "leaf", None)
    if leaf is None:
        return None
    anchor = anchors().filter(size__gt=leaf.index).order_by("size").first()
    held = anchor.checkpoint if anchor else None
    checkpoint = held or published(beyond=leaf.index)
    if checkpoint is None:
        return None
    trust = space.trust()
    return make_receipt(
        event.entry,
        space_id=trust.space_id,
        index=leaf.index,
        inclusion=log().inclusion(leaf.index, checkpoint.size),
        checkpoint=checkpoint.cosigned,
        approvals=approvals_of(event.entry["body"].get("grants", [])),
        chain=chain_leg(trust) if held else None,
    )
