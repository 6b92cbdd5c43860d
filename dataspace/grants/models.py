"""Grants: permission of regulator and custodian for one dataset in one scenario, and their uses."""

from django.db import models

from dataspace.datasets.models import Dataset
from dataspace.grants.states import State
from dataspace.participants.models import Participant
from dataspace.scenarios.models import Scenario


class Grant(models.Model):
    """`terms` is what both signed; `approval` is the regulator's signature, `consent` the custodian's.

    `suspensions` holds the last word of either side; `cancellations` what was taken back before it was registered.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    scenario = models.ForeignKey(Scenario, on_delete=models.PROTECT, related_name="grants")
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="grants")
    custodian = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="grants_given")
    grantee = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="grants_held")
    terms = models.JSONField()
    terms_hash = models.CharField(max_length=64)
    chain_id = models.CharField(max_length=66, unique=True)
    approval = models.JSONField()
    consent = models.JSONField(null=True)
    revocation = models.JSONField(null=True)
    suspensions = models.JSONField(default=dict)
    cancellations = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    max_uses = models.IntegerField()
    registered_block = models.BigIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = (
            "created_at",
            "id",
        )
        constraints = (models.UniqueConstraint(fields=["scenario", "dataset"], name="grant_once"),)

    def __str__(self) -> str:
        return f"grant {self.id}"


class GrantUse(models.Model):
    """A use that its custodian's node signed; relayed to the chain, once for a job."""

    grant = models.ForeignKey(Grant, on_delete=models.PROTECT, related_name="uses")
    job_hash = models.CharField(max_length=64)
    signature = models.CharField(max_length=132)
    relayed = models.BooleanField(default=False)
    at = models.DateTimeField()

    class Meta:
        ordering = (
            "at",
            "id",
        )
        constraints = (models.UniqueConstraint(fields=["grant", "job_hash"], name="use_once"),)

    def __str__(self) -> str:
        return f"{self.grant_id} {self.job_hash}"
