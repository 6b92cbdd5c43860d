"""Turns events into leaves, checkpoints and anchors; one leader at a time.

An event becomes a leaf once (its delivery says so), a checkpoint is signed over leaves that are stored, and an anchor
is a transaction whose bytes are stored with its nonce before they are sent.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from dataspace.provenance import calls, chainwork, space
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Delivery, Leaf
from dataspace.provenance.queries import anchored_size
from dataspace.provenance.store import log as space_log
from ledger.checkpoint import sign_checkpoint
from ledger.entry import leaf_hash
from ledger.receipt import log_id_of

logger = logging.getLogger(__name__)

BATCH = 2000
AGAIN = timedelta(seconds=10)


@transaction.atomic
def sequence(*, now: datetime) -> int:
    """Give owed events their places in the log and sign the new checkpoint; answers how many there were."""
    owed = list(
        Delivery.objects.select_for_update(of=("self",))
        .filter(follower="log", done_at=None)
        .order_by("event_id")
        .select_related("event")[:BATCH]
    )
    if not owed:
        return 0
    trust, key, log = space.trust(), space.log_key(), space_log()
    start = log.size
    hashes = [leaf_hash(one.event.entry) for one in owed]
    log.append(hashes)  # before the leaf rows: the store counts its size by them
    Leaf.objects.bulk_create(
        Leaf(index=start + offset, event=one.event, hash=hashes[offset].hex()) for offset, one in enumerate(owed)
    )
    size, root = log.size, log.root()
    Checkpoint.objects.create(
        size=size, root=root.hex(), note=sign_checkpoint(trust.log.origin, size, root, key), at=now
    )
    Delivery.objects.filter(pk__in=[one.pk for one in owed]).update(done_at=now)
    return len(owed)


def log_id() -> str:
    """The log's name on chain."""
    return log_id_of(space.trust().log.origin)


def anchor(*, now: datetime) -> None:
    """Anchor the newest checkpoint, one at a time: the contract checks that each grows out of the one before."""
    last = Anchor.objects.select_related("tx").order_by("-tx__nonce").first()
    if last is not None and last.tx.status in chainwork.UNDER_WAY:
        chainwork.push(last.tx)
        if last.tx.status in chainwork.UNDER_WAY:
            return
    newest = Checkpoint.objects.order_by("-size").first()
    prev = anchored_size()
    if newest is None or newest.size <= prev:
        return
    tried = f"anchor:{newest.size}:{prev}:"
    failed = ChainTx.objects.filter(key__startswith=tried, status=ChainTx.State.FAILED).order_by("-created_at")
    if failed and failed[0].created_at > now - AGAIN:
        return
    proof = space_log().consistency(prev, newest.size) if prev else []
    tx = chainwork.post(
        "anchor",
        key=f"{tried}{len(failed)}",
        subject_id=None,
        build=lambda door, key, nonce: calls.anchor(
            door, key, nonce, log_id=log_id(), prev_size=prev, size=newest.size, root=newest.root, proof=proof
        ),
        after=lambda row: Anchor.objects.update_or_create(checkpoint=newest, defaults={"tx": row, "prev_size": prev}),
    )
    if tx.status in chainwork.MINED:
        logger.info("anchored %s entries", newest.size)


def follow() -> None:
    """Sequence all that is owed, then anchor it."""
    while sequence(now=timezone.now()) == BATCH:
        pass
    anchor(now=timezone.now())


def pending() -> bool:
    """Whether an event waits for its place in the log."""
    return Delivery.objects.filter(follower="log", done_at=None).exists()
