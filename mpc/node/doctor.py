"""Looks at everything a node needs and says what is not well, with the mend for each.

Each check stands alone, changes nothing and catches its own trouble: a doctor that faints helps nobody. What a worker
is prevented from is tried, not read off a configuration. Prints names of files and hosts of this node, never a key or a
value of a row.
"""

import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from ledger.errors import LedgerError
from ledger.keys import KeyFile
from ledger.trust import Trust, load_trust
from mpc.node import reach, rulebook, sandbox, sources
from mpc.node.checks import check_clock
from mpc.node.config import Config
from mpc.node.console import Room, Said
from mpc.node.errors import NodeError
from mpc.node.words import CHECKS, MENDS, say
from mpc.node.workers import SCRATCH

LEAST_MB = 1024
OFF = 60.0
WORKER = (sys.executable, "-P", "-m", "mpc.worker")
WORKER_SECONDS = 60.0
PREVENTED = ("reads_no_keys", "writes_no_data", "changes_no_modes", "dials_nothing_else", "dials_by_no_other_way",
             "listens_nowhere", "sends_no_datagrams", "signals_nobody", "limits_nobody", "starts_no_process",
             "starts_no_program", "memory_is_limited", "leaves_no_core", "gains_no_privilege")


@dataclass(frozen=True)
class Finding:
    """One check: well or not, what was seen, and the values its mend names."""

    check: str
    ok: bool
    seen: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass
class Patient:
    """What the checks share: the room, the portal's answer once it came, the trust file once it was read."""

    room: Room
    date: datetime | None = None
    trust: Trust | None = None
    chain: Callable[[Config, Trust], Any] = reach.chain_of
    http: Callable[..., Any] = httpx.get


def examine(here: Room, **parts: Any) -> Said:
    """Every check in order; status 1 when one is not well."""
    patient = Patient(here, **parts)
    findings = list(_findings(patient))
    lines, body = [], []
    for one in findings:
        name, mend = say(CHECKS, one.check, here.language), ""
        if not one.ok:
            mend = say(MENDS, one.check, here.language, **one.values)
        lines.append(f"{'OK  ' if one.ok else 'FAIL'}  {name}: {one.seen}")
        lines += [f"      -> {mend}"] if mend else []
        body.append({"check": one.check, "ok": one.ok, "seen": one.seen, "mend": mend or None})
    bad = [one.check for one in findings if not one.ok]
    return Said("\n".join(lines), {"ok": not bad, "failed": bad, "checks": body}, 1 if bad else 0)


def _findings(patient: Patient) -> Iterator[Finding]:
    checks: list[Callable[[Patient], Iterator[Finding]]] = [
        _switch, _proxy, _dns, _portal, _clock, _relay, _disk, _keys, _trust, _chain]
    if patient.room.config.role == "provider":
        checks += [_policy, _datasets]
    for check in [*checks, _book, _audit, _sandbox, _worker]:
        try:
            yield from check(patient)
        except (OSError, ValueError, sqlite3.Error, httpx.HTTPError, LedgerError, NodeError) as error:
            name = check.__name__.strip("_")
            text = error.code if isinstance(error, LedgerError | NodeError) else type(error).__name__
            yield Finding(name, False, f"{text}: {error}"[:300], _values(patient))


def _values(patient: Patient) -> dict[str, Any]:
    return {"host": urlsplit(patient.room.config.portal).hostname, "least": LEAST_MB, "file": "", "missing": "?"}


def _switch(patient: Patient) -> Iterator[Finding]:
    stopped = patient.room.cases.stopped
    yield Finding("switch", stopped is None, f"{stopped['at']} {stopped['by']}" if stopped else "start")


def _proxy(patient: Patient) -> Iterator[Finding]:
    if not patient.room.config.proxy:
        yield Finding("proxy", True, "-")
        return
    parts = urlsplit(patient.room.config.proxy_address() or "")
    there, wanted = f"{parts.hostname}:{parts.port or 3128}", urlsplit(patient.room.config.portal)
    aim = f"{wanted.hostname}:{wanted.port or (80 if wanted.scheme == 'http' else 443)}"
    lines = [f"CONNECT {aim} HTTP/1.1", f"Host: {aim}"]
    if parts.username:
        given = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(given).decode()}")
    with socket.create_connection((parts.hostname or "", parts.port or 3128), timeout=5) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = line.recv(64).split(b" ", 2)
    lets = len(answer) > 1 and answer[1] == b"200"
    yield Finding("proxy", lets, there if lets else f"{there} {answer[1][:3].decode('ascii', 'replace')}"
                  if len(answer) > 1 else there)


def _dns(patient: Patient) -> Iterator[Finding]:
    """Names are looked up by the proxy where there is one."""
    config = patient.room.config
    host = urlsplit(config.proxy or config.portal).hostname or ""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    yield Finding("dns", True, f"{host} = {found[0][4][0]}")


