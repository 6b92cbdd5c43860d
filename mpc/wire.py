"""What passes between an agent and its worker: one order in, events out, a JSON object a line.

In:   the order, once; then {"proceed": true} when the party's own use is on chain (to a dealer when its agent has asked
      the chain, and again when it has counted the gate); {"stop": CODE} at any time.
Out:  {"ready": true} | {"event": "gate_started"} | {"event": "sealed", sealed, gate_hash, engine}
      | {"event": "all_ready"}, {"event": "finished", engine} (dealer) | {"event": "failed", code, about_seat}
An order with an unknown or a missing field, or of another form, is refused before anything is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ledger.documents import check, from_b64, load_json
from ledger.errors import LedgerError
from mpc.errors import SpecRefused
from mpc.filters import check_form
from mpc.spec import MAX_PARTIES, MIN_PARTIES, are_apart, check_engine, function_key
from mpc.transport.carrier import Relay
from mpc.transport.identity import SessionIdentity
from mpc.transport.setting import Peer

REQUIRED = frozenset({
    "role", "space", "seat", "parties", "job_hash", "attempt", "session", "peers", "own", "relay", "deadline",
    "function", "parameters", "columns", "rows_max_total", "floor", "data", "recipient", "sender",
})
TASK = frozenset({
    "role", "space", "spec", "columns", "rows_max_total", "floor", "data", "sender", "dealer_key", "deadline",
})
OPTIONAL = frozenset({"silence_seconds", "link_seconds", "filter"})
DATA_OPTIONAL = {"fingerprint_check", "unlisted_as_missing", "identifiers", "access"}
ACCESS = {"host", "port", "database", "user", "passfile", "sslmode", "sslrootcert", "schema", "table", "seconds"}
SILENCE, PATIENCE = 10.0, 30.0
PORTS = {"ws": 80, "wss": 443, "http": 80, "https": 443}
STOP_CODE = re.compile(r"[a-z]+(\.[a-z_]+)+\Z")
_HEX32 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class Data:
    """The party's own file; `identifiers` are those of its own dictionary (None: all that the columns name)."""

    path: str
    kind: str
    check: Mapping[str, str] | None = field(repr=False)  # holds the fingerprints' key
    unlisted_as_missing: bool = False
    identifiers: tuple[str, ...] | None = None
    access: Mapping[str, Any] | None = None

    @property
    def dials(self) -> tuple[tuple[str, int], ...]:
        """The hospital's own database, where the rows are in one."""
        return () if self.access is None else ((str(self.access["host"]), int(self.access["port"])),)

    @property
    def files(self) -> tuple[str, ...]:
        """What must be readable: the file itself, or what the way to the database needs."""
        if self.access is None:
            return (self.path,)
        return tuple(str(self.access[name]) for name in ("passfile", "sslrootcert") if self.access[name])


@dataclass(frozen=True)
class Work:
    """What every worker is told, whatever its part."""

    space: str
    columns: tuple[Mapping[str, Any], ...]
    rows_max_total: int
    floor: int
    data: Data | None
    sender: str
    deadline: float


@dataclass(frozen=True)
class Order(Work):
    """Everything one worker needs for one session, and nothing that outlives it."""

    role: str
    seat: int
    parties: int
    job_hash: str
    session: str
    peers: Mapping[int, Peer]
    exchange: Mapping[int, bytes]
    own: SessionIdentity
    relay: Relay
    function: str
    digest: str | None
    parameters: Mapping[str, Any]
    recipient: str
    recipient_key: str
    silence: float
    patience: float
    filter: Mapping[str, Any] | None = None

    @property
    def dealer(self) -> int:
        """The dealer sits above all parties."""
        return self.parties

    @property
    def dials(self) -> tuple[tuple[str, int], ...]:
        """The only place that the worker connects to: the relay, or the proxy on the way to it."""
        address = urlsplit(self.relay.proxy or self.relay.url)
        return ((address.hostname or "", address.port or PORTS[address.scheme]),)


