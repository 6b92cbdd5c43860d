"""Pages of what is offered and by whom: organisations, datasets (never rows), products."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse

from dataspace.actor import Actor
from dataspace.datasets.queries import dataset_for, datasets_for
from dataspace.grants.queries import grants_for
from dataspace.grants.states import State as GrantState
from dataspace.http import ActorRequest
from dataspace.participants.queries import participant_for, participants_for
from marketplace.home.page import asked, page, part, signed_in, timeline
from marketplace.products.models import Product
from marketplace.products.queries import product_for, products_for
from mpc.catalog import CATALOG

FINGERPRINT = 32


@signed_in
def participants(request: ActorRequest) -> HttpResponse:
    """The organisations of the space."""
    return page(
        request, "home/participants.html", "participants", {"rows": part(request, participants_for(request.actor))}
    )


@signed_in
def participant(request: ActorRequest, participant_id: UUID) -> HttpResponse:
    """One organisation: its public keys, its record's fingerprint, what happened."""
    row = participant_for(request.actor, participant_id)
    context = {
        "row": row,
        "keys": row.record["document"]["keys"],
        "fingerprint": row.record_hash[:FINGERPRINT],
        "steps": timeline(request, [row.pk]),
    }
    return page(request, "home/participant.html", "participants", context)


@signed_in
def datasets(request: ActorRequest) -> HttpResponse:
    """A hospital's own datasets first; what others registered below."""
    rows = datasets_for(request.actor)
    own = rows.filter(provider_id=request.actor.participant_id)
    others = rows.exclude(provider_id=request.actor.participant_id)
    return page(request, "home/datasets.html", "datasets", {"own": own, "rows": part(request, others)})


@signed_in
def dataset(request: ActorRequest, dataset_id: UUID) -> HttpResponse:
    """The dictionary of one dataset, and who may use it. The portal holds no row of it."""
    row = dataset_for(request.actor, dataset_id)
    context = {
        "row": row,
        "document": row.record["document"],
        "persons": identifiers(row.columns),
        "grants": grants_for(request.actor).filter(dataset_id=row.pk).order_by("-created_at"),
        "products": products_for(request.actor).filter(datasets=row.pk),
        "steps": timeline(request, [row.pk]),
        "is_own": row.provider_id == request.actor.participant_id,
    }
    return page(request, "home/dataset.html", "datasets", context)


@signed_in
def products(request: ActorRequest) -> HttpResponse:
    """The catalogue."""
    wanted = asked(request)
    rows = products_for(request.actor)
    if wanted:
        rows = rows.filter(title_zh__icontains=wanted) | rows.filter(title_en__icontains=wanted)
    shown = part(request, rows)
    usable = usable_products(request.actor, list(shown))
    return page(request, "home/products.html", "products", {"rows": shown, "usable": usable, "query": wanted})


@signed_in
def product(request: ActorRequest, product_id: UUID) -> HttpResponse:
    """One product: functions and price, the datasets it computes over, how to buy it with the SDK."""
    row = product_for(request.actor, product_id)
    roster = [entry.dataset for entry in row.roster.all()]
    confirmed = {entry.participant_id for entry in row.confirmations.all()}
    context = {
        "row": row,
        "roster": [
            {"dataset": one, "confirmed": one.provider_id in confirmed, "persons": identifiers(one.columns)}
            for one in roster
        ],
        "functions": [CATALOG[key] for key in row.functions if key in CATALOG],
        "columns": common_columns([one.columns for one in roster]),
        "usable": row.pk in usable_products(request.actor, [row]),
        "steps": timeline(request, [row.pk]),
    }
    return page(request, "home/product.html", "products", context)


def identifiers(columns: list[dict[str, Any]]) -> list[str]:
    """The columns that tell persons apart; where there is none a row counts as one."""
    return [column["name"] for column in columns if column["kind"] == "identifier"]


def common_columns(dictionaries: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The columns that every dataset of a product has, as the first one describes them."""
    if not dictionaries:
        return []
    named = [{column["name"]: column["kind"] for column in one} for one in dictionaries]
    return [column for column in dictionaries[0] if all(one.get(column["name"]) == column["kind"] for one in named)]


def usable_products(actor: Actor, rows: list[Product]) -> set[UUID]:
    """Of these products those whose every dataset the reader holds a grant in force for, in one scenario."""
    held: dict[UUID, set[UUID]] = {}
    for grant in grants_for(actor).filter(grantee_id=actor.participant_id, state=GrantState.ACTIVE):
        held.setdefault(grant.scenario_id, set()).add(grant.dataset_id)
    needed = {row.pk: {entry.dataset_id for entry in row.roster.all()} for row in rows}
    return {key for key, ids in needed.items() if any(ids <= granted for granted in held.values())}
