"""The life of a node: open everything, say what was lost, then poll for work until told to stop.

Outbound only. One thread asks the portal and judges, one listens to the hospital's people, one thread a running
session, one starts workers. SIGTERM and SIGINT end it cleanly; being killed loses nothing either, for what must not be
forgotten is in the book first. No answer of the portal's, however it is made, ends it.
"""

import fcntl
import json
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from ledger.errors import LedgerError, PortalRefused, PortalUnavailable
from ledger.keys import KeyFile
from ledger.trust import Trust, load_trust
from mpc.node import config, reach
from mpc.node.agent import Agent
from mpc.node.audit import Audit
from mpc.node.book import Book
from mpc.node.cases import Cases
from mpc.node.chainview import ChainView
from mpc.node.config import Config
from mpc.node.contributing import Contributions
from mpc.node.errors import Unfit
from mpc.node.logs import note
from mpc.node.sessions import Home
from mpc.node.workers import Workers

WAIT = 10
SEALED = ("envelopes", "contributions", "freeze")
POLL_TIMEOUT = 30.0
POST_TIMEOUT = 10.0
AWAY_LEAST, AWAY_MOST = 0.3, 2.0
MOST_ITEMS = 256
BROKEN = 500


class Stopping(BaseException):
    """SIGTERM or SIGINT came: leave whatever was waited for."""


class Courier:
    """Delivers the outbox; one message at a time, whoever asks."""

    def __init__(self, door: Any, book: Book, *, barred: Callable[[str], str] = lambda job_hash: "") -> None:
        """`barred` says why what was sealed for a job may not leave any more, or nothing."""
        self._door, self._book, self._barred, self._lock = door, book, barred, threading.Lock()
        self._cases = Cases(book)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send at once, something small; raises what the door raises."""
        return self._door.post(path, body, timeout=POST_TIMEOUT)

    def flush(self) -> None:
        """Deliver what lies there. What will never be taken, or is overdue, is struck off; a portal that cannot be
        asked ends the round; all else lies there until its time is over."""
        with self._lock:
            for (number,) in self._book.rows("SELECT id FROM outbox ORDER BY id"):
                if not self._deliver(number):
                    return

    def _deliver(self, number: int) -> bool:
        """One letter; whether it is worth trying the next."""
        for path, until in self._book.rows("SELECT path, until FROM outbox WHERE id = ?", number):
            job_hash = self._hash_of(number, path)
            if until < time.time():
                note("outbox.overdue", path=path)
                self._cases.overdue(number, job_hash)
                return True
            if self._is_held(path, job_hash):
                return True
            return self._send(number, path, job_hash)
        return True

    def _send(self, number: int, path: str, job_hash: str) -> bool:
        first = False
        if job_hash:
            try:
                offered = self._cases.offer(
                    job_hash, lambda: self._is_held(path, job_hash) or not self._lies_here(number))
            except sqlite3.Error as error:  # what cannot be noted first does not leave
                note("outbox.failed", path=path, error=type(error).__name__)
                return True
            if offered is None:
                return True
            first = offered
        for (body,) in self._book.rows("SELECT body FROM outbox WHERE id = ?", number):
            try:
                self._door.post(path, json.loads(body))
            except PortalUnavailable as error:
                return error.status == BROKEN  # broken over this letter, perhaps: the next one is not to wait for it
            except PortalRefused as error:
                note("outbox.refused", path=path, code=error.code)
                if not error.final:
                    if first:
                        with suppress(sqlite3.Error):
                            self._cases.refused(job_hash)
                    return True
            except Exception as error:  # the last door: no letter keeps the others here, or ends who asked for it
                note("outbox.failed", path=path, error=type(error).__name__)
                return True
            if job_hash:
                with suppress(sqlite3.Error):  # not to know the time, on a full disk, keeps no letter here
                    self._cases.note_left(job_hash)
            self._book.delivered(number)
        return True

    def _lies_here(self, number: int) -> bool:
        return bool(self._book.rows("SELECT 1 FROM outbox WHERE id = ?", number))

    def _hash_of(self, number: int, path: str) -> str:
        """The spec of which a letter holds something sealed, or nothing. The book knows no job of a frozen set's."""
        if path.endswith("/freeze"):
            rows = self._book.rows(
                "SELECT json_extract(body, '$.freeze.document.job_hash') FROM outbox WHERE id = ?", number)
            return str(rows[0][0] or "") if rows else ""
        known = self._book.seen(job=_sealed_for(path))
        return known.job_hash if known else ""

    def _is_held(self, path: str, job_hash: str) -> bool:
        """What was sealed stays in the house once its people said so, however long the portal was away."""
        job = _sealed_for(path)
        if not job:
            return False
        if self._cases.stopped is not None or self._cases.ruling(job_hash=job_hash, job=job) == "deny":
            return True
        return bool(self._barred(job_hash))


def _sealed_for(path: str) -> str:
    """The job that a letter holds something sealed of, or nothing."""
    _, _, job, what = path.split("/", 3) if path.startswith("/jobs/") and path.count("/") == 3 else ("",) * 4
    return job if what in SEALED else ""


