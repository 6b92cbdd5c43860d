"""Witnesses as processes, with a chain of their own to ask: they vouch for true blocks and remember through kill -9; an
operator who holds the log's key gets nothing false cosigned by two of them.
"""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client

from dataspace.provenance import followers, queries, space, store, witnesses
from dataspace.provenance.models import Checkpoint
from deploy.children import free_port
from deploy.waiting import wait_until
from ledger.checkpoint import AnchorSeen, anchor_seen, parse_note, sign_checkpoint, verify_cosignatures
from ledger.documents import signed
from ledger.log import Log, MemoryStore
from ledger.witness import prove_fork, write_submission
from ledger.witness_service import make_home
from tests.integration.log_portal import anchored, happen, portal

__all__ = ["portal"]
pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ledger", "witness", *arguments]


@dataclass
class Office:
    """One witness's process and home."""

    home: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    key: str = ""

    def init(self) -> None:
        done = subprocess.run(command("--home", str(self.home), "--init", f"test/{self.home.name}"), check=True,
                              capture_output=True, text=True)
        self.key = done.stdout.strip()

    def start(self, *adopt: str) -> None:
        serve = command("--home", str(self.home), "--listen", f"127.0.0.1:{self.port}", *adopt)
        self.process = subprocess.Popen(serve, stdout=subprocess.DEVNULL)
        assert wait_until(self.answers, seconds=30)

    def answers(self) -> bool:
        with suppress(OSError):
            return self.ask("GET", "/healthz")[0] == 200
        return False

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            link.request(method, path, body)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        finally:
            link.close()

    def add(self, old: int, log: Log, note: str) -> tuple[int, str]:
        size = parse_note(note).checkpoint.size
        proof = log.consistency(old, size) if old else []
        return self.ask("POST", "/add-checkpoint", write_submission(old, proof, note))

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = None


@pytest.fixture
def offices(portal: dict[str, Any], settings: Any, tmp_path: Path) -> Iterator[list[Office]]:
    found = [Office(tmp_path / f"w{number}") for number in range(3)]
    for one in found:
        one.key = make_home(one.home, f"test/{one.home.name}")
    document = {**portal["wire"]["document"], "witnesses": {"k": 2, "keys": [one.key for one in found]}}
    Path(settings.XINGLIN_TRUST).write_text(json.dumps(signed(document, portal["root"])))
    settings.XINGLIN_WITNESSES = tuple(f"http://127.0.0.1:{one.port}" for one in found)
    rpc = document["chain"]["rpc"][0]
    try:
        for one in found:
            one.start("--trust", settings.XINGLIN_TRUST, "--fingerprint", settings.XINGLIN_FINGERPRINT, "--rpc", rpc)
        yield found
    finally:
        for one in found:
            one.kill()


def test_an_operator_with_the_logs_key_gets_nothing_false_cosigned(offices: list[Office]) -> None:
    happen(3)
    assert anchored(3)

    def named() -> Checkpoint | None:
        followers.run_all()
        return Checkpoint.objects.filter(names__isnull=False, published_at__isnull=False).first()

    assert wait_until(lambda: named() is not None, seconds=30), "a checkpoint names the anchor once it is final"
    checkpoint = named()
    assert checkpoint is not None
    true = anchor_seen(parse_note(checkpoint.note).checkpoint)
    assert true is not None
    assert len(verify_cosignatures(checkpoint.cosigned, [one.key for one in offices])) >= 2
    assert Client().get("/log/checkpoint").content.decode() == checkpoint.cosigned

    origin, log_key = space.trust().log.origin, space.log_key()
    log, root = store.log(), store.log().root()
    for false in (AnchorSeen(true.chain_id, 3, true.block, "0x" + "ab" * 32),
                  AnchorSeen(true.chain_id, 3, true.block - 1, true.block_hash),
                  AnchorSeen(true.chain_id + 1, 3, true.block, true.block_hash),
                  AnchorSeen(true.chain_id, 2, true.block, true.block_hash)):
        note = sign_checkpoint(origin, 3, root, log_key, [false.line()])
        assert offices[0].add(3, log, note)[0] == 422
    beyond = AnchorSeen(true.chain_id, 3, true.block + 10_000, "0x" + "ab" * 32)
    assert offices[0].add(3, log, sign_checkpoint(origin, 3, root, log_key, [beyond.line()]))[0] == 503

    offices[0].kill()
    offices[0].start()  # it has forgotten nothing
    witnesses.forget_pauses()
    other = Log(MemoryStore())
    other.append([*log.leaves(0, 2), bytes(32), bytes(32)])
    notes = [sign_checkpoint(origin, size, other.root(size), log_key) for size in (3, 4)]
    assert [offices[0].add(3, other, note)[0] for note in notes] == [409, 422]
    assert sorted(file.read_text() for file in (offices[0].home / "refused").iterdir()) == sorted(notes)
    fork = prove_fork(checkpoint.note, notes[0], origin=origin, key=space.trust().log.key)
    assert fork is not None
    assert fork.size == 3

    happen(1)
    assert anchored(4)
    assert [one.state for one in queries.witnesses()] == ["cosigning"] * 3


def test_only_its_owner_starts_a_witness_and_only_once(tmp_path: Path, portal: dict[str, Any], settings: Any) -> None:
    office = Office(tmp_path / "w")
    office.init()
    again = Ed25519PrivateKey.from_private_bytes(bytes.fromhex((office.home / "witness.key").read_text().strip()))
    assert again.public_key().public_bytes_raw().hex() == office.key
    early = subprocess.run(command("--home", str(office.home), "--listen", "127.0.0.1:0"), check=False,
                           capture_output=True, text=True)
    assert (early.returncode, "no trust file" in early.stderr) == (1, True)
    try:
        office.start("--trust", settings.XINGLIN_TRUST, "--fingerprint", settings.XINGLIN_FINGERPRINT)
        second = subprocess.run(command("--home", str(office.home), "--listen", "127.0.0.1:0"), check=False,
                                capture_output=True, text=True)
        assert (second.returncode, "already serves" in second.stderr) == (1, True)
    finally:
        office.kill()
    (office.home / "witness.key").chmod(0o644)
    seen = subprocess.run(command("--home", str(office.home), "--listen", "127.0.0.1:0"), check=False,
                          capture_output=True, text=True)
    assert (seen.returncode, "chmod 600" in seen.stderr) == (1, True)
