"""The record: entries and receipts for those who may see them, the log's own proofs for everybody."""

import time
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.actor import Actor
from dataspace.errors import Conflict, Invalid, NotFound
from dataspace.grants.queries import receipt_of
from dataspace.provenance import followers
from dataspace.provenance.queries import anchored_size, event_for, published, timeline_for
from dataspace.provenance.store import log
from ledger.receipt import pack
from marketplace.api import schemas
from marketplace.api.patience import patience
from marketplace.api.views.base import ApiView, documented, id_asked, listed, seconds_asked

LONGEST = 30.0
MAX_LEAVES = 1000


class Entries(ApiView):
    @documented("What happened to one subject")
    def get(self, request: Request) -> Response:
        subject = id_asked(request, "subject")
        if subject is None:
            raise Invalid("subject is a UUID", code="query.malformed")
        anchored = anchored_size()
        return listed(timeline_for(self.actor, subject), lambda row: schemas.event(row, anchored=anchored))


class Receipt(ApiView):
    @documented("The receipt of one entry, once its checkpoint is anchored")
    def get(self, request: Request, entry_id: UUID) -> Response:
        until = time.monotonic() + seconds_asked(request, most=LONGEST)
        event_for(self.actor, entry_id)
        with patience.place(self.actor.organisation) as may_wait:
            while True:
                receipt = _receipt(self.actor, entry_id)
                if receipt is not None:
                    return Response(receipt)
                led = followers.run_all()
                if time.monotonic() >= until or not may_wait:
                    break
                if not led or _receipt(self.actor, entry_id) is None:
                    time.sleep(0.05)
        receipt = _receipt(self.actor, entry_id)
        if receipt is None:
            raise Conflict("the entry is not anchored yet", code="receipt.pending")
        return Response(receipt)


def _receipt(actor: Actor, entry_id: UUID) -> schemas.Json | None:
    """None while the entry is not anchored, its anchor not proved, or the proof's block not vouched for."""
    made = receipt_of(event_for(actor, entry_id), whole=True)
    return None if made is None else pack(made)


class Public(ApiView):
    """Open to everybody, unsigned."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


@extend_schema(exclude=True)
class Nothing(Public):
    """Every other address: a problem document, as from the whole API."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound("no such address")


def checkpoint(request: HttpRequest) -> HttpResponse:
    """The newest checkpoint, as the signed note it is."""
    newest = published()
    if newest is None:
        return HttpResponse("no checkpoint yet\n", status=404, content_type="text/plain; charset=utf-8")
    return HttpResponse(newest.cosigned, content_type="text/plain; charset=utf-8")


def _number(request: Request, name: str) -> int:
    value = request.query_params.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 15:
        raise Invalid(f"{name} is a number", code="query.malformed")
    return int(value)


def _published_size() -> int:
    """What witnesses have not seen is shown to nobody."""
    newest = published()
    return newest.size if newest else 0


class Leaves(Public):
    @documented("Leaf hashes of the log, never what they are of")
    def get(self, request: Request) -> Response:
        start, count = _number(request, "from"), min(_number(request, "count"), MAX_LEAVES)
        count = max(0, min(count, _published_size() - start))
        return Response({"from": start, "hashes": [one.hex() for one in log().leaves(start, count)]})


class Consistency(Public):
    @documented("That the log of one size begins with that of another")
    def get(self, request: Request) -> Response:
        old, new = _number(request, "from"), _number(request, "to")
        space_log = log()
        if not 0 < old <= new <= _published_size():
            raise NotFound("the log has no such sizes")
        return Response({"from": old, "to": new, "hashes": [one.hex() for one in space_log.consistency(old, new)]})
