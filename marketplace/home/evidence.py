"""Pages of evidence: the ledger, open to everyone in the form of hashes, and receipts for those named in an entry.

What a page says of a receipt is this portal's own check; each page says how to check without it.
"""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.grants.queries import receipt_of
from dataspace.http import ActorRequest
from dataspace.provenance import space
from dataspace.provenance.models import Anchor, Checkpoint, Event, Leaf
from dataspace.provenance.queries import anchored_size, anchors, event_for, events_for, published
from dataspace.provenance.store import log
from dataspace.templatetags.words import KINDS
from ledger.chainproof import read_header
from ledger.checkpoint import parse_note
from ledger.documents import canonical, from_b64, sha256_hex
from ledger.receipt import LEVELS, verify_receipt
from marketplace.home import status
from marketplace.home.page import named, page, part


def ledger(request: ActorRequest) -> HttpResponse:
    """Every entry, newest first: its hash for all, its words for those who may see it."""
    rows = Leaf.objects.order_by("-index")
    kind = request.GET.get("kind", "")
    if kind in KINDS:
        rows = rows.filter(event_id__in=_seen(request.actor).filter(kind=kind).values("pk"))
    shown = part(request, rows)
    context = {
        "rows": shown,
        "lines": lines(request.actor, list(shown)),
        "kind": kind,
        "kinds": KINDS if request.actor.participant_id else {},
        "status": status.now(),
        "checkpoints": Checkpoint.objects.count(),
        "anchors": Anchor.objects.select_related("tx", "checkpoint").order_by("-size")[:6],
    }
    return page(request, "home/ledger.html", "ledger", context)


def _seen(actor: Actor) -> QuerySet[Event]:
    return events_for(actor)


def lines(actor: Actor, leaves: list[Leaf]) -> list[dict[str, Any]]:
    """Rows of the ledger: the event only where the reader may see it."""
    allowed = {one.number: one for one in events_for(actor).filter(pk__in=[leaf.event_id for leaf in leaves])}
    names = named(event.participant_id for event in allowed.values())
    found = []
    for leaf in leaves:
        event = allowed.get(leaf.event_id)
        found.append({"leaf": leaf, "event": event, "who": names.get(event.participant_id) if event else None})
    return found


def leaf(request: HttpRequest, index: int) -> HttpResponse:
    """One entry as everyone may see it: its hash, its way to the root, the signed checkpoint."""
    row = Leaf.objects.filter(pk=index).first()
    if row is None:
        raise NotFound("the ledger has no such entry yet")
    checkpoint = covering(index)
    path = log().inclusion(index, checkpoint.size) if checkpoint else []
    actor = getattr(request, "actor")  # noqa: B009 - the middleware sets it
    event = events_for(actor).filter(pk=row.event_id).first()
    context = {
        "row": row,
        "event": event,
        "checkpoint": checkpoint,
        "path": [one.hex() for one in path],
        "anchor": anchor_of(checkpoint),
    }
    return page(request, "home/leaf.html", "ledger", context)


def covering(index: int) -> Checkpoint | None:
    """The checkpoint to show an entry under: the first anchored one that holds it, else the first signed one."""
    anchor = anchors().filter(size__gt=index).order_by("size").first()
    return anchor.checkpoint if anchor else published(beyond=index)


def anchor_of(checkpoint: Checkpoint | None) -> Anchor | None:
    """The transaction that holds a checkpoint, if a block has it."""
    if checkpoint is None:
        return None
    return anchors().filter(size=checkpoint.size).first()


def receipt(request: ActorRequest, entry_id: UUID) -> HttpResponse:
    """A receipt in words: what each level says, and what nobody has checked."""
    event = event_for(request.actor, entry_id)
    made = receipt_of(event)
    context: dict[str, Any] = {"event": event, "entry": event.entry, "who": named([event.participant_id])}
    context["who"] = context["who"].get(event.participant_id)
    if made is None:
        return page(request, "home/receipt_pending.html", "ledger", context)
    checkpoint, leg = parse_note(made["checkpoint"]).checkpoint, made["chain"]
    judged = verify_receipt(made, space.trust())
    values = judged.as_dict()
    context |= {
        "receipt": made,
        "leaf_hash": event.leaf.hash,
        "checkpoint": checkpoint,
        "anchor": anchors().filter(size=checkpoint.size).first() if leg else None,
        "block": read_header(from_b64(leg["header"])).number if leg and leg["header"] else None,
        "levels": [{"name": name, "value": values[name], "reason": judged.reasons.get(name, "")} for name in LEVELS],
        "values": [values[name] for name in LEVELS],
        "valid": sum(1 for name in LEVELS if values[name] == "valid"),
        "invalid": sum(1 for name in LEVELS if values[name] == "invalid"),
        "unchecked": sum(1 for name in LEVELS if values[name] == "not checked"),
        "file_hash": sha256_hex(canonical(made)),
        "grants": event.entry["body"].get("grants", []),
        "trust": space.trust(),
        "is_anchored": made["index"] < anchored_size(),
    }
    return page(request, "home/receipt.html", "ledger", context)


def verifier(request: HttpRequest) -> HttpResponse:
    """The verifier that runs in a browser, to be kept: never shown as a page of this origin."""
    answer = HttpResponse((settings.BASE_DIR / "docs" / "verify.html").read_bytes(), content_type="text/html")
    answer["Content-Disposition"] = 'attachment; filename="verify.html"'
    return answer


def receipt_file(request: ActorRequest, entry_id: UUID) -> HttpResponse:
    """The receipt's own bytes, to be checked anywhere."""
    event = event_for(request.actor, entry_id)
    made = receipt_of(event)
    if made is None:
        raise NotFound("this entry has no place in a signed checkpoint yet")
    answer = HttpResponse(canonical(made), content_type="application/json")
    name = f"receipt-{made['index']}.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
