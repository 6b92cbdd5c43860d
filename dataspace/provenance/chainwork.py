"""Sends transactions. The signed bytes and the nonce are stored in one SQL transaction before anything is sent; a lost
answer is looked up or the same bytes are sent again; nothing is ever signed twice under one key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from dataspace.provenance import space
from dataspace.provenance.models import ChainTx, Sender
from ledger.errors import ChainRefused, ChainUnavailable
from ledger.keys import EthKey

if TYPE_CHECKING:
    from ledger.chain import Chain, RawTx

log = logging.getLogger(__name__)

MINED = (ChainTx.State.MINED, ChainTx.State.FINAL)
UNDER_WAY = (ChainTx.State.SIGNED, ChainTx.State.SENT)
RESEND = timedelta(seconds=2)
MINING_SECONDS = 0.25
Build = Callable[["Chain", EthKey, int], "RawTx"]


def post(
    kind: str,
    *,
    key: str,
    subject_id: UUID | None,
    build: Build,
    after: Callable[[ChainTx], Any] | None = None,
) -> ChainTx:
    """The transaction of this key: made once, sent, and looked for. ChainUnavailable leaves it to a later pass."""
    row = ChainTx.objects.filter(key=key).first()
    if row is None:
        row = _store(kind, key=key, subject_id=subject_id, build=build, after=after)
    push(row)
    return row


def _store(
    kind: str, *, key: str, subject_id: UUID | None, build: Build, after: Callable[[ChainTx], Any] | None
) -> ChainTx:
    account = space.chain_key()
    sender_address = account.address.lower()
    if not Sender.objects.filter(pk=sender_address).exists():
        first = space.chain().account_nonce(sender_address)
        Sender.objects.get_or_create(address=sender_address, defaults={"next_nonce": first})
    with transaction.atomic():
        sender = Sender.objects.select_for_update().get(pk=sender_address)
        known = ChainTx.objects.filter(key=key).first()
        if known is not None:
            return known
        raw = build(space.chain(), account, sender.next_nonce)
        row = ChainTx.objects.create(
            key=key,
            kind=kind,
            subject_id=subject_id,
            sender=sender,
            nonce=sender.next_nonce,
            raw=raw.raw,
            hash=raw.hash,
            created_at=timezone.now(),
        )
        sender.next_nonce += 1
        sender.save(update_fields=["next_nonce"])
        if after is not None:
            after(row)
    return row


def push(row: ChainTx) -> None:
    """Send what is not sent, and look for its receipt for a moment; the chain mines on demand."""
    if row.status == ChainTx.State.SIGNED:
        _send(row, now=timezone.now())
    if row.status != ChainTx.State.SENT:
        return
    until = time.monotonic() + MINING_SECONDS
    while not _look(row) and time.monotonic() < until:
        time.sleep(0.01)


def _send(row: ChainTx, *, now: datetime) -> None:
    try:
        space.chain().send_raw(row.raw)
    except ChainRefused as trouble:  # not accepted now (a gap in the nonces, say): kept, and sent again
        if not _look(row):
            log.warning("transaction %s was not taken: %s", row.hash, trouble.code)
        return
    row.status, row.sent_at = ChainTx.State.SENT, now
    ChainTx.objects.filter(pk=row.pk, status=ChainTx.State.SIGNED).update(status=row.status, sent_at=now)


def _look(row: ChainTx) -> bool:
    """Whether the receipt is there; writes down what it says."""
    receipt = space.chain().receipt(row.hash)
    if receipt is None:
        return False
    row.status = ChainTx.State.MINED if receipt.status == 1 else ChainTx.State.FAILED
    row.block, row.block_hash = receipt.block, receipt.block_hash
    if row.status == ChainTx.State.FAILED:
        row.code = _why(row)
        log.warning("transaction %s (%s) was reverted: %s", row.hash, row.kind, row.code)
    row.save(update_fields=["status", "block", "block_hash", "code"])
    return True


def _why(row: ChainTx) -> str:
    """The contract's reason, asked for again now; a bare code where it has changed its mind or does not answer."""
    from ledger.abi import read_transaction  # with the chain's door, not before it

    try:
        space.chain().preflight(read_transaction(row.raw))
    except ChainRefused as trouble:
        return trouble.code
    except ChainUnavailable:
        pass
    return "chain.reverted"


def follow() -> None:
    """Carry every transaction on: send, send again, look for receipts, wait for finality."""
    now = timezone.now()
    if not ChainTx.objects.exclude(status__in=[ChainTx.State.FINAL, ChainTx.State.FAILED]).exists():
        return
    _rewound()
    for row in ChainTx.objects.filter(status=ChainTx.State.SIGNED).order_by("nonce"):
        _send(row, now=now)
    for row in ChainTx.objects.filter(status=ChainTx.State.SENT).order_by("nonce"):
        if not _look(row) and row.sent_at is not None and row.sent_at < now - RESEND:
            ChainTx.objects.filter(pk=row.pk).update(status=ChainTx.State.SIGNED)
    _finalize()


def _finalize() -> None:
    """What lies at or under the finalized head, and is still there, is final."""
    mined = list(ChainTx.objects.filter(status=ChainTx.State.MINED).order_by("nonce"))
    if not mined:
        return
    door = space.chain()
    final = door.finalized().number
    for row in mined:
        if row.block is None or row.block > final:
            continue
        receipt = door.receipt(row.hash)
        if receipt is None:
            ChainTx.objects.filter(pk=row.pk).update(status=ChainTx.State.SIGNED, block=None, block_hash="")
        elif receipt.block <= final:
            ChainTx.objects.filter(pk=row.pk).update(status=ChainTx.State.FINAL, block=receipt.block)


def _rewound() -> None:
    """A chain that came back from an older snapshot knows less than we do: send it the same bytes again."""
    for sender in Sender.objects.all():
        known = space.chain().account_nonce(sender.address)
        lost = ChainTx.objects.filter(sender=sender, nonce__gte=known).exclude(status=ChainTx.State.SIGNED)
        done = lost.exclude(status=ChainTx.State.SENT)
        if done.exists():
            log.error("the chain knows %s transactions of ours less than before; sending them again", done.count())
            lost.update(status=ChainTx.State.SIGNED, block=None, block_hash="")
