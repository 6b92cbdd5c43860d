"""State tables: every pair of state and move is either in the table or refused, and nothing else writes a state."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from dataspace.errors import Conflict, IllegalMove
from dataspace.moves import advance, begin
from dataspace.participants.models import Participant
from dataspace.participants.states import BEGIN, INITIAL, MOVES, Move, State
from dataspace.provenance.models import Event
from tests.simulators.portal_space import Space, now

AREAS = [
    "dataspace.participants",
    "dataspace.datasets",
    "dataspace.scenarios",
    "dataspace.grants",
    "marketplace.products",
    "marketplace.agreements",
    "marketplace.jobs",
]


def states_of(area: str) -> ModuleType:
    return import_module(f"{area}.states")


@pytest.fixture
def row(people: Space) -> Participant:
    people.admit("office", "maker")
    return Participant.objects.get(pk=people.id("maker"))


def test_it_works(row: Participant, people: Space) -> None:
    advance(row, Move.SUSPEND, moves=MOVES, actor=people.actor("office"), now=now(), audience=[row.pk])
    row.refresh_from_db()
    assert row.state == State.SUSPENDED
    assert Event.objects.order_by("-number")[0].kind == "participant.suspended"


@pytest.mark.parametrize("area", AREAS)
def test_every_state_is_reached_and_every_move_used(area: str) -> None:
    module = states_of(area)
    reached = {module.INITIAL, *module.MOVES.values()}
    assert reached == set(module.State)
    assert {module.BEGIN, *(move for _, move in module.MOVES)} == set(module.Move)


@pytest.mark.parametrize("area", AREAS)
def test_what_is_not_in_the_table_is_refused(area: str, row: Participant, people: Space) -> None:
    """Walked over the whole product of states and moves, by a row that stands for any."""
    module = states_of(area)
    for state in module.State:
        for move in module.Move:
            if (state, move) in module.MOVES:
                continue
            row.state = state
            with pytest.raises(IllegalMove):
                advance(row, move, moves=module.MOVES, actor=people.actor("office"), now=now(), audience=[])


def test_of_two_who_move_at_once_one_conflicts(row: Participant, people: Space) -> None:
    stale = Participant.objects.get(pk=row.pk)
    how = {"moves": MOVES, "actor": people.actor("office"), "now": now(), "audience": [row.pk]}
    advance(row, Move.SUSPEND, **how)  # type: ignore[arg-type]
    before = Event.objects.count()
    with pytest.raises(Conflict):
        advance(stale, Move.SUSPEND, **how)  # type: ignore[arg-type]
    assert Event.objects.count() == before


def test_a_row_begins_once(row: Participant, people: Space) -> None:
    with pytest.raises(Conflict):
        begin(row, BEGIN, state=INITIAL, actor=people.actor("office"), now=now(), audience=[])


def test_nothing_else_writes_a_state() -> None:
    """Good: `advance(row, ...)`. Bad: `.update(state=...)`, `row.state = ...` outside moves.py."""
    root = Path(__file__).resolve().parents[3]
    for folder in ("dataspace", "marketplace"):
        for file in (root / folder).rglob("*.py"):
            if "migrations" in file.parts or "sdk" in file.parts or file.name == "moves.py":
                continue
            for line in file.read_text(encoding="utf-8").splitlines():
                assert not re.search(r"\.update\([^)]*\bstate=", line), (file, line)
                assert not re.search(r"^\s*\w+\.state\s*=[^=]", line), (file, line)
