"""What every page of a signed-in reader carries. Pages read; nothing in this folder changes a row."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.views import redirect_to_login
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dataspace.http import ActorRequest
from dataspace.participants.models import Participant
from dataspace.provenance.queries import anchored_size, events_for
from marketplace.home import waiting

PER_PAGE = 25
View = Callable[..., HttpResponse]


def signed_in(view: View) -> View:
    """The page is for people of the space; others are shown the door and come back here after it."""

    @wraps(view)
    def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(cast(ActorRequest, request), *args, **kwargs)

    return inner


def page(request: HttpRequest, template: str, here: str, context: dict[str, Any] | None = None) -> HttpResponse:
    """Render a page: `here` names its place in the sidebar."""
    common: dict[str, Any] = {"here": here, "anchored": anchored_size()}
    actor = cast(ActorRequest, request).actor
    if request.user.is_authenticated:
        common["waiting_count"] = waiting.count_for(actor)
        common["actor"] = actor
    return render(request, template, {**common, **(context or {})})


def asked(request: HttpRequest) -> str:
    """What was typed into the search; PostgreSQL knows no NUL."""
    return request.GET.get("q", "").replace("\0", "").strip()


def part(request: HttpRequest, rows: QuerySet[Any]) -> Page[Any]:
    """One screen of a long list; an impossible page number shows the nearest."""
    return Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))


def timeline(request: ActorRequest, subjects: Iterable[UUID]) -> list[dict[str, Any]]:
    """What happened to these subjects that the reader may see, oldest first, each with who did it."""
    events = list(events_for(request.actor).filter(subject_id__in=list(subjects)).order_by("number"))
    names = named(event.participant_id for event in events)
    return [{"event": event, "who": names.get(event.participant_id)} for event in events]


def named(ids: Iterable[UUID | None]) -> dict[UUID | None, Participant]:
    """Participants by id, for events and verdicts that hold ids only."""
    wanted = {value for value in ids if value is not None}
    return {row.pk: row for row in Participant.objects.filter(pk__in=wanted)}
