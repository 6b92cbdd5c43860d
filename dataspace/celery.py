"""The Celery application. Tasks only wake a follower; rows are the truth, and `manage.py tend` sweeps them all."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataspace.settings")
app = Celery("xinglin")
app.set_default()  # also for threads that never saw it made
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
