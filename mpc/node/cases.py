"""What the people of the hospital ask about and decide: every judged job with the way to its verdict, their own rulings
on single jobs, and the node's switches. Tables of the node's book, shared by the running agent and the command line.

A ruling is bound to the hash of one spec (or, to hold or deny a job before it was seen, to its id). A release opens
only what the policy holds, and only that very spec. Holds ids, hashes, codes, the terms of jobs whose papers were
verified and, of a held job alone, the papers; never a row, a share or a key.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mpc.node.book import Book

SCHEMA = """
CREATE TABLE IF NOT EXISTS case_ (
  job_hash TEXT PRIMARY KEY, job TEXT NOT NULL, consumer TEXT NOT NULL, function TEXT NOT NULL,
  attempt INTEGER NOT NULL, decision TEXT NOT NULL, code TEXT, rule TEXT, who TEXT, policy_hash TEXT NOT NULL,
  at INTEGER NOT NULL, accepted INTEGER, trace TEXT NOT NULL, item TEXT,
  asked TEXT) STRICT;
CREATE INDEX IF NOT EXISTS case_job ON case_ (job);
CREATE TABLE IF NOT EXISTS ruling (
  subject TEXT PRIMARY KEY, decision TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS left_house (job_hash TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS letter (job_hash TEXT PRIMARY KEY, fate TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS switch (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
COLUMNS = "job_hash, job, consumer, function, attempt, decision, code, rule, who, policy_hash, at, trace, asked"
OFFERED, OVERDUE = "offered", "overdue"  # of what was sealed: the portal may have it; it was never sent
KEPT = 5000
KEPT_ACCEPTED = 400 * 86_400
MAX_ITEM = 8 << 20


@dataclass(frozen=True)
class Case:
    """One judged job: what was decided last, and every step of the way there."""

    job_hash: str
    job: str
    consumer: str
    function: str
    attempt: int
    decision: str
    code: str | None
    rule: str | None
    who_must_act: str | None
    policy_hash: str
    at: int
    trace: list[dict[str, Any]]
    asked: dict[str, Any] | None = None
    """The terms, once the papers were verified; without them `consumer` and `function` are what somebody wrote."""

    def as_dict(self, *, trace: bool = False) -> dict[str, Any]:
        """For machines."""
        body = {name: getattr(self, name) for name in (
            "job", "job_hash", "consumer", "function", "attempt", "decision", "code", "rule", "who_must_act",
            "policy_hash")}
        body["at"] = clock(self.at)
        body["customer"] = self.asked["customer"]["name"] if self.asked else None
        return {**body, "steps": self.trace} if trace else body


class Cases:
    """The tables, on the book's own connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.prepare(SCHEMA)
        column = "SELECT 1 FROM pragma_table_info('case_') WHERE name = 'asked'"
        if not book.rows(column):  # a book from before
            with book.write() as db:
                if not db.execute(column).fetchone():  # two may open it at once
                    db.execute("ALTER TABLE case_ ADD COLUMN asked TEXT")

    # judged jobs
    def put(self, case: Case, item: Mapping[str, Any] | None) -> None:
        """The newest verdict on this spec; its papers stay only while it is held, its terms once they were verified."""
        text = json.dumps(dict(item)) if item is not None else None
        asked = json.dumps(case.asked) if case.asked is not None else None
        accepted = case.at if case.decision == "accept" else None
        with self._book.write() as db:
            db.execute(
                "INSERT INTO case_ (job_hash, job, consumer, function, attempt, decision, code, rule, who, "
                "policy_hash, at, accepted, trace, item, asked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (job_hash) DO UPDATE SET attempt = excluded.attempt, "
                "decision = excluded.decision, code = excluded.code, "
                "rule = excluded.rule, who = excluded.who, policy_hash = excluded.policy_hash, at = excluded.at, "
                "accepted = coalesce(case_.accepted, excluded.accepted), trace = excluded.trace, item = excluded.item, "
                "asked = coalesce(excluded.asked, case_.asked)",
                (case.job_hash, case.job, case.consumer, case.function, case.attempt, case.decision, case.code,
                 case.rule, case.who_must_act, case.policy_hash, case.at, accepted, json.dumps(case.trace),
                 text if text is not None and len(text) <= MAX_ITEM else None, asked))
            # a portal that floods the node with junk fills no disk
            db.execute("DELETE FROM case_ WHERE accepted IS NULL AND job_hash IN (SELECT job_hash FROM case_ "
                       "WHERE accepted IS NULL ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?)", (KEPT,))
            db.execute("DELETE FROM case_ WHERE accepted < ?", (int(time.time()) - KEPT_ACCEPTED,))

    def find(self, name: str) -> Case | None:
        """The case under this spec hash, or the newest under this job id."""
        return next(iter(self._select("job_hash = ?1 OR job = ?1 ORDER BY at DESC, rowid DESC LIMIT 1", name)), None)

    def newest(self, limit: int = 50, *, decision: str | None = None) -> list[Case]:
        """The newest cases, or the newest of one decision."""
        where = "decision = ?1" if decision else "?1 IS NULL"
        return self._select(f"{where} ORDER BY at DESC, rowid DESC LIMIT ?2", decision, limit)

    def item(self, job_hash: str) -> dict[str, Any] | None:
        """The papers of a held job, as the portal showed them."""
        rows = self._book.rows("SELECT item FROM case_ WHERE job_hash = ? AND decision = 'hold'", job_hash)
        return json.loads(rows[0][0]) if rows and rows[0][0] else None

    def uses_of(self, grant: str) -> int:
        """How many uses of this grant are taken, or reserved, in the book."""
        (row,) = self._book.rows("SELECT count(*) FROM use WHERE grant_id = ?", grant)
        return int(row[0])

    def accepted_of(self, consumer: str, *, but: str) -> list[datetime]:
        """When this customer's other jobs were first accepted here."""
        rows = self._book.rows("SELECT accepted FROM case_ WHERE consumer = ? AND job_hash <> ? AND accepted > ?",
                               consumer, but, int(time.time()) - 3 * 86_400)
        return [datetime.fromtimestamp(row[0], UTC) for row in rows]

    def had_result(self, consumer: str, function: str) -> bool:
        """This customer got our part of a result of this function before."""
        return bool(self._book.rows(
            "SELECT 1 FROM case_ JOIN job USING (job_hash) WHERE case_.consumer = ? AND case_.function = ? "
            "AND job.state = 'sealed' LIMIT 1", consumer, function))

    def _select(self, where: str, *values: object) -> list[Case]:
        rows = self._book.rows(f"SELECT {COLUMNS} FROM case_ WHERE {where}", *values)  # noqa: S608 - both are constants of this file
        return [_case(row) for row in rows]

    # rulings by hand
    def rule(self, subject: str, decision: str, *, by: str) -> None:
        """hold, release or deny, by a person; the newest word on a job counts."""
        with self._book.write() as db:
            db.execute("INSERT OR REPLACE INTO ruling VALUES (?, ?, ?, ?)",
                       (subject, decision, by[:100], int(time.time())))

    def ruling(self, *, job_hash: str, job: str) -> str | None:
        """What a person said about this very spec, else about the job's id; a release counts for the spec alone."""
        found = {row[0]: row[1] for row in self._book.rows(
            "SELECT subject, decision FROM ruling WHERE subject IN (?, ?)", job_hash, job)}
        by_id = found.get(job)
        return found.get(job_hash) or (by_id if by_id != "release" else None)

    def ruled(self) -> list[tuple[str, str, int]]:
        """Every ruling: subject, decision, when."""
        return [(row[0], row[1], row[2]) for row in self._book.rows("SELECT subject, decision, at FROM ruling")]

    # what left the house
    def offer(self, job_hash: str, held: Callable[[], bool]) -> bool | None:
        """Note, before it is sent, that the portal may have what was sealed for this job; whether for the first time.
        Nothing if it is `held`: a person's word comes before this note, and is obeyed, or after it, and finds it."""
        with self._book.write() as db:
            if held():
                return None
            return bool(db.execute("INSERT INTO letter VALUES (?1, ?2) ON CONFLICT DO UPDATE SET fate = ?2 "
                                   "WHERE fate <> ?2", (job_hash, OFFERED)).rowcount)

    def refused(self, job_hash: str) -> None:
        """The portal said no to it, and had never been offered it before."""
        with self._book.write() as db:
            db.execute("DELETE FROM letter WHERE job_hash = ?", (job_hash,))

    def overdue(self, number: int, job_hash: str) -> None:
        """Strike this letter off: nobody needs it any more."""
        with self._book.write() as db:
            db.execute("DELETE FROM outbox WHERE id = ?", (number,))
            if job_hash:
                db.execute("INSERT OR IGNORE INTO letter VALUES (?, ?)", (job_hash, OVERDUE))

    def may_have_left(self, job_hash: str) -> bool:
        """It was offered to the portal, and whether that took it is not known, or not written down."""
        return bool(self._book.rows("SELECT 1 FROM letter WHERE job_hash = ? AND fate = ?", job_hash, OFFERED))

    def note_left(self, job_hash: str) -> None:
        """The portal has what was sealed for this job; the first time counts."""
        with self._book.write() as db:
            db.execute("INSERT OR IGNORE INTO left_house VALUES (?, ?)", (job_hash, int(time.time())))

    def left_at(self, job_hash: str) -> int | None:
        """When that was, as far as this node knows."""
        rows = self._book.rows("SELECT at FROM left_house WHERE job_hash = ?", job_hash)
        return int(rows[0][0]) if rows else None

    # switches
    def switch(self, name: str) -> Any:
        """A value that outlives the process; None when it was never set."""
        rows = self._book.rows("SELECT value FROM switch WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def set_switch(self, name: str, value: object) -> None:
        """Set or, with None, clear it."""
        with self._book.write() as db:
            if value is None:
                db.execute("DELETE FROM switch WHERE name = ?", (name,))
            else:
                db.execute("INSERT OR REPLACE INTO switch VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def stopped(self) -> dict[str, Any] | None:
        """Since when and by whom the node is stopped, if it is."""
        found: dict[str, Any] | None = self.switch("stopped")
        return found


def _case(row: Sequence[Any]) -> Case:
    job_hash, job, consumer, function, attempt, decision, code, rule, who, policy_hash, at, trace, asked = row
    return Case(job_hash, job, consumer, function, attempt, decision, code, rule, who, policy_hash, at,
                json.loads(trace), json.loads(asked) if asked else None)


def clock(at: int) -> str:
    """A second of the book's, as people read it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def trace_of(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Steps as they are kept: plain values only."""
    return [json.loads(json.dumps(dict(step))) for step in steps]
