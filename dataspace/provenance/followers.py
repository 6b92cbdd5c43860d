"""Those who act after events: each does what is owed and may be run at any time, by anybody, again and again.

Areas register theirs when Django starts. A follower that fails stops itself only.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from dataspace.errors import DataspaceError
from dataspace.provenance.models import Delivery
from ledger.errors import LedgerError

log = logging.getLogger(__name__)

PASSES = 3
_LOCK = 0x78696E67
_FOLLOWERS: dict[str, Callable[[], None]] = {}


def register(name: str, follow: Callable[[], None]) -> None:
    """Add a follower; they run in the order in which they came."""
    _FOLLOWERS[name] = follow


@contextmanager
def leader() -> Iterator[bool]:
    """Whether this process leads now; the lock ends with the connection, so a killed leader leaves none behind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        row = cursor.fetchone()
    leads = bool(row and row[0])
    try:
        yield leads
    finally:
        if leads:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def run_all() -> bool:
    """Run every follower, by one process at a time, again while they leave events to each other; whether it led."""
    with leader() as leads:
        for _ in range(PASSES if leads else 0):
            for name, follow in _FOLLOWERS.items():
                _run(name, follow)
            if not Delivery.objects.exists():
                break
        return leads


def _run(name: str, follow: Callable[[], None]) -> None:
    try:
        follow()
    except (LedgerError, DataspaceError) as trouble:
        log.warning("follower %s waits: %s", name, trouble.code)
    except Exception:
        log.exception("follower %s stopped", name)
