"""Every event ends final exactly once: through each fault of an endpoint, and through every depth of reorganisation.

A real anvil, the real contracts, the real recorder; only the way between them fails.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as portal
from django.utils import timezone

from dataspace.actor import SYSTEM
from dataspace.errors import DataspaceError
from dataspace.provenance import chainwork, recorder, space
from dataspace.provenance.models import Anchor, ChainAlarm, ChainTx, Delivery, Event, Leaf
from dataspace.provenance.record import record
from dataspace.provenance.store import log
from deploy.anvil import Anvil
from ledger.anchor import log_id_of
from ledger.chain import Chain
from ledger.errors import LedgerError
from tests.simulators.fault_proxy import Fault, FaultProxy
from tests.simulators.ledger_space import LedgerSpace

pytestmark = [pytest.mark.stack, pytest.mark.django_db]
DEPTHS = range(1, 65) if "XINGLIN_EVERY_DEPTH" in os.environ else (1, 2, 3, 5, 13, 34, 63, 64)
PATIENCE = 0.3  # seconds that a request may take


class World:
    """One anvil whose blocks the test makes, and a ledger on it that sees it through `rpc`."""

    def __init__(self, anvil: Anvil, folder: Path, rpc: list[str] | None = None, *, quorum: int = 1) -> None:
        self.anvil = anvil
        self.direct = Mining(anvil)
        self.space = LedgerSpace(folder, self.direct, rpc=rpc, quorum=quorum)
        self.trust = self.space.trust
        self.direct.contracts = {name: one.address for name, one in self.trust.chain.contracts.items()}

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.anvil.ask("evm_mine")

    def happened(self, times: int = 1) -> None:
        for _ in range(times):
            record("grant.registered", subject_kind="grant", subject_id=uuid4(), actor=SYSTEM, now=timezone.now(),
                   audience=[])  # fmt: skip

    def one_pass(self) -> None:
        """What `tend` does, blow by blow; trouble is met again in the next pass."""
        for follow in (chainwork.follow, recorder.follow):
            with suppress(LedgerError, DataspaceError):
                follow()

    def newest_anchor(self) -> Anchor:
        return Anchor.objects.select_related("tx").order_by("-size")[0]

    def settle(self, *, seconds: float = 60) -> None:
        """Until everything is final."""
        deadline = time.monotonic() + seconds
        while Delivery.objects.exists() or self.open():
            assert time.monotonic() < deadline, [(row.kind, row.status, row.code) for row in ChainTx.objects.all()]
            ChainTx.objects.filter(status="sent").update(sent_at=None)  # two seconds have passed
            self.one_pass()
            self.mine()

    def open(self) -> bool:
        held = Anchor.objects.filter(tx__status="final").order_by("-size").first()
        return held is None or held.size != Leaf.objects.count() or ChainTx.objects.exclude(
            status__in=["final", "failed"]).exists()

    def check(self, events: int) -> None:
        """Nothing lost, nothing doubled, nothing forked: database, log and chain say the same."""
        assert Event.objects.count() == Leaf.objects.count() == log().size == events
        assert list(Leaf.objects.order_by("index").values_list("index", flat=True)) == list(range(events))
        log_id = log_id_of(self.trust.log.origin)
        head = self.direct.anchor_head(log_id)
        assert (head.size, head.root) == (events, "0x" + log().root().hex())
        anchors = list(Anchor.objects.filter(tx__status="final").order_by("size"))
        assert head.count == len(anchors)  # each of them once
        for one in anchors:
            assert self.direct.root_at(log_id, one.size) == "0x" + log().root(one.size).hex()
            receipt = self.direct.receipt(one.tx.hash)
            assert receipt is not None
            assert (receipt.block, receipt.block_hash) == (one.tx.block, one.tx.block_hash)
        assert not ChainAlarm.objects.exists()


class Mining(Chain):
    """The chain seen directly; what it sends is mined at once."""

    def __init__(self, anvil: Anvil) -> None:
        super().__init__([anvil.url])
        self._anvil = anvil

    def send_raw(self, raw: str) -> str:
        sent = super().send_raw(raw)
        self._anvil.ask("evm_mine")
        return sent


@pytest.fixture
def anvil_of(tmp_path: Path) -> Iterator[Callable[..., Anvil]]:
    running: list[Anvil] = []

    def start(**how: Any) -> Anvil:
        running.append(Anvil(tmp_path, chain_id=4_000_001, genesis_time=int(time.time()), hidden=False, **how))
        return running[-1]

    yield start
    for one in running:
        one.kill()


@contextmanager
def portal_of(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The portal's settings for this space, and a door to the chain that does not wait long."""
    for name, value in world.space.settings.items():
        monkeypatch.setattr(portal, name, Path(value) if name == "XINGLIN_VAR" else value)
    door = Chain.from_trust(world.trust, timeout=PATIENCE)
    monkeypatch.setattr(space, "chain", lambda: door)
    monkeypatch.setattr(chainwork, "MINING_SECONDS", 0)  # the test makes the blocks, nobody else
    yield
    door.close()


