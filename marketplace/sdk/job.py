"""A job that was bought: where it stands, waiting for it, and what it leaves behind once released.

A failed job is never returned as if it had a result: `wait` raises `JobFailed` with the state and the code of whoever
said no. Waiting has a deadline; when it passes the job goes on and `wait` may be called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from marketplace.sdk.errors import JobFailed, TimedOut, Unavailable
from marketplace.sdk.types import Progress
from mpc.errors import WHO_MUST_ACT

if TYPE_CHECKING:
    from marketplace.sdk.result import Result
    from marketplace.sdk.space import Space

DONE = frozenset({"released", "settled"})
ENDED = frozenset({"refused", "failed", "cancelled", "expired"})
POLL_SECONDS = 0.15
SLOWEST_POLL = 5.0
Watcher = Callable[[Progress], None]


class Job:
    """One order. Reads the portal; holds no result."""

    def __init__(self, space: Space, job_id: str, *, existing: bool = False) -> None:
        self.space = space
        self.id = job_id
        self.existing = existing

    def status(self) -> Mapping[str, Any]:
        """The portal's own words about the job, unverified."""
        answer: Mapping[str, Any] = self.space.portal.get(f"/jobs/{self.id}")
        return answer

    @property
    def state(self) -> str:
        return str(self.status()["state"])

    def cancel(self) -> None:
        """Ask that the job be stopped; a use already counted stays counted."""
        self.space.portal.post(f"/jobs/{self.id}/cancellation", {})

    def wait(self, seconds: float = 600, progress: Watcher | None = None) -> Result:
        """Wait until it is released, then verify everything and open it. Raises JobFailed, TimedOut."""
        answer = self.finished(seconds, progress)
        check_released(answer)
        return self.space.open_answer(self.id, answer)

    def finished(self, seconds: float = 600, progress: Watcher | None = None) -> Mapping[str, Any]:
        """Wait until the job has ended, well or not, and return the portal's answer about it."""
        begin = time.monotonic()
        told: tuple[str, int | None] | None = None
        while True:
            answer = self._try_status()
            elapsed = time.monotonic() - begin
            if answer is not None:
                state, contributed = str(answer["state"]), _contributed(answer)
                if progress is not None and (state, contributed) != told:
                    progress(Progress(job=self.id, state=state, seconds=elapsed, event=_last_event(answer),
                                      contributed=contributed))
                told = (state, contributed)
                if state in DONE or state in ENDED:
                    return answer
            if elapsed > seconds:
                raise TimedOut(f"job {self.id} is {told[0] if told else 'unknown'} after {seconds:.0f} s; it goes on")
            time.sleep(max(POLL_SECONDS, min(SLOWEST_POLL, elapsed / 50)))

    def _try_status(self) -> Mapping[str, Any] | None:
        """None while the portal cannot be asked: the job lives on without it."""
        try:
            return self.status()
        except Unavailable:
            return None


def check_released(answer: Mapping[str, Any]) -> None:
    """Raise JobFailed unless the job ended with a result."""
    state = str(answer["state"])
    if state in DONE:
        return
    if state not in ENDED:
        raise TimedOut(f"job {answer['id']} is {state}: not finished yet")
    reason, about = answer.get("code"), answer.get("about")
    text = f"job {answer['id']} was {state}: {reason or 'no reason given'}"
    raise JobFailed(text + (f", about {about}" if about else ""), code=f"job.{state}", state=state, reason=reason,
                    about=about, who_must_act=answer.get("who_must_act") or WHO_MUST_ACT.get(str(reason)))


def _contributed(answer: Mapping[str, Any]) -> int | None:
    collecting = answer.get("contributions")
    return len(collecting["given"]) if collecting else None


def _last_event(answer: Mapping[str, Any]) -> str | None:
    timeline = answer.get("timeline") or []
    return str(timeline[-1]["event"]) if timeline else None
