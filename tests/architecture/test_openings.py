"""Nothing is made known but what is written down: who may put shares together, and where a number may become known.

`Computation.exchange` and `exchange_all` open what stands under a fresh mask, `Computation.open_to` everything else,
with a line for the sealed log. A module that could call the first could open a number that no envelope tells of.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mpc.engines.budget import check
from mpc.functions.plan import Plan
from mpc.functions.registry import FUNCTIONS, function
from tests.architecture.source import ROOT, all_imports, modules, tree

ENGINE = ROOT / "mpc" / "engines" / "crypten_engine"
PROTOCOLS = {"comparison.py", "conjunction.py", "products.py", "computation.py"}
SEVERAL = {"choice.py", "computation.py"}
LINKS = {"computation.py", "dealing.py"}


def calls(source: ast.AST, method: str) -> int:
    return sum(isinstance(node, ast.Attribute) and node.attr == method for node in ast.walk(source))


def callers(method: str) -> set[str]:
    return {path.name for path in ENGINE.glob("*.py") if calls(tree(path), method)}


def test_it_works() -> None:
    assert callers("exchange") == PROTOCOLS
    assert callers("exchange_all") == SEVERAL
    assert callers("open_to") == {"engine.py"}
    assert callers("send") | callers("recv") == LINKS


@pytest.mark.parametrize("bad", ["of.exchange(x)", "e = of.exchange", "self._of.exchange(x, xor=True)",
                                 "(lambda of: of.exchange)(of)"])
def test_a_call_is_seen(bad: str) -> None:
    assert calls(ast.parse(bad), "exchange") == 1


def test_nobody_else_has_a_computation_in_hand() -> None:
    """Outside of the engine there is only what `mpc.engines.base.Engine` offers, and that opens nothing but a gate."""
    def of_the_engine(path: Path) -> set[str]:
        return {name.rpartition(".")[2] for name in all_imports(path)
                if name.startswith("mpc.engines.crypten_engine.")}

    found = {path.relative_to(ROOT).as_posix(): of_the_engine(path) for path in modules() if path.parent != ENGINE}
    assert {name: modules for name, modules in found.items() if modules - {"engine", "kernel"}} == {}


NUMBER = {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "9", "step": "1", "codes": None}
CODES = {**NUMBER, "kind": "category", "min": None, "max": None, "step": None, "codes": ["a", "b"]}
COLUMNS = [NUMBER, {**CODES, "name": "one"}, {**CODES, "name": "two"}]
ASKED = {"describe@1": {"columns": ["age"], "by": "one"}, "crosstab@1": {"rows": "one", "columns": "two"}}


def products_of(plan: Plan) -> list[str]:
    """The kinds of dealt pieces that products and their truncation take, in this plan's script."""
    from mpc.engines.crypten_engine.engine import gate_script

    return [piece.kind for piece in gate_script(plan.gate, plan.parties)
            if piece.kind in ("product", "matrices", "truncation")]


@pytest.mark.parametrize("key", sorted(FUNCTIONS))
def test_a_plan_declares_the_products_that_are_dealt_for_it(key: str) -> None:
    """None of today's functions multiplies shared numbers: none is declared, so none may be dealt. One that does must
    say so in its plan, where the failure budget looks."""
    plan = function(key).plan(ASKED[key], COLUMNS, 3, 1000)
    assert len(products_of(plan)) == sum(one.count for one in plan.products) == 0
    check(plan.products, plan.uses)
