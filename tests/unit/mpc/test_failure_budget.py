"""The static rules of fixed-point arithmetic: every edge of them, and that every order passes them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest

from mpc import party
from mpc.engines.budget import BUDGET, DOMAINS, Product, Use, chance, check
from mpc.errors import RangeExceeded
from tests.unit.mpc.test_worker_order import read

NAIVE = Product(1, Fraction(2) ** 12, 16, exact=False)


def refused(*arguments: Any) -> str:
    with pytest.raises(RangeExceeded) as caught:
        check(*arguments)
    return caught.value.code


def test_it_works() -> None:
    check([])
    check([Product(10**9, Fraction(2) ** 24, 16, exact=True)], [Use("reciprocal", Fraction(1), Fraction(100))])


def test_the_chance_is_the_one_that_was_measured() -> None:
    """At 16 fractional bits: size 2^16 fails 1.5e-5 of the time, 2^20 2.4e-4, 2^24 4e-3, 2^28 6e-2, 2^30 a quarter."""
    for power, expected in ((16, 2.0**-16), (20, 2.0**-12), (24, 2.0**-8), (28, 2.0**-4), (30, 0.25)):
        assert float(chance([Product(1, Fraction(2) ** power, 16, exact=False)])) == expected
    assert chance([Product(5, Fraction(2) ** 24, 16, exact=True)]) == 0


@pytest.mark.parametrize(("precision", "count"), [*product((0, 1, 8, 16, 20, 24), (1, 3, 10**6))])
def test_the_budget_is_met_exactly_or_not_at_all(precision: int, count: int) -> None:
    edge = BUDGET * Fraction(2) ** (64 - 2 * precision) / count
    check([Product(count, edge, precision, exact=False)])
    assert refused([Product(count, edge + Fraction(1, 10**30), precision, exact=False)]) == "encoding.budget"
    half = Product(count, edge / 2, precision, exact=False)
    check([half, half])
    assert refused([half, half, Product(1, Fraction(1, 10**9), precision, exact=False)]) == "encoding.budget"


@pytest.mark.parametrize("precision", [0, 1, 8, 16, 20, 31])
def test_a_product_must_fit_whatever_truncates_it(precision: int) -> None:
    limit = Fraction(2) ** (62 - 2 * precision)
    check([Product(1, limit - Fraction(1, 10**30), precision, exact=True)])
    assert refused([Product(1, limit, precision, exact=True)]) == "encoding.range"
    assert refused([Product(1, limit, precision, exact=False)]) == "encoding.range"


@pytest.mark.parametrize("bad", [
    replace(NAIVE, count=-1), replace(NAIVE, size=Fraction(-1)), replace(NAIVE, precision=-1),
    replace(NAIVE, precision=32)])
def test_what_no_ring_has_is_refused(bad: Product) -> None:
    assert refused([bad]) == "encoding.range"


@pytest.mark.parametrize("function", sorted(DOMAINS))
def test_a_function_is_asked_for_inside_its_domain_only(function: str) -> None:
    low, high = DOMAINS[function]
    small = Fraction(1, 10**12)
    check([], [Use(function, low, high), Use(function, low, low), Use(function, high, high)])
    for bad in ((low - small, high), (low, high + small), (high, low), (high + 1, high + 2), (low - 2, low - 1)):
        assert refused([], [Use(function, *bad)]) == "encoding.domain"


def test_no_other_function_is_known() -> None:
    assert refused([], [Use("tanh", Fraction(0), Fraction(1))]) == "encoding.domain"


def test_every_order_passes_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """No function multiplies shared numbers today; one that declares what may fail is not computed."""
    assert (party.plan_of(read()).products, party.plan_of(read()).uses) == ((), ())
    made = party.function(read().function)
    plan = made.plan(read().parameters, read().columns, 3, 1000)
    for name, declared, code in (
            ("products", (Product(1000, Fraction(2) ** 24, 16, exact=False),), "encoding.budget"),
            ("uses", (Use("sqrt", Fraction(0), Fraction(10**6)),), "encoding.domain")):
        changed = replace(plan, **{name: declared})  # type: ignore[arg-type]
        monkeypatch.setattr(party, "function", lambda _, of=changed: SimpleNamespace(plan=lambda *_: of))
        with pytest.raises(RangeExceeded) as caught:
            party.plan_of(read())
        assert caught.value.code == code
