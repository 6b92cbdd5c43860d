"""A job whose parties are not online together, for tests: on a stage while it collects, and what a sweep does to it."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from ledger.errors import PortalRefused
from marketplace.jobs.models import Job
from marketplace.jobs.services import tend
from tests.simulators import apart
from tests.simulators.portal_space import Space, Stage, Wire, now, staged


def ordered(space: Space, *, max_uses: int = 2) -> Wire:
    agreement = space.ready().agreement(space.listed(), space.granted(max_uses=max_uses))
    spec = apart.asked(space, agreement)
    space.order(spec)
    return {"agreement": agreement, "spec": spec}


def played(build: Callable[[Space], Wire]) -> tuple[Any, Any, Any]:
    """A module's fixtures `stage`, `people` and `spec`, of a job that `build` ordered."""

    @pytest.fixture
    def people(stage: Stage, db: None) -> Iterator[Space]:
        with stage.act() as space:
            yield space

    @pytest.fixture
    def spec(people: Space, stage: Stage) -> Wire:
        return deepcopy(stage.made["spec"])

    return staged(build), people, spec


def job() -> Job:
    return Job.objects.get()


def swept(hours: float = 0) -> Job:
    """And what a sweep asks of Celery."""
    at = now() + timedelta(hours=hours)
    tend.sweep(now=at)
    tend.multiply(job().pk, now=at)
    return job()


def code_of(act: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(PortalRefused) as refused:
        act(*arguments, **named)
    return refused.value.code
