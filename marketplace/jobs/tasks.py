"""Celery's part in jobs: a wake-up with the job's id, nothing more."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from marketplace.jobs.services.tend import step


@shared_task(name="marketplace.jobs.tasks.advance")  # type: ignore[untyped-decorator]
def advance(job_id: str) -> None:
    """Carry one job on; run twice, the second finds nothing to do."""
    step(UUID(job_id), now=timezone.now())
