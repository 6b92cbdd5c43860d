"""The ledger's figures: events recorded to anchored, gas, proofs, receipts, and the grant's state on chain.

    ./run bench ledger [REPETITIONS]

One JSON line each; `aim` is what was asked for. PostgreSQL with durable commits, Django's ORM, the embedded chain with
the committed contracts. Timed per batch: record in a transaction, sequence, sign, send the anchor, see it in a block.
References are measured in the same run: one anchor for one event, and pymerkle (GPL: only here and in tests).
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from deploy.devchain import DevChain
from deploy.postgres import Postgres
from ledger.chain import Chain
from ledger.log import Log, MemoryStore
from ledger.merkle import leaf_hash, verify_inclusion
from ledger.receipt import verify_receipt
from ledger.trust import load_trust
from tests.bench import chainreads
from tests.bench.machine import print_machine
from tests.simulators.ledger_space import LedgerSpace

BATCHES = (1, 10, 100, 1_000, 10_000)
LEAVES = 1_000_000
GOLDEN = Path(__file__).resolve().parents[2] / "fixtures" / "golden"


def main() -> int:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print_machine()
    receipts(repetitions)
    proofs()
    grants(repetitions)
    with tempfile.TemporaryDirectory(prefix="xinglin-bench-") as folder:
        home = Path(folder)
        with Postgres(home / "postgres", password=secrets.token_urlsafe(16)) as server, DevChain(home / "chain") as dev:
            chain = Chain([dev.url])
            server.create_database("portal")
            portal(server.url("portal"), LedgerSpace(home / "space", chain), home)
            anchoring(chain, repetitions)
    return 0


def tell(case: str, metric: str, values: Sequence[float], unit: str, aim: str, **more: Any) -> None:
    print(json.dumps({
        "bench": "ledger", "case": case, "metric": metric, "value": round(statistics.median(values), 4), "unit": unit,
        "aim": aim, "n": len(values), "spread": [round(min(values), 4), round(max(values), 4)], **more}), flush=True)


def p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


# --- receipts and proofs


def receipts(repetitions: int) -> None:
    facts = json.loads((GOLDEN / "facts.json").read_text())
    trust = load_trust(GOLDEN / "trust.json", fingerprint=facts["trust_fingerprint"])
    for name, what in (("receipt.small.json", "one grant"), ("receipt.json", "a job at three hospitals")):
        data = (GOLDEN / name).read_bytes()
        held = json.loads(data)
        approvals = len(json.dumps(held["approvals"], separators=(",", ":"), ensure_ascii=False))
        if set(verify_receipt(data, trust).as_dict().values()) != {"valid"}:
            raise RuntimeError(f"{name} does not hold")
        tell("receipt", f"size, {what}", [len(data)], "B", "at most 6000",
             without_terms_and_signatures=len(data) - approvals)
        times = [1000 * timed(lambda data=data: verify_receipt(data, trust)) for _ in range(10 * repetitions)]  # type: ignore[misc]
        tell("receipt", f"offline verification of all six levels, {what}", times, "ms", "at most 20")


def proofs() -> None:
    import pymerkle

    leaves = [number.to_bytes(32) for number in range(LEAVES)]
    log = Log(MemoryStore())
    appended = timed(lambda: log.append([leaf_hash(one) for one in leaves]))
    other = pymerkle.InmemoryTree(algorithm="sha256")
    theirs = timed(lambda: [other.append_entry(one) for one in leaves])
    root = log.root()
    if root != other.get_state():
        raise RuntimeError("the two trees have different roots")
    tell("tree", "appending a million leaves", [LEAVES / appended], "leaves/s", "", pymerkle=round(LEAVES / theirs))
    made, again, checked, their_made, their_checked, sizes = [], [], [], [], [], []
    for number in range(0, LEAVES, LEAVES // 1000 + 1):
        made.append(1e6 * timed(lambda number=number: log.inclusion(number)))  # type: ignore[misc]
        again.append(1e6 * timed(lambda number=number: log.inclusion(number)))  # type: ignore[misc]
        path, leaf = log.inclusion(number), leaf_hash(leaves[number])
        sizes.append(32 * len(path))
        checked.append(1e6 * timed(lambda: verify_inclusion(leaf, number, LEAVES, path, root=root)))  # noqa: B023
        their_made.append(1e6 * timed(lambda number=number: other.prove_inclusion(number + 1)))  # type: ignore[misc]
        proof, base, state = other.prove_inclusion(number + 1), other.get_leaf(number + 1), other.get_state()
        their_checked.append(1e6 * timed(lambda: pymerkle.verify_inclusion(base, state, proof)))  # noqa: B023
    tell("tree", "inclusion proof in a million leaves", sizes, "B", "640")
    theirs_made = round(statistics.median(their_made), 1)
    tell("tree", "generation of a proof, from tiles not read before", made, "us", "", pymerkle=theirs_made)
    tell("tree", "generation of a proof", again, "us", "at most 50", pymerkle=theirs_made)
    tell("tree", "verification of a proof", checked, "us", "at most 50",
         pymerkle=round(statistics.median(their_checked), 1), p99=round(p99(checked), 1))


# --- the chain


def grants(repetitions: int) -> None:
    """What a node asks before it touches data, and how long a revocation takes to reach it (see bench chainreads)."""
    with chainreads.world() as here:
        times = [1000 * one for one in chainreads.one_endpoint(here, 2000)]
        tell("grant", "isActiveFor at one endpoint", times, "ms", "p99 at most 1", p99=round(p99(times), 3))
        tell("grant", "revocation sent until a node denies", chainreads.revoke_to_denial(here, repetitions), "s",
             "at most 2")


def portal(database: str, space: LedgerSpace, home: Path) -> None:
    """Django in this process, over its own database and this chain."""
    os.environ.update(space.settings | {
        "DATABASE_URL": database, "BROKER_URL": "memory://", "XINGLIN_WAKE": "off", "SECRET_KEY": secrets.token_hex(32),
        "XINGLIN_ENV": "development", "XINGLIN_VAR": str(home), "DJANGO_SETTINGS_MODULE": "dataspace.settings"})
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def anchoring(chain: Chain, repetitions: int) -> None:
    _anchor_batch(1)  # warm
    alone = 0
    for batch in BATCHES:
        count = repetitions if batch >= 1000 else 2 * repetitions
        runs = [_anchor_batch(batch) for _ in range(count)]
        tell("recorded to anchored", f"batch of {batch}", [batch / seconds for seconds, _ in runs], "events/s",
             "10000 at batch 10000, 40000 as a stretch" if batch == BATCHES[-1] else "",
             seconds=round(statistics.median([seconds for seconds, _ in runs]), 3))
        gas = [_gas(chain, tx) for _, tx in runs]
        alone = alone or int(statistics.median(gas))
        tell("gas", f"per event in a batch of {batch}, with the consistency proof on chain",
             [one / batch for one in gas], "gas", "at most 9" if batch == BATCHES[-1] else "", one_event_alone=alone)


def _anchor_batch(batch: int) -> tuple[float, str]:
    """Seconds from the first statement until the batch lies in a block, and the anchor's transaction."""
    from django.db import transaction
    from django.utils import timezone

    from dataspace.actor import SYSTEM
    from dataspace.provenance import queries, recorder
    from dataspace.provenance.record import Happening, record_many

    happenings = [Happening("grant.registered", "grant", uuid4(), SYSTEM) for _ in range(batch)]
    began = time.perf_counter()
    with transaction.atomic():
        record_many(happenings, now=timezone.now())
    while True:
        recorder.follow()
        last = queries.anchors().order_by("-size").first()
        if last is not None and last.size >= queries.log_size():
            return time.perf_counter() - began, last.tx.hash


def _gas(chain: Chain, tx: str) -> int:
    return int(chain.rpc.value("eth_getTransactionReceipt", [tx])["gasUsed"], 16)


if __name__ == "__main__":
    sys.exit(main())
