"""The sweep: followers, job deadlines, leftovers. Its own process; several may run, one leads.

Whatever a lost wake-up, a killed process or an unreachable chain left behind is found here.
"""

import logging
import signal
import threading
from datetime import timedelta
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections
from django.utils import timezone

from dataspace.celery import app as queue
from dataspace.errors import DataspaceError
from dataspace.participants.services import sign_in
from dataspace.provenance import followers, guard
from ledger.door import REPLAY_WINDOW
from ledger.errors import LedgerError
from marketplace.api.idempotency import forget
from marketplace.api.models import Nonce
from marketplace.jobs.services import tend

log = logging.getLogger(__name__)

CLEAN_EVERY = timedelta(minutes=1)


class Command(BaseCommand):
    help = "sweep until SIGTERM; --once for a single pass"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true")
        parser.add_argument("--every", type=float, default=0.5, help="seconds between passes")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        queue.set_default()

        def ask(number: int, frame: FrameType | None) -> None:
            stop.set()

        if options["once"]:
            sweep()
            return
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        look_at_the_log()
        cleaned = timezone.now() - CLEAN_EVERY
        while not stop.is_set():
            try:
                close_old_connections()
                sweep()
                if timezone.now() - cleaned >= CLEAN_EVERY:
                    cleaned = timezone.now()
                    clean()
            except (DatabaseError, InterfaceError) as trouble:
                log.warning("the database is away: %s", type(trouble).__name__)
            stop.wait(options["every"])


def look_at_the_log() -> None:
    """Say at once if this database knows less of the log than the world; nothing will be written to the log then."""
    try:
        guard.check()
    except (LedgerError, DataspaceError, DatabaseError) as trouble:
        log.error("the log is not written to: %s", getattr(trouble, "code", type(trouble).__name__))


def sweep() -> None:
    """One pass over all that may wait."""
    tend.sweep()
    followers.run_all()


def clean() -> None:
    """Forget nonces that are too old to be replayed, answered requests, and passwords that once did not fit."""
    sign_in.forget_failed_sign_ins(now=timezone.now())
    Nonce.objects.filter(seen_at__lt=timezone.now() - REPLAY_WINDOW).delete()
    forget()
