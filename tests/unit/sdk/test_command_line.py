"""The command line: tables out, codes on stderr, three exit statuses."""

from __future__ import annotations

import json

import pytest

from marketplace.sdk import __main__ as command_line
from marketplace.sdk.job import Job
from tests.unit.sdk.world import World


@pytest.fixture(autouse=True)
def _own_space(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_space", lambda options: world.space())


def test_it_works(world: World, released: Job, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["open", released.id]) == 0
    shown = capsys.readouterr().out
    assert "4 cells withheld" in shown
    assert "<NA>" in shown

    assert command_line.main(["open", released.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["withheld"] == 4


def test_products_are_listed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["products", "--json"]) == 0
    (product,) = json.loads(capsys.readouterr().out)
    assert (product["id"], product["price"]) == (world.product_id, "120.00 CNY")


def test_a_refusal_names_its_code(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for grant in world.portal.shelves["grants"].values():
        grant["state"] = "revoked"
    assert command_line.main(["buy", world.product_id, "crosstab", '{"rows": "sex", "columns": "grade"}']) == 1
    assert "grant.outside_scope" in capsys.readouterr().err


def test_a_portal_that_is_away_is_status_three(world: World) -> None:
    world.portal.down = True
    assert command_line.main(["jobs"]) == 3


def test_parameters_that_are_no_json_are_wrong_usage(world: World) -> None:
    assert command_line.main(["buy", world.product_id, "crosstab", "rows=sex"]) == 2
