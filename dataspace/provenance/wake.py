"""Wakes the followers after a commit: a hint through Celery, sent beside the request and allowed to get lost.

`manage.py tend` sweeps whatever a lost hint left behind.
"""

import logging
import queue
import threading

from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

_due: queue.Queue[tuple[str, tuple[str, ...]]] = queue.Queue(maxsize=100)
_started = threading.Lock()
_threads: list[threading.Thread] = []


def wake(task: str = "dataspace.provenance.tasks.follow", *arguments: str) -> None:
    """Send the hint once the caller's transaction has committed."""
    if settings.XINGLIN_WAKE:
        transaction.on_commit(lambda: _enqueue(task, arguments))


def _enqueue(task: str, arguments: tuple[str, ...]) -> None:
    with _started:
        if not _threads or not _threads[0].is_alive():
            _threads[:] = [threading.Thread(target=_publish, name="wake", daemon=True)]
            _threads[0].start()
    try:
        _due.put_nowait((task, arguments))
    except queue.Full:
        log.info("a wake-up was dropped")


def _publish() -> None:
    from celery import current_app

    while True:
        wanted = {_due.get()}
        while not _due.empty():
            wanted.add(_due.get_nowait())
        for task, arguments in wanted:
            try:
                current_app.send_task(task, args=arguments, ignore_result=True)
            except Exception as trouble:
                log.warning("a wake-up was lost: %s", type(trouble).__name__)
