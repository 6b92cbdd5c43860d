"""The first page, the way from a number or a hash to its page, and how to check everything without us."""

import re
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from dataspace.actor import Actor
from dataspace.datasets.queries import datasets_for
from dataspace.errors import NotFound, Unavailable
from dataspace.grants.queries import grants_for
from dataspace.http import ActorRequest
from dataspace.participants.queries import participants_for
from dataspace.provenance import space
from dataspace.provenance.models import Leaf
from dataspace.provenance.queries import events_for
from dataspace.scenarios.queries import scenarios_for
from marketplace.home import figures, status, waiting
from marketplace.home.page import asked, page, signed_in
from marketplace.jobs.queries import jobs_for
from marketplace.products.queries import products_for

UUID_FORM = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
HASH_FORM = re.compile(r"(0x)?[0-9a-f]{64}")


@signed_in
def home(request: ActorRequest) -> HttpResponse:
    """What waits for the reader, a few figures, the space's health."""
    counted = figures.for_actor(request.actor, now=timezone.now())
    context = {
        "items": waiting.for_me(request.actor),
        "others": waiting.for_others(request.actor),
        "figures": [(figure, figures.is_anchored(request.actor, figure.kind)) for figure in counted],
        "status": status.now(),
        "recent": events_for(request.actor).order_by("-number")[:6],
    }
    return page(request, "home/home.html", "home", context)


def find(request: ActorRequest) -> HttpResponse:
    """A number, an id or a hash leads to its page; words search the catalogue."""
    wanted = asked(request)
    number = wanted.lstrip("#").replace(",", "")
    if number.isascii() and number.isdigit() and len(number) < 12:
        return redirect("leaf", int(number))
    if UUID_FORM.fullmatch(wanted):
        return _by_id(request.actor, UUID(wanted))
    if HASH_FORM.fullmatch(wanted.lower()):
        return _by_hash(request.actor, wanted.lower().removeprefix("0x"))
    if wanted and request.user.is_authenticated:
        return redirect(reverse("products") + "?" + urlencode({"q": wanted}))
    return redirect("ledger")


def _by_id(actor: Actor, wanted: UUID) -> HttpResponse:
    places = (
        ("job", jobs_for(actor)),
        ("scenario", scenarios_for(actor)),
        ("product", products_for(actor)),
        ("dataset", datasets_for(actor)),
        ("participant", participants_for(actor)),
    )
    for name, rows in places:
        if rows.filter(pk=wanted).exists():
            return redirect(name, wanted)
    grant = grants_for(actor).filter(pk=wanted).first()
    if grant is not None:
        return redirect("scenario", grant.scenario_id)
    if events_for(actor).filter(id=wanted).exists():
        return redirect("receipt", wanted)
    raise NotFound("nothing with this id that you may see")


def _by_hash(actor: Actor, wanted: str) -> HttpResponse:
    leaf = Leaf.objects.filter(hash=wanted).first()
    if leaf is not None:
        return redirect("leaf", leaf.index)
    job = jobs_for(actor).filter(spec_hash=wanted).first()
    if job is not None:
        return redirect("job", job.pk)
    grant = grants_for(actor).filter(terms_hash=wanted).first()
    if grant is not None:
        return redirect("scenario", grant.scenario_id)
    raise NotFound("nothing with this hash that you may see")


def check(request: HttpRequest) -> HttpResponse:
    """How anyone checks a receipt or the whole log without trusting this portal."""
    try:
        trust = space.trust()
    except Unavailable:
        trust = None
    return page(request, "home/check.html", "check", {"trust": trust})
