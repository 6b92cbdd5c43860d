"""A node's home folder: where each file lies, and `config.toml`. Nothing else in the node knows a file's name.

The only reader of the node's configuration. It reads and writes files of its own home; no network, no key material
other than the local fingerprint key.
"""

import ipaddress
import json
import os
import re
import secrets
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from mpc.node.errors import Unfit
from mpc.node.policy import DEFAULT_TEXT

PROXY_SECRET = "XINGLIN_PROXY_PASSWORD"  # noqa: S105 - a name
SSL = ("verify-full", "verify-ca", "require", "disable")
SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,40}")
ENVIRONMENTS = ("production", "development")
ROLES = ("provider", "dealer", "regulator", "consumer")
FIELDS = ("participant", "role", "portal", "fingerprint", "approver", "service", "session_seconds", "name", "relay",
          "proxy", "syslog", "env", "jobs_at_once", "waiting_per_customer", "worker", "source")
COUNTS = ("jobs_at_once", "waiting_per_customer")


@dataclass(frozen=True)
class Limits:
    """What one worker process may take: memory of its own, time on the processor, open files, bytes of one file."""

    memory_mb: int = 4096
    cpu_seconds: int = 7200
    files: int = 256
    file_mb: int = 1024


@dataclass(frozen=True)
class Source:
    """A database of this hospital, by reference: the password lies in `passfile`, which only its owner reads."""

    kind: str
    host: str
    port: int
    database: str = ""
    user: str = ""
    passfile: str = ""
    sslmode: str = "verify-full"
    sslrootcert: str = ""
    seconds: int = 600


@dataclass(frozen=True)
class Config:
    """The settings of one home; `approver` and `service` are this organisation's own pinned addresses.

    `env`: a node that is not told `development` talks to no development chain.
    `relay` (an address) stands in the place of the one that the portal names; `proxy` is an HTTP CONNECT proxy.
    `jobs_at_once` compute together (0: as many as suit the role); `waiting_per_customer` accepted jobs of one customer
    may wait for others.
    """

    home: Path
    participant: str
    role: str
    portal: str
    name_zh: str
    name_en: str
    fingerprint: str = ""
    approver: str = ""
    service: str = ""
    session_seconds: int = 120
    relay: str = ""
    proxy: str = ""
    syslog: str = ""
    env: str = "production"
    jobs_at_once: int = 0
    waiting_per_customer: int = 16
    limits: Limits = Limits()
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def at_once(self) -> int:
        """How many jobs may have a worker; the one dealer serves the whole space."""
        return self.jobs_at_once or (16 if self.role == "dealer" else 4)

    @property
    def keys(self) -> Path:
        """The organisation's signing, sealing and service keys."""
        return self.home / "keys.json"

    @property
    def approver_keys(self) -> Path:
        """A person's approval key; stays with that person, the running agent never opens it."""
        return self.home / "approver.json"

    @property
    def trust(self) -> Path:
        """The signed trust file; believed only under `fingerprint`."""
        return self.home / "trust.json"

    @property
    def policy(self) -> Path:
        """The hospital's own rules."""
        return self.home / "policy.toml"

    @property
    def book(self) -> Path:
        """The durable book of jobs, uses and revocations."""
        return self.home / "node.sqlite3"

    @property
    def inbox(self) -> Path:
        """Signed revocations handed over outside the portal, one JSON file each."""
        return self.home / "inbox"

    @property
    def audit(self) -> Path:
        """The hash-chained record of decisions and acts."""
        return self.home / "audit.jsonl"

    @property
    def data(self) -> Path:
        """Where datasets may lie; registered files may lie elsewhere too."""
        return self.home / "data"

    def proxy_address(self) -> str | None:
        """The proxy with its user and password, if it asks for them: for a connection, never for a log or an argument.

        They stand as `user:password` in `proxy.password`, a file that only its owner may read, or in the environment.
        """
        secret = os.environ.get(PROXY_SECRET, "")
        with suppress(FileNotFoundError), (self.home / "proxy.password").open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Unfit("config.malformed", "proxy.password may be read by others: chmod 600 proxy.password")
            secret = file.read().strip()
        if not self.proxy or not secret:
            return self.proxy or None
        user, _, password = secret.partition(":")
        parts = urlsplit(self.proxy)
        return parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}").geturl()

    def local_key(self) -> bytes:
        """The 32 bytes under which this node keys its fingerprints; never leaves the home."""
        try:
            key = bytes.fromhex((self.home / "fingerprint.key").read_text().strip())
        except (OSError, ValueError) as error:
            raise Unfit("config.missing", "fingerprint.key cannot be read") from error
        if len(key) != 32:
            raise Unfit("config.malformed", "fingerprint.key must hold 32 bytes in hex")
        return key


