"""The node's own record of what it decided and did: JSON lines, each naming the hash of the line before it.

Written by the running agent and by the command line, one at a time (file lock), synced before anybody acts on it. A
line cut off by a crash is removed by the next writer: nobody was told that it was there. The book keeps the newest
hash, so that a shortened file is noticed too. Who holds the whole machine can rewrite both; lines that went to syslog
elsewhere still say what was. Ids, hashes, codes, counts: never a value, a key or a path of a row.
"""

import fcntl
import json
import logging.handlers
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.documents import canonical, load_json, sha256_hex
from ledger.errors import DocumentError
from mpc.node.cases import Cases
from mpc.node.errors import Unfit
from mpc.node.logs import note

START = "00" * 32
HEAD = "audit_head"
FIELDS = {"seq", "at", "event", "facts", "previous"}


@dataclass(frozen=True)
class Verified:
    """A record that holds: how many lines, and the hash of the last."""

    lines: int
    head: str


class Audit:
    """One home's record."""

    def __init__(self, path: Path, cases: Cases, *, syslog: str = "") -> None:
        self.path, self._cases = path, cases
        self._syslog = _syslog(syslog) if syslog else None

    def write(self, event: str, **facts: str | int | bool | None) -> None:
        """Append one line and sync it; raises OSError when it cannot be kept."""
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if file.tell() == 0:
                os.fchmod(file.fileno(), 0o600)
            last = _last_line(file)
            before = load_json(last) if last else None
            line = canonical({
                "seq": before["seq"] + 1 if before else 1, "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "event": event, "facts": dict(facts), "previous": sha256_hex(last) if last else START})
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
            self._cases.set_switch(HEAD, {"seq": before["seq"] + 1 if before else 1, "hash": sha256_hex(line)})
        if self._syslog is not None:
            self._syslog.emit(logging.makeLogRecord({"msg": f"xinglin-node: {line.decode()}", "levelno": 20}))

    def note(self, event: str, **facts: str | int | bool | None) -> None:
        """Write on the way out of something that already went wrong: a full disk is logged, not raised."""
        try:
            self.write(event, **facts)
        except (OSError, sqlite3.Error, DocumentError, LookupError, TypeError) as error:
            note("audit.failed", what=event, error=type(error).__name__)

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