@dataclass(frozen=True)
class Task(Work):
    """Everything one worker needs for one contribution to a job whose parties are not online together: no peer, no
    link, and no key but those that others read with."""

    spec: Mapping[str, Any]
    dealer_key: str

    @property
    def function(self) -> str:
        return function_key(self.spec["function"])

    @property
    def digest(self) -> str:
        return str(self.spec["function"]["digest"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return dict(self.spec["parameters"])

    @property
    def filter(self) -> Mapping[str, Any] | None:
        return self.spec["filter"] or None

    @property
    def parties(self) -> int:
        return len(self.spec["roster"])

    @property
    def dials(self) -> tuple[tuple[str, int], ...]:
        return ()


def _refuse(what: str) -> SpecRefused:
    return SpecRefused(f"the order is malformed: {what}")


def _whole(value: object, what: str, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _refuse(what)
    return value


def _hex32(value: object, what: str) -> str:
    if not isinstance(value, str) or not _HEX32.match(value):
        raise _refuse(what)
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise _refuse(what)
    return value


def _function(value: object) -> tuple[str, str | None]:
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and set(value) == {"name", "version", "digest"}:
        return function_key(value), _hex32(value["digest"], "function digest")
    raise _refuse("function")


def _data(value: object, role: str) -> Data | None:
    if (value is None) != (role == "dealer"):
        raise _refuse("data is a party's, and a party's only")
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - DATA_OPTIONAL != {"path", "kind"}:
        raise _refuse("data")
    unlisted = value.get("unlisted_as_missing", False)
    if not isinstance(unlisted, bool):
        raise _refuse("unlisted_as_missing")
    identifiers = value.get("identifiers")
    if identifiers is not None and (
            not isinstance(identifiers, list) or not all(isinstance(one, str) for one in identifiers)):
        raise _refuse("identifiers")
    check = value.get("fingerprint_check")
    if check is not None:
        if not isinstance(check, dict) or set(check) != {"key", "expected"}:
            raise _refuse("fingerprint check")
        bytes.fromhex(check["key"])
        _hex32(check["expected"], "fingerprint")
    access = value.get("access")
    if access is not None and (not isinstance(access, dict) or set(access) != ACCESS or not all(
            type(one) is (int if name in ("port", "seconds") else str) for name, one in access.items())):
        raise _refuse("access")
    return Data(_text(value["path"], "path"), _text(value["kind"], "kind"), check, unlisted,
                None if identifiers is None else tuple(identifiers), access)


def _relay(value: object, own: Mapping[str, Any]) -> Relay:
    if not isinstance(value, dict) or set(value) != {"url", "token", "proxy"}:
        raise _refuse("relay")
    url, proxy = _text(value["url"], "relay's address"), value["proxy"]
    _address(url, "relay's address", ("ws", "wss"))
    if proxy is not None:
        _address(_text(proxy, "proxy"), "proxy", ("http", "https"))
    return Relay(url, _text(value["token"], "token"), proxy, from_b64(own["private_key"]))


def _address(url: str, what: str, schemes: Sequence[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme not in schemes or not parts.hostname or parts.port == 0:
        raise _refuse(what)


def parse(line: str | bytes) -> Order | Task:
    """What the agent wants: a part in a session, or a contribution. Read strictly; anything odd raises `spec.malformed`
    and says which field."""
    try:
        body = load_json(line)
        if not isinstance(body, dict):
            raise _refuse("no object")
        if body.get("role") == "contributor":
            return _task(body)
        if not REQUIRED <= set(body) <= REQUIRED | OPTIONAL:
            raise _refuse("its fields are not those of an order")
        return _order(body)
    except (KeyError, TypeError, ValueError, AttributeError, LedgerError) as trouble:
        raise _refuse(type(trouble).__name__) from None


def parse_order(line: str | bytes) -> Order:
    """A part in a session, and nothing else."""
    found = parse(line)
    if not isinstance(found, Order):
        raise _refuse("role")
    return found


def _work(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of every order."""
    if not isinstance(body["columns"], list):
        raise _refuse("columns")
    return {
        "space": _text(body["space"], "space"), "columns": tuple(body["columns"]),
        "rows_max_total": _whole(body["rows_max_total"], "rows_max_total", 1, 1 << 53),
        "floor": _whole(body["floor"], "floor", 1, 1 << 40), "data": _data(body["data"], body["role"]),
        "sender": _text(body["sender"], "sender"), "deadline": float(body["deadline"])}


def _task(body: Mapping[str, Any]) -> Task:
    if set(body) != TASK:
        raise _refuse("its fields are not those of a contribution")
    check(body["spec"], "job_spec")
    if not are_apart(body["spec"]):
        raise _refuse("spec")
    check_engine(body["spec"])
    return Task(**_work(body), spec=body["spec"], dealer_key=_hex32(body["dealer_key"], "dealer's key"))


def _order(body: Mapping[str, Any]) -> Order:
    if body["role"] not in ("party", "dealer"):
        raise _refuse("role")
    parties = _whole(body["parties"], "parties", MIN_PARTIES, MAX_PARTIES)
    seat = _whole(body["seat"], "seat", 0, parties)
    if (seat == parties) != (body["role"] == "dealer"):
        raise _refuse("seat")
    peers, exchange = {}, {}
    for item in body["peers"]:
        place = _whole(item["seat"], "peer's seat", 0, parties)
        if place == seat:
            continue
        if place in peers:
            raise _refuse("two peers in one seat")
        peers[place] = Peer(place, from_b64(item["certificate"]))
        exchange[place] = bytes.fromhex(_hex32(item["exchange"], "exchange"))
    if sorted([*peers, seat]) != list(range(parties + 1)):
        raise _refuse("peers")
    own = body["own"]
    function, digest = _function(body["function"])
    if not isinstance(body["parameters"], dict):
        raise _refuse("parameters")
    return Order(
        **_work(body), role=body["role"], seat=seat, parties=parties, job_hash=_hex32(body["job_hash"], "job hash"),
        session=_hex32(body["session"], "session"), peers=peers, exchange=exchange,
        own=SessionIdentity(from_b64(own["certificate"]), from_b64(own["private_key"]),
                            bytes.fromhex(_hex32(own["exchange_private"], "exchange key"))),
        relay=_relay(body["relay"], own), function=function, digest=digest, parameters=body["parameters"],
        recipient=_text(body["recipient"]["participant"], "recipient"),
        recipient_key=_hex32(body["recipient"]["sealing"], "recipient's key"),
        silence=float(body.get("silence_seconds", SILENCE)), patience=float(body.get("link_seconds", PATIENCE)),
        filter=check_form(body.get("filter")),
    )


def event(name: str, **fields: Any) -> str:
    """One line for the agent."""
    return json.dumps({"event": name, **fields}, sort_keys=True)
