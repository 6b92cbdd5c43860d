"""A world with a job ordered; `released` has computed it too."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketplace.sdk import fn
from marketplace.sdk.job import Job
from tests.unit.sdk.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def job(world: World) -> Job:
    return world.space().buy(world.product_id, fn.crosstab(rows="sex", columns="grade"), idempotency_key="k1")


@pytest.fixture
def released(world: World, job: Job) -> Job:
    world.compute(job.id)
    return job
