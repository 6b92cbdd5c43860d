"""Looks at everything a node needs and says what is not well, with the mend for each.

Each check changes nothing and catches its own trouble: a doctor that faints helps nobody. One that cannot be made until
another is well says which. What a worker is prevented from is tried, not read off a configuration. Says all in the
reader's language; prints names of files and hosts of this node, never a key or a value of a row. What others answered
draws no line of its own.
"""

import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from ledger.errors import LedgerError
from ledger.keys import KeyFile
from ledger.trust import Trust, load_trust
from mpc.node import reach, rulebook, sandbox, sources, wayout
from mpc.node.asked import plain
from mpc.node.checks import check_clock
from mpc.node.config import Config
from mpc.node.console import Room, Said
from mpc.node.errors import NodeError
from mpc.node.freezing import given_words
from mpc.node.frozen import Frozen
from mpc.node.wayout import Finding
from mpc.node.words import CHECKS, FOUND, MENDS, say
from mpc.node.workers import SCRATCH
from mpc.sources.duck import UNREACHABLE

LEAST_MB = 1024
OFF = 25.0  # the portal refuses what was signed more than thirty seconds off
WORKER = (sys.executable, "-P", "-m", "mpc.worker")
WORKER_SECONDS = 60.0
THROUGH_PROXY = ("dns", "portal", "relay", "chain")
WITH_LOCAL_KEY = ("policy", "datasets")
KNOCKED = "the relay answers 401"
ZONELESS = re.compile(r"policy\.toml, line [0-9]+: (hours|days|per_day) needs a zone")
MARKS = {True: "OK  ", False: "FAIL", None: "?   "}
UNWELL = (OSError, ValueError, sqlite3.Error, httpx.HTTPError, httpx.InvalidURL, LedgerError, NodeError)
SECRETS = ("keys.json", "approver.json", "fingerprint.key", "config.toml", "root.json", "proxy.password")
RULES = ("policy.toml", "node.sqlite3", "audit.jsonl", "trust.json")  # in a folder that nobody else enters
PREVENTED = ("reads_no_keys", "writes_no_data", "changes_no_modes", "dials_nothing_else", "dials_by_no_other_way",
             "listens_nowhere", "sends_no_datagrams", "signals_nobody", "limits_nobody", "starts_no_process",
             "starts_no_program", "memory_is_limited", "leaves_no_core", "gains_no_privilege")


@dataclass
class Patient:
    """What the checks share: the room, what is well so far, the portal's time once it came, the trust file once it was
    read."""

    room: Room
    well: set[str] = field(default_factory=set)
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
        values = _values(patient) | one.values | {"first": say(CHECKS, one.first, here.language)}
        name, mend = say(CHECKS, one.check, here.language), ""
        seen = plain(say(FOUND, one.seen, here.language, **values))
        if one.ok is False:
            mend = plain(say(MENDS, one.mend or one.check, here.language, **values))
        lines.append(f"{MARKS[one.ok]}  {name}: {seen}")
        lines += [f"      -> {mend}"] if mend else []
        body.append({"check": one.check, "ok": one.ok, "seen": seen, "mend": mend or None})
    bad = [one.check for one in findings if one.ok is False]
    return Said("\n".join(lines), {"ok": not bad, "failed": bad, "checks": body}, 1 if bad else 0)


def _findings(patient: Patient) -> Iterator[Finding]:
    checks: list[Callable[[Patient], Iterator[Finding]]] = [
        _switch, _proxy, _dns, _portal, _clock, _relay, _disk, _keys, _trust, _chain]
    if patient.room.config.role == "provider":
        checks += [_policy, _datasets]
    for check in [*checks, _book, _audit, _sandbox, _worker]:
        name = check.__name__.strip("_")
        if first := _first(name, patient):
            yield Finding(name, None, "not_checked", first=first)
            continue
        try:
            found = list(check(patient))
        except UNWELL as error:
            found = [_trouble(name, error)]
        patient.well |= {one.check for one in found if one.ok}
        yield from found


def _first(check: str, patient: Patient) -> str:
    """The check that must be well before this one can be made; empty when it can be made now."""
    config = patient.room.config
    if check in THROUGH_PROXY and "proxy" not in patient.well:
        return "proxy"
    if check in WITH_LOCAL_KEY and not _can(config.local_key):
        return "keys"
    if check == "clock" and patient.date is None and "portal" not in patient.well:
        return "portal"
    return "trust" if check == "chain" and patient.trust is None else ""


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except UNWELL:
        return False
    return True


def _trouble(check: str, error: Exception) -> Finding:
    """What a check died of, by its code; the book's trouble is the book's, whoever meets it."""
    values: dict[str, Any] = {"code": type(error).__name__, "text": str(error)[:300]}
    if isinstance(error, sqlite3.Error):
        return Finding(check, False, "unread_book", values, "book")
    if isinstance(error, OSError):
        values["code"] = wayout.named(error)
    if isinstance(error, FileNotFoundError) and error.filename:
        return Finding(check, False, "unread", values | {"file": error.filename})
    if isinstance(error, LedgerError | NodeError):
        values["code"] = error.code
    return Finding(check, False, values["code"] if values["code"] in FOUND else "trouble", values)


