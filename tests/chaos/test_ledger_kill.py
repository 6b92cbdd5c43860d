"""Whoever is killed, and at whatever moment: no event is lost, doubled or forked, and the ledger goes on.

Twenty kills here, a thousand by `./run bench kills`, of the sequencer and sender (`manage.py tend`), of a writer that
follows as the portal's own processes do, of the embedded chain with its door, and of anvil under it: at named edges
between two steps, and at any moment.
"""

from __future__ import annotations

import random
import secrets
from pathlib import Path

import pytest

from deploy.postgres import Postgres
from tests.simulators.ledger_stack import LedgerStack

pytestmark = pytest.mark.stack
KILLS = 20
WELL = {"lost": 0, "doubled": 0, "forked": 0, "alarms": 0, "gaps": 0, "not final": 0}


@pytest.fixture
def database(postgres: Postgres | None) -> str:
    """A database of this test's own."""
    if postgres is None:
        pytest.skip("needs a server of the tests' own")
    name = f"kills_{secrets.token_hex(4)}"
    postgres.create_database(name)
    return postgres.url(name)


def test_it_works_after_every_kill(database: str, tmp_path: Path) -> None:
    seed = secrets.randbelow(2**32)
    chance = random.Random(seed)
    with LedgerStack(tmp_path, database) as stack:
        kills = [stack.kill(chance)[0] for _ in range(KILLS)]
        found = stack.settle()
    assert {name: found[name] for name in WELL} == WELL, (seed, kills, found)
    assert found["events"] >= KILLS
