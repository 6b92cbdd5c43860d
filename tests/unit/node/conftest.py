"""One world of keys for all tests of the node; each test takes its own copy of the papers, and nodes of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mpc.node.loop import Bell, alone
from tests.simulators.node_at_work import Maker, Node, make_node
from tests.simulators.node_world import World
from tests.simulators.people_at_node import home


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def node(world: World, tmp_path: Path) -> Iterator[Maker]:
    made: list[Node] = []

    def make(mode: str = "works", name: str = "hospital_a", **more: Any) -> Node:
        made.append(make_node(world, tmp_path / f"{name}-{len(made)}", mode, name, **more))
        return made[-1]

    yield make
    for one in made:
        one.agent.close()
        one.agent.book.close()


@pytest.fixture
def bells() -> Iterator[Callable[[Node], None]]:
    """The agent as it runs: alone in its home, and listening."""
    ringing: list[tuple[Bell, Any]] = []

    def ring(one: Node) -> None:
        lock = alone(home(one))
        lock.__enter__()
        bell = Bell(one.agent)
        bell.start()
        ringing.append((bell, lock))

    yield ring
    for bell, lock in ringing:
        bell.end()
        lock.__exit__(None, None, None)
