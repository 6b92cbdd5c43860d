"""The node's durable book: which jobs it saw, which uses and gates it counts, what it released, what was taken back.

One SQLite file in WAL mode, every change one transaction, synced before anyone is told. Authoritative for uses:
there is one custodian for each grant, so its own count cannot be behind. Holds ids, names of columns, hashes and
counts; never a row, a share or a key. Revocations of grants, and suspensions of grants and participants, stay for ever.
"""

import errno
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpc.node.errors import Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
  job_hash TEXT PRIMARY KEY, job TEXT NOT NULL UNIQUE, consumer TEXT NOT NULL, nonce TEXT NOT NULL,
  attempt INTEGER NOT NULL, state TEXT NOT NULL, deadline INTEGER NOT NULL, release_key TEXT NOT NULL,
  UNIQUE (consumer, nonce)) STRICT;
CREATE INDEX IF NOT EXISTS job_question ON job (release_key);
CREATE INDEX IF NOT EXISTS job_state ON job (state);
CREATE TABLE IF NOT EXISTS use (
  grant_id TEXT NOT NULL, job_hash TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (grant_id, job_hash)) STRICT;
CREATE TABLE IF NOT EXISTS asked (
  grant_id TEXT NOT NULL, job_hash TEXT NOT NULL, shape TEXT NOT NULL, PRIMARY KEY (grant_id, job_hash)) STRICT;
CREATE TABLE IF NOT EXISTS gate (
  job_hash TEXT NOT NULL, attempt INTEGER NOT NULL, grant_id TEXT NOT NULL, columns TEXT NOT NULL,
  state TEXT NOT NULL, PRIMARY KEY (job_hash, attempt, grant_id)) STRICT;
