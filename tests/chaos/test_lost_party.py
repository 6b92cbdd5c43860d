"""A party that is killed and comes back, a relay or a portal that does, costs the job a moment; one that stays away
ends it with a named cause, within its deadline; then all goes on.

Everybody is at the gate when it happens, so that it happens in the middle of a session. Nothing hangs, no process is
left, and the cause says what was lost, at which organisation, and whose turn it is.
"""

import json
import os
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from deploy import environment, relaying
from deploy.space import NODES, start_node
from deploy.supervisor import Child
from deploy.waiting import wait_until
from ledger.documents import document_hash
from marketplace.sdk import fn
from marketplace.sdk.errors import JobFailed
from tests.simulators.processes import tree

pytestmark = pytest.mark.stack
WITHIN = 150  # seconds from the order until the job has ended
NAMED_WITHIN = 5.0
LAST_WORD = "worker.failed"  # of a worker that sees its agent gone, before it dies with it
HOSPITALS = ("cleveland", "budapest", "long-beach", "zurich-basel")
EVERYBODY = (*HOSPITALS, "dealer")
SHIFTED = Path(__file__).parents[1] / "simulators" / "shifted_node.py"


def _buy(story, call):
    """No two of these tables share a column: a node might refuse the second for it."""
    return story.client.buy(story.product, call, scenario=story.grants[0].scenario)


def _id(story, key):
    return story.space.homes[key].participant


def _signal(pids, number):
    for pid in pids:
        os.kill(pid, number)


@contextmanager
def _frozen(pids):
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


@contextmanager
def _nobody_sends(story):
    """The portal's sender of transactions stands still, and not in the middle of one with the database: for seconds, no
    use becomes final, and every session waits at the gate."""
    sender = tree(story.space.supervisor.pid("tend"))
    with psycopg.connect(story.space.environment["DATABASE_URL"], autocommit=True) as database:
        for _ in range(200):
            _signal(sender, signal.SIGSTOP)
            [(busy,)] = database.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND state <> 'idle' "
                "AND datname = current_database()")
            if not busy:
                break
            _signal(sender, signal.SIGCONT)
            time.sleep(0.02)
    try:
        yield
    finally:
        _signal(sender, signal.SIGCONT)


def _states(story, key, job_hash):
    """What this hospital's book says of the job's use, and of the job."""
    with closing(sqlite3.connect(f"file:{story.space.homes[key].book}?mode=ro", uri=True)) as book:
        return (book.execute("SELECT state FROM use WHERE job_hash = ?", (job_hash,)).fetchone(),
                book.execute("SELECT state FROM job WHERE job_hash = ?", (job_hash,)).fetchone())


def _at_the_gate(story, call):
    """An order whose sessions have all come to the gate."""
    job = _buy(story, call)
    job_hash = document_hash(job.status()["spec"]["document"])
    started = (("started",), ("consumed",))
    assert wait_until(lambda: all(_states(story, key, job_hash)[0] in started for key in HOSPITALS), seconds=60)
    assert job.state in ("ready", "running")
    return job, job_hash


def _lines(story, key, job):
    """What this node recorded about its failed sessions of the job."""
    lines = (json.loads(line) for line in story.space.homes[key].audit.read_text().splitlines())
    return [line["facts"] for line in lines
            if line["event"] == "session.failed" and line["facts"]["job"] == job.id]


def _said_at(story, key, job):
    """When this node's log first said that a session of the job failed."""
    for line in (story.space.supervisor.logs / f"{key}.log").read_text().splitlines():
        if " session.failed " in line and f"job={job.id}" in line:
            return datetime.fromisoformat(line.split()[0]).timestamp()
    return None


def _all_name(story, job, lost, *codes, since=None):
    """Every other side names it for the first attempt, within a few seconds if the machine has time for anything."""
    others = [key for key in EVERYBODY if key != lost]
    assert wait_until(lambda: all(_lines(story, key, job) for key in others), seconds=60)
    said = {key: _lines(story, key, job)[0] for key in others}
    assert {key: (one["attempt"], one["about"]) for key, one in said.items()} == dict.fromkeys(
        others, (1, _id(story, lost)))
    assert {one["code"] for one in said.values()} <= set(codes)
    if since is not None:
        busy = max(2.0, max(os.getloadavg()[:2]) / (os.cpu_count() or 1))  # an average, which lags
        took = {key: round(_said_at(story, key, job) - since, 1) for key in others}
        assert max(took.values()) < NAMED_WITHIN * busy, took


def _ends(job, code, about, *, attempt, who="custodian"):
    with pytest.raises(JobFailed) as failed:
        job.wait(seconds=WITHIN)
    found = failed.value
    assert (found.state, found.reason, found.about, found.who_must_act) == ("failed", code, about, who)
    assert job.status()["attempt"] == attempt


def _kill_node(story, key):
    """SIGKILL to the agent; its worker dies with it. Returns what to start again, and when it died."""
    child, process = story.space.supervisor._running.pop(key)
    process.kill()
    process.wait()
    return child, time.time()


def _started(story, key):
    start_node(story.space.supervisor, key, story.space.homes[key].home)


