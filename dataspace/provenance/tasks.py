"""Celery's part in the record: wake the followers."""

from celery import shared_task

from dataspace.provenance import followers


@shared_task(name="dataspace.provenance.tasks.follow")  # type: ignore[untyped-decorator]  # Celery has no types
def follow() -> None:
    """One pass; nothing is passed in, for the rows say what is owed."""
    followers.run_all()
