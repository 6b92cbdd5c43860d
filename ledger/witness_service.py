"""A witness as a service: its home, its memory on the disk, and a small HTTP server around `ledger.witness`.

    python -m ledger witness --home DIR --init NAME                              make a key; prints its public half
    python -m ledger witness --home DIR --trust FILE --fingerprint HEX [--rpc URL ...]    take up a space's log
    python -m ledger witness --home DIR --listen HOST:PORT                       serve

What was judged is on the disk before it is answered, and no two requests are judged at once: a witness killed at any
moment has never cosigned what it does not remember. Whoever may read its key can speak for it: mode 0600, or it does
not start. With `--rpc` it vouches for the block that a checkpoint names only if that endpoint says the same.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.anchor import log_id_of
from ledger.checkpoint import AnchorSeen, cosignature
from ledger.documents import load_json, public_hex
from ledger.endpoint import Endpoints
from ledger.errors import LedgerError, VerificationError
from ledger.shapes import digest, fields, hexadecimal, integer, items, literal, pattern, text
from ledger.trust import Trust, load_trust
from ledger.witness import MAX_REQUEST, Answer, CheckAnchor, Seen, judge

log = logging.getLogger(__name__)

IDLE = 30.0
AT_ONCE = 32
MOST_EVIDENCE = 1000
NAME = pattern(r"[a-z0-9][a-z0-9./-]{0,99}", "a witness's name: small letters, digits, dots, slashes")
CONFIG = fields({"version": literal(1), "name": NAME, "fingerprint": pattern("([0-9a-f]{64})?", "a fingerprint"),
                 "rpc": items(text(1, 300), 0, 8)})
SEEN = fields({"size": integer(0), "root": digest, "note": text(1, 9000),
               "roots": items(lambda value, pointer: None, 0, 10_000)})


@dataclass
class Witness:
    """One witness: key, name, the logs it knows, and what it has seen of them."""

    home: Path
    name: str
    key: Ed25519PrivateKey = field(repr=False)
    logs: dict[str, str]
    check_anchor: CheckAnchor | None = None
    now: Callable[[], float] = time.time
    seen: dict[str, Seen] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.seen = _read_state(self.home)

    def add_checkpoint(self, request: bytes) -> Answer:
        """Judge, store, cosign: in this order, one request at a time."""
        with self._turn:
            answer = judge(request, logs=self.logs, seen=self.seen, check_anchor=self.check_anchor)
            if answer.seen is None:
                if answer.evidence:
                    _keep_evidence(self.home, answer.evidence)
                return answer
            seen = {**self.seen, answer.origin: answer.seen}
            if seen != self.seen:
                _write_state(self.home, seen)
                self.seen = seen
            return Answer(200, cosignature(answer.seen.note, self.key, name=self.name, now=int(self.now())))

    def health(self) -> dict[str, Any]:
        """Public: who this is, and how far it has seen."""
        return {"ok": True, "name": self.name, "key": public_hex(self.key),
                "logs": {origin: self.seen[origin].size if origin in self.seen else 0 for origin in self.logs}}


# --- home


def make_home(home: Path, name: str) -> str:
    """Make a witness's folder and key, or find them made; answers the public key."""
    NAME(name, "/name")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (home / "witness.key").exists():
        _write(home / "witness.key", Ed25519PrivateKey.generate().private_bytes_raw().hex() + "\n")
        _write(home / "config.json", _text({"version": 1, "name": name, "fingerprint": "", "rpc": []}))
    return public_hex(_key(home))


def adopt(home: Path, trust_file: Path, *, fingerprint: str, rpc: Sequence[str] = ()) -> Trust:
    """Take up the log that a trust file names; the file is kept in the home."""
    trust = load_trust(trust_file, fingerprint=fingerprint)
    config = _config(home)
    _write(home / "trust.json", trust_file.read_text(encoding="utf-8"))
    _write(home / "config.json", _text({**config, "fingerprint": trust.fingerprint, "rpc": list(rpc)}))
    return trust


def open_home(home: Path) -> Witness:
    """The witness of this folder, with the log of the trust file it adopted."""
    config = _config(home)
    if not config["fingerprint"]:
        raise VerificationError("witness.no_log", "this witness has adopted no trust file yet")
    trust = load_trust(home / "trust.json", fingerprint=config["fingerprint"])
    check = anchor_checker(trust, config["rpc"]) if config["rpc"] else None
    return Witness(home, config["name"], _key(home), {trust.log.origin: trust.log.key}, check)


def anchor_checker(trust: Trust, urls: Sequence[str]) -> CheckAnchor:
    """Asks own endpoints whether the named block is final, and the contract holds the root that we saw."""
    def check(named: AnchorSeen, root: bytes) -> None:
        if named.chain_id != trust.chain.id:
            raise VerificationError("chain.wrong", "the checkpoint names a block of another chain")
        chain = Endpoints(trust, urls, quorum=trust.chain.quorum, timeout=3.0)
        if chain.final_hash(named.block) != named.block_hash:
            raise VerificationError("chain.wrong", "the chain knows another block of this number")
        if chain.root_at(log_id_of(trust.log.origin), named.size) != "0x" + root.hex():
            raise VerificationError("chain.wrong", "the chain holds another root at the anchored size, or none")
    return check