@pytest.fixture(autouse=True)
def nothing_is_left(granted):
    """After each test: an agent, its nursery, no worker, nothing half dead."""
    yield

    def left():
        trees = {key: tree(granted.space.supervisor.pid(key)) for key in EVERYBODY}
        dead = [pid for tree in trees.values() for pid in tree
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]
        return [f"{key}: {tree}" for key, tree in trees.items() if len(tree) > 2] + [f"zombie {pid}" for pid in dead]

    def over():
        try:
            return left() == []
        except (FileNotFoundError, ProcessLookupError):
            return False  # it ended while we looked
    assert wait_until(over, seconds=60, step=0.2), left()


def test_a_killed_node_that_comes_back_costs_one_attempt(granted):
    with _nobody_sends(granted):
        job, _ = _at_the_gate(granted, fn.describe(["age"]))
        _, died = _kill_node(granted, "budapest")
    _started(granted, "budapest")
    assert job.wait(seconds=WITHIN).parties == 4
    assert job.status()["attempt"] == 2
    _all_name(granted, job, "budapest", "session.peer_lost", LAST_WORD, since=died)


def test_a_relay_that_is_killed_and_started_anew_costs_nothing(granted):
    supervisor = granted.space.supervisor
    with _nobody_sends(granted):
        job, _ = _at_the_gate(granted, fn.describe(["resting_bp"]))
        child, process = supervisor._running.pop(relaying.NAME)
        process.kill()
        process.wait()
        supervisor.start(child)
    assert job.wait(seconds=WITHIN).parties == 4
    assert job.status()["attempt"] == 1


def test_a_portal_that_is_away_from_the_gate_on_costs_nothing(granted):
    """Each hospital brings its own use to the chain, seals, and keeps what it sealed until the portal is back."""
    supervisor = granted.space.supervisor
    with _nobody_sends(granted):
        job, job_hash = _at_the_gate(granted, fn.crosstab(rows="exercise_angina", columns="slope"))
        child, process = supervisor._running.pop("portal")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        sealed = ("sealed",)
        assert wait_until(lambda: all(_states(granted, key, job_hash)[1] == sealed for key in HOSPITALS), seconds=60)
        supervisor.start(child)
    assert job.wait(seconds=WITHIN).parties == 4
    assert job.status()["attempt"] == 1


def test_a_killed_dealer_ends_the_job_by_name(granted):
    with _nobody_sends(granted):
        job, _ = _at_the_gate(granted, fn.describe(["max_heart_rate"]))
        _, died = _kill_node(granted, "dealer")
    dealer = _id(granted, "dealer")
    _ends(job, "session.peer_silent", dealer, attempt=2)
    _all_name(granted, job, "dealer", "dealer.lost", LAST_WORD, since=died)
    _started(granted, "dealer")
    assert _buy(granted, fn.describe(["st_depression"])).wait(seconds=WITHIN).parties == 4


def test_a_frozen_node_ends_the_job_by_name(granted):
    with _nobody_sends(granted):
        job, _ = _at_the_gate(granted, fn.describe(["chol"]))
        frozen = _frozen(tree(granted.space.supervisor.pid("long-beach")))
        frozen.__enter__()
    try:
        _ends(job, "session.peer_silent", _id(granted, "long-beach"), attempt=2)
        _all_name(granted, job, "long-beach", "session.peer_silent")
    finally:
        frozen.__exit__(None, None, None)


def test_an_agent_that_is_frozen_beside_its_worker_is_named(granted):
    """The worker goes on giving signs of life; only its word is missing. Who waited for it is not named."""
    with _nobody_sends(granted):
        job, _ = _at_the_gate(granted, fn.crosstab(rows="chest_pain", columns="sex"))
        frozen = _frozen([granted.space.supervisor.pid("zurich-basel")])
        frozen.__enter__()
    try:
        _ends(job, "session.deadline", _id(granted, "zurich-basel"), attempt=1)
    finally:
        frozen.__exit__(None, None, None)


def test_a_clock_that_is_off_is_called_so(granted):
    """Behind by a little: the node refuses, and says why. Off by more: the portal lets it in no more, and its log says
    why."""
    supervisor, home = granted.space.supervisor, granted.space.homes["budapest"].home
    log, code = supervisor.logs / "budapest.log", "poll.failed code=clock.skew"
    for seconds in (45, -75):
        supervisor.forget("budapest")
        supervisor.start(Child("budapest", environment.python(
            str(SHIFTED), str(seconds), "run", "--home", str(home)), stage=NODES, environment=environment.node()))
        if seconds > 0:
            assert wait_until(lambda: code in log.read_text(), seconds=60)
    job = _buy(granted, fn.crosstab(rows="thallium", columns="vessels"))
    with pytest.raises(JobFailed) as failed:
        job.wait(seconds=WITHIN)
    supervisor.forget("budapest")
    _started(granted, "budapest")
    assert (failed.value.state, failed.value.reason, failed.value.about, failed.value.who_must_act) == (
        "refused", "clock.skew", _id(granted, "budapest"), "custodian")
