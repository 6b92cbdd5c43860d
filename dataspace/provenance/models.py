"""Tables of the record: events, their deliveries, the log's hashes, checkpoints and chain transactions.

An event is written in the caller's transaction and never changes. It holds ids, not foreign keys.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Event(models.Model):
    """What happened; `entry` is the document whose hash becomes a leaf of the log."""

    number = models.BigAutoField(primary_key=True)
    id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=64)
    subject_kind = models.CharField(max_length=32)
    subject_id = models.UUIDField()
    participant_id = models.UUIDField(null=True)
    person_id = models.UUIDField(null=True)
    audience = ArrayField(models.UUIDField(), default=list)
    at = models.DateTimeField()
    entry = models.JSONField()

    class Meta:
        ordering = ("number",)
        indexes = (
            models.Index(fields=["subject_id", "number"]),
            models.Index(fields=["kind", "number"]),
            GinIndex(fields=["audience"], name="event_audience"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class Delivery(models.Model):
    """One event owed to one follower: a row, not a cursor, for numbers may commit out of order."""

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="deliveries")
    follower = models.CharField(max_length=32)
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["event", "follower"], name="delivery_once"),)
        indexes = (
            models.Index(fields=["follower", "event"], condition=models.Q(done_at__isnull=True), name="delivery_owed"),
        )

    def __str__(self) -> str:
        return f"{self.follower} {self.event_id}"


class Leaf(models.Model):
    """An event's place in the log."""

    index = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(Event, on_delete=models.PROTECT, related_name="leaf")
    hash = models.CharField(max_length=64)

    def __str__(self) -> str:
        return f"leaf {self.index}"


class Tile(models.Model):
    """Up to 256 hashes of one level of the log's tree; a full tile never changes."""

    level = models.SmallIntegerField()
    position = models.BigIntegerField()
    data = models.BinaryField(max_length=8192)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["level", "position"], name="tile_once"),)

    def __str__(self) -> str:
        return f"tile {self.level}/{self.position}"


class Checkpoint(models.Model):
    """A signed note: the log's size and root."""

    size = models.BigIntegerField(primary_key=True)
    root = models.CharField(max_length=64)
    note = models.TextField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("size",)

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class Sender(models.Model):
    """The account whose nonces this portal assigns; the row is the lock."""

    address = models.CharField(max_length=42, primary_key=True)
    next_nonce = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.address


class ChainTx(models.Model):
    """A transaction: signed bytes are stored before they are sent, and only these bytes are ever sent."""

    class State(models.TextChoices):
        SIGNED = "signed"
        SENT = "sent"
        MINED = "mined"
        FINAL = "final"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=160, unique=True)
    kind = models.CharField(max_length=32)
    subject_id = models.UUIDField(null=True)
    sender = models.ForeignKey(Sender, on_delete=models.PROTECT)
    nonce = models.BigIntegerField()
    raw = models.TextField()
    hash = models.CharField(max_length=66, unique=True)
    status = models.CharField(max_length=16, choices=State, default=State.SIGNED)
    block = models.BigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True)
    code = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("nonce",)
        constraints = (models.UniqueConstraint(fields=["sender", "nonce"], name="nonce_once"),)
        indexes = (
            models.Index(fields=["status", "nonce"]),
            models.Index(fields=["subject_id"]),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.hash}"


class Anchor(models.Model):
    """A checkpoint's root in a chain transaction."""

    checkpoint = models.OneToOneField(Checkpoint, on_delete=models.PROTECT, related_name="anchor")
    tx = models.OneToOneField(ChainTx, on_delete=models.PROTECT, related_name="anchor")
    prev_size = models.BigIntegerField()

    def __str__(self) -> str:
        return f"anchor {self.checkpoint_id}"
