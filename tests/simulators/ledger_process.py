"""The processes of a ledger's stack as tests run them: the real ones, which kill themselves at an edge when told to.

    python -m tests.simulators.ledger_process migrate|tend|writer|chain|verify|nursery FOLDER [ARGUMENTS]

`nursery` imports what Django needs once, and forks a `tend` or a `writer` for each line that it reads: an import costs
two seconds of a core, and is not what is tested.

An edge is a place between two steps that must survive a kill between them. A process looks, at each edge it passes, for
the file `FOLDER/arm-ROLE`; if that file names the edge, it takes the file away and kills itself with SIGKILL.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from deploy.children import dies_with_parent

# edge -> where the step is, and whether the kill comes before it or after it
TEND = {
    "leaves to be appended": ("dataspace.provenance.store", "append", "before"),
    "leaves appended, not committed": ("dataspace.provenance.store", "append", "after"),
    "checkpoint signed, not committed": ("dataspace.provenance.recorder", "sign", "after"),
    "leaves and checkpoint committed": ("dataspace.provenance.recorder", "sequence", "after"),
    "the log's mark to be written": ("dataspace.provenance.guard", "keep", "before"),
    "anchor to be posted": ("dataspace.provenance.recorder", "post_anchor", "before"),
    "transaction to be stored": ("dataspace.provenance.chainwork", "_store", "before"),
    "transaction stored, not sent": ("dataspace.provenance.chainwork", "_store", "after"),
    "transaction to be sent": ("ledger.blockchain:Blockchain", "send_raw", "before"),
    "transaction sent, not written down": ("ledger.blockchain:Blockchain", "send_raw", "after"),
    "receipt to be looked up": ("dataspace.provenance.chainwork", "_look", "before"),
    "receipt written down": ("dataspace.provenance.chainwork", "_look", "after"),
    "finality to be written down": ("dataspace.provenance.chainwork", "_finalize", "before"),
    "finality written down": ("dataspace.provenance.chainwork", "_finalize", "after"),
    "blocks compared": ("dataspace.provenance.chainwatch", "watch", "after"),
    "anchor named": ("dataspace.provenance.recorder", "name_anchor", "after"),
}
WRITER = {
    "event written, not committed": ("dataspace.provenance.record", "record_many", "after"),
    "event committed, nobody told": ("tests.simulators.ledger_process", "_committed", "before"),
    **TEND,
}
CHAIN = {
    "line of the journal to be written": ("deploy.chainstore:ChainStore", "append", "before"),
    "in the journal, not sent": ("deploy.chainstore:ChainStore", "append", "after"),
    "sent, not mined": ("deploy.devchain:DevChain", "_mine", "before"),
    "mined, not answered": ("deploy.devchain:DevChain", "_mine", "after"),
    "snapshot to be kept": ("deploy.chainstore:ChainStore", "keep", "before"),
    "new journal begun, snapshot not named": ("deploy.chainstore:ChainStore", "_begin_journal", "after"),
    "snapshot kept": ("deploy.chainstore:ChainStore", "keep", "after"),
}
EDGES = {"tend": TEND, "writer": WRITER, "chain": CHAIN}


def arm(role: str, folder: Path) -> None:
    """Put the kill around every step of this role."""
    order = folder / f"arm-{role}"
    for edge, (place, name, when) in EDGES[role].items():
        module, _, kind = place.partition(":")
        if module == "tests.simulators.ledger_process":
            continue
        owner: Any = importlib.import_module(module)
        owner = getattr(owner, kind) if kind else owner
        setattr(owner, name, _around(getattr(owner, name), order, edge, when))


def _around(step: Callable[..., Any], order: Path, edge: str, when: str) -> Callable[..., Any]:
    @functools.wraps(step)
    def watched(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            kill_if_told(order, edge)
        answer = step(*arguments, **named)
        if when == "after":
            kill_if_told(order, edge)
        return answer

    return watched


def kill_if_told(order: Path, edge: str) -> None:
    try:
        told = order.read_text()
    except OSError:
        return
    if told == edge:
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dataspace.settings")
    import django

    django.setup()


def nursery(folder: Path) -> None:
    django()
    from django.core.management import get_commands, load_command_class

    load_command_class(get_commands()["tend"], "tend")
    importlib.import_module("ledger.chain")
    for roles in EDGES.values():
        for place, _, _ in roles.values():
            importlib.import_module(place.partition(":")[0])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    print("ready", flush=True)
    for line in sys.stdin:
        role = line.strip()
        before = dies_with_parent(signal.SIGKILL)
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        before()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        with (folder / f"{role}.log").open("ab") as log:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
        random.seed()
        try:
            ROLES[role](folder)
        finally:
            os._exit(1)


def migrate(folder: Path) -> None:
    django()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def tend(folder: Path) -> None:
    django()
    from django.core.management import call_command

    from dataspace.provenance import chainwork, recorder

    arm("tend", folder)
    _follow_anew(chainwork, recorder)
    call_command("tend", every=0.05)


def _follow_anew(*modules: Any) -> None:
    """Followers were registered before their modules were armed."""
    from dataspace.provenance import followers

    for name, module in zip(("chain", "record"), modules, strict=True):
        followers.register(name, module.follow)


def writer(folder: Path) -> None:
    """Writes numbered events, tells each number once it is committed, and wakes the followers as a portal does.

    Begins after the last number it told; an event that was committed but not told is written again, under its key.
    """
    django()
    from django.db import DatabaseError, InterfaceError, transaction
    from django.utils import timezone

    from dataspace.actor import SYSTEM
    from dataspace.provenance import chainwork, followers, record, recorder

    arm("writer", folder)
    _follow_anew(chainwork, recorder)
    told = folder / "told"
    with told.open("a+b", buffering=0) as out:
        out.seek(0)
        whole = out.read().split(b"\n")[:-1]
        number = int(whole[-1]) if whole else 0
        while True:
            number += 1
            try:
                with transaction.atomic():
                    record.record_many([record.Happening(
                        "grant.registered", "grant", uuid5(NAMESPACE_URL, str(number)), SYSTEM, (), {}, None,
                        f"writer:{number}")], now=timezone.now())  # fmt: skip
            except (DatabaseError, InterfaceError):
                number -= 1
                continue
            kill_if_told(folder / "arm-writer", "event committed, nobody told")
            out.write(f"{number}\n".encode())
            if number % 5 == 0:
                followers.run_all()
            time.sleep(random.uniform(0, 0.05))


def chain(folder: Path, port: str) -> None:
    from deploy import devchain

    devchain.SNAPSHOT_AFTER_BLOCKS = 20  # often, so that kills meet it
    arm("chain", folder)
    sys.argv = ["devchain", "--home", str(folder / "chain"), "--port", port]
    sys.exit(devchain.main())


def verify(folder: Path) -> None:
    """Print what is lost, doubled or forked; everything is final by now."""
    django()
    from dataspace.provenance import recorder, space, store
    from dataspace.provenance.models import Anchor, ChainAlarm, ChainTx, Delivery, Event, Leaf
    from ledger.log import Log, MemoryStore

    told = [int(one) for one in (folder / "told").read_bytes().split(b"\n")[:-1]]
    keys = list(Event.objects.order_by("number").values_list("key", flat=True))
    leaves = list(Leaf.objects.order_by("index").values_list("index", "hash", "event__key"))
    again = Log(MemoryStore())
    again.append([bytes.fromhex(leaf) for _, leaf, _ in leaves])
    door, log_id = space.chain(), recorder.log_id()
    head = door.anchor_head(log_id)
    anchors = list(Anchor.objects.filter(lost_at=None, tx__status="final").order_by("size"))
    nonces = list(ChainTx.objects.order_by("nonce").values_list("nonce", flat=True))
    forked = sum(door.root_at(log_id, one.size) != "0x" + again.root(one.size).hex() for one in anchors)
    forked += head.root != "0x" + again.root(head.size).hex() or store.log().root() != again.root()
    print(json.dumps({
        "events": len(keys), "anchors": len(anchors),
        "lost": len({f"writer:{one}" for one in told} - {key for _, _, key in leaves}) + Delivery.objects.count()
                + (len(leaves) - head.size) + len(keys) - len(leaves),
        "doubled": len(keys) - len(set(keys)) + len(leaves) - len({key for _, _, key in leaves})
                   + abs(head.count - len(anchors)) + sum(at != index for at, (index, _, _) in enumerate(leaves)),
        "forked": int(forked),
        "alarms": ChainAlarm.objects.count(),
        "gaps": sum(at != nonce for at, nonce in enumerate(nonces, nonces[0])),
        "not final": ChainTx.objects.exclude(status__in=["final", "failed"]).count(),
    }))  # fmt: skip


ROLES: dict[str, Callable[..., None]] = {
    "migrate": migrate, "tend": tend, "writer": writer, "chain": chain, "verify": verify,
    "nursery": nursery}  # fmt: skip

if __name__ == "__main__":
    ROLES[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
