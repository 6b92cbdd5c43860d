"""Real worker processes of one session over a relay on loopback, as an agent would start them. For tests."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import from_b64, to_b64
from mpc.disclosure import Pattern, open_result
from mpc.functions.plan import Plan
from mpc.functions.registry import function
from mpc.sharing import open_sealed
from mpc.spec import hpke_info
from mpc.token import holder_of
from mpc.transport.identity import Place, SessionIdentity
from tests.simulators.relay_at_hand import RelayAtHand

SPACE = "space-of-tests"
JOB = "11" * 32
SESSION = "22" * 32
HOSPITALS = Path(__file__).resolve().parents[2] / "fixtures" / "hospitals" / "uci-heart"
COLUMNS = json.loads((HOSPITALS / "dictionary.json").read_text(encoding="utf-8"))["columns"]
FILES = sorted(HOSPITALS.glob("*.csv"))


class Nursery:
    """The process that forks workers; started once for many sessions."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.worker_nursery"], stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).resolve().parents[2])
        theirs.close()
        self._line.settimeout(120)
        self.relay = RelayAtHand()

    def fork(self, handles: Sequence[int]) -> int:
        """Start a worker on these standard streams; its process id."""
        socket.send_fds(self._line, [b"one"], list(handles))
        return int(self._line.recv(64))

    def end(self) -> None:
        self._line.close()
        self._process.wait(10)
        self.relay.stop()


class Worker:
    """One process; `say` writes a line, `hear` reads the next one within a time."""

    def __init__(self, nursery: Nursery) -> None:
        (inner, self.stdin), (self.stdout, outer) = os.pipe(), os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        child = nursery.fork([inner, outer, self._log.fileno()])
        self._handle = os.pidfd_open(child)
        os.close(inner)
        os.close(outer)
        self._buffer = b""
        self.lines: list[str] = []

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, number)

    def leave(self) -> None:
        """Close its standard input, as an agent does that dies."""
        os.close(self.stdin)
        self.stdin = -1

    def say(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
            os.write(self.stdin, json.dumps(message).encode() + b"\n")

    def hear(self, within: float = 60.0) -> dict[str, Any] | None:
        """The next line; None at the end of the stream."""
        end = time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeoutError("a worker says nothing")
                piece = os.read(self.stdout, 65536)
                if not piece:
                    return None
                self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        self.lines.append(line.decode())
        return dict(json.loads(line))

    def end(self) -> str:
        """Kill what still runs; what it logged."""
        self.signal(signal.SIGKILL)
        with selectors.DefaultSelector() as selector:
            selector.register(self._handle, selectors.EVENT_READ)
            selector.select(10)
        self._log.seek(0)
        text = self._log.read().decode()
        self._log.close()
        for handle in (self.stdin, self.stdout, self._handle):
            if handle >= 0:
                os.close(handle)
        return text


@dataclass
class Session:
    """Parties and dealer of one order."""

    key: str
    parameters: Mapping[str, Any]
    columns: Sequence[Mapping[str, Any]]
    files: Sequence[Path]
    floor: int = 10
    rows_max_total: int = 5000
    seconds: float = 60.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    change: Callable[[int, dict[str, Any]], None] | None = None
    workers: list[Worker] = field(default_factory=list)
    recipient: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    logs: list[str] = field(default_factory=list)

    @property
    def parties(self) -> int:
        return len(self.files)

    @property
    def plan(self) -> Plan:
        return function(self.key).plan(self.parameters, self.columns, self.parties, self.rows_max_total)

    def warm(self, nursery: Nursery) -> None:
        self.relay = nursery.relay
        self.workers = [Worker(nursery) for _ in range(self.parties + 1)]
        for worker in self.workers:
            assert worker.hear(120) == {"ready": True}

    def order(self, *, session: str = SESSION, room: str = "") -> None:
        room = room or secrets.token_hex(8)
        identities = [SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place(JOB, 1, seat), now=datetime.now(UTC))
                      for seat in range(len(self.workers))]
        peers = [{"seat": seat, "participant": f"participant-{seat}",
                  "certificate": to_b64(identity.certificate), "exchange": identity.exchange.hex()}
                 for seat, identity in enumerate(identities)]
        self.recipient_key = self.recipient.public_key().public_bytes_raw().hex()
        for seat, (worker, own) in enumerate(zip(self.workers, identities, strict=True)):
            party = seat < self.parties
            order = {
                "role": "party" if party else "dealer", "space": SPACE, "seat": seat, "parties": self.parties,
                "job_hash": JOB, "attempt": 1, "session": session, "peers": peers,
                "own": {"certificate": to_b64(own.certificate), "private_key": to_b64(own.private_key),
                        "exchange_private": own.exchange_private.hex()},
                "relay": {"url": self.relay.url, "proxy": None,
                          "token": self.relay.token(seat, len(self.workers), room=room,
                                                    holder=holder_of(own.certificate))},
                "deadline": int(time.time() + self.seconds),
                "function": self.key, "parameters": dict(self.parameters), "columns": list(self.columns),
                "rows_max_total": self.rows_max_total, "floor": self.floor,
                "data": {"path": str(self.files[seat]), "kind": "csv", "fingerprint_check": None} if party else None,
                "recipient": {"participant": "consumer", "sealing": self.recipient_key},
                "sender": f"participant-{seat}", **self.extra,
            }
            if self.change is not None:
                self.change(seat, order)
            worker.say(order)

    def started(self) -> None:
        for worker in self.workers[: self.parties]:
            assert worker.hear() == {"event": "gate_started"}

    def proceed(self) -> None:
        """The dealer is told twice: after its last piece, and when all are ready."""
        for worker in (*self.workers, self.workers[self.parties]):
            worker.say({"proceed": True})

    def proceed_others(self, seat: int) -> None:
        for other, worker in enumerate(self.workers):
            if other != seat:
                worker.say({"proceed": True})

    def last(self, seats: Sequence[int] | None = None, *, within: float = 60.0) -> list[dict[str, Any]]:
        """The last event of each."""
        found = []
        for seat in range(self.parties + 1) if seats is None else seats:
            message = None
            while (heard := self.workers[seat].hear(within)) is not None:
                message = heard
            assert message is not None
            found.append(message)
        return found

    def opened(self, sealed: Sequence[Mapping[str, Any]], *, session: str = SESSION) -> tuple[Pattern, list[int]]:
        plains = []
        for seat, message in enumerate(sealed):
            info = hpke_info(space=SPACE, job_hash=JOB, session=session, sender=f"participant-{seat}",
                             recipient="consumer", recipient_key=self.recipient_key, gate_hash=message["gate_hash"])
            plains.append(open_sealed(from_b64(message["sealed"]), private=self.recipient, info=info))
        return open_result(plains, parties=self.parties, session=session, gate_hash_hex=sealed[0]["gate_hash"],
                           spans=self.plan.spans, limbs=self.plan.limbs)

    def is_right(self) -> None:
        """Everybody sealed, and what opens is what the rows say in plain."""
        *sealed, dealt = self.last()
        events = [message["event"] for message in (*sealed, dealt)]
        assert events == ["sealed"] * self.parties + ["finished"], (sealed, dealt)
        pattern, totals = self.opened(sealed)
        frames = [pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""]) for file in self.files]
        one = function(self.key)
        assert one.finish(totals, pattern, self.plan) == one.plain(frames, self.parameters, self.columns, self.floor)

    def end(self) -> None:
        if not self.logs:
            self.logs = [worker.end() for worker in self.workers]
