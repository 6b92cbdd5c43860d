"""The node's own record of what it decided and did: JSON lines, each naming the hash of the line before it.

Written by the running agent and by the command line, one at a time (file lock), synced before anybody acts on it: what
cannot be recorded is not done (`keep`), while a refusal or a failure stands whether or not it can (`note`). A line cut
off by a crash is removed by the next writer: nobody was told that it was there. The book keeps the newest hash, so that
a shortened, replaced or removed file is noticed too, also after more was written. Who holds the whole machine can
rewrite both; lines that went to syslog elsewhere still say what was. Ids, hashes, codes, counts: never a value, a key
or a path of a row.
"""

import fcntl
import json
import logging.handlers
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.documents import canonical, load_json, sha256_hex
from ledger.errors import DocumentError
from mpc.node.book import is_full
from mpc.node.cases import Cases
from mpc.node.errors import Refused, Unfit
from mpc.node.logs import note

START = "00" * 32
HEAD = "audit_head"
FIELDS = {"seq", "at", "event", "facts", "previous"}
TROUBLE = (OSError, sqlite3.Error, DocumentError, LookupError, TypeError, ValueError)
EACH, AN_HOUR = 10, 3600.0


@dataclass(frozen=True)
class Verified:
    """A record that holds: how many lines, and the hash of the last."""

    lines: int
    head: str


@dataclass
class Repeated:
    """One thing that happens again and again: since when, how often, and how often it has a line of its own."""

    since: float
    times: int = 0
    told: int = 0


class Audit:
    """One home's record."""

    def __init__(self, path: Path, cases: Cases, *, syslog: str = "") -> None:
        self.path, self._cases = path, cases
        self._syslog = _syslog(syslog) if syslog else None
        self._repeated: dict[tuple[str, str], Repeated] = {}
        self._counting = threading.Lock()

    def write(self, event: str, **facts: str | int | bool | None) -> None:
        """Append one line and sync it; raises OSError when it cannot be kept."""
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() == 0:
                os.fchmod(file.fileno(), 0o600)
            seq, previous = self._newest(_last_line(file))
            line = canonical({
                "seq": seq + 1, "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "event": event, "facts": dict(facts), "previous": previous})
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._cases.set_switch(HEAD, {"seq": seq + 1, "hash": sha256_hex(line)})
        if self._syslog is not None:
            self._syslog.emit(logging.makeLogRecord({"msg": f"xinglin-node: {line.decode()}", "levelno": 20}))

    def _newest(self, last: bytes) -> tuple[int, str]:
        """Number and hash to go on from: the file's, or the book's where the file lacks what was written. Then the
        gap stays in the chain, for `verify` to find."""
        found = (int(load_json(last)["seq"]), sha256_hex(last)) if last else (0, START)
        known = self._cases.switch(HEAD)
        if known is None or known["seq"] < found[0]:  # by one: a crash came between the line and the book
            return found
        return int(known["seq"]), str(known["hash"])

    def keep(self, event: str, **facts: str | int | bool | None) -> None:
        """Write what is about to be done. Raises `Refused` when that cannot be kept: then it must not be done."""
        try:
            self.write(event, **facts)
        except TROUBLE as error:
            note("audit.failed", what=event, error=type(error).__name__)
            if is_full(error):
                raise Refused("node.disk_full", "the node's disk is full: its record cannot be kept") from error
            raise Refused("node.unrecorded", "the node cannot write its record, and does nothing unrecorded") from error

    def note(self, event: str, **facts: str | int | bool | None) -> None:
        """Write on the way out of something that already went wrong: a full disk is logged, not raised."""
        try:
            self.write(event, **facts)
        except TROUBLE as error:
            note("audit.failed", what=event, error=type(error).__name__)

    def note_often(self, event: str, code: str, **facts: str | int | bool | None) -> None:
        """Note what a stranger can bring about at will: of one code the first few in an hour have a line each, the
        others one together, when the hour is over."""
        self.settle()
        with self._counting:
            found = self._repeated.setdefault((event, code), Repeated(time.monotonic()))
            found.times += 1
            found.told += found.times <= EACH
            if found.told < found.times:
                return
        self.note(event, code=code, **facts)

    def settle(self, *, every: bool = False) -> None:
        """Write the counts of hours that are over, or every count: before the node ends."""
        with self._counting:
            over = {key: one for key, one in self._repeated.items()
                    if every or time.monotonic() - one.since > AN_HOUR}
            for key in over:
                del self._repeated[key]
        for (event, code), one in over.items():
            if one.times > one.told:
                self.note(f"{event}.repeated", code=code, times=one.times - one.told)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every line as it stands; nothing is verified."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    body = load_json(line)
                except DocumentError as error:
                    raise _broken(number, "is no JSON") from error
                if not isinstance(body, dict):
                    raise _broken(number, "is no object")
                yield body

    def verify(self) -> Verified:
        """Every hash and number, and that the newest line the book knows is there; raises `Unfit` naming the line."""
        previous, count, known = START, 0, self._cases.switch(HEAD)
        met = known is None
        if self.path.exists():
            with self.path.open("rb") as file:
                for raw in file:
                    if not raw.endswith(b"\n"):
                        break  # cut off by a crash, never acknowledged: the next writer removes it
                    count += 1
                    previous = _checked(raw[:-1], count, previous)
                    met = met or (count == known["seq"] and previous == known["hash"])
        if not met:
            raise _broken(known["seq"], "is missing, or another one stands there: the file was shortened or replaced")
        return Verified(count, previous)


def _checked(line: bytes, number: int, previous: str) -> str:
    try:
        body = load_json(line)
        if set(body) != FIELDS or canonical(body) != line:
            raise _broken(number, "is not in the form in which it was written")
    except (DocumentError, TypeError) as error:
        raise _broken(number, "is no JSON object") from error
    if body["seq"] != number:
        raise _broken(number, f"has number {body['seq']}: lines are missing, doubled or in another order")
    if body["previous"] != previous:
        raise _broken(number, "does not follow the line before it: one of the two was changed")
    return sha256_hex(line)


def _broken(number: int, text: str) -> Unfit:
    return Unfit("audit.broken", f"line {number} {text}")


def _last_line(file: Any) -> bytes:
    """The last whole line; what a crash left after it is cut off."""
    size = file.seek(0, os.SEEK_END)
    tail, start = b"", size
    while start > 0:
        start = max(0, start - 8192)
        file.seek(start)
        tail = file.read(size - start)
        if tail.count(b"\n") >= 2 or (start == 0 and b"\n" in tail):
            break
    whole = tail.rfind(b"\n") + 1
    if whole != len(tail):
        file.truncate(size - (len(tail) - whole))
    file.seek(0, os.SEEK_END)
    return bytes(tail[:whole].rstrip(b"\n").rpartition(b"\n")[2])


def _syslog(address: str) -> logging.handlers.SysLogHandler:
    """`/dev/log`, or HOST:PORT by UDP; a collector that is away loses lines, and the file keeps them."""
    host, _, port = address.rpartition(":")
    where: Any = address if address.startswith("/") else (host, int(port)) if port.isdigit() else ("", 0)
    if where == ("", 0):
        raise Unfit("config.malformed", "config.toml: syslog is a socket's path or HOST:PORT")
    handler = logging.handlers.SysLogHandler(where, facility=logging.handlers.SysLogHandler.LOG_AUTHPRIV)
    handler.handleError = lambda record: note("syslog.failed")  # type: ignore[method-assign]
    return handler


def as_json(body: dict[str, Any]) -> str:
    """A line for people's tools."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True)
