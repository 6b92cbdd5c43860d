"""Datasets: what a provider keeps at home, described here and never held here."""

from typing import Any

from django.db import models

from dataspace.datasets.states import State
from dataspace.participants.models import Participant


class Dataset(models.Model):
    """A registered dataset; `record` is the provider's signed description."""

    id = models.UUIDField(primary_key=True, editable=False)
    provider = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="datasets")
    number = models.IntegerField()
    name = models.CharField(max_length=200)
    title_zh = models.TextField()
    title_en = models.TextField()
    rows_max = models.BigIntegerField()
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    record = models.JSONField()
    record_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        ordering = (
            "created_at",
            "id",
        )

    def __str__(self) -> str:
        return self.title_zh

    @property
    def columns(self) -> list[dict[str, Any]]:
        return list(self.record["document"]["columns"])


class FormerVersion(models.Model):
    """A description that a later one replaced; the grants that name its hash go on naming it."""

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="former")
    number = models.IntegerField()
    record = models.JSONField()
    record_hash = models.CharField(max_length=64, unique=True)
    replaced_at = models.DateTimeField()

    class Meta:
        ordering = ("dataset_id", "number")

    def __str__(self) -> str:
        return f"{self.dataset_id} {self.number}"
