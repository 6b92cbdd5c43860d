"""A hospital's part in a job whose parties are not online together: one contribution, made when it is awake.

Judged like every job (`judge.py`), and then what is left to ask: is there still time, whom is the seed sealed to, does
the spec name the ciphertexts that the function has. Then the worker counts and encrypts; the use becomes final on
chain; only then the contribution leaves the worker, enters the book and goes out. Once there, it is the contribution:
who asks again gets the very same one. What ended before left nothing behind, and is made anew, with new masks. Until
the set is frozen a person here may take it back: a signed withdrawal, to the portal, and in a file for the dealer's
office.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ledger.documents import from_b64, new_document, parse_time, signed
from ledger.trust import Trust
from mpc import ciphertext, contributor
from mpc.errors import MpcError
from mpc.masked import Question
from mpc.node import inbox
from mpc.node.book import Book
from mpc.node.checks import Session, check_not_revoked
from mpc.node.errors import CODES, Refused
from mpc.node.grants import Grant
from mpc.node.logs import note
from mpc.node.papers import Papers
from mpc.node.sessions import Attempt, Failed, Home, Run
from mpc.wire import Task

MOST_TRIES = 5
SCHEMA = """
CREATE TABLE IF NOT EXISTS contribution (
  job_hash TEXT PRIMARY KEY, tries INTEGER NOT NULL, path TEXT, body TEXT) STRICT;
