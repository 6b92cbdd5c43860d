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
    created_at = models.DateTimeField()

    class Meta:
        ordering = (
            "created_at",
            "id",
        )

    def __str__(self) -> str:
        return self.name_zh


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
