"""One process for one party and one session: `python -m mpc.worker`.

Imports, checks the engine, says {"ready": true}, and waits for one order on standard input. Takes from itself what the
order does not need (`confinement`), computes, answers on standard output, ends. Whatever happens, the last line is an
event: sealed, finished, or failed with a code. What is logged goes to standard error: ids, codes and counts; never a
value, a share, a pattern or a path.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import duckdb  # noqa: F401 - imported while the worker waits, not when the order is there

from ledger.documents import to_b64
from mpc import confinement, contributor, dealer, hosts, paillier, party
from mpc.engines.crypten_engine.engine import CryptenEngine, self_check, serve_dealer, versions
from mpc.errors import DeadlinePassed, MpcError, Stopped, WorkerFailed
from mpc.functions.plan import Plan
from mpc.transport.carrier import WebSocketCarrier
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Setting
from mpc.wire import STOP_CODE, Order, Task, event, parse

LAST_MOMENT = 30


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Control:
    """Reads what the agent says after the order, in a thread of its own; the agent's silence for ever is a stop."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._mesh: Mesh | None = None
        self._stopped: MpcError | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def watch(self, mesh: Mesh) -> None:
        """From now on a stop ends these links too."""
        with self._lock:
            self._mesh = mesh
        if self._stopped is not None:
            mesh.fail(self._stopped)

    def check(self) -> None:
        if self._stopped is not None:
            raise self._stopped

    def _read(self) -> None:
        for line in self._lines:
            try:
                said: Any = json.loads(line)
            except ValueError:
                continue
            if not isinstance(said, dict):
                continue
            if said.get("proceed") is True:
                self._words.put("proceed")
            elif isinstance(said.get("stop"), str):
                code = said["stop"] if STOP_CODE.match(said["stop"]) and len(said["stop"]) <= 64 else Stopped.code
                self._stop(Stopped("the agent stopped the job", code=code))
        self._stop(WorkerFailed("the agent is gone"))

    def _stop(self, error: MpcError) -> None:
        with self._lock:
            if self._stopped is None:
                self._stopped = error
            mesh = self._mesh
        if mesh is not None:
            mesh.fail(self._stopped)

    def wait_to_proceed(self, mesh: Mesh | None = None) -> None:
        """Until the agent lets go, or the session fails for any reason."""
        while True:
            if mesh is not None:
                mesh.check()
            self.check()
            with contextlib.suppress(queue.Empty):
                self._words.get(timeout=0.05)
                return


def where(trouble: BaseException) -> str:
    """Files and lines on the way to an unforeseen error; its text may quote data, and is never logged."""
    return " < ".join(f"{Path(step.filename).name}:{step.lineno}"
                      for step in reversed(traceback.extract_tb(trouble.__traceback__)[-6:]))


def _confine(order: Order | Task) -> None:
    """From now on: this order's own file to read, a private folder to write, relay and own database to dial, and a last
    moment."""
    signal.alarm(max(1, int(order.deadline - time.time())) + LAST_MOMENT)  # if all else hangs, the kernel ends it
    folder = tempfile.gettempdir()
    places = (*order.dials, *(order.data.dials if order.data else ()))
    hosts.settle(host for host, _ in places)
    held = confinement.confine(
        read=order.data.files if order.data else (), write=[folder], ports=[port for _, port in places])
    log(f"confined {held}")
    if held.threads_before:  # they are not held by what this thread took from itself
        raise WorkerFailed("a thread ran before the confinement")


