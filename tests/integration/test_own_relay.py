"""A hospital's own relay, pinned in every `config.toml`: the same program, run by one participant in front of its own
network, carries a whole job; the portal admits by its tokens, and its own relay is not needed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mpc.node import config
from tests.integration.test_nodes_compute import Space, space

__all__ = ["space"]
pytestmark = pytest.mark.stack


@pytest.fixture
def own(space: Space) -> Iterator[str]:
    """Its address; it knows the portal's public key and nothing else."""
    admits = space.relay.key.public_key().public_bytes_raw().hex()
    process = subprocess.Popen([sys.executable, "-m", "mpc.relay", "--listen", "127.0.0.1:0", "--key", admits],
                               stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield f"ws://{json.loads(process.stdout.readline())['listening']}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_it_works(space: Space, own: str) -> None:
    """The portal names its own relay, where nobody listens any more: a node that went there would lose the job."""
    for agent in space.agents.values():
        config.save(replace(agent.config, relay=own))
        agent.config = config.load(agent.config.home)
    space.relay.stop()
    item = space.world.item(function="crosstab", parameters={"rows": "chest_pain", "columns": "disease_grade"})
    assert {verdict["decision"] for verdict in space.check(item)} == {"accept"}
    space.meet(item)
    space.wait()
    assert [door.documents("failure") for door in space.doors.values()] == [[]] * 4
    assert space.open(item) == space.plain(item)
