"""A Celery worker is killed in the middle of a job's step, over the true queue: the row is the truth, nothing is lost.

The worker is caught in the act by a lock on the table that it writes to next. It dies with the lease taken and the
message unanswered; whoever sweeps next, once the lease is over, does the work, and the message that comes back later
finds nothing to do.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from celery import Celery
from django.conf import settings
from django.db import connection
from psycopg import sql

from dataspace import settings as source
from dataspace.provenance.models import Event
from deploy.postgres import create_database
from deploy.waiting import wait_until
from ledger.documents import signed
from marketplace.jobs.models import Job
from marketplace.jobs.services import order, tend
from marketplace.jobs.tasks import advance
from tests.simulators.portal_space import Space, now, people

__all__ = ["people"]
pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def queue() -> Iterator[str]:
    """The queue's own database on the session's server, made as `manage.py prepare` makes it."""
    from pgmq.install import install_pgmq_from_sql

    name = f"queue_{os.getpid()}"
    create_database(settings.DATABASE_URL, name, fresh=True)
    url = urlsplit(settings.DATABASE_URL)._replace(path=f"/{name}").geturl()
    install_pgmq_from_sql(dsn=url)
    yield url
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as server:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _portal_database() -> str:
    """The database that pytest-django made."""
    found = connection.settings_dict
    host = f"{found['HOST']}:{found['PORT']}" if found["PORT"] else found["HOST"]
    return f"postgresql://{quote(found['USER'])}:{quote(found['PASSWORD'])}@{host}/{found['NAME']}"


@contextmanager
def worker(queue: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker as `deploy.space` starts it."""
    command = [sys.executable, "-m", "celery", "-A", "dataspace.celery:app", "worker", "-P", "solo", "-l", "INFO"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    environment = {
        **os.environ,
        "DATABASE_URL": _portal_database(),
        "BROKER_URL": "pgmq:" + queue.split(":", 1)[1],
        "XINGLIN_TRUST": settings.XINGLIN_TRUST,
        "XINGLIN_FINGERPRINT": settings.XINGLIN_FINGERPRINT,
    }
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=environment, cwd=source.BASE_DIR, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


def _hint(queue: str, job: Job) -> None:
    """The same message that the portal sends after an order."""
    transport = {"init_extension": False, "conn_string": queue, "visibility_timeout": 90}
    with Celery("test", broker="pgmq:" + queue.split(":", 1)[1], set_as_current=False) as app:
        app.conf.update(broker_transport_options=transport, task_default_queue=settings.CELERY_TASK_DEFAULT_QUEUE)
        app.send_task("marketplace.jobs.tasks.advance", args=(str(job.pk),), ignore_result=True)


def _waiting(queue: str) -> int:
    """Messages in the queue, also those that a worker has taken and not answered."""
    with psycopg.connect(queue) as there:
        found = there.execute(f"SELECT count(*) FROM pgmq.q_{settings.CELERY_TASK_DEFAULT_QUEUE}").fetchone()
    return int(found[0]) if found else 0


def _queued(people: Space) -> Job:
    """An ordered job that nobody has carried on yet."""
    people.ready()
    spec = people.spec(people.agreement(people.listed(), people.granted()))
    wire: dict[str, Any] = signed(spec, people.keys["maker"].signing)
    job, existing = order.order(wire, actor=people.actor("maker"), now=now(), answer_within=timedelta(minutes=5))
    assert (job.state, existing) == ("queued", False)
    return job


def _sessions(more: LiteralString) -> int:
    """How many sessions of the portal's database are neither the test's own connections nor this one."""
    with psycopg.connect(_portal_database()) as there:
        found = there.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            + more
        ).fetchone()
    return int(found[0]) if found else 0


def _stands_at_the_lock() -> bool:
    return _sessions("AND wait_event_type = 'Lock'") == 1


def _others_connected() -> bool:
    return _sessions("AND (state LIKE 'idle in transaction%' OR wait_event_type = 'Lock')") > 0


def test_the_work_of_a_killed_worker_is_done(people: Space, queue: str, tmp_path: Path) -> None:
    job = _queued(people)
    log = tmp_path / "celery.log"
    with worker(queue, log) as killed, psycopg.connect(_portal_database()) as holder:
        holder.execute(sql.SQL("LOCK TABLE {} IN SHARE MODE").format(sql.Identifier(Event._meta.db_table)))
        _hint(queue, job)
        assert wait_until(_stands_at_the_lock, seconds=40), log.read_text()
        assert killed.poll() is None, log.read_text()
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=10)
        holder.rollback()
    assert wait_until(lambda: not _others_connected(), seconds=10)

    job.refresh_from_db()
    assert (job.state, job.fence) == ("queued", 1), "what the worker had begun is undone"
    assert job.lease_until is not None
    assert _waiting(queue) == 1, "the message was never answered"

    tend.sweep(now=job.lease_until - timedelta(seconds=1))
    job.refresh_from_db()
    assert (job.state, job.fence) == ("queued", 1), "the dead worker's lease still holds"

    tend.sweep(now=job.lease_until + timedelta(seconds=1))
    job.refresh_from_db()
    assert (job.state, job.fence, job.lease_until) == ("offered", 2, None)
    assert [one["kind"] for one in people.door("hospital_a").get("/work")["items"]] == ["check"]

    advance(str(job.pk))  # the message comes back
    job.refresh_from_db()
    assert job.state == "offered"
    assert Event.objects.filter(kind="job.offered", subject_id=job.pk).count() == 1
