"""Tables of the record: events, their deliveries, the log's hashes, checkpoints and chain transactions.

An event is written in the caller's transaction and never changes. It holds ids, not foreign keys. Triggers of the
database (migration 0002) keep events, leaves, full tiles, checkpoints and cosignatures from being changed or deleted.
"""

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class Event(models.Model):
    """What happened; `entry` is the document whose commitment is a leaf of the log.

    `key`, where its writer gives one, is what makes two recordings one: it happens once, whoever says so how often.
    `audience` is a list of participants' ids (as JSON: Django writes rows with array columns one value at a time).
    """

    number = models.BigAutoField(primary_key=True)
    id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=160, null=True, unique=True)
    kind = models.CharField(max_length=64)
    subject_kind = models.CharField(max_length=32)
    subject_id = models.UUIDField()
    participant_id = models.UUIDField(null=True)
    person_id = models.UUIDField(null=True)
    audience = models.JSONField(default=list)
    at = models.DateTimeField()
    urgent = models.BooleanField(default=False)
    commitment = models.CharField(max_length=64)
    entry = models.JSONField()

    class Meta:
        ordering = ("number",)
        indexes = (
            models.Index(fields=["subject_id", "number"]),
            models.Index(fields=["kind", "number"]),
            models.Index(fields=["participant_id", "number"], name="event_participant"),
            GinIndex(fields=["audience"], name="event_audience", opclasses=["jsonb_path_ops"]),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_id}"


class Delivery(models.Model):
    """One event owed to one follower: a row, not a cursor, for numbers may commit out of order.

    The database itself writes it with the event, and only with an event that is new (migration 0002); it goes when
    the follower has done its part.
    """

    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="deliveries")
    follower = models.CharField(max_length=32)
    urgent = models.BooleanField(default=False)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["event", "follower"], name="delivery_once"),)
        indexes = (models.Index(fields=["follower", "-urgent", "event"], name="delivery_owed"),)

    def __str__(self) -> str:
        return f"{self.follower} {self.event_id}"


class Leaf(models.Model):
    """An event's place in the log; the leaf itself is the event's commitment, `hash` is RFC 6962's leaf hash of it."""

    index = models.BigIntegerField(primary_key=True)
    event = models.OneToOneField(Event, on_delete=models.PROTECT, related_name="leaf")
    hash = models.CharField(max_length=64)

    class Meta:
        # by pattern: entries are looked up by the beginning of their hash
        indexes = (models.Index(fields=["hash"], name="leaf_hash_start", opclasses=["varchar_pattern_ops"]),)

    def __str__(self) -> str:
        return f"leaf {self.index}"


class Tile(models.Model):
    """Up to 256 hashes of one level of the log's tree; a full tile never changes, a partial one only grows."""

    level = models.SmallIntegerField()
    position = models.BigIntegerField()
    data = models.BinaryField(max_length=8192)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["level", "position"], name="tile_once"),)

    def __str__(self) -> str:
        return f"tile {self.level}/{self.position}"


class Checkpoint(models.Model):
    """A note that the log signed: size, root, and perhaps the anchor it names. One size may have several.

    `published_at` is set once, when as many witnesses have cosigned as the trust file asks for; only a published
    checkpoint is shown, anchored or put into a receipt.
    """

    size = models.BigIntegerField()
    root = models.CharField(max_length=64)
    note = models.TextField()
    at = models.DateTimeField()
    names = models.ForeignKey("Anchor", on_delete=models.PROTECT, null=True, related_name="named_by")
    published_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("id",)
        indexes = (
            models.Index(fields=["size", "id"], name="checkpoint_size"),
            models.Index(fields=["id"], condition=models.Q(published_at__isnull=False), name="checkpoint_published"),
        )

    def __str__(self) -> str:
        return f"checkpoint {self.size}"

    @property
    def cosigned(self) -> str:
        """The note with the witnesses' lines under it, those of one key once, in the order of their keys."""
        return self.note + "".join(one.line for one in self.cosignatures.order_by("key"))


class Cosignature(models.Model):
    """A witness's line under a checkpoint, verified before it was kept."""

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="cosignatures")
    key = models.CharField(max_length=64)
    line = models.CharField(max_length=800)
    at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=["checkpoint", "key"], name="cosignature_once"),)

    def __str__(self) -> str:
        return f"cosignature by {self.key[:8]}"


class WitnessSeen(models.Model):
    """What was last heard from the witness at one address."""

    url = models.CharField(max_length=300, primary_key=True)
    key = models.CharField(max_length=64, blank=True)
    size = models.BigIntegerField(default=0)
    answered_at = models.DateTimeField(null=True)
    cosigned_at = models.DateTimeField(null=True)
    code = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return self.url


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
    """A checkpoint's root in a chain transaction; `epoch` names chain and contract.

    `lost_at`: the chain no longer holds it (a development chain that began anew), and `ledger reanchor` said so.
    """

    checkpoint = models.ForeignKey(Checkpoint, on_delete=models.PROTECT, related_name="anchors")
    tx = models.OneToOneField(ChainTx, on_delete=models.PROTECT, related_name="anchor")
    size = models.BigIntegerField()
    prev_size = models.BigIntegerField()
    epoch = models.CharField(max_length=64)
    lost_at = models.DateTimeField(null=True)

    class Meta:
        indexes = (models.Index(fields=["epoch", "size"], name="anchor_epoch"),)

    def __str__(self) -> str:
        return f"anchor {self.size}"


class AnchorProof(models.Model):
    """What a node showed of an anchor's final block, checked before it was kept: header, account and storage proof."""

    anchor = models.OneToOneField(Anchor, on_delete=models.PROTECT, related_name="proof")
    block_hash = models.CharField(max_length=66)
    header = models.BinaryField(max_length=8000)
    account_proof = ArrayField(models.BinaryField(max_length=1000))
    storage_proof = ArrayField(models.BinaryField(max_length=1000))
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"proof of {self.block_hash}"


class KnownBlock(models.Model):
    """A block that mattered to us once: it held a transaction of ours, or it was the newest final one."""

    height = models.BigIntegerField(primary_key=True)
    hash = models.CharField(max_length=66)
    time = models.BigIntegerField()
    final = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"block {self.height}"


class ChainAlarm(models.Model):
    """What must never happen to a chain, and did; it stays visible until a person has seen to it."""

    code = models.CharField(max_length=64)
    height = models.BigIntegerField()
    at = models.DateTimeField()
    seen_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.code} at {self.height}"
