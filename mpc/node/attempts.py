"""The attempts that this node has accepted, by the hash of their spec: those that wait for a session, those that run.

Several threads come and go; whoever walks over them walks over a copy. Only who waits costs nothing but memory: a
worker belongs to a running attempt alone. Decides nothing.
"""

import threading

from mpc.node.sessions import Attempt


class Attempts(dict[str, Attempt]):
    """As a dictionary, with the questions that the agent asks."""

    def __init__(self) -> None:
        super().__init__()
        self._moving = threading.Lock()

    def all(self) -> list[Attempt]:
        """Those that stand now."""
        return list(self.values())

    def of(self, job: str) -> Attempt | None:
        """The attempt of the job with this id."""
        return next((one for one in self.all() if one.papers.job == job), None)

    @property
    def running(self) -> int:
        """How many have a worker."""
        return sum(1 for one in self.all() if one.thread is not None)

    def waiting_of(self, consumer: str, *, but: str) -> int:
        """How many of this customer's jobs, one apart, wait for their session."""
        return sum(1 for one in self.all()
                   if one.thread is None and one.papers.consumer == consumer and one.papers.job_hash != but)

    def enter(self, attempt: Attempt) -> Attempt | None:
        """Put this one in; the earlier attempt of the job that stood in its place, if one did."""
        with self._moving:
            before = self.get(attempt.papers.job_hash)
            self[attempt.papers.job_hash] = attempt
            return before

    def leave(self, attempt: Attempt) -> bool:
        """Take out this very attempt, and not one that has come in its place; whether it still stood here."""
        with self._moving:
            if self.get(attempt.papers.job_hash) is not attempt:
                return False
            del self[attempt.papers.job_hash]
            return True
