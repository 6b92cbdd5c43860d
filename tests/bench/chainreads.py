"""How soon a node learns what the chain says: one read, a read that three of five endpoints must share, a revocation.

    ./run bench chainreads [READS] [REVOCATIONS]

Everything through the embedded chain's own door (allow-list), as a node reads. Aims: `isActiveFor` p99 at most 1 ms on
one endpoint and 5 ms with three of five; from the sending of a revocation until the node's view of the chain denies the
job at most 2 s. The reference is the same call, encoded beforehand, with a general HTTP client (httpx, kept connection)
through the same door.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from ledger import abi
from ledger.approval import grant_chain_id, sign_revocation
from ledger.chain import Chain
from mpc.node.chainview import ChainView
from tests.bench.machine import print_machine
from tests.integration.chain_space import ChainSpace
from tests.simulators.ledger_space import LedgerSpace

ROOT = Path(__file__).resolve().parents[2]
READS = 5000
REVOCATIONS = 20


class World:
    """A chain in a process of its own, a space's contracts on it, and one registered grant."""

    def __init__(self, folder: Path, url: str) -> None:
        chain = Chain([url])
        self.url = url
        self.founded = LedgerSpace(folder / "space", chain)
        chain.contracts = {name: one["address"] for name, one in self.founded.contracts.items()}
        self.space = ChainSpace(chain, self.founded.contracts, self.founded.space_id, self.founded.operator,
                                self.founded.regulator, self.founded.operator)  # fmt: skip
        self.terms = self.granted()

    def granted(self) -> dict[str, Any]:
        terms = self.space.terms()
        self.space.register(terms)
        return terms

    def question(self) -> tuple[str, str, str, str]:
        return (grant_chain_id(self.terms), self.terms["grantee_address"], self.terms["dataset_chain_id"],
                self.terms["purpose_hash"])  # fmt: skip


@contextmanager
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="xinglin-reads-") as name:
        command = [sys.executable, "-m", "deploy.devchain", "--home", f"{name}/chain", "--port", "0"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=sys.stderr, text=True) as process:
            try:
                line = str(process.stdout and process.stdout.readline())
                yield World(Path(name), line.split()[1])
            finally:
                process.terminate()


def one_endpoint(here: World, times: int = READS) -> list[float]:
    """Seconds for each `isActiveFor` on one endpoint."""
    door = Chain.from_trust(here.founded.trust)
    return timed(lambda: door.is_active_for(*here.question()), times)


def three_of_five(here: World, times: int = READS) -> list[float]:
    """The same where three of five endpoints must agree (all of them the same door here)."""
    urls = [f"{here.url}/{number}" for number in range(5)]
    door = Chain(urls, quorum=3, contracts=here.space.chain.contracts)
    return timed(lambda: door.is_active_for(*here.question()), times)


def general_client(here: World, times: int = READS) -> list[float]:
    """The reference: pre-encoded, over httpx."""
    grant, grantee, dataset, purpose = here.question()
    data = abi.calldata("grants", "isActiveFor", [abi.bytes32(grant), grantee, abi.bytes32(dataset),
                                                  abi.bytes32(purpose)])  # fmt: skip
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_call",
            "params": [{"to": here.space.chain.contracts["grants"], "data": data}, "latest"]}  # fmt: skip
    with httpx.Client(trust_env=False) as client:
        return timed(lambda: int(client.post(here.url, json=call).json()["result"], 16) == 1, times)


def timed(ask: Callable[[], bool], times: int) -> list[float]:
    for _ in range(50):
        if not ask():
            raise RuntimeError("the grant is not active")
    found = []
    for _ in range(times):
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return found


def revoke_to_denial(here: World, times: int = REVOCATIONS) -> list[float]:
    """Seconds from the sending of a signed revocation until a node's view of the chain says that the job must end."""
    found = []
    trust, space = here.founded.trust, here.space
    view = ChainView(Chain.from_trust(trust), trust)
    for _ in range(times):
        terms = here.granted()
        grant_id = grant_chain_id(terms)
        papers: Any = SimpleNamespace(grants=[SimpleNamespace(id=terms["id"], chain_id=grant_id)], records={})
        if view.stopped(papers) is not None:
            raise RuntimeError("the grant was stopped before")
        paper = sign_revocation(terms, space.regulator, by="regulator", reason="bench", domain=space.grants)
        tx = space.chain.sign_revoke(space.stranger, space.nonce(space.stranger), grant_id=grant_id,
                                     reason_hash=paper["reason_hash"], decider=paper["decider"],
                                     signature=paper["signature"])  # fmt: skip
        began = time.perf_counter()
        space.chain.send_raw(tx.raw)
        while view.stopped(papers) != "grant.revoked":
            pass
        found.append(time.perf_counter() - began)
    return found


def main() -> int:
    reads = int(sys.argv[1]) if len(sys.argv) > 1 else READS
    revocations = int(sys.argv[2]) if len(sys.argv) > 2 else REVOCATIONS
    print_machine()
    with world() as here:
        reference = general_client(here, reads)
        say("isActiveFor, one endpoint", one_endpoint(here, reads), aim=0.001, reference=reference)
        say("isActiveFor, three of five", three_of_five(here, reads), aim=0.005, reference=reference)
        say("revocation sent to job denied", revoke_to_denial(here, revocations), aim=2.0)
    return 0


def say(case: str, values: list[float], *, aim: float, reference: list[float] | None = None) -> None:
    body: dict[str, object] = {"bench": "chainreads", "case": case, "unit": "s", "aim_p99": aim, **spread(values)}
    if reference is not None:
        body["reference"] = {"name": "the same call over httpx", **spread(reference)}
    print(json.dumps(body), flush=True)


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"n": len(ordered), **{name: round(ordered[int((len(ordered) - 1) * part)], 6)
                                  for name, part in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