@pytest.mark.parametrize("fault", list(Fault))
def test_through_a_fault_every_event_is_final_once(
    fault: Fault, anvil_of: Callable[..., Anvil], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anvil = anvil_of()
    with FaultProxy(anvil.url, late=3 * PATIENCE) as proxy:
        world = World(anvil, tmp_path / "space", [proxy.url])
        with portal_of(world, monkeypatch):
            sends, chance = itertools.count(), Random(7)
            often = 0.04 if fault is Fault.DELAY else 0.12  # a delay costs the time that it takes

            def spoil(number: int, method: str) -> Fault | None:
                """Some requests, and of those that send every second one, the first included."""
                if method == "eth_sendRawTransaction":
                    return None if next(sends) % 2 else fault
                return fault if fault is not Fault.POOL_FULL and chance.random() < often else None

            proxy.spoil = spoil
            for _ in range(3):
                world.happened(2)
                world.one_pass()
                world.mine()
            world.settle()
            assert proxy.spoilt.count(fault) >= 2
            world.check(6)


def test_while_one_endpoint_lies_about_its_age_nothing_is_read_from_it(
    anvil_of: Callable[..., Anvil], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three endpoints, a quorum of two; one always stale, one that drops half of what it gets."""
    anvil = anvil_of()
    with (
        FaultProxy(anvil.url, spoil=lambda number, method: Fault.STALE_HEAD) as stale,
        FaultProxy(anvil.url, spoil=lambda number, method: Fault.DROP if number % 2 else None) as shaky,
    ):
        world = World(anvil, tmp_path / "space", [stale.url, shaky.url, anvil.url], quorum=2)
        with portal_of(world, monkeypatch):
            world.happened(3)
            world.settle()
            world.check(3)


def test_through_reorganisations_of_every_depth_every_event_is_final_once(
    anvil_of: Callable[..., Anvil], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 1 block to 64, each taking back all that those blocks held; finality lies 64 blocks under the head.

    Here some depths; `./run bench kills` goes through all of them.
    """
    anvil = anvil_of(slots=32)
    world = World(anvil, tmp_path / "space")
    world.mine(70)
    with portal_of(world, monkeypatch):
        for depth in DEPTHS:
            world.happened()
            world.one_pass()
            while (newest := world.newest_anchor()).tx.status != "mined" or newest.size < Leaf.objects.count():
                world.mine()  # what the last reorganisation took is there again first
                world.one_pass()
            world.mine(depth - 1)
            world.one_pass()
            (answer,) = anvil.ask_all([("anvil_reorg", [depth, []])])
            assert "error" not in answer
            assert world.direct.receipt(newest.tx.hash) is None
            world.one_pass()
            assert world.newest_anchor().tx.status == "sent"
        world.settle()
        world.check(len(DEPTHS))
