"""`ledger fsck | status | export | reanchor`: the log in SQL held against itself, its signatures, and the chain.

Reads everything and changes nothing, but for `reanchor`, which anchors anew what the chain has lost. The rules are
`ledger.fsck`'s.
"""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from dataspace.errors import Unavailable
from dataspace.provenance import guard, queries, recorder, space, store
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Delivery, Event, Leaf, Tile
from ledger.anchor import log_id_of, next_anchor
from ledger.documents import canonical
from ledger.errors import LedgerError
from ledger.fsck import Report, check_note, rebuild
from ledger.log import TILE_WIDTH
from ledger.logdir import write_log
from ledger.merkle import leaf_hash
from ledger.tiles import all_tiles

CHUNK = 5000
Claims = dict[int, list[tuple[str, bytes]]]


def fsck(*, chain: bool = True) -> Report:
    """Leaves against events, tiles against leaves, notes against keys and tiles, anchors against the chain."""
    report, claims = Report(), Claims()
    _check_events(report)
    _check_checkpoints(report, claims)
    _check_anchors(report, claims, chain=chain)
    rebuild(_leaf_hashes(report), tile=store.SqlStore().tile, claims=claims, report=report)
    wanted = {(level, index) for level, index, _ in all_tiles(report.size)}
    for level, position in Tile.objects.values_list("level", "position").iterator(chunk_size=CHUNK):
        if (level, position) not in wanted:
            report.add("log.tile", f"tile {level}/{position} lies beyond the log")
    try:
        guard.check()
    except (LedgerError, Unavailable) as behind:
        report.add(behind.code, behind.message)
    return report


def _leaf_hashes(report: Report) -> Iterator[bytes]:
    """Leaf hashes from the events' commitments, in the order of their places."""
    columns = ("index", "hash", "event__commitment", "event__entry")
    rows = Leaf.objects.order_by("index").values_list(*columns)
    for expected, (index, kept, commitment, entry) in enumerate(rows.iterator(chunk_size=CHUNK)):
        if index != expected:
            report.add("log.leaf", f"there is no leaf {expected}; the next one is {index}")
            return
        if sha256(canonical(entry)).hexdigest() != commitment:
            report.add("log.entry", f"entry {index} is not the one that its leaf commits to")
        found = leaf_hash(bytes.fromhex(commitment))
        if found.hex() != kept:
            report.add("log.leaf", f"leaf {index} is not the commitment to its event")
        yield found


def _check_events(report: Report) -> None:
    """Each event is in the log or owed to it, and never both."""
    owed = Delivery.objects.filter(event=OuterRef("pk"), follower="log")
    placed = Leaf.objects.filter(event=OuterRef("pk"))
    for number in Event.objects.filter(~Exists(placed), ~Exists(owed)).values_list("number", flat=True)[:100]:
        report.add("log.event", f"event {number} is neither in the log nor owed to it")
    for number in Event.objects.filter(Exists(placed), Exists(owed)).values_list("number", flat=True)[:100]:
        report.add("log.event", f"event {number} is in the log and owed to it again")


def _check_checkpoints(report: Report, claims: Claims) -> None:
    trust = space.trust()
    for row in Checkpoint.objects.prefetch_related("cosignatures").iterator(chunk_size=CHUNK):
        claims.setdefault(row.size, []).append((f"checkpoint {row.pk}", bytes.fromhex(row.root)))
        note = row.note + "".join(one.line for one in row.cosignatures.all())
        k = trust.witnesses.k if row.published_at else 0
        try:
            found = check_note(note, origin=trust.log.origin, key=trust.log.key, witnesses=trust.witnesses.keys, k=k)
            if (found.size, found.root.hex()) != (row.size, row.root):
                report.add("log.checkpoint", f"checkpoint {row.pk}: the note says another size or root than the row")
        except LedgerError as wrong:
            report.add(wrong.code, f"checkpoint {row.pk}: {wrong.message}")


def _check_anchors(report: Report, claims: Claims, *, chain: bool) -> None:
    log_id = log_id_of(space.trust().log.origin)
    for row in queries.anchors().iterator(chunk_size=CHUNK):
        root = row.checkpoint.root
        claims.setdefault(row.size, []).append((f"anchor {row.pk}", bytes.fromhex(root)))
        if chain and space.chain().root_at(log_id, row.size) != "0x" + root:
            report.add("log.anchor", f"the chain holds another root, or none, at size {row.size}")


def status() -> dict[str, Any]:
    """Where the log stands, in counts and codes."""
    newest, signed, size = queries.published(), Checkpoint.objects.last(), queries.log_size()
    owed = Delivery.objects.filter(follower="log")
    return {
        "origin": space.trust().log.origin,
        "state": guard.state(),
        "size": size,
        "waiting": owed.count(),
        "waiting_urgent": owed.filter(urgent=True).count(),
        "signed": signed.size if signed else 0,
        "published": newest.size if newest else 0,
        "anchored": queries.anchored_size(),
        "anchors": {state: queries.anchors().filter(tx__status=state).count() for state in ("mined", "final")},
        "witnesses": [
            {"url": one.url, "state": one.state, "code": one.code, "lag": one.lag} for one in queries.witnesses()
        ],
        "witnesses_needed": space.trust().witnesses.k,
    }


def export(folder: Path) -> int:
    """Write the published log as files; answers its size."""
    newest = queries.published()
    if newest is None:
        raise LookupError("nothing is published yet")
    log = store.log()
    write_log(
        folder,
        newest.cosigned,
        tiles=((level, index, log.tile(level, index, width)) for level, index, width in all_tiles(newest.size)),
        leaves=_bundles(newest.size),
        notes=(one.cosigned for one in Checkpoint.objects.filter(published_at__isnull=False).iterator()),
        anchors=[
            {"size": one.size, "root": one.checkpoint.root, "tx": one.tx.hash, "block": one.tx.block}
            for one in queries.anchors().filter(size__lte=newest.size).order_by("size")
        ],
    )
    return newest.size


def _bundles(size: int) -> Iterator[list[bytes]]:
    rows = Leaf.objects.filter(index__lt=size).order_by("index").values_list("event__commitment", flat=True)
    leaves = (bytes.fromhex(one) for one in rows.iterator(chunk_size=CHUNK))
    while held := list(islice(leaves, TILE_WIDTH)):
        yield held


def reanchor(*, now: datetime) -> int:
    """Anchor the published head again where the chain has lost anchors of ours; answers how many it had lost.

    Only a chain that is shorter than our log and holds no root against it: what it has stays, what is beyond is marked
    as lost, and the head is anchored from there (from 0 on an empty contract).
    """
    head = space.chain().anchor_head(recorder.log_id())
    newest = queries.published()
    if newest is None:
        return 0
    call = next_anchor(store.log(), newest.size, head, origin=space.trust().log.origin)
    with transaction.atomic():
        lost = [one.pk for one in queries.anchors().filter(size__gt=head.size)]
        Anchor.objects.filter(pk__in=lost).update(lost_at=now)
    if call is not None:
        tried = f"anchor:{queries.epoch()}:{newest.size}:{call.prev_size}:"
        number = ChainTx.objects.filter(key__startswith=tried).count()
        recorder.post_anchor(newest, prev=call.prev_size, key=f"{tried}{number}")
    return len(lost)