def _portal(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    begun = time.monotonic()
    answer = patient.http(f"{config.portal}/healthz", timeout=10.0, trust_env=False,
                          proxy=reach.proxy_for(config.portal, config), verify=ssl.create_default_context())
    if stamp := answer.headers.get("date"):
        patient.date = parsedate_to_datetime(stamp).astimezone(UTC)
    tls = "TLS" if config.portal.startswith("https:") else "no TLS: for one machine alone"
    local = urlsplit(config.portal).hostname in ("127.0.0.1", "localhost", "::1")
    yield Finding("portal", answer.status_code == 200 and (local or config.portal.startswith("https:")),
                  f"{answer.status_code}, {tls}, {time.monotonic() - begun:.2f} s", _values(patient))


def _clock(patient: Patient) -> Iterator[Finding]:
    """Against the portal's clock, which is no authority: the chain's is looked at below."""
    if patient.date is None:
        yield Finding("clock", True, "?")
        return
    off = (datetime.now(UTC) - patient.date).total_seconds()
    yield Finding("clock", abs(off) <= OFF, f"{off:+.0f} s")


def _relay(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    parts = urlsplit(config.relay or config.portal)
    port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    proxy = reach.proxy_for(config.relay, config) if config.relay else config.proxy
    if config.relay and not proxy:
        with socket.create_connection((parts.hostname or "", port), timeout=5):
            pass
    yield Finding("relay", True, f"{config.relay or parts.hostname}{' (proxy)' if proxy else ''}")


def _disk(patient: Patient) -> Iterator[Finding]:
    free = shutil.disk_usage(patient.room.config.home).free >> 20
    yield Finding("disk", free >= LEAST_MB, f"{free} MB", {"least": LEAST_MB})


def _keys(patient: Patient) -> Iterator[Finding]:
    home = patient.room.config.home
    for name in ("keys.json", "approver.json", "fingerprint.key", "config.toml", "root.json"):
        file = home / name
        if not file.exists():
            continue
        mode = file.stat()
        if mode.st_mode & 0o077 or mode.st_uid != os.geteuid():
            yield Finding("keys", False, f"{name} {mode.st_mode & 0o777:o}", {"file": file})
            return
    KeyFile.load(patient.room.config.keys)
    yield Finding("keys", True, "600")


def _trust(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    patient.trust = load_trust(config.trust, fingerprint=config.fingerprint)
    yield Finding("trust", True, f"{patient.trust.name}, {patient.trust.serial}")


def _chain(patient: Patient) -> Iterator[Finding]:
    if patient.trust is None:
        yield Finding("chain", False, "?")
        return
    chain = patient.chain(patient.room.config, patient.trust)
    try:
        chain.check_contracts(patient.trust)
        head = chain.head()
        check_clock(head.time, datetime.now(UTC))
        ends = len(patient.trust.chain.rpc)
        yield Finding("chain", True, f"{patient.trust.chain.profile} #{head.number}, {ends} rpc")
    finally:
        getattr(chain, "close", lambda: None)()


def _policy(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    reading = rulebook.read(config.policy, config.local_key())
    yield Finding("policy", not reading.fault, reading.fault or reading.policy.hash[:16])


def _datasets(patient: Patient) -> Iterator[Finding]:
    config, found = patient.room.config, patient.room.book.datasets()
    for one in found:
        try:
            same = sources.fingerprint(config, one.path) == one.record["fingerprint"]
        except NodeError:
            same = False
        if not same:
            yield Finding("datasets", False, one.dataset, {"file": one.path})
            return
    yield Finding("datasets", True, str(len(found)))


def _book(patient: Patient) -> Iterator[Finding]:
    said = str(patient.room.book.rows("PRAGMA quick_check")[0][0])
    yield Finding("book", said == "ok", said)


def _audit(patient: Patient) -> Iterator[Finding]:
    yield Finding("audit", True, str(patient.room.audit.verify().lines))


def _sandbox(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    found = sandbox.probe(config.home, config.home / SCRATCH, config.limits)
    missing = [name for name in PREVENTED if not found.get(name)]
    yield Finding("sandbox", not missing, f"Landlock {found.get('landlock', 0)}, "
                  f"seccomp {'+' if found.get('filter') else '-'}", {"missing": ", ".join(missing)})


def _worker(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    folder, begun = sandbox.private_folder(config.home / SCRATCH), time.monotonic()
    process = sandbox.start(WORKER, config.limits, folder, cwd=config.home, stderr=subprocess.DEVNULL)
    try:
        # nothing is ordered: it says that it is ready, hears that its input ends, and goes
        said, _ = process.communicate(timeout=WORKER_SECONDS)
        ready = b'"ready": true' in said
        event = json.loads(said.splitlines()[-1]) if said and not ready else {}
        yield Finding("worker", ready, f"{time.monotonic() - begun:.1f} s" if ready else str(event.get("code")))
    except subprocess.TimeoutExpired:
        yield Finding("worker", False, "session.deadline")
    finally:
        process.kill()
        process.communicate()
        sandbox.wipe(folder)