def _values(patient: Patient) -> dict[str, Any]:
    """What a mend may name, where its check died before it could say."""
    config, aim = patient.room.config, wayout.place(patient.room.config.portal)
    return {**aim, "place": f"{aim['host']}:{aim['port']}", "least": LEAST_MB, "file": config.home, "missing": "?",
            "mode": "700"}


def _switch(patient: Patient) -> Iterator[Finding]:
    stopped = patient.room.cases.stopped
    yield Finding("switch", stopped is None, "stopped" if stopped else "not_stopped", dict(stopped or {}))


def _proxy(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    if not config.proxy:
        yield Finding("proxy", True, "no_proxy")
        return
    secret = {"file": config.home / "proxy.password", "mode": "600"}
    if not _can(config.proxy_address):
        yield Finding("proxy", False, "unread", secret, "keys")
        return
    dialled, aim = wayout.place(config.proxy), wayout.place(config.portal)
    if dialled["host"] == "?":
        yield Finding("proxy", False, "is", {"text": config.proxy, "place": config.proxy})
        return
    there = (dialled["host"], dialled["port"])
    values = {"place": f"{there[0]}:{there[1]}"}
    try:
        status = wayout.ask_proxy(there, f"{aim['host']}:{aim['port']}", urlsplit(config.proxy_address() or ""))
    except socket.gaierror as error:
        yield Finding("proxy", False, "no_address", {"host": there[0], "text": error.strerror}, "dns")
        return
    except OSError as error:
        yield Finding("proxy", False, "no_way_to", values | {"code": wayout.named(error)})
        return
    if status == "200":
        yield Finding("proxy", True, "is", {"text": values["place"]})
    else:
        yield Finding("proxy", False, "proxy_says", values | secret | {"status": status or "?", **aim},
                      wayout.mend_of_proxy(status))


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
                yield Finding("dns", False, "no_address", {"host": host, "text": error.strerror})
                return
    yield Finding("dns", True, "is", {"text": ", ".join(f"{host} = {address}" for host, address in found)})


def _rpc(config: Config) -> list[str]:
    """The chain's endpoints, if the trust file can be believed; whether it can is another check."""
    try:
        return [str(url) for url in load_trust(config.trust, fingerprint=config.fingerprint).chain.rpc]
    except (OSError, ValueError, LedgerError):
        return []


def _portal(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    begun = time.monotonic()
    try:
        answer = patient.http(f"{config.portal}/healthz", timeout=10.0, trust_env=False,
                              proxy=reach.proxy_for(config.portal, config), verify=ssl.create_default_context())
    except httpx.HTTPError as error:
        yield wayout.no_portal(config, error)
        return
    if stamp := answer.headers.get("date"):
        with suppress(ValueError, TypeError, OverflowError):  # one that nobody can read is no time
            patient.date = parsedate_to_datetime(stamp).astimezone(UTC)
    mend = wayout.mend_of_portal(config, answer.status_code)
    tls = config.portal.startswith("https:")
    yield Finding("portal", not mend, "portal_answers" if tls else "portal_answers_openly", {
        **wayout.place(config.portal), "status": answer.status_code, "seconds": f"{time.monotonic() - begun:.2f}",
        "file": config.home / "proxy.password"}, mend)


def _clock(patient: Patient) -> Iterator[Finding]:
    """Against the portal's clock, which is no authority: the chain's is looked at below."""
    if patient.date is None:
        yield Finding("clock", None, "no_time")
        return
    off = (datetime.now(UTC) - patient.date).total_seconds()
    yield Finding("clock", abs(off) <= OFF, "is", {"text": f"{off:+.0f} s"})


def _relay(patient: Patient) -> Iterator[Finding]:
    """Dialled as a worker dials it: TLS, the upgrade and the proxy, from inside the sandbox. A relay does not admit a
    worker without a token, and says so: what answers otherwise is none."""
    config = patient.room.config
    urls = reach.relays(config)
    if not urls:
        yield Finding("relay", None, "relay_later")
        return
    said = sandbox.dial(config.home, config.home / SCRATCH, config.limits, urls=urls,
                        proxy=reach.proxy_for(urls[0], config))
    there = next((url for url in urls if said.get(url) == KNOCKED), "")
    told = "; ".join(f"{url}: {said.get(url)}" for url in urls)
    yield Finding("relay", bool(there), "is" if there else "no_relay", {
        **wayout.place(urls[0]), "places": ", ".join(urls), "text": there or told})


def _disk(patient: Patient) -> Iterator[Finding]:
    free = shutil.disk_usage(patient.room.config.home).free >> 20
    yield Finding("disk", free >= LEAST_MB, "is", {"text": f"{free} MB"})


def _keys(patient: Patient) -> Iterator[Finding]:
    """Keys that are there and that nobody else reads, rules that nobody else writes, in a folder that nobody else
    enters."""
    config, home = patient.room.config, patient.room.config.home
    for file, others, mode in [(home, 0o077, "700"), *((home / name, 0o077, "600") for name in SECRETS),
                               *((home / name, 0o022, "600") for name in RULES)]:
        if not file.exists():
            continue
        found = file.stat()
        if found.st_mode & others or found.st_uid != os.geteuid():
            text = f"{file.name} {found.st_mode & 0o777:o}"
            yield Finding("keys", False, "is", {"text": text, "file": file, "mode": mode})
            return
    lost = [(file, mend) for file, read, mend in (
        (config.keys, partial(KeyFile.load, config.keys), "keys_lost"),
        (home / "fingerprint.key", config.local_key, "local_key_lost")) if not _can(read)]
    for file, mend in lost:
        yield Finding("keys", False, "unread", {"file": file}, mend)
    if not lost:
        yield Finding("keys", True, "is", {"text": "600"})


def _trust(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    try:
        patient.trust = load_trust(config.trust, fingerprint=config.fingerprint)
    except UNWELL as error:
        found = _trouble("trust", error)
        yield replace(found, values={**found.values, "file": config.trust})
        return
    yield Finding("trust", True, "is", {"text": f"{patient.trust.name}, {patient.trust.serial}"})


def _chain(patient: Patient) -> Iterator[Finding]:
    if patient.trust is None:  # `_first` sees to it
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
            yield Finding("clock", False, "is", {"text": f"{datetime.now(UTC).timestamp() - head.time:+.0f} s"})
        ends = len(patient.trust.chain.rpc)
        yield Finding("chain", True, "is", {"text": f"{patient.trust.chain.profile} #{head.number}, {ends} rpc"})
    finally:
        getattr(chain, "close", lambda: None)()


def _policy(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    reading = rulebook.read(config.policy, config.local_key())
    seen = "policy_fault" if reading.line else "policy_unread" if reading.fault else "is"
    zoneless = ZONELESS.match(reading.fault)
    yield Finding("policy", not reading.fault, "policy_zone" if zoneless else seen, {
        "text": reading.fault or reading.policy.hash[:16], "line": reading.line, "file": config.policy,
        "name": zoneless[1] if zoneless else ""})


def _datasets(patient: Patient) -> Iterator[Finding]:
    config, found = patient.room.config, patient.room.book.datasets()
    for one in found:
        try:
            same = sources.fingerprint(config, one.path) == one.record["fingerprint"]
        except NodeError as error:
            if error.code == UNREACHABLE:
                yield Finding("datasets", False, "is", {"text": one.dataset, "file": one.path}, "datasets_away")
                return
            same = False
        if not same:
            yield Finding("datasets", False, "is", {"text": one.dataset, "file": one.path})
            return
    yield Finding("datasets", True, "is", {"text": len(found)})


def _book(patient: Patient) -> Iterator[Finding]:
    said = str(patient.room.book.rows("PRAGMA quick_check")[0][0])
    yield Finding("book", said == "ok", "is" if said == "ok" else "unread_book", {"text": said})
    if patient.room.config.role == "dealer":
        lost = Frozen(patient.room.book).unknown(given_words(patient.room.audit))
        yield Finding("words", not lost, "is", {"text": f"book.older_than_its_words: {len(lost)}" if lost else "ok"})


def _audit(patient: Patient) -> Iterator[Finding]:
    yield Finding("audit", True, "is", {"text": patient.room.audit.verify().lines})


def _sandbox(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    found = sandbox.probe(config.home, config.home / SCRATCH, config.limits)
    missing = [name for name in PREVENTED if not found.get(name)]
    text = f"Landlock {found.get('landlock', 0)}, seccomp {'+' if found.get('filter') else '-'}"
    yield Finding("sandbox", not missing, "is", {"text": text, "missing": ", ".join(missing)})


def _worker(patient: Patient) -> Iterator[Finding]:
    config = patient.room.config
    folder, begun = sandbox.private_folder(config.home / SCRATCH), time.monotonic()
    process = sandbox.start(WORKER, config.limits, folder, cwd=config.home, stderr=subprocess.DEVNULL)
    try:
        # nothing is ordered: it says that it is ready, hears that its input ends, and goes
        said, _ = process.communicate(timeout=WORKER_SECONDS)
        ready = b'"ready": true' in said
        event = json.loads(said.splitlines()[-1]) if said and not ready else {}
        text = f"{time.monotonic() - begun:.1f} s" if ready else event.get("code", "worker.failed")
        yield Finding("worker", ready, "is", {"text": text})
    except subprocess.TimeoutExpired:
        yield Finding("worker", False, "is", {"text": "session.deadline"})
    finally:
        process.kill()
        process.communicate()
        sandbox.wipe(folder)
