"""Real worker processes of one session over loopback, as an agent would start them. Used by the engine's tests."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import from_b64, to_b64
from mpc.disclosure import Pattern, open_result
from mpc.functions.plan import Plan
from mpc.functions.registry import function
from mpc.sharing import open_sealed
from mpc.spec import hpke_info
from mpc.transport.identity import SessionIdentity, address_of, listen

SPACE = "space-of-tests"
JOB = "11" * 32
SESSION = "22" * 32


class Worker:
    """One process; `say` writes a line, `hear` reads the next one within a time."""

    def __init__(self) -> None:
        self.server = listen()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mpc.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, pass_fds=[self.server.fileno()], env={**os.environ, "OMP_NUM_THREADS": "1"})
        self._buffer = b""
        self.lines: list[str] = []

    def say(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def hear(self, within: float = 60.0) -> dict[str, Any] | None:
        """The next line; None at the end of the stream."""
        assert self.process.stdout is not None
        end = time.monotonic() + within
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeoutError("a worker says nothing")
                piece = os.read(self.process.stdout.fileno(), 65536)
                if not piece:
                    return None
                self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        self.lines.append(line.decode())
        return dict(json.loads(line))

    def end(self) -> str:
        """Kill what still runs; what it logged."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.server.close()
        if self.process.stdin is not None and self.process.stdin.closed:
            self.process.stdin = None
        _, errors = self.process.communicate()
        return errors.decode()


class Unmanned(Worker):
    """A seat with an address and nobody in it."""

    def __init__(self) -> None:
        self.server = listen()

    def say(self, message: Mapping[str, Any]) -> None:
        return

    def end(self) -> str:
        self.server.close()
        return ""


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

    def warm(self) -> None:
        self.workers = [Worker() for _ in range(self.parties + 1)]
        for worker in self.workers:
            assert worker.hear(120) == {"ready": True}

    def warm_one(self) -> None:
        """Only seat 0 is a real process: for orders that are refused before any link."""
        self.workers = [Worker() if seat == 0 else Unmanned() for seat in range(self.parties + 1)]
        assert self.workers[0].hear(120) == {"ready": True}

    def order(self, *, session: str = SESSION) -> None:
        identities = [SessionIdentity.fresh(now=datetime.now(UTC)) for _ in self.workers]
        peers = [{"seat": seat, "participant": f"participant-{seat}", "address": address_of(self.workers[seat].server),
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
                "listen_fd": worker.server.fileno(), "deadline": int(time.time() + self.seconds),
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
        for worker in self.workers:
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
                           spans=self.plan.spans)

    def end(self) -> None:
        self.logs = [worker.end() for worker in self.workers]