def _config(home: Path) -> dict[str, Any]:
    config: dict[str, Any] = load_json((home / "config.json").read_bytes())
    CONFIG(config, "")
    return config


def _key(home: Path) -> Ed25519PrivateKey:
    with (home / "witness.key").open() as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise VerificationError("key.file_open", f"{file.name} can be read by others; chmod 600 it")
        value = file.read().strip()
    hexadecimal(32)(value, "/witness.key")
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(value))


def _read_state(home: Path) -> dict[str, Seen]:
    try:
        state = load_json((home / "state.json").read_bytes())
    except FileNotFoundError:
        return {}
    found = {}
    for origin, one in state.items():
        SEEN(one, f"/{origin}")
        roots = tuple((int(size), bytes.fromhex(root)) for size, root in one["roots"])
        found[origin] = Seen(one["note"], one["size"], bytes.fromhex(one["root"]), roots)
    return found


def _write_state(home: Path, seen: dict[str, Seen]) -> None:
    state = {origin: {"size": one.size, "root": one.root.hex(), "note": one.note,
                      "roots": [[size, root.hex()] for size, root in one.roots]} for origin, one in seen.items()}
    _write(home / "state.json", json.dumps(state) + "\n")


def _keep_evidence(home: Path, note: str) -> None:
    """A note with the log's own signature that did not fit may prove a fork (`ledger.witness.prove_fork`)."""
    folder = home / "refused"
    folder.mkdir(exist_ok=True, mode=0o700)
    file = folder / f"{sha256(note.encode()).hexdigest()}.txt"
    if not file.exists() and sum(1 for _ in folder.iterdir()) < MOST_EVIDENCE:
        _write(file, note)


def _text(value: object) -> str:
    return json.dumps(value, indent=1) + "\n"


def _write(path: Path, content: str) -> None:
    """All of it or nothing, on the disk when this returns."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


# --- service


class Service(ThreadingHTTPServer):
    """The witness's HTTP server; `server_address` says where it listens. More than `AT_ONCE` callers wait."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, witness: Witness, address: tuple[str, int]) -> None:
        self.witness = witness
        self.room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(address, _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with self.room:
            super().process_request_thread(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server: Service

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != "/add-checkpoint":
            return self._say(Answer(404, "no such address\n"), close=True)
        if not length.isascii() or not length.isdigit() or len(length) > 6 or int(length) > MAX_REQUEST:
            return self._say(Answer(400, "the request says no length, or one that is too long\n"), close=True)
        try:
            answer = self.server.witness.add_checkpoint(self.rfile.read(int(length)))
        except (OSError, LedgerError) as trouble:
            log.error("cannot answer: %s", trouble)
            answer = Answer(500, "this witness is in trouble\n")
        self._say(answer)

    def do_GET(self) -> None:
        if self.path != "/healthz":
            return self._say(Answer(404, "no such address\n"))
        self._say(Answer(200, json.dumps(self.server.witness.health()) + "\n", "application/json"))

    def _say(self, answer: Answer, *, close: bool = False) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if close:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.info(format, *args)


def serve(home: Path, host: str, port: int) -> None:
    """Serve until SIGTERM; one process a home."""
    lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as trouble:
        raise VerificationError("witness.running", "another process already serves this home") from trouble
    with Service(open_home(home), (host, port)) as service:
        signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=service.shutdown).start())
        print(f"ready {service.server_address[0]!s}:{service.server_address[1]}", flush=True)
        service.serve_forever(poll_interval=0.1)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of this file's docstring."""
    parser = argparse.ArgumentParser(prog="python -m ledger witness", description="Cosign a log's checkpoints.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--init", metavar="NAME")
    parser.add_argument("--trust", type=Path)
    parser.add_argument("--fingerprint")
    parser.add_argument("--rpc", action="append", default=[], metavar="URL")
    parser.add_argument("--listen", metavar="HOST:PORT")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        if given.init:
            print(make_home(given.home, given.init))
        if given.trust:
            if not given.fingerprint:
                parser.error("--trust needs --fingerprint, from outside the portal")
            print("adopted " + adopt(given.home, given.trust, fingerprint=given.fingerprint, rpc=given.rpc).log.origin)
        if given.listen:
            host, _, port = given.listen.rpartition(":")
            serve(given.home, host.strip("[]"), int(port))
        elif not given.init and not given.trust:
            parser.error("say --init, --trust or --listen")
    except (LedgerError, OSError, ValueError) as trouble:
        print(f"witness: {trouble}", file=sys.stderr)
        return 1
    return 0
