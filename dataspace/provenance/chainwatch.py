"""Notices that the chain took something back, and puts our transactions back to where they were: sent, not mined.

A block that is not final may change: what it held is sent again, the same bytes. A final block never may. If one did,
or is gone from a chain that has gone on without it, that is an alarm, which stays visible; and everything that the
chain now lacks is sent again as well. Which of two chains is right is for people to say, not for this file.
"""

import logging
import time

from django.db import transaction
from django.utils import timezone

from dataspace.provenance import space
from dataspace.provenance.models import ChainAlarm, ChainTx, KnownBlock
from ledger.errors import ChainUnavailable

log = logging.getLogger(__name__)

REWOUND = "chain.rewound"
NONCE_TAKEN = "chain.nonce_taken"
KEPT_FINAL = 200
IDLE_EVERY = 10.0
_watched_at: list[float] = [-IDLE_EVERY]


def due() -> bool:
    """Whether the chain should be looked at although nothing of ours is under way."""
    return time.monotonic() - _watched_at[0] >= IDLE_EVERY


def watch() -> int:
    """Compare the chain with what we know of it; answers the height up to which it is final."""
    door = space.chain()
    head, final = door.head(), door.finalized()
    _watched_at[0] = time.monotonic()
    newest = KnownBlock.objects.filter(final=True).order_by("-height").first()
    if newest is not None:
        if head.number >= newest.height:
            rewound = door.block(newest.height).hash != newest.hash
        elif head.time <= newest.time:
            raise ChainUnavailable("chain.behind", "the endpoint does not know yet what is final already")
        else:  # a later moment at a lower height: this chain lacks a block that was final
            rewound = True
        if rewound:
            _rewound(newest.height)
            return -1
    changed = [
        known.height
        for known in KnownBlock.objects.filter(final=False).order_by("height")
        if known.height > head.number or door.block(known.height).hash != known.hash
    ]
    if changed:
        _take_back(min(changed))
    KnownBlock.objects.filter(final=False, height__lte=final.number).update(final=True)
    if newest is None or final.number > newest.height:
        KnownBlock.objects.update_or_create(
            height=final.number, defaults={"hash": final.hash, "time": final.time, "final": True}
        )
        KnownBlock.objects.filter(final=True, height__lt=final.number - KEPT_FINAL).delete()
    return final.number


def saw(height: int, block_hash: str) -> None:
    """A block that holds a transaction of ours."""
    if not KnownBlock.objects.filter(height=height).exists():
        KnownBlock.objects.get_or_create(height=height, defaults={"hash": block_hash, "time": int(time.time())})


def alarm(code: str, height: int) -> None:
    """Once for each thing that happened."""
    if not ChainAlarm.objects.filter(code=code, height=height, seen_at=None).exists():
        ChainAlarm.objects.create(code=code, height=height, at=timezone.now())
    log.error("%s at %s", code, height)


def _take_back(height: int) -> None:
    """Blocks from this height on have changed: what they held is sent, not mined."""
    with transaction.atomic():
        KnownBlock.objects.filter(final=False, height__gte=height).delete()
        rows = ChainTx.objects.filter(status__in=[ChainTx.State.MINED, ChainTx.State.FAILED], block__gte=height)
        count = rows.update(status=ChainTx.State.SENT, sent_at=None, block=None, block_hash="", code="")
    log.warning("the chain changed from block %s on; %s transactions are sent again", height, count)


def _rewound(height: int) -> None:
    """A final block changed: nothing that we knew of this chain counts; whatever it lacks is sent again."""
    alarm(REWOUND, height)
    door = space.chain()
    with_block = list(ChainTx.objects.exclude(block=None).order_by("nonce"))
    lacking = [row.pk for row in with_block if door.receipt(row.hash) is None]
    with transaction.atomic():
        KnownBlock.objects.all().delete()
        rows = ChainTx.objects.filter(pk__in=[row.pk for row in with_block])
        rows.update(status=ChainTx.State.SENT, sent_at=None, block=None, block_hash="", code="")
    log.error("%s transactions of ours are gone from the chain; they are sent again", len(lacking))
