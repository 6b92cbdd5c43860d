"""What fixed-point arithmetic may be asked for, judged from declared ranges before a job starts. Rules only.

A plan names its products (`Product`) and the functions it takes of shared numbers (`Use`), each with the range that the
dictionary declares, never with values. Refused, before a row is read:
* `encoding.range`   a product that does not fit: at twice the precision it must lie under 2^62, whatever truncates;
* `encoding.budget`  products that are truncated share by share fail by chance, each of size |x y| with probability
                     |x y| 2^(2f-64) (measured on CrypTen 0.4.1): their sum over the job may be 1e-6 at most. Products
                     truncated by the dealer's pairs (`crypten_engine.products`) cannot fail, and count nothing;
* `encoding.domain`  a function of numbers that may lie outside of where its approximation holds: silently wrong there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from mpc.errors import RangeExceeded

BUDGET = Fraction(1, 10**6)
RING, ROOM = 64, 62
# Where CrypTen's approximations hold to two per cent at 16 fractional bits; far outside they are off by any factor.
DOMAINS: dict[str, tuple[Fraction, Fraction]] = {
    "reciprocal": (Fraction(1, 100), Fraction(200)), "sqrt": (Fraction(1, 10), Fraction(200)),
    "log": (Fraction(1, 100), Fraction(100)), "exp": (Fraction(-200), Fraction(3)),
}


@dataclass(frozen=True)
class Product:
    """So many products, none larger than this, of numbers of this precision; a sum that is truncated once is one."""

    count: int
    size: Fraction
    precision: int
    exact: bool


@dataclass(frozen=True)
class Use:
    """A function of shared numbers between these bounds."""

    function: str
    low: Fraction
    high: Fraction


def chance(products: Iterable[Product]) -> Fraction:
    """The chance that any of these products fails, at most."""
    return sum((one.count * one.size * Fraction(2) ** (2 * one.precision - RING) for one in products if not one.exact),
               Fraction(0))


def check(products: Iterable[Product], uses: Iterable[Use] = ()) -> None:
    """Raise `RangeExceeded` with the code of the rule that a plan breaks."""
    products = list(products)
    for one in products:
        if one.count < 0 or one.size < 0 or not 0 <= one.precision <= ROOM // 2:
            raise RangeExceeded("a product is declared that no ring has")
        if one.size * 4**one.precision >= 2**ROOM:
            raise RangeExceeded("a product does not fit the ring")
    if chance(products) > BUDGET:
        raise RangeExceeded("products may fail by chance in more than one job of a million", code="encoding.budget")
    for use in uses:
        if use.function not in DOMAINS:
            raise RangeExceeded("no such function of shared numbers", code="encoding.domain")
        low, high = DOMAINS[use.function]
        if not low <= use.low <= use.high <= high:
            raise RangeExceeded(f"{use.function} is asked for outside of where it holds", code="encoding.domain")
