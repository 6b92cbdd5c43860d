"""One world of keys for all tests of the node; each test takes its own copy of the papers."""

import pytest

from tests.simulators.node_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))
