"""Bring the databases to the form the code expects: migrations, and the queue's own database and functions."""

from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from psycopg import sql


class Command(BaseCommand):
    help = "migrate, and make the queue; may be run again"

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        parts = urlsplit(settings.BROKER_URL)
        if parts.scheme == "pgmq":
            queue = parts._replace(scheme="postgresql", query="")
            _create(queue.path.lstrip("/"))
            _install(queue.geturl())
            self.stdout.write("the queue is ready")


def _create(name: str) -> None:
    """Make the queue's database, from the portal's own."""
    with psycopg.connect(settings.DATABASE_URL, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _install(url: str) -> None:
    from pgmq.install import install_pgmq_from_sql

    with psycopg.connect(url) as connection:
        there = connection.execute("SELECT to_regnamespace('pgmq')").fetchone()
    if there is None or there[0] is None:
        install_pgmq_from_sql(dsn=url)
