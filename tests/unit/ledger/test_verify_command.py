"""`python -m ledger verify`: exit status, lines, and the chain asked through an endpoint that may lie."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ledger.__main__ import main
from ledger.checkpoint import sign_checkpoint
from ledger.documents import canonical, new_id
from ledger.entry import leaf_hash, new_entry
from ledger.keys import keccak256
from ledger.log import Log, MemoryStore
from ledger.receipt import chain_leg, make_receipt
from ledger.trust import make_trust
from tests.unit.ledger.people import CONTRACTS, People

CODE = bytes.fromhex("6080604052")
GENESIS = "0x" + "11" * 32


class Endpoint(BaseHTTPRequestHandler):
    answers: dict[str, Any]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **self.answers.get(asked["method"], {})}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what: Any) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[tuple[str, dict[str, Any]]]:
    answers: dict[str, Any] = {}
    handler = type("Handler", (Endpoint,), {"answers": answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    server.server_close()


@pytest.fixture
def files(people: People, tmp_path: Path, endpoint: tuple[str, dict[str, Any]]) -> list[str]:
    document = people.trust_wire["document"]
    contracts = {**CONTRACTS, "anchor": {**CONTRACTS["anchor"], "code_hash": "0x" + keccak256(CODE).hex()}}
    wire = make_trust(people.root, space_id=document["space_id"], name="t", log_key=document["log"]["key"],
                      chain={**document["chain"], "genesis": GENESIS, "contracts": contracts},
                      regulator=document["regulator"], dealer=document["dealer"])
    entry = new_entry("participant.admitted", subject=("participant", new_id()), participant=None)
    log = Log(MemoryStore())
    log.append([leaf_hash(entry), b"x" * 32])
    trust = people.trust
    receipt = make_receipt(entry, space_id=trust.space_id, index=0, inclusion=log.inclusion(0), chain=chain_leg(trust),
                           checkpoint=sign_checkpoint(trust.log.origin, 2, log.root(), people.log_key))
    (tmp_path / "trust.json").write_text(json.dumps(wire))
    (tmp_path / "receipt.json").write_bytes(canonical(receipt))
    endpoint[1].update({
        "eth_chainId": {"result": hex(document["chain"]["id"])},
        "eth_getBlockByNumber": {"result": {"hash": GENESIS}}, "eth_getCode": {"result": "0x" + CODE.hex()},
        "eth_call": {"result": "0x" + log.root().hex()}})
    return ["verify", str(tmp_path / "receipt.json"), "--trust", str(tmp_path / "trust.json"), "--fingerprint",
            trust.fingerprint]


def test_it_works(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files) == 0
    said = capsys.readouterr().out
    assert "inclusion      valid\n" in said
    assert "chain state    not checked" in said
    assert said.endswith("the receipt holds\n")


def test_with_an_endpoint_the_chain_state_is_checked(files: list[str], endpoint: tuple[str, dict[str, Any]],
                                                     capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rpc", endpoint[0]]) == 0
    assert "chain state    valid  (development chain" in capsys.readouterr().out


@pytest.mark.parametrize(("method", "answer", "said"), [
    ("eth_chainId", {"result": "0x1"}, "chain.wrong"),
    ("eth_getBlockByNumber", {"result": {"hash": "0x"}}, "chain.wrong"),
    ("eth_getBlockByNumber", {"result": None}, "chain.unavailable"), ("eth_getCode", {"result": "0x"}, "chain.wrong"),
    ("eth_call", {"result": "0x" + "00" * 32}, "nothing anchored"),
    ("eth_call", {"result": "0x" + "11" * 32}, "another root"), ("eth_call", {"result": "0x"}, "chain.unavailable"),
    ("eth_call", {"error": {"code": -32000}}, "chain.unavailable"), ("eth_chainId", {}, "chain.unavailable"),
])
def test_an_endpoint_that_lies_or_fails_does_not_pass(
        files: list[str], endpoint: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str],
        method: str, answer: dict[str, Any], said: str) -> None:
    endpoint[1][method] = answer
    assert main([*files, "--rpc", endpoint[0]]) == (2 if said == "chain.unavailable" else 1)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/hosts", "nonsense"])
def test_an_endpoint_that_is_away_is_not_checked_and_not_passed(files: list[str], url: str,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rpc", url]) == 2
    said = capsys.readouterr().out
    assert "chain state    not checked" in said
    assert "does not hold" not in said


def test_a_wrong_fingerprint_or_file_fails(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files[:-1], "00" * 32]) == 1
    assert "trust.fingerprint" in capsys.readouterr().err
    assert main([files[0], files[1] + ".no", *files[2:]]) == 2
    Path(files[1]).write_bytes(Path(files[1]).read_bytes() + b"\n")
    assert main(files) == 1


def test_the_verifier_needs_neither_django_nor_web3(files: list[str]) -> None:
    code = ("import sys; from ledger.__main__ import main; status = main(sys.argv[1:]); "
            "sys.exit(status or any(one in sys.modules for one in ('django', 'web3', 'httpx', 'eth_account')))")
    done = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
