"""The portal's WSGI application. What is slow to begin with (the chain's door, the broker) begins beside the start.

Its many threads share two arenas of the C library's allocator. With one for each thread, every one of them keeps what
its largest answer ever took, and the process grows for as long as large answers find threads new to them.
"""

import ctypes
import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataspace.settings")

from dataspace.celery import app

_M_ARENA_MAX = -8  # glibc's malloc.h; another C library has no arenas to count
if "MALLOC_ARENA_MAX" not in os.environ and hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)  # before there are threads: an arena that is there stays

application = get_wsgi_application()


def _warm() -> None:
    import logging
    from importlib import import_module

    from django.conf import settings

    try:
        import_module("ledger.chain")
        if settings.XINGLIN_WAKE:
            app.send_task("dataspace.provenance.tasks.follow", ignore_result=True)
    except Exception as trouble:
        logging.getLogger(__name__).warning("not warm yet: %s", type(trouble).__name__)


threading.Thread(target=_warm, name="warm", daemon=True).start()
