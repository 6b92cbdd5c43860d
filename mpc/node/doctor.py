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
from mpc.node.freezing import given_words
from mpc.node.frozen import Frozen
from mpc.node.words import CHECKS, MENDS, say
from mpc.node.workers import SCRATCH
from mpc.sources.duck import UNREACHABLE

LEAST_MB = 1024
OFF = 25.0  # the portal refuses what was signed more than thirty seconds off
WORKER = (sys.executable, "-P", "-m", "mpc.worker")
WORKER_SECONDS = 60.0
KNOCKED = "the relay answers 401"
MARKS = {True: "OK  ", False: "FAIL", None: "?   "}
SECRETS = ("keys.json", "approver.json", "fingerprint.key", "config.toml", "root.json", "proxy.password")
RULES = ("policy.toml", "node.sqlite3", "audit.jsonl", "trust.json")  # in a folder that nobody else enters
PREVENTED = ("reads_no_keys", "writes_no_data", "changes_no_modes", "dials_nothing_else", "dials_by_no_other_way",
             "listens_nowhere", "sends_no_datagrams", "signals_nobody", "limits_nobody", "starts_no_process",
             "starts_no_program", "memory_is_limited", "leaves_no_core", "gains_no_privilege")


@dataclass(frozen=True)
class Finding:
    """One check: well, not well or (None) not to be found out; what was seen, and the values its mend names. `mend` is
    another mend than that of the check."""

    check: str
    ok: bool | None
    seen: str
    values: dict[str, Any] = field(default_factory=dict)
    mend: str = ""


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
        if one.ok is False:
            mend = say(MENDS, one.mend or one.check, here.language, **one.values)
        lines.append(f"{MARKS[one.ok]}  {name}: {one.seen}")
        lines += [f"      -> {mend}"] if mend else []
        body.append({"check": one.check, "ok": one.ok, "seen": one.seen, "mend": mend or None})
    bad = [one.check for one in findings if one.ok is False]
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
    return {"host": urlsplit(patient.room.config.portal).hostname, "least": LEAST_MB, "file": "", "missing": "?",
            "mode": "600"}


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
    """Every name that this node looks up itself: the proxy's in the place of what lies behind it."""
    config = patient.room.config
    found: list[tuple[str, str]] = []
    for url in [config.portal, config.relay, *_rpc(config)]:
        host = urlsplit((reach.proxy_for(url, config) or url) if url else "").hostname
        if host and host not in [name for name, _ in found]:
            try:
                found.append((host, str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])))
            except OSError as error:
                yield Finding("dns", False, f"{host}: {error.strerror}", {"host": host})
                return
    yield Finding("dns", True, ", ".join(f"{host} = {address}" for host, address in found))


def _rpc(config: Config) -> list[str]:
    """The chain's endpoints, if the trust file can be believed; whether it can is another check."""
    try:
        return [str(url) for url in load_trust(config.trust, fingerprint=config.fingerprint).chain.rpc]
    except (OSError, ValueError, LedgerError):
        return []


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
        yield Finding("clock", None, "?")
        return
    off = (datetime.now(UTC) - patient.date).total_seconds()
    yield Finding("clock", abs(off) <= OFF, f"{off:+.0f} s")


def _relay(patient: Patient) -> Iterator[Finding]:
    """Dialled as a worker dials it: TLS, the upgrade and the proxy, from inside the sandbox. A relay does not admit a
    worker without a token, and says so: what answers otherwise is none."""
    config = patient.room.config
    urls = reach.relays(config)
    if not urls:
        yield Finding("relay", None, "the portal names it when a job starts")
        return
    said = sandbox.dial(config.home, config.home / SCRATCH, config.limits, urls=urls,
                        proxy=reach.proxy_for(urls[0], config))
    there = next((url for url in urls if said.get(url) == KNOCKED), "")
    yield Finding("relay", bool(there), there or ", ".join(f"{url}: {said.get(url)}" for url in urls),
                  {"host": urlsplit(urls[0]).hostname})


def _disk(patient: Patient) -> Iterator[Finding]:
    free = shutil.disk_usage(patient.room.config.home).free >> 20
    yield Finding("disk", free >= LEAST_MB, f"{free} MB", {"least": LEAST_MB})


def _keys(patient: Patient) -> Iterator[Finding]:
    """Keys that nobody else reads, rules that nobody else writes, in a folder that nobody else enters."""
    home = patient.room.config.home
    for file, others, mode in [(home, 0o077, "700"), *((home / name, 0o077, "600") for name in SECRETS),
                               *((home / name, 0o022, "600") for name in RULES)]:
        if not file.exists():
            continue
        found = file.stat()
        if found.st_mode & others or found.st_uid != os.geteuid():
            yield Finding("keys", False, f"{file.name} {found.st_mode & 0o777:o}", {"file": file, "mode": mode})
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
        try:
            check_clock(head.time, datetime.now(UTC))
        except NodeError as error:
            if error.code != "clock.skew":
                raise
            yield Finding("clock", False, f"{datetime.now(UTC).timestamp() - head.time:+.0f} s")
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
        except NodeError as error:
            if error.code == UNREACHABLE:
                yield Finding("datasets", False, one.dataset, {"file": one.path}, "datasets_away")
                return
            same = False
        if not same:
            yield Finding("datasets", False, one.dataset, {"file": one.path})
            return
    yield Finding("datasets", True, str(len(found)))


def _book(patient: Patient) -> Iterator[Finding]:
    said = str(patient.room.book.rows("PRAGMA quick_check")[0][0])
    yield Finding("book", said == "ok", said)
    if patient.room.config.role == "dealer":
        lost = Frozen(patient.room.book).unknown(given_words(patient.room.audit))
        yield Finding("words", not lost, f"book.older_than_its_words: {len(lost)}" if lost else "ok")


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