CREATE INDEX IF NOT EXISTS gate_grant ON gate (grant_id);
CREATE TABLE IF NOT EXISTS released (release_key TEXT PRIMARY KEY, job_hash TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS revocation (subject TEXT NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (subject, document)) STRICT;
CREATE TABLE IF NOT EXISTS dataset (
  dataset TEXT PRIMARY KEY, path TEXT NOT NULL, kind TEXT NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, body TEXT NOT NULL, until INTEGER NOT NULL) STRICT;
"""
OPEN_STATES = ("accepted", "running")
MOST_GATES = 2  # over one table under one grant: the first, and one more where that job failed after all

Gates = tuple[tuple[str, frozenset[str]], ...]


@dataclass(frozen=True)
class SeenJob:
    """What the book knows about one job hash."""

    job: str
    job_hash: str
    attempt: int
    state: str
    deadline: int


@dataclass(frozen=True)
class Dataset:
    """A file of this node and the signed record it was registered under."""

    dataset: str
    path: Path
    kind: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What a job's result depends on, data apart: the floor, the table (a hash of function, parameters, codes and
    filter), all columns that the table is about, and the filter's hash (empty: none). Beside it, whose rows: the whole
    question (its release key), and whether the job may end with a part of them (`apart`)."""

    floor: int
    table: str
    columns: frozenset[str]
    filter: str = ""
    question: str = field(default="", compare=False)
    apart: bool = field(default=False, compare=False)

    def to_text(self) -> str:
        """For the book."""
        return json.dumps({"floor": self.floor, "table": self.table, "columns": sorted(self.columns),
                           "filter": self.filter, "question": self.question, "apart": self.apart})

    @classmethod
    def from_text(cls, text: str) -> "Shape":
        """From the book."""
        body = json.loads(text)
        return cls(body["floor"], body["table"], frozenset(body["columns"]), body.get("filter", ""),
                   body.get("question", ""), body.get("apart", False))


@dataclass(frozen=True)
class History:
    """All that a check asks of the book about one job, read in one transaction."""

    same_id: SeenJob | None
    nonce_used_by: str | None
    sealed: bool
    uses: int
    asked: tuple[Shape, ...]
    released_by: str | None
    revocations: tuple[dict[str, Any], ...]
    gates: Gates = ()


def check_gates(gates: Gates, columns: frozenset[str]) -> None:
    """Every gate answers a buyer, with whom a hospital lies in its inputs, one question about each cell, once all parts
    are sealed; so this house seals its part of a table no more often than this under one grant, whatever became of it
    (docs/adr/0006-splits.md). `gates` are grants with the columns of one gate each; a column enters one table of a
    grant."""
    counted = Counter(grant for grant, table in gates if table & columns)
    if max(counted.values(), default=0) >= MOST_GATES:
        raise Refused("disclosure.tried_too_often",
                      f"this house sealed its part of this table {MOST_GATES} times under this grant, or is about to: "
                      "a result that was released stands, and the answer would be the same; else ask for a new grant")


def is_full(error: Exception) -> bool:
    """No room on the disk, as SQLite or the system says it."""
    return "disk is full" in str(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)


class Book:
    """The open book; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        if self._one("SELECT 1 FROM pragma_table_info('revocation') WHERE name = 'grant_id'"):  # a book from before
            self._db.execute("ALTER TABLE revocation RENAME COLUMN grant_id TO subject")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def prepare(self, schema: str) -> None:
        """Tables of a neighbour that keeps its rows in this file."""
        with self._lock:
            self._db.executescript(schema)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """A neighbour's reading."""
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it, synced, or nothing."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _one(self, sql: str, *values: object) -> Any:
        with self._lock:
            row = self._db.execute(sql, values).fetchone()
        return None if row is None else row[0]

    # jobs
    def seen(self, *, job_hash: str | None = None, job: str | None = None) -> SeenJob | None:
        """The job under this hash, or under this id."""
        column, value = ("job_hash", job_hash) if job_hash is not None else ("job", job)
        with self._lock:
            row = self._db.execute(
                f"SELECT job, job_hash, attempt, state, deadline FROM job WHERE {column} = ?", (value,)  # noqa: S608 - one of two
            ).fetchone()
        return None if row is None else SeenJob(*row)

    def history(self, *, job: str, job_hash: str, consumer: str, nonce: str, own_grant: str | None,
                subjects: Iterable[str], release_key: str, gated: Sequence[str] = (), attempt: int = 0) -> History:
        """What the checks need to know, as one consistent reading; of gates, those of other jobs and attempts."""
        with self._lock:
            known = self.seen(job_hash=job_hash)
            asked = self._db.execute("SELECT shape FROM asked WHERE grant_id = ? AND job_hash <> ?",
                                     (own_grant, job_hash)).fetchall()
            return History(
                same_id=self.seen(job=job),
                nonce_used_by=self._one("SELECT job_hash FROM job WHERE consumer = ? AND nonce = ?", consumer, nonce),
                sealed=known is not None and known.state == "sealed",
                uses=self._one("SELECT count(*) FROM use WHERE grant_id = ? AND job_hash <> ?", own_grant, job_hash),
                asked=tuple(Shape.from_text(text) for (text,) in asked),
                released_by=self._one("SELECT job_hash FROM released WHERE release_key = ?", release_key),
                revocations=tuple(self.revocations(subjects)),
                gates=self._gates(gated, but=(job_hash, attempt)),
            )

    def _gates(self, grants: Iterable[str], *, but: tuple[str, int]) -> Gates:
        """Gates counted under these grants, or reserved by attempts that have not ended."""
        return tuple((grant, frozenset(json.loads(row[0]))) for grant in grants for row in self.rows(
            "SELECT columns FROM gate WHERE grant_id = ? AND (job_hash, attempt) <> (?, ?)", grant, *but))

    def accept(self, *, job: str, job_hash: str, consumer: str, nonce: str, attempt: int, deadline: int,
               grant: str | None, max_uses: int, release_key: str, shape: Shape, gated: Sequence[str] = (),
               anew: bool = False, also: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Enter the job, what it asks, its use, and its gate under each of the grants `gated`, or raise: of two jobs
        for the last use exactly one gets it. `anew`: this attempt may be begun again when it ended and nothing was
        sealed. `also`: what a neighbour enters with it, both or neither."""
        with self.write() as db:
            db.execute("DELETE FROM gate WHERE job_hash = ?1 AND state = 'reserved' AND EXISTS "  # it had no order yet
                       "(SELECT 1 FROM job WHERE job_hash = ?1 AND state = 'accepted')", (job_hash,))
            check_gates(self._gates(gated, but=(job_hash, attempt)), shape.columns)
            db.executemany("INSERT OR IGNORE INTO gate VALUES (?, ?, ?, ?, 'reserved')", [
                (job_hash, attempt, one, json.dumps(sorted(shape.columns))) for one in gated])
            if grant is not None:
                others = self._one("SELECT count(*) FROM use WHERE grant_id = ? AND job_hash <> ?", grant, job_hash)
                if others >= max_uses:
                    raise Refused("grant.exhausted", "every use of the grant is taken in this node's book")
                if self._one("SELECT 1 FROM job WHERE release_key = ? AND job_hash <> ? AND state IN (?, ?)",
                             release_key, job_hash, *OPEN_STATES):
                    raise Refused("disclosure.already_released", "the same question is being answered for another job")
                db.execute("INSERT OR IGNORE INTO use VALUES (?, ?, 'reserved')", (grant, job_hash))
                db.execute("INSERT OR IGNORE INTO asked VALUES (?, ?, ?)", (grant, job_hash, shape.to_text()))
            try:
                entered = db.execute(
                    "INSERT INTO job (job_hash, job, consumer, nonce, attempt, state, deadline, release_key) "
                    "VALUES (?, ?, ?, ?, ?, 'accepted', ?, ?) ON CONFLICT (job_hash) DO UPDATE "
                    "SET attempt = excluded.attempt, state = 'accepted' "
                    "WHERE job.state <> 'sealed' AND (job.attempt < excluded.attempt OR "
                    "(? AND job.state NOT IN ('accepted', 'running')))",
                    (job_hash, job, consumer, nonce, attempt, deadline, release_key, anew),
                )
            except sqlite3.IntegrityError as error:
                raise Refused("spec.two_specs", "another spec with this id or nonce is in the book") from error
            if entered.rowcount != 1:
                raise Refused("spec.replayed", "this spec was answered here before")
            if also is not None:
                also(db)

    def unfinished(self) -> list[SeenJob]:
        """Jobs accepted or running; after a restart their session keys are gone."""
        with self._lock:
            rows = self._db.execute(
                "SELECT job, job_hash, attempt, state, deadline FROM job WHERE state IN (?, ?)", OPEN_STATES
            ).fetchall()
        return [SeenJob(*row) for row in rows]

    def begin(self, job_hash: str, attempt: int) -> None:
        """The worker gets its order: from now on it alone can say that no gate round has begun."""
        with self.write() as db:
            db.execute("UPDATE job SET state = 'running' WHERE job_hash = ? AND attempt = ? AND state = 'accepted'",
                       (job_hash, attempt))

    def end(self, job_hash: str, attempt: int, state: str, *, begun: bool | None = None) -> None:
        """Close this attempt and give back a use that never started, and a gate behind which nothing was sealed; a
        sealed job or a later attempt stays as it is. `begun` says whether a gate round began, from where on the use
        counts; who does not know lets it count if the worker had its order."""
        with self.write() as db:
            if begun is None:
                begun = self._one("SELECT state FROM job WHERE job_hash = ?", job_hash) == "running"
            if begun:
                db.execute("UPDATE use SET state = 'started' WHERE job_hash = ? AND state = 'reserved'", (job_hash,))
            db.execute("DELETE FROM gate WHERE job_hash = ? AND attempt = ? AND state = 'reserved'",
                       (job_hash, attempt))
            ended = db.execute("UPDATE job SET state = ? WHERE job_hash = ? AND attempt = ? AND state <> 'sealed'",
                               (state, job_hash, attempt))
            if ended.rowcount:
                db.execute("DELETE FROM use WHERE job_hash = ? AND state = 'reserved'", (job_hash,))
                db.execute("DELETE FROM asked WHERE job_hash = ? AND job_hash NOT IN (SELECT job_hash FROM use)",
                           (job_hash,))

    # uses and disclosure
    def start_gate(self, job_hash: str, attempt: int, *, grant: str | None) -> None:
        """The first gate round has begun: from now on the use of our own grant counts, where we have one, and what it
        asks."""
        with self.write() as db:
            db.execute("UPDATE job SET state = 'running' WHERE job_hash = ? AND attempt = ? AND state = 'accepted'",
                       (job_hash, attempt))
            if grant is not None:
                db.execute(
                    "INSERT INTO use VALUES (?, ?, 'started') ON CONFLICT DO UPDATE SET state = 'started' "
                    "WHERE state = 'reserved'", (grant, job_hash))

    def count_gate(self, job_hash: str, attempt: int) -> None:
        """For an office that seals nothing itself: it lets the parties seal."""
        with self.write() as db:
            db.execute("UPDATE gate SET state = 'counted' WHERE job_hash = ? AND attempt = ?", (job_hash, attempt))

    def consume_use(self, grant: str, job_hash: str) -> None:
        """The chain shows the use at finality."""
        with self.write() as db:
            db.execute("UPDATE use SET state = 'consumed' WHERE grant_id = ? AND job_hash = ?", (grant, job_hash))

    def use_state(self, grant: str, job_hash: str) -> str | None:
        """reserved, started, consumed, or nothing."""
        state: str | None = self._one("SELECT state FROM use WHERE grant_id = ? AND job_hash = ?", grant, job_hash)
        return state

    def seal(self, job_hash: str, attempt: int, *, path: str, envelope: Mapping[str, Any], until: int) -> None:
        """The envelope exists: note it as released, count its gate, and put it in the outbox, all or nothing. Once for
        a job: for an attempt that is over, or that a later one replaced, it raises."""
        with self.write() as db:
            sealed = db.execute(
                "UPDATE job SET state = 'sealed' WHERE job_hash = ? AND attempt = ? AND state IN (?, ?)",
                (job_hash, attempt, *OPEN_STATES))
            if sealed.rowcount != 1:
                raise Refused("session.mismatch", "this attempt is over: nothing is sealed for it")
            db.execute("UPDATE gate SET state = 'counted' WHERE job_hash = ? AND attempt = ?", (job_hash, attempt))
            db.execute("INSERT OR IGNORE INTO released SELECT release_key, job_hash FROM job WHERE job_hash = ?",
                       (job_hash,))
            db.execute("INSERT OR REPLACE INTO outbox (path, body, until) VALUES (?, ?, ?)",
                       (path, json.dumps(dict(envelope)), until))

    def sealed(self) -> list[SeenJob]:
        """Jobs whose sealed word has not left the house yet."""
        jobs = {path.split("/")[2] for (path,) in self.rows(
            "SELECT path FROM outbox WHERE path LIKE '/jobs/%/envelopes' OR path LIKE '/jobs/%/contributions'")}
        found = [self.seen(job=job) for job in sorted(jobs)]
        return [one for one in found if one is not None and one.state == "sealed"]

    def withdraw(self, job_hash: str) -> bool:
        """What was sealed for this job does not leave any more; whether it had not left already. Its use is spent. What
        else there is to say about the job, a withdrawal or a failure, goes its way."""
        with self.write() as db:
            taken = db.execute("DELETE FROM outbox WHERE path IN (SELECT '/jobs/' || job || what FROM job, "
                               "(SELECT '/envelopes' AS what UNION SELECT '/contributions') WHERE job_hash = ? "
                               "AND state = 'sealed')", (job_hash,))
            if taken.rowcount:
                db.execute("UPDATE job SET state = 'stopped' WHERE job_hash = ?", (job_hash,))
                db.execute("DELETE FROM released WHERE job_hash = ?", (job_hash,))
            return bool(taken.rowcount)

    def unrelease(self, job_hash: str) -> None:
        """The job failed after this node had sealed: the same question may be asked by a new job (its use is spent)."""
        with self.write() as db:
            db.execute("DELETE FROM released WHERE job_hash = ?", (job_hash,))

    # what was taken back
    def add_revocation(self, subject: str, document: Mapping[str, Any]) -> None:
        """Keep a revocation or a suspension for ever, under the grant or participant it is about; its signature is
        verified where the terms or the record are at hand."""
        with self.write() as db:
            db.execute("INSERT OR IGNORE INTO revocation VALUES (?, ?)",
                       (subject, json.dumps(dict(document), sort_keys=True)))

    def revocations(self, subjects: Iterable[str]) -> list[dict[str, Any]]:
        """All that is in the book about these grants and participants."""
        found: list[dict[str, Any]] = []
        with self._lock:
            for subject in subjects:
                rows = self._db.execute("SELECT document FROM revocation WHERE subject = ?", (subject,)).fetchall()
                found += [json.loads(row[0]) for row in rows]
        return found

    # datasets
    def put_dataset(self, dataset: Dataset) -> None:
        """Remember a registered file."""
        with self.write() as db:
            db.execute("INSERT OR REPLACE INTO dataset VALUES (?, ?, ?, ?)",
                       (dataset.dataset, str(dataset.path), dataset.kind, json.dumps(dataset.record)))

    def dataset(self, dataset: str) -> Dataset | None:
        """The registered file under this id."""
        return next((one for one in self.datasets() if one.dataset == dataset), None)

    def datasets(self) -> list[Dataset]:
        """Every registered file."""
        with self._lock:
            rows = self._db.execute("SELECT dataset, path, kind, record FROM dataset ORDER BY dataset").fetchall()
        return [Dataset(row[0], Path(row[1]), row[2], json.loads(row[3])) for row in rows]

    # outbox
    def post(self, path: str, body: Mapping[str, Any], *, until: int) -> None:
        """Leave a message for the portal; it is sent again until it arrives or nobody needs it any more."""
        with self.write() as db:
            db.execute("INSERT OR REPLACE INTO outbox (path, body, until) VALUES (?, ?, ?)",
                       (path, json.dumps(dict(body)), until))

    def outbox(self) -> list[tuple[int, str, dict[str, Any], int]]:
        """Messages not yet delivered, oldest first: number, path, body, until."""
        with self._lock:
            rows = self._db.execute("SELECT id, path, body, until FROM outbox ORDER BY id").fetchall()
        return [(row[0], row[1], json.loads(row[2]), row[3]) for row in rows]

    def delivered(self, number: int) -> None:
        """Strike a message off."""
        with self.write() as db:
            db.execute("DELETE FROM outbox WHERE id = ?", (number,))
