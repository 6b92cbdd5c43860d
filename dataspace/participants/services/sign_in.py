"""Counts passwords that did not fit, so that whoever tries many has to wait."""

from datetime import datetime

from dataspace.participants import policies
from dataspace.participants.models import FailedSignIn
from dataspace.participants.queries import hash_of_name


def note_failed_sign_in(name: str, *, now: datetime) -> None:
    """Count it; after some within a quarter of an hour the name has to wait."""
    FailedSignIn.objects.create(name_hash=hash_of_name(name), at=now)


def forget_failed_sign_ins(*, now: datetime, name: str | None = None) -> None:
    """Those of a name that signed in, or all that count no more."""
    old = FailedSignIn.objects.all()
    old = (
        old.filter(at__lt=now - policies.FAILURES_COUNT_FOR)
        if name is None
        else old.filter(name_hash=hash_of_name(name))
    )
    old.delete()
