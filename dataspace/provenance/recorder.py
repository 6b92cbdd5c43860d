"""Turns events into leaves, checkpoints and anchors; one leader at a time.

An event becomes a leaf once (its delivery says so), a checkpoint is signed over leaves that are stored, published when
enough witnesses have cosigned it, and only what is published is anchored. An anchor is a transaction whose bytes are
stored with its nonce before they are sent. Before anything is written, `guard` asks whether the world has seen more
of this log than this database knows.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from dataspace.provenance import calls, chainwork, guard, queries, space, store, witnesses
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Delivery
from ledger.anchor import log_id_of
from ledger.checkpoint import AnchorSeen, sign_checkpoint
from ledger.errors import ChainUnavailable

logger = logging.getLogger(__name__)

BATCH = 10_000
AGAIN = timedelta(seconds=10)
_LOG = 0x786C6F67


def sequence(*, now: datetime) -> int:
    """Give owed events their places in the log and sign the new checkpoint; answers how many there were.

    What is urgent goes first and alone, however long the queue is.
    """
    if not pending():
        return 0
    guard.check()
    with transaction.atomic():
        return _sequence(now=now)


def _sequence(*, now: datetime) -> int:
    _hold()
    mine = Delivery.objects.filter(follower="log").order_by("event_id")
    columns = ("event_id", "event__commitment")
    owed = list(mine.filter(urgent=True).values_list(*columns)[:BATCH]) or list(mine.values_list(*columns)[:BATCH])
    if not owed:
        return 0
    size, root = store.append(owed)
    sign(size, root, now=now)
    Delivery.objects.filter(follower="log", event__leaf__index__gte=size - len(owed)).delete()
    transaction.on_commit(lambda: guard.keep(size, root))
    return len(owed)


def _hold() -> None:
    """The log is this transaction's: the leader's lock may be lost with its connection; this one cannot."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOG])


def sign(size: int, root: bytes, *, now: datetime, names: Anchor | None = None) -> Checkpoint:
    """A note over this size and root; published at once where the trust file asks for no witnesses."""
    trust = space.trust()
    lines = [seen(names).line()] if names else []
    return Checkpoint.objects.create(
        size=size,
        root=root.hex(),
        note=sign_checkpoint(trust.log.origin, size, root, space.log_key(), lines),
        at=now,
        names=names,
        published_at=None if trust.witnesses.k else now,
    )


def seen(anchor: Anchor) -> AnchorSeen:
    """What an extension line says of an anchor in a block."""
    if anchor.tx.block is None:
        raise ChainUnavailable("chain.unavailable", "the anchor is in no block yet")
    return AnchorSeen(space.trust().chain.id, anchor.size, anchor.tx.block, anchor.tx.block_hash.lower())


def publish(*, now: datetime) -> None:
    """Ask the witnesses for the newest checkpoint's cosignatures; it is published when there are enough."""
    newest = Checkpoint.objects.last()
    if newest is None or newest.published_at is not None:
        return
    if witnesses.cosign(newest, now=now) >= space.trust().witnesses.k:
        Checkpoint.objects.filter(pk=newest.pk, published_at=None).update(published_at=now)


def log_id() -> str:
    """The log's name on chain."""
    return log_id_of(space.trust().log.origin)


def anchor(*, now: datetime) -> None:
    """Anchor the newest published checkpoint, one at a time: the contract checks that each grows out of the last."""
    last = Anchor.objects.filter(lost_at=None).select_related("tx").order_by("-pk").first()
    if last is not None and last.tx.status in chainwork.UNDER_WAY:
        chainwork.push(last.tx)
        if last.tx.status in chainwork.UNDER_WAY:
            return
    newest, prev = queries.published(), queries.anchored_size()
    if newest is None or newest.size <= prev:
        return
    guard.check()
    tried = f"anchor:{queries.epoch()}:{newest.size}:{prev}:"
    failed = ChainTx.objects.filter(key__startswith=tried, status=ChainTx.State.FAILED).order_by("-created_at")
    if failed and failed[0].created_at > now - AGAIN:
        return
    post_anchor(newest, prev=prev, key=f"{tried}{ChainTx.objects.filter(key__startswith=tried).count()}")


def post_anchor(checkpoint: Checkpoint, *, prev: int, key: str) -> ChainTx:
    """Store and send the transaction that anchors a checkpoint."""
    proof = store.log().consistency(prev, checkpoint.size) if prev else []
    tx = chainwork.post(
        "anchor",
        key=key,
        subject_id=None,
        build=lambda door, account, nonce: calls.anchor(
            door,
            account,
            nonce,
            log_id=log_id(),
            prev_size=prev,
            size=checkpoint.size,
            root=checkpoint.root,
            proof=proof,
        ),
        after=lambda row: Anchor.objects.create(
            checkpoint=checkpoint, tx=row, size=checkpoint.size, prev_size=prev, epoch=queries.epoch()
        ),
    )
    if tx.status in chainwork.MINED:
        logger.info("anchored %s entries", checkpoint.size)
    return tx


def name_anchor(*, now: datetime) -> None:
    """Once an anchor is final, sign one more checkpoint that names it: its cosignatures vouch for the block, too.

    Growth goes first: a witness without a chain cosigns no note that names a block, and may be needed for the size.
    """
    last = queries.anchors().filter(tx__status=ChainTx.State.FINAL).order_by("-size").first()
    grown = Checkpoint.objects.filter(names=None).last()
    if last is None or grown is None or grown.published_at is None:
        return
    tried = Checkpoint.objects.filter(names=last).last()
    if tried is not None and (
        tried.published_at is not None or tried.at > now - AGAIN or tried == Checkpoint.objects.last()
    ):
        return
    guard.check()
    log = store.log()
    with transaction.atomic():
        _hold()
        size = log.size
        sign(size, log.root(size), now=now, names=last)
    publish(now=now)


def follow() -> None:
    """Sequence all that is owed, urgent things first; publish and anchor after each batch."""
    while True:
        now = timezone.now()
        count = 0 if _too_soon(now) else sequence(now=now)
        publish(now=now)
        anchor(now=now)
        if not count:
            break
    name_anchor(now=timezone.now())


def _too_soon(now: datetime) -> bool:
    """Under load, checkpoints keep a distance; a full batch and what is urgent do not wait for it."""
    last = Checkpoint.objects.last()
    if last is None or (now - last.at).total_seconds() >= settings.XINGLIN_BATCH_SECONDS:
        return False
    mine = Delivery.objects.filter(follower="log")
    return not mine.filter(urgent=True).exists() and mine[:BATCH].count() < BATCH


def pending() -> bool:
    """Whether an event waits for its place in the log."""
    return Delivery.objects.filter(follower="log").exists()
