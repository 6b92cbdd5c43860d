"""Participants (organisations) and the persons who sign in for them."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models

from dataspace.participants.states import State


class Participant(models.Model):
    """An organisation in the space. `record` is its signed document; the columns are copies to search by."""

    id = models.UUIDField(primary_key=True, editable=False)
    name_zh = models.TextField()
    name_en = models.TextField()
    admitted_as = models.JSONField(default=list)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    record = models.JSONField()
    record_hash = models.CharField(max_length=64)
    signing_key = models.CharField(max_length=64)
    chain_id = models.CharField(max_length=66)
    admission = models.JSONField(null=True)
    suspension = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = (
            "created_at",
            "id",
        )

    def __str__(self) -> str:
        return self.name_zh


class Renewal(models.Model):
    """A later record of a participant on its way to the chain: other keys, offered under the old or proposed for lost
    ones. It stands when the chain holds it for good; `former` keeps the record that it then replaced."""

    class Outcome(models.TextChoices):
        STANDS = "stands"
        VETOED = "vetoed"
        REFUSED = "refused"
        REPLACED = "replaced"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="renewals")
    number = models.BigIntegerField()
    record = models.JSONField()
    record_hash = models.CharField(max_length=64)
    admission = models.JSONField(null=True)
    proposal = models.JSONField(null=True)
    veto = models.JSONField(null=True)
    finish_asked = models.BooleanField(default=False)
    outcome = models.CharField(max_length=16, choices=Outcome, blank=True)
    former = models.JSONField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("created_at", "id")
        constraints = (
            models.UniqueConstraint(fields=["participant"], condition=models.Q(outcome=""), name="renewal_one_open"),
        )

    def __str__(self) -> str:
        return f"{self.participant_id} {self.number}"


class FailedSignIn(models.Model):
    """A password that did not fit. The name is kept as a keyed hash: people type passwords into the wrong field."""

    name_hash = models.CharField(max_length=64)
    at = models.DateTimeField(db_index=True)

    class Meta:
        indexes = (models.Index(fields=["name_hash", "at"]),)

    def __str__(self) -> str:
        return self.name_hash


class Person(AbstractUser):
    """Someone who signs in to the portal for a participant, or runs it (no participant, role operator)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    participant = models.ForeignKey(Participant, null=True, on_delete=models.PROTECT, related_name="persons")
    name = models.CharField(max_length=100, blank=True)
    roles = models.JSONField(default=list)

    def __str__(self) -> str:
        return self.name or self.username