CREATE TABLE IF NOT EXISTS contributed_under (job_hash TEXT PRIMARY KEY, terms TEXT NOT NULL, record TEXT) STRICT;
CREATE TABLE IF NOT EXISTS taken_back (job_hash TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
"""


class Contributions:
    """What this node made, in the book's own file; ciphertexts and a sealed seed, never a key or a row."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.prepare(SCHEMA)

    def check_tries(self, job_hash: str) -> None:
        """A portal that never stops asking does not keep a node busy for ever."""
        if self._book.rows("SELECT 1 FROM contribution WHERE job_hash = ? AND tries >= ?", job_hash, MOST_TRIES):
            raise Refused("worker.failed", f"a contribution to this job was begun {MOST_TRIES} times, and never made")

    def begin(self, db: sqlite3.Connection, job_hash: str) -> None:
        """One more try, in the transaction in which the book accepts the job: what was not begun is not counted."""
        db.execute("INSERT INTO contribution (job_hash, tries) VALUES (?, 1) "
                   "ON CONFLICT (job_hash) DO UPDATE SET tries = tries + 1", (job_hash,))

    def keep(self, job_hash: str, path: str, body: Mapping[str, Any], *, terms: Mapping[str, Any],
             record: Mapping[str, Any] | None) -> None:
        """Made, under this grant of ours; it counts once the book calls the job sealed."""
        with self._book.write() as db:
            db.execute("UPDATE contribution SET path = ?, body = ? WHERE job_hash = ?",
                       (path, json.dumps(dict(body)), job_hash))
            db.execute("INSERT OR REPLACE INTO contributed_under VALUES (?, ?, ?)",
                       (job_hash, json.dumps(dict(terms)), json.dumps(record)))

    def barred(self, job_hash: str, trust: Trust) -> str:
        """Why what was made under our grant may not leave any more, by what came by file since; or nothing."""
        rows = self._book.rows("SELECT terms, record FROM contributed_under WHERE job_hash = ?", job_hash)
        if not rows:
            return ""
        terms, record = (json.loads(one) for one in rows[0])
        records = {} if record is None else {record["id"]: record}
        grant = Grant(terms, {}, {}, "")
        try:
            check_not_revoked([grant], self._book.revocations([grant.id, *records]), trust, records)
        except Refused as refusal:
            return refusal.code
        return ""

    def take_back(self, home: Home, denied: Callable[[str, str], bool]) -> None:
        """Of what left this house, or was about to, and a person denied since: a signed withdrawal, once for each."""
        for job_hash, job, deadline in self._book.rows(  # a body is long, and this is asked at every look
                "SELECT job_hash, job, deadline FROM contribution JOIN job USING (job_hash) WHERE deadline > ? "
                "AND body IS NOT NULL AND state IN ('sealed', 'stopped') "
                "AND job_hash NOT IN (SELECT job_hash FROM taken_back)", int(time.time())):
            if not denied(job_hash, job):
                continue
            ((body,),) = self._book.rows("SELECT body FROM contribution WHERE job_hash = ?", job_hash)
            given = json.loads(body)["contribution"]["document"]
            wire = signed(new_document("withdrawal", job=job, job_hash=job_hash, participant=home.participant,
                                       seat=given["seat"]), home.keys.signing)
            place = inbox.drop(home.inbox.parent / inbox.WITHDRAWALS, wire)
            place = place.replace(place.with_name(f"{job_hash}.json"))
            home.book.post(f"/jobs/{job}/withdrawal", {"withdrawal": wire}, until=deadline)
            with self._book.write() as db:
                db.execute("INSERT OR IGNORE INTO taken_back VALUES (?, ?)", (job_hash, json.dumps(wire)))
            note("contribution.withdrawn", job=job)
            home.audit.note("contribution.withdrawn", job=job, job_hash=job_hash, file=place.name)
            home.flush()

    def forget(self, *, before: int) -> None:
        """Bodies of jobs whose deadline is over: nobody asks for them any more. That they were made stays known."""
        old = self._book.rows("SELECT job_hash FROM contribution JOIN job USING (job_hash) "
                              "WHERE body IS NOT NULL AND deadline < ?", before)
        if old:  # each write wakes whoever watches the book
            with self._book.write() as db:
                db.executemany("UPDATE contribution SET body = NULL WHERE job_hash = ?", old)

    def made(self, job_hash: str) -> tuple[str, dict[str, Any]] | None:
        """The contribution that left this house, or was about to."""
        known = self._book.seen(job_hash=job_hash)
        if known is None or known.state != "sealed":
            return None
        rows = self._book.rows("SELECT path, body FROM contribution WHERE job_hash = ? AND body IS NOT NULL", job_hash)
        return (str(rows[0][0]), json.loads(rows[0][1])) if rows else None


def dealer_key(papers: Papers, trust: Trust) -> str:
    """The sealing key of the dealer's office, by its record, which must be that of the trust file's dealer."""
    record = papers.records.get(trust.dealer.participant)
    if record is None or "dealer" not in record["admitted_as"] or record["keys"]["signing"] != trust.dealer.signing:
        raise Refused("participant.record_mismatch", "the dealer's record is missing, or another than the trust file's")
    return str(record["keys"]["sealing"])


def task_of(papers: Papers, trust: Trust, *, floor: int, data: dict[str, Any] | None = None,
            deadline: float = 0.0) -> dict[str, Any]:
    """The one line that the worker gets."""
    return {
        "role": "contributor", "space": trust.space_id, "spec": papers.spec, "columns": list(papers.columns),
        "rows_max_total": papers.rows_max_total, "floor": floor, "data": data, "deadline": deadline,
        "sender": papers.spec["roster"][papers.seat]["participant"] if papers.own else trust.dealer.participant,
        "dealer_key": dealer_key(papers, trust)}


def question_of(papers: Papers, trust: Trust) -> Question:
    """What every contributor and the dealer mean by this job; refuses a spec that says something else."""
    line = task_of(papers, trust, floor=papers.floor)
    task = Task(**{name: line[name] for name in Task.__dataclass_fields__})
    try:
        return contributor.question_of(task)[1]
    except MpcError as error:
        code = error.code if error.code in CODES else "spec.parameters"
        raise Refused(code, f"the contributions do not fit the function: {error.text}") from error


def check_time(papers: Papers, now: datetime) -> None:
    """Hospitals contribute until then, by their own clock."""
    if papers.own is not None and now >= parse_time(papers.spec["contributions"]["by"]):
        raise Refused("paillier.too_late", "the time for contributions is over")


class Contribute(Run):
    """The life of one contribution: as a session, without peers."""

    def __init__(self, home: Home, attempt: Attempt, contributions: Contributions, **more: Any) -> None:
        super().__init__(home, attempt, Session(attempt.papers.job_hash, ()), **more)
        self._contributions = contributions

    def _order(self) -> dict[str, Any]:
        attempt = self.attempt
        return task_of(self.papers, self.home.trust, floor=attempt.floor, data=attempt.data,
                       deadline=time.time() + self.seconds)

    def _sealed(self, message: Mapping[str, Any]) -> None:
        papers, home = self.papers, self.home
        if papers.own is None or home.book.use_state(papers.own.id, papers.job_hash) != "consumed":
            raise Failed("worker.failed", "the worker let go before its use was final")
        data = from_b64(message["ciphertexts"])
        document = new_document(
            "contribution", job=papers.job, job_hash=papers.job_hash, participant=home.participant, seat=papers.seat,
            question=message["question"], dealer_key=dealer_key(papers, home.trust), seed=message["seed"],
            ciphertexts=ciphertext.hash_of(data), engine=dict(message["engine"]))
        self._keep("contribution.made", question=str(message["question"]), ciphertexts=document["ciphertexts"])
        path = f"/jobs/{papers.job}/contributions"
        body = {"contribution": signed(document, home.keys.signing), "ciphertexts": message["ciphertexts"]}
        self._contributions.keep(papers.job_hash, path, body, terms=papers.own.terms,
                                 record=papers.records.get(home.participant))
        home.book.seal(papers.job_hash, papers.attempt, path=path, envelope=body,
                       until=int(papers.deadline.timestamp()))
        note("contribution.made", job=papers.job)
        home.flush()
