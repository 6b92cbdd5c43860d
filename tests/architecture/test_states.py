"""Every state of every table is reachable, every move leads somewhere, and every area says who may do what."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest

from tests.architecture.source import ROOT, modules

TABLES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in modules("dataspace", "marketplace")
          if path.name == "states.py"]
EXPECTED = {
    "dataspace.participants.states": {"applied", "admitted", "suspended"},
    "dataspace.datasets.states": {"registered", "withdrawn"},
    "dataspace.scenarios.states": {"draft", "submitted", "returned", "approved", "rejected", "closed"},
    "dataspace.grants.states": {"submitted", "consented", "active", "suspended", "revoked", "expired", "exhausted",
                                "cancelled"},
    "marketplace.products.states": {"draft", "in_review", "listed", "delisted"},
    "marketplace.agreements.states": {"offered", "signed", "ended"},
    "marketplace.jobs.states": {"queued", "offered", "ready", "running", "collecting", "closing", "released", "settled",
                                "refused", "failed", "cancelled", "expired"},
}


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def test_the_states_are_those_of_the_design() -> None:
    found = {name: {str(state) for state in importlib.import_module(name).State} for name in TABLES}
    assert found == EXPECTED


def test_every_state_is_reached_from_the_first(table: ModuleType) -> None:
    reached = {table.INITIAL}
    while more := {after for (before, _), after in table.MOVES.items() if before in reached} - reached:
        reached |= more
    assert reached == set(table.State)


def test_every_move_is_used_and_leaves_its_own_event(table: ModuleType) -> None:
    used = {move for _, move in table.MOVES} | {table.BEGIN}
    assert used == set(table.Move)
    assert len({move.value for move in table.Move}) == len(list(table.Move))


def test_the_table_cannot_be_changed(table: ModuleType) -> None:
    with pytest.raises(TypeError):
        table.MOVES[next(iter(table.State)), next(iter(table.Move))] = next(iter(table.State))


def test_every_area_with_states_has_policies() -> None:
    wrong = [name for name in TABLES if not (ROOT / name.replace(".", "/")).with_name("policies.py").is_file()]
    assert wrong == []
