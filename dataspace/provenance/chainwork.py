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

from dataspace.provenance import chainwatch, space
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
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=5), timedelta(days=1)
NEVER_AGAIN = frozenset({"chain.refused.stale_number", "chain.refused.exists"})
"""What will not become true by trying: a later word stands, or it is too late to take back."""
Build = Callable[["Chain", EthKey, int], "RawTx"]


def post(
    kind: str,
    *,
    key: str,
    subject_id: UUID | None,
    build: Build,
    after: Callable[[ChainTx], Any] | None = None,
    again: bool = False,
) -> ChainTx:
    """The transaction of this key: made once, sent, and looked for. ChainUnavailable leaves it to a later pass.

    `again`: one that failed is followed by another, after a while that doubles; for what takes permission away.
    """
    row = ChainTx.objects.filter(key=key).first()
    if again and row is not None and row.status == ChainTx.State.FAILED:
        row, key = _next_try(row)
    if row is None:
        row = _store(kind, key=key, subject_id=subject_id, build=build, after=after)
    push(row)
    return row


def _next_try(first: ChainTx) -> tuple[ChainTx | None, str]:
    """The newest try and its key; None and the next key where a new one is due."""
    tries = [first, *ChainTx.objects.filter(key__startswith=f"{first.key}~").order_by("created_at", "nonce")]
    last, wait = tries[-1], min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(len(tries), 20))
    done = last.status != ChainTx.State.FAILED or last.code in NEVER_AGAIN
    if done or last.created_at > timezone.now() - wait:
        return last, last.key
    return None, f"{first.key}~{len(tries)}"


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
    except ChainRefused as trouble:
        if not _look(row):
            _refused(row, trouble)
        return
    row.status, row.sent_at = ChainTx.State.SENT, now
    ChainTx.objects.filter(pk=row.pk, status__in=UNDER_WAY).update(status=row.status, sent_at=now)


def _refused(row: ChainTx, trouble: ChainRefused) -> None:
    """Kept and sent again later, unless another transaction has its nonce for good."""
    log.warning("transaction %s was not taken: %s", row.hash, trouble.code)
    if trouble.code != chainwatch.NONCE_TAKEN:
        return
    used = space.chain().account_nonce(row.sender_id, "finalized")
    if used <= row.nonce:
        return
    chainwatch.alarm(chainwatch.NONCE_TAKEN, row.nonce)  # somebody else signs with our key, or our tables are old
    row.status, row.code = ChainTx.State.FAILED, trouble.code
    row.save(update_fields=["status", "code"])
    Sender.objects.filter(pk=row.sender_id, next_nonce__lt=used).update(next_nonce=used)


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
    chainwatch.saw(receipt.block, receipt.block_hash)
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
    open_rows = ChainTx.objects.exclude(status__in=[ChainTx.State.FINAL, ChainTx.State.FAILED])
    if not open_rows.exists() and not chainwatch.due():
        return
    final = chainwatch.watch()
    now = timezone.now()
    for row in ChainTx.objects.filter(status__in=UNDER_WAY).order_by("nonce"):
        unanswered = row.sent_at is None or row.sent_at < now - RESEND
        if row.status == ChainTx.State.SIGNED or (not _look(row) and unanswered):
            _send(row, now=now)
    _finalize(final)


def _finalize(final: int) -> None:
    """What lies at or under the finalized head, and is still there, is final."""
    for row in ChainTx.objects.filter(status=ChainTx.State.MINED, block__lte=final).order_by("nonce"):
        receipt = space.chain().receipt(row.hash)
        if receipt is None or receipt.block_hash != row.block_hash:
            rows = ChainTx.objects.filter(pk=row.pk, status=ChainTx.State.MINED)
            rows.update(status=ChainTx.State.SENT, sent_at=None, block=None, block_hash="")
        else:
            ChainTx.objects.filter(pk=row.pk, status=ChainTx.State.MINED).update(status=ChainTx.State.FINAL)
