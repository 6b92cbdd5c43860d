"""Scenarios: reviewed purposes of use."""

from django.db import models

from dataspace.datasets.models import Dataset
from dataspace.participants.models import Participant
from dataspace.scenarios.states import State


class Scenario(models.Model):
    """An application for a purpose of use; `document` is signed by the consumer, `decision` by the regulator."""

    id = models.UUIDField(primary_key=True, editable=False)
    consumer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="scenarios")
    title_zh = models.TextField()
    title_en = models.TextField()
    purpose = models.TextField()
    functions = models.JSONField(default=list)
    floor = models.IntegerField()
    by_institution = models.BooleanField(default=False)
    max_uses = models.IntegerField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    document = models.JSONField()
    document_hash = models.CharField(max_length=64)
    decision = models.JSONField(null=True)
    note = models.TextField(blank=True)
    submitted_by = models.UUIDField(null=True)
    submitted_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    datasets = models.ManyToManyField(Dataset, through="ScenarioDataset", related_name="scenarios")

    class Meta:
        ordering = (
            "-created_at",
            "id",
        )

    def __str__(self) -> str:
        return self.title_zh


class ScenarioDataset(models.Model):
    """One dataset of the exact set that computes together."""

    scenario = models.ForeignKey(Scenario, on_delete=models.PROTECT, related_name="roster")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT)
    seat = models.SmallIntegerField()

    class Meta:
        ordering = ("seat",)
        constraints = (models.UniqueConstraint(fields=["scenario", "dataset"], name="scenario_dataset_once"),)

    def __str__(self) -> str:
        return f"{self.scenario_id} {self.seat}"
