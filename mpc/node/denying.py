"""What becomes of a job that a person denies, or of all when the node is stopped, as the book tells it before and after
the agent has obeyed. Reads alone; what a ruling does is the agent's (`agent.py`) and the courier's (`loop.py`).
"""

import time
from dataclasses import dataclass
from enum import StrEnum

from mpc.node.book import OPEN_STATES, Book
from mpc.node.cases import OFFERED, OVERDUE

WHERE = """
SELECT state, state = 'sealed' AND EXISTS (SELECT 1 FROM outbox WHERE path IN (
         '/jobs/' || job || '/envelopes', '/jobs/' || job || '/contributions')),
       (SELECT at FROM left_house WHERE left_house.job_hash = job.job_hash),
       (SELECT fate FROM letter WHERE letter.job_hash = job.job_hash), job_hash, deadline
FROM job WHERE job_hash = ?1 OR job = ?1
"""
WORD = """
SELECT EXISTS (SELECT 1 FROM outbox WHERE path = '/jobs/' || json_extract(word, '$.document.job') || '/freeze'),
       (SELECT at FROM left_house WHERE left_house.job_hash = frozen.job_hash),
       (SELECT fate FROM letter WHERE letter.job_hash = frozen.job_hash)
FROM frozen WHERE job_hash = ?1 OR json_extract(word, '$.document.job') = ?1
"""


class Outcome(StrEnum):
    """What a denial brought about."""

    NOT_BEGUN = "not_begun"
    ABORTED = "aborted"
    WITHDRAWN = "withdrawn"
    TAKEN_BACK = "taken_back"
    ENDING = "ending"
    OVERDUE = "overdue"
    MAY_HAVE_LEFT = "may_have_left"
    TOO_LATE = "too_late"


@dataclass(frozen=True)
class Standing:
    """Where a job stands: its state (empty: never accepted), whether its sealed part lies in the outbox, when that
    left, what else is known of that letter (`cases.py`), whether it is a contribution, which a hospital may take back
    afterwards, and whether it is the dealer's word on a frozen set."""

    state: str = ""
    waits: bool = False
    left_at: int | None = None
    fate: str = ""
    contributed: bool = False
    frozen: bool = False

    @property
    def under_way(self) -> bool:
        """Something of it may still leave this house. A frozen set's word does not, once it is denied: there the
        courier alone has to obey."""
        return self.state in OPEN_STATES or (self.waits and not self.frozen)

    @property
    def may_have_left(self) -> bool:
        """It left, or nobody here can say that it did not."""
        return self.left_at is not None or self.fate == OFFERED


def standing(book: Book, name: str) -> Standing:
    """Of the job under this hash or id, in one reading."""
    rows = book.rows(WHERE, name)
    if not rows:
        words = book.rows(WORD, name) if _keeps(book, "frozen") else []
        return next((Standing("sealed", bool(waits), left_at, fate or "", frozen=True)
                     for waits, left_at, fate in words), Standing())
    state, waits, left_at, fate, job_hash, deadline = rows[0]
    return Standing(state, bool(waits), left_at, fate or "", deadline > time.time() and _contributed(book, job_hash))


def _contributed(book: Book, job_hash: str) -> bool:
    return _keeps(book, "contribution") and bool(book.rows(
        "SELECT 1 FROM contribution WHERE job_hash = ? AND body IS NOT NULL", job_hash))


def _keeps(book: Book, table: str) -> bool:
    return bool(book.rows("SELECT 1 FROM sqlite_master WHERE name = ?", table))


def became(before: Standing, after: Standing) -> Outcome:
    """Of a job that stood so when it was denied, and so a moment later. Aborted or withdrawn: it was never offered to
    the portal."""
    if after.fate == OFFERED and after.left_at is None:
        return Outcome.MAY_HAVE_LEFT
    if after.under_way:
        return Outcome.ENDING
    if after.contributed and after.state == "sealed":
        return Outcome.TAKEN_BACK
    if after.fate == OVERDUE and after.left_at is None:
        return Outcome.OVERDUE
    if after.frozen and after.waits and after.left_at is None:
        return Outcome.WITHDRAWN
    if after.left_at is not None or after.state in ("sealed", "finished"):
        return Outcome.TOO_LATE
    if not before.under_way:
        return Outcome.NOT_BEGUN
    return Outcome.WITHDRAWN if before.waits else Outcome.ABORTED
