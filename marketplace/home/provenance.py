"""Where one product or one computation comes from: every act behind it that the reader may see, in chapters."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from dataspace.http import ActorRequest
from marketplace.home.page import page, signed_in, timeline
from marketplace.jobs.queries import job_for
from marketplace.products.queries import product_for

Chapter = tuple[str | Promise, list[UUID]]


@signed_in
def of_product(request: ActorRequest, product_id: UUID) -> HttpResponse:
    """The organisations, their datasets, the product itself."""
    row = product_for(request.actor, product_id)
    roster = [entry.dataset for entry in row.roster.all()]
    chapters: list[Chapter] = [
        (_("The organisations"), list({one.provider_id for one in roster})),
        (_("The datasets"), [one.pk for one in roster]),
        (_("The product"), [row.pk]),
    ]
    return _told(request, row, "product", chapters)


@signed_in
def of_job(request: ActorRequest, job_id: UUID) -> HttpResponse:
    """What it computed on, who allowed it, on what agreement, and what happened to it."""
    row = job_for(request.actor, job_id)
    agreement = row.agreement
    roster = [entry.dataset_id for entry in agreement.product.roster.all()]
    chapters: list[Chapter] = [
        (_("The datasets"), roster),
        (_("The product"), [agreement.product_id]),
        (_("The scenario"), [agreement.scenario_id]),
        (_("The grants"), list(row.grants.values_list("pk", flat=True))),
        (_("The agreement"), [agreement.pk]),
        (_("The computation"), [row.pk]),
    ]
    return _told(request, row, "job", chapters)


def _told(request: ActorRequest, row: Any, kind: str, chapters: list[Chapter]) -> HttpResponse:
    told: list[dict[str, Any]] = [
        {"heading": heading, "steps": timeline(request, subjects)} for heading, subjects in chapters
    ]
    events: int = sum(len(chapter["steps"]) for chapter in told)
    context = {"row": row, "kind": kind, "chapters": told, "events": events}
    return page(request, "home/provenance.html", "jobs" if kind == "job" else "products", context)
