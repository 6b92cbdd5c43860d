"""Agreements between a consumer and a product's lead provider, at a fixed price."""

from django.db import models

from dataspace.grants.models import Grant
from dataspace.participants.models import Participant
from dataspace.scenarios.models import Scenario
from marketplace.agreements.states import State
from marketplace.products.models import Product


class Agreement(models.Model):
    """`document` carries the consumer's signature, then the lead's."""

    id = models.UUIDField(primary_key=True, editable=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="agreements")
    scenario = models.ForeignKey(Scenario, on_delete=models.PROTECT, related_name="agreements")
    consumer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="agreements_bought")
    provider = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="agreements_sold")
    price_amount = models.BigIntegerField()
    price_currency = models.CharField(max_length=3)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    document = models.JSONField()
    document_hash = models.CharField(max_length=64)
    served_at = models.DateTimeField(null=True)
    signed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    grants = models.ManyToManyField(Grant, related_name="agreements")

    class Meta:
        ordering = (
            "-created_at",
            "id",
        )

    def __str__(self) -> str:
        return f"agreement {self.id}"
