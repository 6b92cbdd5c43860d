"""What the dealer's office remembers of questions, for ever: a set it froze, or that a session opened one for all.

Never both: the total of a set and that of the whole roster differ by those who slept. A table of the book's own file;
no portal can have anything struck off here. Holds hashes and signed documents, never a seed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mpc.node.book import Book
from mpc.node.errors import Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS frozen (
  release_key TEXT PRIMARY KEY, job_hash TEXT NOT NULL, members TEXT NOT NULL, word TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS dealt (release_key TEXT PRIMARY KEY) STRICT;
"""
Members = Sequence[Mapping[str, Any]]


class Frozen:
    """The tables, on the book's own connection."""

    def __init__(self, book: Book) -> None:
        self._book = book
        book.prepare(SCHEMA)

    def standing(self, release_key: str, job_hash: str, members: Members) -> dict[str, Any] | None:
        """The word given on this set; raises if it was given on another, or to another job."""
        rows = self._book.rows("SELECT job_hash, members, word FROM frozen WHERE release_key = ?", release_key)
        return _same(rows[0], job_hash, members) if rows else None

    def claim(self, release_key: str, job_hash: str, members: Members, word: Mapping[str, Any]) -> dict[str, Any]:
        """Atomically: enter this word if none stands and no session opened the question; return the one that stands."""
        with self._book.write() as db:
            if db.execute("SELECT 1 FROM dealt WHERE release_key = ?", (release_key,)).fetchone():
                raise Refused("paillier.second_freeze", "a session opened this question over the whole roster")
            db.execute("INSERT OR IGNORE INTO frozen VALUES (?, ?, ?, ?)",
                       (release_key, job_hash, json.dumps(list(members)), json.dumps(dict(word))))
            row = db.execute("SELECT job_hash, members, word FROM frozen WHERE release_key = ?",
                             (release_key,)).fetchone()
        return _same(row, job_hash, members)

    def check_session(self, release_key: str) -> None:
        """No session over a question of which a set was frozen."""
        if self._book.rows("SELECT 1 FROM frozen WHERE release_key = ?", release_key):
            raise Refused("disclosure.already_released", "a set of contributors was frozen for this question")

    def deal(self, release_key: str) -> None:
        """A session is about to open this question; atomically, unless a set is frozen."""
        with self._book.write() as db:
            self.check_session(release_key)
            db.execute("INSERT OR IGNORE INTO dealt VALUES (?)", (release_key,))


def _same(row: Sequence[str], job_hash: str, members: Members) -> dict[str, Any]:
    if (row[0], json.loads(row[1])) != (job_hash, list(members)):
        raise Refused("paillier.second_freeze", "another set was frozen for this question, once and for ever")
    word: dict[str, Any] = json.loads(row[2])
    return word
