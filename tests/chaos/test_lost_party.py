"""A party that is killed and comes back, or a relay that does, costs the job a moment; one that stays away ends it with
a named cause, within its deadline; then all goes on.

Nothing hangs, and the cause says what was lost: an organisation, the dealer, or somebody's voice.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from deploy import relaying
from deploy.space import start_node
from deploy.waiting import wait_until
from marketplace.sdk import fn
from marketplace.sdk.errors import JobFailed

pytestmark = pytest.mark.stack
WITHIN = 150  # seconds from the order until the job has ended
LOST = {"session.peer_lost", "session.peer_silent", "dealer.lost", "worker.failed", "session.deadline"}


def _buy(story, call):
    """No two of these tables share a column: a node might refuse the second for it."""
    return story.client.buy(story.product, call, scenario=story.grants[0].scenario)


def _tree(pid):
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += _tree(int(child))
    return found


def _until_underway(job):
    """Wait until the job's nodes have been asked to compute."""
    assert wait_until(lambda: job.state in ("ready", "running", "released"), seconds=60)


def _ends_failed(job, began):
    with pytest.raises(JobFailed) as failed:
        job.wait(seconds=WITHIN)
    assert time.monotonic() - began < WITHIN
    assert failed.value.state in ("failed", "expired")
    assert failed.value.reason in LOST
    return failed.value


def _restart(story, key):
    start_node(story.space.supervisor, key, story.space.homes[key].home)


def _kill_node(story, key):
    """SIGKILL to the agent; its worker dies with it."""
    supervisor = story.space.supervisor
    _, process = supervisor._running.pop(key)
    process.kill()
    process.wait()


def _works_again(story, call):
    result = _buy(story, call).wait(seconds=WITHIN)
    assert result.parties == 4


def test_a_killed_node_that_comes_back_costs_one_attempt(granted):
    job = _buy(granted, fn.describe(["age"]))
    _until_underway(job)
    _kill_node(granted, "budapest")
    _restart(granted, "budapest")
    assert job.wait(seconds=WITHIN).parties == 4


def test_a_relay_that_is_killed_and_started_anew_costs_nothing(granted):
    supervisor = granted.space.supervisor
    job = _buy(granted, fn.describe(["resting_bp"]))
    _until_underway(job)
    child, process = supervisor._running.pop(relaying.NAME)
    process.kill()
    process.wait()
    supervisor.start(child)
    assert job.wait(seconds=WITHIN).parties == 4


def test_a_killed_dealer_ends_the_job_by_name(granted):
    began = time.monotonic()
    job = _buy(granted, fn.describe(["max_heart_rate"]))
    _until_underway(job)
    _kill_node(granted, "dealer")
    _ends_failed(job, began)
    _restart(granted, "dealer")
    _works_again(granted, fn.describe(["st_depression"]))


def test_a_frozen_node_ends_the_job_by_name(granted):
    began = time.monotonic()
    job = _buy(granted, fn.describe(["chol"]))
    _until_underway(job)
    frozen = _tree(granted.space.supervisor.pid("long-beach"))
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        _ends_failed(job, began)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    _works_again(granted, fn.crosstab(rows="chest_pain", columns="sex"))
