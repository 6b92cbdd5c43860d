"""What the API must remember: nonces it has seen, and answers it gave to repeated requests."""

from django.db import models


class Nonce(models.Model):
    """A signature's nonce; a second request with it is refused."""

    keyid = models.CharField(max_length=64)
    nonce = models.CharField(max_length=128)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["keyid", "nonce"], name="nonce_seen_once"),)

    def __str__(self) -> str:
        return f"{self.keyid} {self.nonce}"


class IdempotencyKey(models.Model):
    """The first answer to a request; the same request again gets the same answer."""

    participant_id = models.UUIDField()
    key = models.CharField(max_length=128)
    request_hash = models.CharField(max_length=64)
    status = models.IntegerField(null=True)
    body = models.JSONField(null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["participant_id", "key"], name="idempotency_once"),)

    def __str__(self) -> str:
        return f"{self.participant_id} {self.key}"
