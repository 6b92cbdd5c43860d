"""`python -m ledger verify`: exit status, lines, and the chain asked through an endpoint that may lie."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cryptography
import pytest

from ledger.__main__ import main
from ledger.documents import new_id
from ledger.entry import leaf_hash, new_entry
from ledger.keys import keccak256
from ledger.log import Log, MemoryStore
from ledger.receipt import LEVELS, make_receipt, spelled
from ledger.trust import load_trust, make_trust
from tests.unit.ledger.people import CONTRACTS, People
from tests.unit.ledger.test_receipt import GOLDEN, bare, named, on_chain

ROOT = GOLDEN.parents[1]

CODE = bytes.fromhex("6080604052")
GENESIS = "0x" + "11" * 32
LINES = ("inclusion", "log signature", "witnesses", "approvals", "chain proof", "chain header")


class Endpoint(BaseHTTPRequestHandler):
    answers: dict[str, Any]

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        block = asked["params"][0] if asked["method"] == "eth_getBlockByNumber" else ""
        found = self.answers.get(f"block {block}" if block else asked["method"], {"result": None})
        if "redirect" in found:
            self.send_response(307)
            self.send_header("Location", found["redirect"])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], **found}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *what: Any) -> None:
        """Say nothing."""


def block(number: int, name: str = "0x" + "22" * 32, age: float = 1.0) -> dict[str, Any]:
    return {"result": {"number": hex(number), "hash": name, "timestamp": hex(int(time.time() - age))}}


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
    whole = load_trust(wire, fingerprint=trust.fingerprint)
    leg, note = on_chain(whole, log, people.log_key)
    receipt = make_receipt(entry, space_id=trust.space_id, index=0, inclusion=log.inclusion(0), chain=leg,
                           checkpoint=note)
    (tmp_path / "bare.json").write_bytes(spelled({**receipt, "chain": bare(leg)}))
    (tmp_path / "trust.json").write_text(json.dumps(wire))
    (tmp_path / "receipt.json").write_bytes(spelled(receipt))
    endpoint[1].update({
        "eth_chainId": {"result": hex(document["chain"]["id"])},
        "eth_getCode": {"result": "0x" + CODE.hex()}, "eth_call": {"result": "0x" + log.root().hex()},
        "block 0x0": block(0, GENESIS), "block latest": block(12), "block finalized": block(10),
        "block 0x9": block(9, named(receipt))})
    return ["verify", str(tmp_path / "receipt.json"), "--trust", str(tmp_path / "trust.json"), "--fingerprint",
            trust.fingerprint]


def levels(said: str) -> dict[str, str]:
    """The printed lines, by level."""
    return {name: line[15:] for name in LINES for line in said.split("\n") if line.startswith(name)}


def test_it_works(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(files) == 0
    said = capsys.readouterr().out
    assert levels(said)["inclusion"] == "valid"
    assert levels(said)["chain proof"] == "valid  (development chain, one operator)"
    assert levels(said)["chain header"].startswith("not checked")
    assert said.endswith("the receipt holds\n")


def test_with_an_endpoint_the_header_is_checked(files: list[str], endpoint: tuple[str, dict[str, Any]],
                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rpc", endpoint[0]]) == 0
    assert levels(capsys.readouterr().out)["chain header"] == (
        "valid  (the endpoint holds the block as final; development chain, one operator)")
    assert main([*files, "--rpc", endpoint[0], "--rpc", endpoint[0]]) == 0


def test_levels_can_be_required(files: list[str], endpoint: tuple[str, dict[str, Any]],
                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--require", "inclusion,chain_proof"]) == 0
    assert main([*files, "--require", "witnesses"]) == 1
    assert main([*files, "--require", "chain_header"]) == 2
    assert main([*files, "--require", "chain_header", "--rpc", endpoint[0]]) == 0
    with pytest.raises(SystemExit):
        main([*files, "--require", "everything"])


@pytest.mark.parametrize(("method", "answer", "said"), [
    ("eth_chainId", {"result": "0x1"}, "chain.wrong"), ("block 0x0", block(0, "0x"), "chain.wrong"),
    ("block 0x0", {"result": None}, "chain.unavailable"), ("eth_getCode", {"result": "0x"}, "chain.wrong"),
    ("eth_getCode", {"error": {"code": -32000}}, "chain.unavailable"), ("eth_chainId", {}, "chain.unavailable"),
    ("block 0x9", block(9, "0x" + "33" * 32), "another block"), ("block finalized", block(8), "chain.not_final"),
    ("block finalized", {"error": {"code": -32000}}, "chain.unavailable"),
    ("block latest", {"result": None}, "chain.unavailable"),
])
def test_an_endpoint_that_lies_or_fails_does_not_pass(
        files: list[str], endpoint: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str],
        method: str, answer: dict[str, Any], said: str) -> None:
    endpoint[1].update({"block latest": block(12), method: answer})  # now, not when the tests were collected
    unknown = said.startswith("chain.") and said != "chain.wrong"
    assert main([*files, "--rpc", endpoint[0]]) == (2 if unknown else 1)
    assert said in levels(capsys.readouterr().out)["chain header"]


def test_an_old_head_is_unknown_not_wrong(files: list[str], endpoint: tuple[str, dict[str, Any]],
                                          capsys: pytest.CaptureFixture[str]) -> None:
    endpoint[1]["block latest"] = block(12, age=1000)
    assert main([*files, "--rpc", endpoint[0]]) == 2
    assert "chain.stale_head" in capsys.readouterr().out


def test_without_a_proof_the_endpoint_is_asked_for_the_root(
        files: list[str], endpoint: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """An endpoint's word is the header's level; without a proof that of the proof is not checked, nor passed."""
    less = ["verify", files[1].replace("receipt", "bare"), *files[2:], "--rpc", endpoint[0]]
    assert main([*less, "--require", "chain_header"]) == 0
    said = levels(capsys.readouterr().out)
    assert said["chain header"].startswith("valid  (as the endpoint says, without a proof")
    assert said["chain proof"].startswith("not checked")
    assert main(less) == 2  # this chain can prove its state, and the receipt does not
    assert main([*less, "--require", "chain_proof"]) == 2
    for answer, status in (({"result": "0x" + "00" * 32}, 1), ({"result": "0x" + "11" * 32}, 1), ({"result": "0x"}, 2),
                           ({"error": {"code": -32000}}, 2)):
        endpoint[1]["eth_call"] = answer
        assert main([*less, "--require", "chain_header"]) == status


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/hosts", "nonsense", "http://127.0.0.1:x/"])
def test_an_endpoint_that_is_away_is_not_checked_and_not_passed(files: list[str], url: str,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--rpc", url]) == 2
    said = capsys.readouterr().out
    assert levels(said)["chain header"].startswith("not checked")
    assert "does not hold" not in said


def test_no_redirect_and_no_proxy_of_the_environment_is_followed(
        files: list[str], endpoint: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever controls either would answer in the place of the endpoint that was named."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, endpoint[0])
    assert main([*files, "--rpc", "http://127.0.0.1:1"]) == 2
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert main([*files, "--rpc", endpoint[0]]) == 0
    capsys.readouterr()
    endpoint[1]["eth_chainId"] = {"redirect": endpoint[0] + "/elsewhere"}
    assert main([*files, "--rpc", endpoint[0]]) == 2
    assert "HTTP 307" in capsys.readouterr().out


def test_one_of_several_endpoints_that_is_silent_leaves_it_unknown(
        files: list[str], endpoint: tuple[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever names two wants the word of both: a quorum of one in the trust file is the portal's business."""
    assert main([*files, "--rpc", endpoint[0], "--rpc", "http://127.0.0.1:1"]) == 2
    assert levels(capsys.readouterr().out)["chain header"].startswith("not checked")


