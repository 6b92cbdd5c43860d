"""What the dealer's office remembers of totals, for ever: over whose snapshots each was opened, by set or by session.

Two totals of one table over two sets are, by subtraction, those who are in one set only. A grant says nothing of that:
grants are renewed, and a hospital that slept has nothing in its own book. So the office asks its book by tables and
snapshots. Of one question under the same grants it takes one set, or one session, once. Tables of the book's own file;
no portal can have anything struck off here. Holds hashes, ids and signed documents, never a seed.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.documents import canonical, sha256_hex
from mpc.filters import columns_of
from mpc.node.book import Book
from mpc.node.errors import Refused
from mpc.node.papers import Papers

SCHEMA = """
CREATE TABLE IF NOT EXISTS frozen (
  release_key TEXT PRIMARY KEY, job_hash TEXT NOT NULL, members TEXT NOT NULL, word TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dealt (release_key TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS total (
  tabled TEXT NOT NULL, consumer TEXT NOT NULL, columns TEXT NOT NULL, members TEXT NOT NULL, whole INTEGER NOT NULL,
  PRIMARY KEY (tabled, consumer, columns, members, whole)) STRICT;
CREATE INDEX IF NOT EXISTS total_consumer ON total (consumer);
"""
Members = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Total:
    """What a job opens and over whom, its grants left out: the table (function, columns and filter), for whom, every
    column that it or its filter names, the snapshots it is over, and whether these are the whole roster's."""

    tabled: str
    consumer: str
    columns: frozenset[str]
    members: frozenset[str]
    whole: bool

    @classmethod
    def of(cls, papers: Papers, members: Members | None = None) -> "Total":
        """Of these members' contributions, or of a session: of all."""
        spec, shape = papers.spec, papers.shape
        seats = range(len(spec["inputs"])) if members is None else [one["seat"] for one in members]
        snapshots = frozenset(f"{spec['inputs'][at]['dataset']} {spec['inputs'][at]['dataset_hash']}" for at in seats)
        tabled = sha256_hex(canonical([papers.function, sorted(shape.columns), shape.filter]))
        return cls(tabled, papers.consumer, shape.columns | columns_of(spec["filter"]), snapshots,
                   len(snapshots) == len(spec["inputs"]))

    def gives_away(self, other: "Total") -> bool:
        """Whether the two together tell about those who are in one only. Of two whole rosters people decided, when they
        allowed two scenarios over them; of a part the portal decides. Another filter may leave everybody in."""
        related = self.tabled == other.tabled or (self.consumer == other.consumer and self.columns & other.columns)
        return bool(related and self.members & other.members and self.members != other.members
                    and not (self.whole and other.whole))


class Frozen:
    """The tables, on the book's own connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.prepare(SCHEMA)

    def standing(self, release_key: str, job_hash: str, members: Members) -> dict[str, Any] | None:
        """The word given on this set; raises if it was given on another, or to another job."""
        rows = self._book.rows("SELECT job_hash, members, word FROM frozen WHERE release_key = ?", release_key)
        return _same(rows[0], job_hash, members) if rows else None

    def claim(self, papers: Papers, members: Members, word: Mapping[str, Any]) -> dict[str, Any]:
        """Atomically: enter this word if none stands, no session opened the question, and no other total would tell
        about single hospitals with this one; return the one that stands."""
        key, total = papers.release_key, Total.of(papers, members)
        with self._book.write() as db:
            if db.execute("SELECT 1 FROM dealt WHERE release_key = ?", (key,)).fetchone():
                raise Refused("paillier.second_freeze", "a session opened this question over the whole roster")
            db.execute("INSERT OR IGNORE INTO frozen VALUES (?, ?, ?, ?)",
                       (key, papers.job_hash, json.dumps(list(members)), json.dumps(dict(word))))
            row = db.execute("SELECT job_hash, members, word FROM frozen WHERE release_key = ?", (key,)).fetchone()
            standing = _same(row, papers.job_hash, members)
            other = self._other(total)
            if other is not None:
                raise Refused("paillier.second_freeze", "a total of these columns over another set of hospitals was "
                              "opened before; with this one it would tell about single hospitals",
                              seats=_beyond(papers, members, other))
            _enter(db, total)
        return standing

    def unknown(self, job_hashes: Iterable[str]) -> set[str]:
        """Of these jobs, those of which no set stands here."""
        return set(job_hashes) - {row[0] for row in self._book.rows("SELECT job_hash FROM frozen")}

    def check_session(self, papers: Papers) -> None:
        """No session over a question of which a set was frozen, nor beside a total of a part of its hospitals."""
        if self._book.rows("SELECT 1 FROM frozen WHERE release_key = ?", papers.release_key):
            raise Refused("disclosure.already_released", "a set of contributors was frozen for this question")
        if self._other(Total.of(papers)) is not None:
            raise Refused("disclosure.already_released", "a total of these columns over a part of these hospitals was "
                          "frozen before; with one over all it would tell about the others")

    def deal(self, papers: Papers) -> None:
        """A session is about to open this question; atomically, unless a set is frozen."""
        with self._book.write() as db:
            self.check_session(papers)
            db.execute("INSERT OR IGNORE INTO dealt VALUES (?)", (papers.release_key,))
            _enter(db, Total.of(papers))

    def _other(self, now: Total) -> Total | None:
        """The first total in the book that this one may not stand beside."""
        rows = self._book.rows("SELECT tabled, consumer, columns, members, whole FROM total "
                               "WHERE tabled = ? OR consumer = ? ORDER BY rowid", now.tabled, now.consumer)
        before = (Total(tabled, consumer, frozenset(json.loads(columns)), frozenset(json.loads(members)), bool(whole))
                  for tabled, consumer, columns, members, whole in rows)
        return next((one for one in before if now.gives_away(one)), None)


def _enter(db: sqlite3.Connection, total: Total) -> None:
    db.execute("INSERT OR IGNORE INTO total VALUES (?, ?, ?, ?, ?)", (
        total.tabled, total.consumer, json.dumps(sorted(total.columns)), json.dumps(sorted(total.members)),
        total.whole))


def _beyond(papers: Papers, members: Members, other: Total) -> list[int]:
    """Seats without which this set would be the other one, if it would."""
    total = Total.of(papers, members)
    if not other.members < total.members:
        return []
    return [one["seat"] for one in members if not Total.of(papers, [one]).members <= other.members]


def _same(row: Sequence[str], job_hash: str, members: Members) -> dict[str, Any]:
    if (row[0], json.loads(row[1])) != (job_hash, list(members)):
        raise Refused("paillier.second_freeze", "another set was frozen for this question, once and for ever")
    word: dict[str, Any] = json.loads(row[2])
    return word
