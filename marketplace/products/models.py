"""Data products: what is sold."""

from django.db import models

from dataspace.datasets.models import Dataset
from dataspace.participants.models import Participant
from marketplace.products.states import State


class Product(models.Model):
    """A product over one or more datasets; `document` is signed by its lead."""

    id = models.UUIDField(primary_key=True, editable=False)
    lead = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="products")
    title_zh = models.TextField()
    title_en = models.TextField()
    summary_zh = models.TextField(blank=True)
    summary_en = models.TextField(blank=True)
    functions = models.JSONField(default=list)
    price_amount = models.BigIntegerField()
    price_currency = models.CharField(max_length=3)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    document = models.JSONField()
    document_hash = models.CharField(max_length=64)
    listing = models.JSONField(null=True)
    listed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    datasets = models.ManyToManyField(Dataset, through="ProductDataset", related_name="products")

    class Meta:
        ordering = (
            "-created_at",
            "id",
        )

    def __str__(self) -> str:
        return self.title_zh


class ProductDataset(models.Model):
    """One dataset of a product."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="roster")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["product", "dataset"], name="product_dataset_once"),)

    def __str__(self) -> str:
        return f"{self.product_id} {self.dataset_id}"


class ProductConfirmation(models.Model):
    """A provider's signed yes to its part in a product."""

    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="confirmations")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    document = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["product", "participant"], name="confirmation_once"),)

    def __str__(self) -> str:
        return f"{self.product_id} {self.participant_id}"
