"""Jobs. The job row is the truth; a queue message is only a wake-up."""

from django.db import models

from dataspace.grants.models import Grant
from dataspace.participants.models import Participant
from marketplace.agreements.models import Agreement
from marketplace.jobs.states import State


class Job(models.Model):
    """One run under an agreement. `fence` rises with each taker of the lease, so that a late one writes nothing."""

    id = models.UUIDField(primary_key=True, editable=False)
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="jobs")
    consumer = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="jobs_ordered")
    function = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State])
    attempt = models.IntegerField(default=1)
    code = models.CharField(max_length=64, blank=True)
    about = models.UUIDField(null=True)
    spec = models.JSONField()
    spec_hash = models.CharField(max_length=64, unique=True)
    question_hash = models.CharField(max_length=64, db_index=True)
    answer_by = models.DateTimeField()
    deadline = models.DateTimeField()
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    released_event = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    grants = models.ManyToManyField(Grant, related_name="jobs")

    class Meta:
        ordering = (
            "-created_at",
            "id",
        )
        indexes = (models.Index(fields=["state", "deadline"]),)

    def __str__(self) -> str:
        return f"job {self.id}"


class JobParty(models.Model):
    """A participant inside one job: a party by its seat, or the dealer, whose seat is the number of parties."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="parties")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="seats")
    seat = models.SmallIntegerField()
    role = models.CharField(max_length=8, choices=[("party", "party"), ("dealer", "dealer")])
    check_served_at = models.DateTimeField(null=True)
    session_served_at = models.DateTimeField(null=True)
    stop_served_at = models.DateTimeField(null=True)
    # of a job whose parties are not online together: why its part is not in the set, and its word that takes it back
    left_out = models.CharField(max_length=64, blank=True)
    withdrawal = models.JSONField(null=True)

    class Meta:
        ordering = ("seat",)
        constraints = (models.UniqueConstraint(fields=["job", "participant"], name="party_once"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.seat}"


class Verdict(models.Model):
    """A node's signed answer to one attempt of a job."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="verdicts")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    attempt = models.IntegerField()
    decision = models.CharField(max_length=8)
    code = models.CharField(max_length=64, blank=True)
    document = models.JSONField()
    document_hash = models.CharField(max_length=64)
    at = models.DateTimeField()

    class Meta:
        ordering = (
            "at",
            "id",
        )
        constraints = (models.UniqueConstraint(fields=["job", "participant", "attempt"], name="verdict_once"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.decision}"


class Envelope(models.Model):
    """One party's sealed part of the result: ciphertext for the consumer alone."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="envelopes")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    attempt = models.IntegerField()
    session = models.CharField(max_length=64)
    gate_hash = models.CharField(max_length=64)
    document = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        ordering = (
            "at",
            "id",
        )
        constraints = (models.UniqueConstraint(fields=["job", "participant", "attempt"], name="envelope_once"),)

    def __str__(self) -> str:
        return f"{self.job_id} envelope"


class Contribution(models.Model):
    """What one hospital handed in while a job collected: never changed, never replaced. Ciphertext, masked besides."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="contributions")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    seat = models.SmallIntegerField()
    document = models.JSONField()
    document_hash = models.CharField(max_length=64)
    ciphertexts = models.BinaryField()
    at = models.DateTimeField()

    class Meta:
        ordering = ("seat",)
        constraints = (models.UniqueConstraint(fields=["job", "participant"], name="contribution_once"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.seat} contribution"


class Total(models.Model):
    """Of a job whose set was chosen: the product of its contributions, and the dealer's signed word on the set."""

    job = models.OneToOneField(Job, on_delete=models.PROTECT, primary_key=True, related_name="total")
    product = models.BinaryField(null=True)
    product_hash = models.CharField(max_length=64, blank=True)
    frozen = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"{self.job_id} total"


class Failure(models.Model):
    """A node's signed word that its part failed, and about whom."""

    job = models.ForeignKey(Job, on_delete=models.PROTECT, related_name="failures")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT)
    attempt = models.IntegerField()
    code = models.CharField(max_length=64)
    about = models.UUIDField(null=True)
    document = models.JSONField()
    at = models.DateTimeField()

    class Meta:
        ordering = (
            "at",
            "id",
        )
        constraints = (models.UniqueConstraint(fields=["job", "participant", "attempt"], name="failure_once"),)

    def __str__(self) -> str:
        return f"{self.job_id} {self.code}"
