"""Celery's part in jobs: a wake-up with the job's id, nothing more."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from marketplace.jobs.services import tend


@shared_task(name="marketplace.jobs.tasks.advance",  # type: ignore[untyped-decorator]  # Celery has no types
             time_limit=tend.MULTIPLYING.total_seconds())  # a product takes longer than other tasks may
def advance(job_id: str) -> None:
    """Carry one job on, and make its product; run twice, the second finds nothing to do."""
    tend.step(UUID(job_id), now=timezone.now())
    tend.multiply(UUID(job_id), now=timezone.now())
