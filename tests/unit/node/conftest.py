"""One world of keys for all tests of the node; each test takes its own copy of the papers, and nodes of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulators.node_at_work import Maker, Node, make_node
from tests.simulators.node_world import World


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