def test_endpoints_that_disagree_make_it_invalid(files: list[str], endpoint: tuple[str, dict[str, Any]],
                                             capsys: pytest.CaptureFixture[str]) -> None:
    other = dict(endpoint[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Other", (Endpoint,), {"answers": other}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    both = [*files, "--rpc", endpoint[0], "--rpc", f"http://127.0.0.1:{server.server_address[1]}"]
    assert main(both) == 0
    other["block 0x9"] = block(9, "0x" + "33" * 32)
    assert main(both) == 1
    assert "chain.disagree" in levels(capsys.readouterr().out)["chain header"]
    server.shutdown()
    server.server_close()


def test_a_wrong_fingerprint_or_file_fails(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files[:-1], "00" * 32]) == 1
    assert "trust.fingerprint" in capsys.readouterr().err
    assert main([files[0], files[1] + ".no", *files[2:]]) == 2
    Path(files[1]).write_bytes(Path(files[1]).read_bytes() + b"\n")
    assert main(files) == 1


ALLOWED = ("ledger", "cryptography", "Crypto")
BROUGHT = ("_cffi_backend", "_openssl", "cffi", "pycparser")  # by these two themselves
LOOK = """
import sys
before = set(sys.modules)
sys.path[:0] = {paths!r}
from ledger.__main__ import main
status = main(sys.argv[1:])
tops = {{name.partition('.')[0] for name in set(sys.modules) - before}}
print(sorted(one for one in tops if one not in sys.stdlib_module_names and one not in {allowed!r}), file=sys.stderr)
sys.exit(status)
"""


def offline(arguments: list[str], *prefix: str) -> subprocess.CompletedProcess[str]:
    """The verifier in an isolated Python: no environment, no user's packages, no folder of the caller's."""
    packages = str(Path(cryptography.__file__).parents[1])
    code = LOOK.format(paths=[str(ROOT), packages], allowed=ALLOWED + BROUGHT)
    return subprocess.run([*prefix, sys.executable, "-I", "-c", code, *arguments], capture_output=True, text=True,
                          timeout=120, check=False)


def test_the_verifier_needs_the_standard_library_cryptography_and_a_keccak(files: list[str]) -> None:
    done = offline(files)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"


def test_it_runs_where_there_is_no_network(files: list[str]) -> None:
    """The golden receipt, all six levels, in a namespace with no way out."""
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us make a network namespace (unshare -rn)")
    trust, facts = GOLDEN / "trust.json", json.loads((GOLDEN / "facts.json").read_text())
    done = offline(["verify", str(GOLDEN / "receipt.json"), "--trust", str(trust), "--fingerprint",
                    facts["trust_fingerprint"], "--require", ",".join(LEVELS)], "unshare", "-rn")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[15:20] for line in done.stdout.split("\n")[:6]] == ["valid"] * 6
