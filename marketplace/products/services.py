"""Verbs about data products: draft, confirm, submit, decide on the listing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.datasets.models import Dataset
from dataspace.datasets.states import State as DatasetState
from dataspace.errors import Conflict, Invalid, Refused
from dataspace.moves import advance, begin
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.provenance import space
from dataspace.provenance.record import record
from ledger.documents import document_hash, read_signed, verify_signed
from marketplace.products import policies
from marketplace.products.models import Product, ProductConfirmation, ProductDataset
from marketplace.products.states import BEGIN, INITIAL, MOVES, Move
from mpc.catalog import CATALOG

DECISIONS = {"list": Move.LIST, "delist": Move.DELIST, "return": Move.RETURN}


def providers_of(product: Product) -> set[UUID]:
    return set(product.datasets.values_list("provider_id", flat=True))


def audience_of(product: Product) -> list[UUID]:
    return [product.lead_id, space.regulator_id(), *providers_of(product)]


@transaction.atomic
def draft(wire: Mapping[str, Any], *, actor: Actor, now: datetime) -> Product:
    """Take in a lead's signed product."""
    claimed = read_signed(wire, "product")
    lead_id = UUID(claimed["lead"])
    policies.check_may_draft(actor, lead_id=lead_id)
    lead = Participant.objects.get(pk=lead_id)
    document = verify_signed(wire, type="product", keys=[signing_key_of(lead)])
    hashed = document_hash(document)
    known = Product.objects.filter(pk=document["id"]).first()
    if known is not None:
        if known.document_hash == hashed and known.lead_id == lead_id:
            return known
        raise Conflict("this product has another text", code="product.known")
    if unknown := [key for key in document["functions"] if key not in CATALOG]:
        raise Invalid(f"no function {unknown[0]}", code="product.function")
    datasets = _datasets_of(document["datasets"])
    row = Product(
        id=UUID(document["id"]),
        lead=lead,
        title_zh=document["title"]["zh"],
        title_en=document["title"]["en"],
        summary_zh=document["summary"]["zh"],
        summary_en=document["summary"]["en"],
        functions=document["functions"],
        price_amount=document["price"]["amount"],
        price_currency=document["price"]["currency"],
        document=dict(wire),
        document_hash=hashed,
        created_at=now,
    )
    audience = [lead_id, space.regulator_id(), *(one.provider_id for one in datasets)]
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=audience, body={"product_hash": hashed})
    ProductDataset.objects.bulk_create(ProductDataset(product=row, dataset=one) for one in datasets)
    return row


def _datasets_of(references: list[dict[str, str]]) -> list[Dataset]:
    rows = {str(row.pk): row for row in Dataset.objects.filter(pk__in=[one["id"] for one in references])}
    for one in references:
        row = rows.get(one["id"])
        if row is None or row.state != DatasetState.REGISTERED:
            raise Invalid(f"dataset {one['id']} is not registered", code="dataset.unknown")
        if row.record_hash != one["hash"] or str(row.provider_id) != one["provider"]:
            raise Invalid(f"dataset {one['id']} is described otherwise", code="dataset.changed")
    return list(rows.values())


@transaction.atomic
def confirm(product: Product, *, confirmation: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """A provider's signed yes, once."""
    policies.check_may_confirm(actor, provider_ids=providers_of(product))
    provider = Participant.objects.get(pk=actor.organisation)
    document = verify_signed(confirmation, type="product_confirmation", keys=[signing_key_of(provider)])
    named = (document["product"], document["product_hash"], document["participant"])
    if named != (str(product.pk), product.document_hash, str(provider.pk)):
        raise Invalid("the confirmation is of another product", code="product.confirmation_mismatch")
    _, fresh = ProductConfirmation.objects.get_or_create(
        product=product, participant=provider, defaults={"document": dict(confirmation), "at": now}
    )
    if fresh:
        record(
            "product.confirmed",
            subject_kind="product",
            subject_id=product.pk,
            actor=actor,
            now=now,
            audience=audience_of(product),
            body={"product_hash": product.document_hash},
        )


@transaction.atomic
def submit(product: Product, *, actor: Actor, now: datetime) -> None:
    """Hand the product to the regulator; every other provider has confirmed."""
    policies.check_is_lead(actor, lead_id=product.lead_id)
    confirmed = set(product.confirmations.values_list("participant_id", flat=True))
    missing = providers_of(product) - confirmed - {product.lead_id}
    if missing:
        names = ", ".join(sorted(str(one) for one in missing))
        raise Refused(f"not confirmed by {names}", code="product.unconfirmed", who_must_act=names)
    advance(
        product,
        Move.SUBMIT,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(product),
        body={"product_hash": product.document_hash},
    )


@transaction.atomic
def decide_listing(product: Product, *, decision: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """The regulator's signed decision: list, delist or return."""
    policies.check_may_list(actor)
    document = verify_signed(decision, type="product_listing", keys=[space.trust().regulator.signing])
    named = (document["product"], document["product_hash"], document["participant"])
    if named != (str(product.pk), product.document_hash, str(actor.participant_id)):
        raise Invalid("the decision is about another product", code="product.decision_mismatch")
    move = DECISIONS[document["decision"]]
    changes: dict[str, Any] = {"listing": dict(decision)}
    if move == Move.LIST:
        changes["listed_at"] = now
    advance(
        product,
        move,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(product),
        body={"product_hash": product.document_hash, "decision_hash": document_hash(document)},
        changes=changes,
    )
