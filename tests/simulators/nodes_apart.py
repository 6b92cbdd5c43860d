"""Hospitals and a dealer's office of one job that are never online together: nodes with a portal and a chain in memory.

The worker is a process of its own that counts and encrypts for real.
"""

import copy
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from ledger.documents import chain_id_of, document_hash, from_b64, timestamp
from mpc import masked
from mpc.functions.registry import function
from mpc.spec import common_columns, rows_max_total
from tests.simulators.node_at_work import Maker, Node, make_node
from tests.simulators.node_world import COLUMNS, HOSPITALS, NOW, ChainInMemory, Document, World
from tests.simulators.worker_orders import secret

FOUR = (*HOSPITALS, "outsider")
SECRET = secret()
BY = NOW + timedelta(minutes=30)
AFTER = BY + timedelta(seconds=1)


def rows(seat: int) -> str:
    return "".join(f"{(20 + 7 * seat + 3 * at) % 90},{'Female' if at < 30 else 'Male'},0,no\n" for at in range(70))


def asked(**changes: Any) -> dict[str, Any]:
    return {"by": timestamp(BY), "minimum": 3, "ciphertexts": 1, "key": SECRET.public.document(), **changes}


class Space:
    """Hospitals, an office and one job; nobody is online with anybody."""

    def __init__(self, node: Maker, world: World, names: Sequence[str] = FOUR) -> None:
        self.world = world
        self.nodes = {name: node(name=name, mode="contributes", rows=rows(seat))
                      for seat, name in enumerate(FOUR) if name in names}
        self.item = {**world.item(members=FOUR, engine="paillier/1", contributions=asked()), "kind": "contribute"}
        self.chain = ChainInMemory.of(world, self.item)
        for name in FOUR:  # a node's own dataset is described when it is made; records of providers are older
            record = world.record(name)
            self.chain.records[chain_id_of(record["id"], record["id_salt"])] = "0x" + document_hash(record)
        for one in self.nodes.values():
            self.join(one)
            text = one.agent.config.policy.read_text()
            one.agent.config.policy.write_text(text.replace('engines = ["crypten"]', 'engines = ["paillier"]'))

    def join(self, one: Node) -> None:
        """This job, and the one chain that all read."""
        one.item, one.door.chain = copy.deepcopy(self.item), self.chain
        one.agent.home.chain._chain = self.chain

    def office(self, node: Maker) -> None:
        """A dealer's office that has never frozen anything."""
        self.dealer = node(name="dealer")
        self.join(self.dealer)

    @property
    def spec(self) -> Document:
        return self.item["spec"]["document"]  # type: ignore[no-any-return]

    def contribute(self, name: str) -> Document:
        """The node is awake: what it posts."""
        one = self.nodes[name]
        one.agent.handle(one.item)
        one.wait()
        return next(body for path, body in reversed(one.door.posted) if path.endswith("/contributions"))

    def freeze(self, wires: Sequence[Any], *, now: datetime | None = AFTER, item: Document | None = None,
               **more: Any) -> Document:
        """What the dealer answers: its word, or the verdict that refuses."""
        agent, door = self.dealer.agent, self.dealer.door
        if now is not None:
            agent.judging._now = agent.freezer._now = lambda: now
            self.chain.age = -int((now - datetime.now(UTC)).total_seconds())
        before = len(door.posted)
        agent.handle({**(item or self.item), "kind": "freeze", "contributions": list(wires), **more})
        self.chain.age = 1
        assert len(door.posted) == before + 1
        body = door.posted[-1][1]
        return body.get("freeze") or body["verdict"]["document"]  # type: ignore[no-any-return]

    def open(self, parts: Sequence[Document], word: Document) -> Document:
        """The consumer, with what anybody could hand it."""
        records = [one["document"] for one in self.item["datasets"]]
        plan = function("describe@1").plan(self.spec["parameters"], common_columns(
            [one["columns"] for one in records]), 4, rows_max_total(records))
        question = masked.question_of(self.spec, plan, space=self.world.trust.space_id)
        given = [(one["contribution"], from_b64(one["ciphertexts"])) for one in parts]
        pattern, totals = masked.open_total(question, self.spec, given, word, secret=SECRET,
                                            sealing=self.world.keys["maker"].sealing)
        return function("describe@1").finish(totals, pattern, plan)


Made = tuple[Space, list[Document]]


@contextmanager
def contributed(world: World, homes: pytest.TempPathFactory) -> Iterator[Made]:
    """All four have contributed; what each posted. For as long as a module's tests."""
    made: list[Node] = []

    def make(mode: str = "works", name: str = "hospital_a", **more: Any) -> Node:
        made.append(make_node(world, homes.mktemp("home") / name, mode, name, **more))
        return made[-1]

    space = Space(make, world)
    yield space, [space.contribute(name) for name in FOUR]
    for one in made:
        one.agent.close()
        one.agent.book.close()


def wires(parts: Sequence[Document]) -> list[Document]:
    return sorted((one["contribution"] for one in parts), key=lambda one: int(one["document"]["seat"]))


def oracle(tables: Sequence[str]) -> Document:
    frames = [pd.read_csv(io.StringIO("age,sex,grade,pain\n" + text), dtype=str) for text in tables]
    return function("describe@1").plain(frames, {"columns": ["age"], "by": "sex"}, COLUMNS, 10)
