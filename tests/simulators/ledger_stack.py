"""A ledger's real stack (embedded chain, sequencer and sender, a writer of events), whose processes are killed.

Every process is a process of its own, started again as a supervisor would; those that need Django are forked by one
that has imported it (see ledger_process). The database is the caller's.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psycopg

from deploy.children import free_port, started_at
from deploy.waiting import wait_until
from ledger.chain import Chain
from ledger.errors import ChainUnavailable
from tests.simulators.ledger_process import EDGES
from tests.simulators.ledger_space import LedgerSpace

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
KILLS = ("tend", "writer", "chain", "anvil")


class Forked:
    """A child of the nursery's, looked at as if it were ours."""

    def __init__(self, pid: int) -> None:
        self.pid, self._start = pid, started_at(pid)

    def poll(self) -> int | None:
        return None if self._start is not None and started_at(self.pid) == self._start else -1

    def kill(self) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        wait_until(lambda: self.poll() is not None, seconds=PATIENCE, step=0.01)
        return -1


class LedgerStack:
    """Started by `with`; `kill` kills one process and answers how long it took until an event was anchored again."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.port = free_port()
        self._running: dict[str, subprocess.Popen[str] | Forked] = {}
        self._nursery: subprocess.Popen[str] | None = None
        self._settings: dict[str, str] = {}

    def __enter__(self) -> LedgerStack:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "told").touch()
        try:
            self._running["chain"] = self._process("chain", str(self.port))
            migrating = self._process("migrate")
            chain = Chain([f"http://127.0.0.1:{self.port}"])
            wait_until(lambda: self._chain_answers(chain), seconds=PATIENCE)
            self._settings = LedgerSpace(self.folder / "space", chain).settings | {"XINGLIN_VAR": str(self.folder)}
            self._nursery = self._process("nursery", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            if migrating.wait() != 0 or self._heard() != "ready":
                raise RuntimeError(f"the stack does not start: {self.tail()}")
            self._start("tend")
            self._start("writer")
            if not wait_until(lambda: self.anchored() > 0, seconds=PATIENCE):
                raise RuntimeError(f"nothing was ever anchored: {self.tail()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for process in [*self._running.values(), *([self._nursery] if self._nursery else [])]:
            process.kill()
            process.wait()

    def _start(self, role: str) -> None:
        if role == "chain":
            self._running[role] = self._process(role, str(self.port))
            return
        if self._nursery is None or self._nursery.stdin is None:
            raise RuntimeError("the stack has not been entered")
        self._nursery.stdin.write(f"{role}\n")
        self._nursery.stdin.flush()
        self._running[role] = Forked(int(self._heard()))

    def _heard(self) -> str:
        return self._nursery.stdout.readline().strip() if self._nursery and self._nursery.stdout else ""

    def _process(self, role: str, *arguments: str, stdin: int = subprocess.DEVNULL,
                 stdout: int | None = None) -> subprocess.Popen[str]:
        environment = os.environ | self._settings | {
            "DATABASE_URL": self.database, "BROKER_URL": "memory://", "XINGLIN_WAKE": "off",
            "XINGLIN_ENV": "development", "DJANGO_SETTINGS_MODULE": "dataspace.settings"}  # fmt: skip
        with (self.folder / f"{role}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.simulators.ledger_process", role, str(self.folder), *arguments],
                cwd=ROOT, env=environment, stdin=stdin, stdout=stdout or log, stderr=log, text=True)  # fmt: skip

    def _chain_answers(self, chain: Chain) -> bool:
        try:
            return chain.head().number > 0
        except ChainUnavailable:
            return False

    def tail(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in self.folder.glob("*.log"))

    # --- killing

    def kill(self, chance: random.Random) -> tuple[str, float]:
        """Kill somebody, at an edge or at any moment; answers what was done, and the seconds until all was well."""
        role = chance.choice(KILLS)
        if role in EDGES and chance.random() < 0.8:
            edge = chance.choice(list(EDGES[role]))
            what = self._kill_at(role, edge)
        else:
            time.sleep(chance.uniform(0, 0.2))
            what = f"{role}: any moment"
            self._kill_now(role)
        began = time.monotonic()
        if role != "anvil":
            self._start(role)
        self._until_well(what)
        return what, time.monotonic() - began

    def _kill_at(self, role: str, edge: str) -> str:
        order = self.folder / f"arm-{role}"
        aside = order.with_suffix(".part")
        aside.write_text(edge)
        aside.replace(order)
        process = self._running[role]
        if wait_until(lambda: process.poll() is not None, seconds=1, step=0.01):
            return f"{role}: {edge}"
        order.unlink(missing_ok=True)  # it did not come by there: then now
        self._kill_now(role)
        return f"{role}: any moment"

    def _kill_now(self, role: str) -> None:
        if role != "anvil":
            self._running[role].kill()
            self._running[role].wait()
            return
        pid = self._running["chain"].pid
        with suppress(OSError, ValueError):
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                os.kill(int(child), signal.SIGKILL)

    def _until_well(self, what: str) -> None:
        """An event that was told after the kill is in the log, and anchored."""
        before = self.told()
        if not wait_until(lambda: self.told() > before and self.anchored() > before, seconds=PATIENCE, step=0.02):
            raise RuntimeError(f"after the kill of {what} nothing more was anchored: {self.tail()}")

    # --- looking

    def told(self) -> int:
        """The writer's last number; it is the number of events as well."""
        whole = (self.folder / "told").read_bytes().split(b"\n")[:-1]
        return int(whole[-1]) if whole else 0

    def anchored(self, *states: str) -> int:
        """Leaves under the largest anchor that is in a block (or in one of these states)."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            row = connection.execute(
                "SELECT max(a.size) FROM provenance_anchor a JOIN provenance_chaintx t ON t.id = a.tx_id"
                " WHERE a.lost_at IS NULL AND t.status = ANY(%s)",
                [list(states or ("mined", "final"))],
            ).fetchone()
        return int(row[0] or 0) if row else 0

    def settle(self) -> dict[str, int]:
        """Stop writing, wait until everything is final, and compare database, log and chain."""
        self._running["writer"].kill()
        self._running["writer"].wait()

        def is_done() -> bool:
            with psycopg.connect(self.database, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM provenance_event), (SELECT count(*) FROM provenance_leaf),"
                    " (SELECT count(*) FROM provenance_chaintx WHERE status NOT IN ('final', 'failed'))"
                ).fetchone()
            return row is not None and row[2] == 0 and row[0] == row[1] == self.anchored("final")

        if not wait_until(is_done, seconds=PATIENCE, step=0.1):
            raise RuntimeError(f"not everything became final: {self.tail()}")
        self._process("verify").wait()
        lines = (self.folder / "verify.log").read_text().splitlines()
        found: dict[str, int] = json.loads(lines[-1])
        return found