def assemble(home: Path, *, door: Any | None = None, chain: Any | None = None) -> tuple[Agent, Any]:
    """The agent of this home with its door; tests bring their own door and chain."""
    known = config.load(home)
    if known.role not in ("provider", "dealer"):
        raise Unfit("config.role", f"a {known.role} runs no node: it works at its desk")
    if not known.fingerprint:
        raise Unfit("config.no_trust", "no trust file: run adopt-trust first")
    keys = KeyFile.load(known.keys)
    trust = load_trust(known.trust, fingerprint=known.fingerprint)
    _check_identity(known, keys, trust)
    door = door or reach.door_of(known, keys)
    chain = chain or reach.chain_of(known, trust)
    book = Book(known.book)
    contributions = Contributions(book)
    courier = Courier(door, book, barred=lambda job_hash: contributions.barred(job_hash, trust))
    made = Home(
        participant=known.participant, party=known.role == "provider", keys=keys, trust=trust, book=book,
        audit=Audit(known.audit, Cases(book), syslog=known.syslog),
        chain=ChainView(chain, trust), post=courier.post, flush=courier.flush, inbox=known.inbox,
        session_seconds=known.session_seconds)
    return Agent(known, made, door, Workers(home, limits=known.limits)), door


def _check_identity(known: Config, keys: KeyFile, trust: Trust) -> None:
    if keys.participant != known.participant:
        raise Unfit("config.malformed", "keys.json belongs to another participant")
    if known.role == "dealer" and (trust.dealer.participant, trust.dealer.signing) != (
            known.participant, keys.signing_public):
        raise Unfit("config.role", "the trust file names another dealer")


def run(home: Path) -> None:
    """Poll and work until a signal comes."""
    # raising in the handler is safe here: whatever is cut off finds itself in the book
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    with alone(home, patience=1.0):
        agent, door = assemble(home)
        note("node.started", participant=agent.me.participant, role=agent.config.role, pid=os.getpid())
        bell = Bell(agent)
        try:
            agent.home.audit.write("node.started", participant=agent.me.participant, role=agent.config.role)
            agent.workers.sweep()
            agent.workers.warm()
            agent.recover()
            bell.start()
            poll(agent, door)
        except Stopping:
            note("node.stopping")
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            bell.end()
            agent.close()
            agent.home.audit.settle(every=True)
            agent.home.audit.note("node.stopped")
            agent.book.close()
            note("node.stopped")


@contextmanager
def alone(home: Path, *, patience: float = 0.0) -> Iterator[None]:
    """One agent for one home: two would each keep promises that the other does not know. Who looks whether one runs
    (`is_running`) holds the lock for a moment: `patience` is how many seconds to bear that."""
    with (home / "agent.lock").open("a") as file:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise Unfit("node.running", f"an agent of {home.name} is running already") from error
                time.sleep(0.02)
        yield


def is_running(home: Path) -> bool:
    """True while an agent holds this home."""
    try:
        with alone(home):
            return False
    except (Unfit, OSError):
        return True


class Bell:
    """Notices what the command line wrote in the book, and has the agent look: no port, no signal, no wait for the
    portal's next answer."""

    EVERY = 0.2

    def __init__(self, agent: Agent) -> None:
        self._agent, self._over = agent, threading.Event()
        self._thread = threading.Thread(target=self._run, name="bell", daemon=True)

    def start(self) -> None:
        """Begin to watch; what was written before is looked at first."""
        self._thread.start()

    def end(self) -> None:
        """Watch no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        book = sqlite3.connect(self._agent.config.book, isolation_level=None, timeout=30)
        seen: object = None
        try:
            while not self._over.wait(self.EVERY):
                try:
                    now = book.execute("PRAGMA data_version").fetchone()
                    if now != seen:
                        self._agent.look()
                        seen = now
                except Exception as error:  # the last door: a bell that fell silent would be a switch that does nothing
                    note("bell.failed", error=type(error).__name__)  # and look again
        finally:
            book.close()


def poll(agent: Agent, door: Any) -> None:
    """Ask, work, ask again; an absent portal is asked again after a little, growing, uneven while."""
    away = AWAY_LEAST
    while True:
        try:
            items = _items(door.get("/work", {"wait": WAIT}, timeout=POLL_TIMEOUT))
            away = AWAY_LEAST
        except Exception as error:  # the last door, too: whatever the portal answered, it is asked again
            note("poll.failed", code=error.code if isinstance(error, LedgerError) else type(error).__name__)
            time.sleep(away * random.uniform(0.7, 1.3))  # noqa: S311
            away = min(AWAY_MOST, away * 2)
            continue
        before = time.monotonic()
        for item in items:
            agent.handle(item)
        try:
            with agent.lock:
                agent.tend()
            agent.home.audit.settle()
        except Exception as error:  # the last door; a full disk, say: it may have room later
            note("tend.failed", error=type(error).__name__)
        if items and time.monotonic() - before < 0.05:
            time.sleep(0.1)  # the portal offers what we have already answered, or hold: do not ask in a circle


def _items(answer: object) -> list[Mapping[str, Any]]:
    """What the portal would have us do; anything else than a list of items is a portal that cannot be asked."""
    items = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(items, list):
        raise PortalUnavailable("the portal's answer holds no list of items", "portal.malformed")
    return [item for item in items[:MOST_ITEMS] if isinstance(item, dict)]


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopping
