"""The policy as it stands in the file now: read again whenever it changed, each change in the record with both hashes.

Each text that held is kept under its hash in `policy.d`, else a hash in the record would say nothing after an edit.
A broken edit denies everything from the moment it is saved and says so, in the log, in the record and in `status`;
the policy that stood before it does not come back by itself. A dealer has no policy of its own.
"""

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mpc.filters import columns_of
from mpc.node import policyfile
from mpc.node.audit import Audit
from mpc.node.book import is_full
from mpc.node.cases import Cases
from mpc.node.config import write_private
from mpc.node.errors import Refused
from mpc.node.logs import note
from mpc.node.papers import Papers
from mpc.node.policy import Policy, Question, deny_all
from mpc.spec import fewest

KNOWN = "policy"
TEXTS = "policy.d"


@dataclass(frozen=True)
class Reading:
    """The policy, and what is wrong with its file if something is."""

    policy: Policy
    fault: str = ""
    line: int = 0
    text: bytes = b""


def read(path: Path, key: bytes) -> Reading:
    """The policy in this file; one that cannot be read denies everything."""
    try:
        text = path.read_bytes()
        return Reading(policyfile.load(text, key=key), text=text)
    except OSError as error:
        return Reading(deny_all(key=key), f"policy.toml cannot be read: {error.strerror}")
    except policyfile.Malformed as error:
        return Reading(deny_all(key=key), error.text, error.line)


class Rulebook:
    """The file, watched; safe to ask from several threads."""

    def __init__(self, path: Path, key: bytes, cases: Cases, audit: Audit) -> None:
        self._path, self._key, self._cases, self._audit = path, key, cases, audit
        self._lock = threading.Lock()
        self._last: Reading | None = None

    def current(self) -> Policy:
        """The policy that counts now. Read whole every time: it is small, and a date of change can lie."""
        with self._lock:
            reading = read(self._path, self._key)
            if self._last is None or (reading.policy.hash, reading.fault) != (self._last.policy.hash, self._last.fault):
                self._changed(reading)
                self._last = reading
            return reading.policy

    def _changed(self, reading: Reading) -> None:
        before = self._cases.switch(KNOWN) or {}
        now, old = reading.policy.hash, before.get("hash")
        after = {"hash": now, "broken": bool(reading.fault)}
        if before == after:
            return
        if reading.fault:
            note("policy.unreadable", line=reading.line)
            self._audit.keep("policy.broken", old=old, new=now, line=reading.line)
        else:
            note("policy.changed")
            self._keep_text(reading)
            self._audit.keep("policy.changed", old=old, new=now)
        self._cases.set_switch(KNOWN, after)

    def _keep_text(self, reading: Reading) -> None:
        file = self._path.parent / TEXTS / f"{reading.policy.hash}.toml"
        try:
            file.parent.mkdir(mode=0o700, exist_ok=True)
            if not file.exists():
                write_private(file, reading.text.decode())
        except OSError as error:
            raise Refused("node.disk_full" if is_full(error) else "node.unrecorded",
                          "the policy's text cannot be kept") from error

    def question(self, papers: Papers, now: datetime, uses: int) -> Question:
        """What the policy is asked about this job; `uses` are those that other jobs took of our grant."""
        function = papers.spec["function"]
        most = papers.own.terms["max_uses"] if papers.own else 0
        return Question(
            customer=papers.consumer, function=function["name"], version=function["version"],
            digest=function["digest"], columns=papers.columns_named,
            filtered=columns_of(papers.spec["filter"]), parties=fewest(papers.spec), when=now,
            engine=papers.spec["engine"].partition("/")[0],
            accepted=self._cases.accepted_of(papers.consumer, but=papers.job_hash),
            first=not self._cases.had_result(papers.consumer, papers.function), uses_left=max(0, most - uses - 1))
