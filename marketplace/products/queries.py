"""Reading products, actor first: the listed are the catalogue; drafts and reviews belong to those who make them."""

from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound
from marketplace.products.models import Product
from marketplace.products.states import State


def products_for(actor: Actor) -> QuerySet[Product]:
    rows = Product.objects.select_related("lead").prefetch_related("roster__dataset__provider", "confirmations")
    if actor.is_regulator:
        return rows
    if not actor.is_admitted:
        return rows.none()
    mine = Q(lead_id=actor.participant_id) | Q(
        pk__in=Product.objects.filter(datasets__provider_id=actor.participant_id).values("pk")
    )
    return rows.filter(Q(state=State.LISTED) | mine)


def product_for(actor: Actor, product_id: UUID) -> Product:
    row = products_for(actor).filter(pk=product_id).first()
    if row is None:
        raise NotFound("no such product")
    return row
