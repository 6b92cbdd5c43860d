"""Pages of evidence: the ledger, open to everyone in the form of hashes, and receipts for those named in an entry.

What a page says of a receipt is this portal's own check; each page says how to check without it.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse

from dataspace.actor import Actor
from dataspace.errors import NotFound
from dataspace.grants.queries import receipt_of
from dataspace.http import ActorRequest
from dataspace.participants.queries import participants_for
from dataspace.provenance import space
from dataspace.provenance.chainhealth import is_development
from dataspace.provenance.models import Anchor, Checkpoint, Leaf
from dataspace.provenance.queries import anchored_size, anchors, event_for, events_for, published, witnesses
from dataspace.provenance.store import log
from dataspace.templatetags.words import KINDS
from ledger.chainproof import read_header
from ledger.checkpoint import parse_note
from ledger.documents import from_b64, sha256_hex
from ledger.merkle import path_hashes
from ledger.receipt import LEVELS, spelled, verify_receipt
from marketplace.home import status
from marketplace.home.page import PER_PAGE, asked, named, page
from marketplace.home.tree import picture

LONGEST_NUMBER = 18


def ledger(request: ActorRequest) -> HttpResponse:
    """Every entry, newest first: its hash for all, its words for those who may see it."""
    wanted = {name: request.GET.get(name, "") for name in ("kind", "by")} | {"q": asked(request)}
    shown = stretch(request, _chosen(request.actor, wanted))
    context = {
        "shown": shown,
        "lines": lines(request.actor, shown.leaves),
        "wanted": wanted,
        "more": "".join(f"&{quote(name)}={quote(value)}" for name, value in wanted.items() if value),
        "kinds": KINDS if request.actor.participant_id else {},
        "organisations": participants_for(request.actor) if request.actor.participant_id else (),
        "status": status.now(),
        "anchors": Anchor.objects.filter(lost_at=None).select_related("tx").order_by("-size")[:6],
        "witnesses": witnesses(),
        "chain": status.chain(),
    }
    return page(request, "home/ledger.html", "ledger", context)


@dataclass(frozen=True)
class Stretch:
    """Some entries, newest first, and from which number on there are newer and older ones."""

    leaves: list[Leaf]
    newer: int | None
    older: int | None


def stretch(request: HttpRequest, rows: QuerySet[Leaf]) -> Stretch:
    """One screen of a list that may have millions of rows: found by the number it begins at; nothing is counted."""
    before, after = _index(request, "before"), _index(request, "after")
    if after is not None:
        found = list(rows.filter(index__gt=after).order_by("index")[: PER_PAGE + 1])
        if len(found) > PER_PAGE:
            found = found[PER_PAGE - 1 :: -1]
            return Stretch(found, found[0].index, found[-1].index)
        before = None  # fewer are newer than fit: the newest of all, on a full screen
    rest = rows if before is None else rows.filter(index__lt=before)
    found = list(rest.order_by("-index")[: PER_PAGE + 1])
    older = found[PER_PAGE - 1].index if len(found) > PER_PAGE else None
    newer = None if before is None else found[0].index if found else before - 1
    return Stretch(found[:PER_PAGE], newer, older)


def _index(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else None


def _chosen(actor: Actor, wanted: dict[str, str]) -> QuerySet[Leaf]:
    """Leaves by number, hash, kind, organisation or subject; what a reader may not see is found by number or hash."""
    rows, seen = Leaf.objects.all(), events_for(actor).select_related(None)
    if wanted["kind"] in KINDS:
        rows = rows.filter(event_id__in=seen.filter(kind=wanted["kind"]).values("pk"))
    if by := _uuid(wanted["by"]):
        rows = rows.filter(event_id__in=seen.filter(participant_id=by).values("pk"))
    if not (text := wanted["q"].lstrip("#").replace(",", "").lower()):
        return rows
    if number := _uuid(text):
        return rows.filter(event_id__in=seen.filter(Q(subject_id=number) | Q(id=number)).values("pk"))
    if text.isdecimal() and len(text) <= LONGEST_NUMBER:
        return rows.filter(index=int(text))
    return rows.filter(hash__startswith=text) if text.isalnum() else rows.none()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


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
    hashes = path_hashes(bytes.fromhex(row.hash), index, checkpoint.size, path) if checkpoint else []
    steps = [one.hex() for one in path]
    actor = getattr(request, "actor")  # noqa: B009 - the middleware sets it
    event = events_for(actor).filter(pk=row.event_id).first()
    context = {
        "row": row,
        "event": event,
        "checkpoint": checkpoint,
        "path": steps,
        "picture": picture(index=index, size=checkpoint.size, hashes=[one.hex() for one in hashes], path=steps)
        if checkpoint
        else None,
        "anchor": anchor_of(checkpoint),
        "is_development": is_development(),
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
        "anchor": anchors().filter(size=leg["size"]).first() if leg else None,
        "block": read_header(from_b64(leg["header"])).number if leg and leg["header"] else None,
        "levels": [{"name": name, "value": values[name], "reason": judged.reasons.get(name, "")} for name in LEVELS],
        "values": [values[name] for name in LEVELS],
        "valid": sum(1 for name in LEVELS if values[name] == "valid"),
        "invalid": sum(1 for name in LEVELS if values[name] == "invalid"),
        "unchecked": sum(1 for name in LEVELS if values[name] == "not checked"),
        "file_hash": sha256_hex(spelled(made)),
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
    answer = HttpResponse(spelled(made), content_type="application/json")
    name = f"receipt-{made['index']}.json"
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer
