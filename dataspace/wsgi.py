"""The portal's WSGI application. What is slow to begin with (the chain's door, the broker) begins beside the start."""

import os
import threading

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataspace.settings")

from dataspace.celery import app

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