def create(config: Config, *, policy: str = DEFAULT_TEXT) -> None:
    """Lay out a new home: folders, configuration, a policy (by default one that denies everything), fingerprint key.
    Refuses to overwrite one."""
    home = config.home
    if (home / "config.toml").exists():
        raise Unfit("config.exists", f"{home} already holds a node")
    for folder in (home, config.inbox, config.data, home / "log"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(home / "fingerprint.key", secrets.token_hex(32) + "\n")
    if config.role == "provider":
        config.policy.write_text(policy)
    save(config)


def save(config: Config) -> None:
    """Write `config.toml` whole, by rename."""
    values = {
        "participant": config.participant,
        "role": config.role,
        "portal": config.portal,
        "fingerprint": config.fingerprint,
        "approver": config.approver,
        "service": config.service,
        "session_seconds": config.session_seconds,
        **{name: value for name, value in (
            ("relay", config.relay), ("proxy", config.proxy), ("syslog", config.syslog)) if value},
    }
    bare = Config(config.home, "", "", "", "", "")
    values |= {name: value for name in ("env", *COUNTS) if (value := getattr(config, name)) != getattr(bare, name)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    lines += ["", "[name]", f"zh = {_quoted(config.name_zh)}", f"en = {_quoted(config.name_en)}", ""]
    if config.limits != Limits():
        lines += ["[worker]", *(f"{name} = {value}" for name, value in asdict(config.limits).items()), ""]
    for name, source in config.sources.items():
        lines += [f"[source.{name}]", *(f"{part} = {json.dumps(value)}" for part, value in asdict(source).items()), ""]
    write_private(config.home / "config.toml", "\n".join(lines))


def load(home: Path) -> Config:
    """The configuration of this home; raises `Unfit` when it is absent or not understood."""
    try:
        table = tomllib.loads((home / "config.toml").read_text())
    except OSError as error:
        raise Unfit("config.missing", f"{home} holds no config.toml: run init first") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unfit("config.malformed", "config.toml is not TOML") from error
    if unknown := sorted(set(table) - set(FIELDS)):
        raise Unfit("config.malformed", f"config.toml: unknown field {unknown[0]}")
    name = table.get("name", {})
    config = Config(
        home=home,
        participant=_text(table, "participant"),
        role=_text(table, "role"),
        portal=_text(table, "portal"),
        name_zh=_text(name, "zh"),
        name_en=_text(name, "en"),
        fingerprint=_text(table, "fingerprint"),
        approver=_text(table, "approver"),
        service=_text(table, "service"),
        relay=_text(table, "relay"),
        proxy=_text(table, "proxy"),
        syslog=_text(table, "syslog"),
        env=_text(table, "env") or "production",
        **_counts(table),
        limits=_limits(table.get("worker", {})),
        sources=_sources(table.get("source", {})),
    )
    if "@" in config.proxy:
        raise Unfit("config.malformed", "config.toml: proxy without user and password; those go into proxy.password")
    seconds = table.get("session_seconds", config.session_seconds)
    if config.env not in ENVIRONMENTS:
        raise Unfit("config.malformed", f"config.toml: env is {' or '.join(ENVIRONMENTS)}")
    if config.role not in ROLES or type(seconds) is not int or not 5 <= seconds <= 86_400:
        raise Unfit("config.malformed", "config.toml: role or session_seconds")
    return replace(config, session_seconds=seconds)


def _counts(table: dict[str, Any]) -> dict[str, int]:
    found = {name: table[name] for name in COUNTS if name in table}
    if any(type(value) is not int or not 1 <= value <= 1000 for value in found.values()):
        raise Unfit("config.malformed", f"config.toml: {' and '.join(COUNTS)} are whole numbers from 1 to 1000")
    return found


def _limits(table: Any) -> Limits:
    known = asdict(Limits())
    if not isinstance(table, dict) or set(table) - set(known):
        raise Unfit("config.malformed", f"config.toml: [worker] knows {', '.join(known)}")
    if any(type(value) is not int or not 1 <= value <= 1 << 24 for value in table.values()):
        raise Unfit("config.malformed", "config.toml: [worker] holds whole numbers")
    return Limits(**{**known, **table})


def _sources(table: Any) -> dict[str, Source]:
    """Strictly: an unknown field, or a password in the place of its file, is refused."""
    if not isinstance(table, dict):
        raise Unfit("config.malformed", "config.toml: source is a table of tables, [source.NAME]")
    found = {}
    for name, one in table.items():
        known = {part.name: part.type for part in fields(Source)}
        if not SOURCE.fullmatch(name) or not isinstance(one, dict) or set(one) - set(known):
            raise Unfit("config.malformed", f"config.toml: [source.{name[:40]}] knows {', '.join(known)}")
        if any(type(value) is not (int if part in ("port", "seconds") else str) for part, value in one.items()):
            raise Unfit("config.malformed", f"config.toml: [source.{name}] holds texts; port and seconds are numbers")
        if one.get("kind") not in ("postgresql", "spark") or not one.get("host") or not 1 <= one.get("port", 0) < 65536:
            raise Unfit("config.malformed", f"config.toml: [source.{name}] names kind, host and port")
        if one.get("sslmode", "verify-full") not in SSL or not 1 <= one.get("seconds", 600) <= 86_400:
            raise Unfit("config.malformed", f"config.toml: [source.{name}] sslmode is one of {', '.join(SSL)}")
        found[name] = Source(**one)
        _check_reach(name, found[name])
    return found


def _check_reach(name: str, source: Source) -> None:
    """Nothing in clear beyond this machine, and no word that this kind of source would not keep."""
    if source.sslmode == "disable" and not _is_here(source.host):
        raise Unfit("config.malformed", f"config.toml: [source.{name}] sslmode disable is for this machine alone")
    if source.kind == "spark" and (source.database or source.user or source.sslrootcert
                                   or source.sslmode not in ("verify-full", "disable")):
        raise Unfit("config.malformed", f"config.toml: [source.{name}] a Spark cluster has no database, user or "
                                        "sslrootcert, and its sslmode is verify-full or disable")


def _is_here(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name, "")
    if not isinstance(value, str):
        raise Unfit("config.malformed", f"config.toml: {name} must be text")
    return value
