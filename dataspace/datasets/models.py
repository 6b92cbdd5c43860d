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