def _unforeseen(trouble: Exception) -> WorkerFailed:
    """Nobody's fault in the protocol: what the machine ran out of, if that is what it was."""
    text = str(trouble)  # looked at here, and never repeated
    if isinstance(trouble, MemoryError) or (isinstance(trouble, RuntimeError) and "allocate memory" in text):
        return WorkerFailed("no memory left", code="worker.out_of_memory")
    if isinstance(trouble, OSError) and trouble.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return WorkerFailed("no room left", code="node.disk_full")
    return WorkerFailed(type(trouble).__name__)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _work(order: Order, control: Control) -> str:
    """The event to end with; raises MpcError otherwise."""
    plan = party.plan_of(order)
    control.check()
    left = order.deadline - time.time()
    if left <= 0:
        raise DeadlinePassed("the deadline has passed")
    setting = Setting(order.session, order.seat, order.dealer, party.agreement(order, plan), order.floor,
                      time.monotonic() + left, order.silence, order.patience)
    mesh = Mesh(setting, order.own, order.peers, WebSocketCarrier(order.relay))
    control.watch(mesh)
    begun = time.monotonic()
    try:
        mesh.link()
        log(f"linked seat={order.seat} after={time.monotonic() - begun:.3f}")
        if order.role == "dealer":
            rounds = dealer.serve(
                order, plan, mesh, deal=serve_dealer, check=control.check,
                started=lambda: _say(event("gate_started")), all_ready=lambda: _say(event("all_ready")),
                allowed=lambda: control.wait_to_proceed(mesh))
            log(f"dealt rounds={rounds} after={time.monotonic() - begun:.3f}")
            return event("finished", engine=versions())
        return _party(order, plan, mesh, control, begun)
    except MpcError as error:
        mesh.fail(error)
        raise mesh.failure or error from None
    except Exception as trouble:
        log(f"unforeseen {type(trouble).__name__} at {where(trouble)}")
        unforeseen = _unforeseen(trouble)
        mesh.fail(unforeseen)
        raise (mesh.failure or unforeseen) from None
    finally:
        mesh.close()


def _party(order: Order, plan: Plan, mesh: Mesh, control: Control, begun: float) -> str:
    since = time.monotonic()
    values = party.count(order, plan)
    _even_out(since, order, mesh, control)
    log(f"counted cells={len(plan.cells)} width={plan.width} after={time.monotonic() - begun:.3f}")
    keys, dealt = party.keys_of(order)
    engine = CryptenEngine(mesh, order.parties, keys, dealt[order.dealer], plan.gate)
    sealed = party.compute(
        order, plan, mesh, engine, values, started=lambda: _say(event("gate_started")),
        finished=engine.finish, allowed=lambda: control.wait_to_proceed(mesh))
    keys.erase()
    for opening in engine.told:
        log(f"opened what={opening.what!r} to={opening.to} numbers={opening.numbers}")
    log(f"sealed rounds={engine.rounds} sent={mesh.sent} received={mesh.received} "
        f"after={time.monotonic() - begun:.3f}")
    return event("sealed", sealed=to_b64(sealed.sealed), gate_hash=sealed.gate_hash, engine=versions())


def _even_out(since: float, order: Order, mesh: Mesh, control: Control) -> None:
    """From when a party comes to the gate its peers would know how long it counted, and so how many rows it has. At
    most a tenth of the time that is left is spent on this."""
    now = time.monotonic()
    until = min(since + party.evened(now - since), now + max(0.0, order.deadline - time.time()) / 10)
    while (left := until - time.monotonic()) > 0:
        mesh.check()
        control.check()
        time.sleep(min(left, 0.05))


def _contribute(task: Task, control: Control) -> str:
    """The event to end with: a contribution, which waits until its use is final."""
    begun = time.monotonic()
    question, parcel = contributor.make(task, check=control.check)
    log(f"encrypted ciphertexts={question.ciphertexts} after={time.monotonic() - begun:.3f}")
    _say(event("gate_started"))
    control.wait_to_proceed()
    return event("sealed", question=question.hash, ciphertexts=to_b64(parcel.ciphertexts), seed=to_b64(parcel.seed),
                 engine=paillier.versions())


def main() -> int:
    confinement.no_debugging()
    try:
        self_check()
    except MpcError as error:
        log(f"engine unfit: {error.text}")
        _say(event("failed", code=error.code, about_seat=None))
        return 1
    _say(json.dumps({"ready": True}))
    try:
        line = sys.stdin.readline()
        if not line:
            return 0
        order = parse(line)
        _confine(order)  # before there is a second thread, a row or a peer
        control = Control(sys.stdin)
        control.start()
        last = _contribute(order, control) if isinstance(order, Task) else _work(order, control)
    except MpcError as error:
        log(f"failed code={error.code} about_seat={error.about_seat}")
        _say(event("failed", code=error.code, about_seat=error.about_seat))
        return 1
    except Exception as trouble:  # the last door: whatever it was, the agent hears a code
        log(f"unforeseen {type(trouble).__name__} at {where(trouble)}")
        _say(event("failed", code=_unforeseen(trouble).code, about_seat=None))
        return 1
    _say(last)
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the control thread may still be reading; nothing is left to write
