"""Verbs about agreements: offer, sign, end."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.errors import Conflict, Invalid
from dataspace.grants.models import Grant
from dataspace.grants.services import named
from dataspace.moves import advance, begin
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.provenance import space
from dataspace.scenarios.models import Scenario
from ledger.documents import document_hash, read_signed, verify_signed
from marketplace.agreements import policies
from marketplace.agreements.models import Agreement
from marketplace.agreements.states import BEGIN, INITIAL, MOVES, Move, State
from marketplace.products.models import Product
from marketplace.products.states import State as ProductState


def audience_of(agreement: Agreement) -> list[UUID]:
    return [agreement.consumer_id, agreement.provider_id, space.regulator_id()]


def _wrong(text: str) -> Invalid:
    return Invalid(text, code="agreement.invalid")


@transaction.atomic
def offer(wire: Mapping[str, Any], *, actor: Actor, now: datetime) -> Agreement:
    """Take in a consumer's signed offer for a listed product, under one scenario's grants."""
    claimed = read_signed(wire, "agreement")
    consumer_id = UUID(claimed["consumer"])
    policies.check_may_offer(actor, consumer_id=consumer_id)
    consumer = Participant.objects.get(pk=consumer_id)
    document = verify_signed(wire, type="agreement", keys=[signing_key_of(consumer)])
    hashed = document_hash(document)
    known = Agreement.objects.filter(pk=document["id"]).first()
    if known is not None:
        if known.document_hash == hashed and known.consumer_id == consumer_id:
            return known
        raise Conflict("this agreement has another text", code="agreement.known")
    product = _product_of(document)
    grants = _grants_of(document, product=product, consumer=consumer)
    row = Agreement(
        id=UUID(document["id"]),
        product=product,
        scenario_id=UUID(document["scenario"]),
        consumer=consumer,
        provider_id=product.lead_id,
        price_amount=document["price"]["amount"],
        price_currency=document["price"]["currency"],
        document=dict(wire),
        document_hash=hashed,
        created_at=now,
    )
    body = {"agreement_hash": hashed, "grants": named(grants)}
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=audience_of(row), body=body)
    row.grants.set(grants)
    return row


def _product_of(document: Mapping[str, Any]) -> Product:
    product = Product.objects.filter(pk=document["product"]).first()
    if product is None or product.document_hash != document["product_hash"]:
        raise _wrong("no such product")
    if product.state != ProductState.LISTED:
        raise _wrong(f"the product is {product.state}, not listed")
    if document["provider"] != str(product.lead_id) or document["price"] != product.document["document"]["price"]:
        raise _wrong("lead or price are not the product's")
    return product


def _grants_of(document: Mapping[str, Any], *, product: Product, consumer: Participant) -> list[Grant]:
    scenario = Scenario.objects.filter(pk=document["scenario"], consumer=consumer).first()
    if scenario is None or scenario.document_hash != document["scenario_hash"]:
        raise _wrong("no such scenario")
    grants = list(Grant.objects.filter(scenario=scenario).order_by("dataset_id"))
    offered = [(one["id"], one["terms_hash"], one["dataset"]) for one in document["grants"]]
    if offered != [(str(one.pk), one.terms_hash, str(one.dataset_id)) for one in grants]:
        raise _wrong("the grants are not the scenario's")
    if {one.dataset_id for one in grants} != set(product.datasets.values_list("pk", flat=True)):
        raise _wrong("the scenario is about other datasets than the product")
    return grants


@transaction.atomic
def sign(agreement: Agreement, *, wire: Mapping[str, Any], actor: Actor, now: datetime) -> None:
    """The lead's signature beside the consumer's; the price is fixed from here on."""
    policies.check_may_sign(actor, provider_id=agreement.provider_id)
    keys = [signing_key_of(agreement.consumer), signing_key_of(agreement.provider)]
    document = verify_signed(wire, type="agreement", keys=keys)
    if document_hash(document) != agreement.document_hash:
        raise _wrong("another agreement was signed")
    if agreement.state == State.SIGNED:
        return
    advance(
        agreement,
        Move.SIGN,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(agreement),
        body={"agreement_hash": agreement.document_hash, "grants": named(list(agreement.grants.all()))},
        changes={"document": dict(wire), "signed_at": now},
    )


@transaction.atomic
def end(agreement: Agreement, *, actor: Actor, now: datetime) -> None:
    """Nothing new is ordered under it."""
    policies.check_may_end(actor, consumer_id=agreement.consumer_id, provider_id=agreement.provider_id)
    advance(
        agreement,
        Move.END,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(agreement),
        body={"agreement_hash": agreement.document_hash},
    )
