"""Mean, variance and deviation are the floats nearest to the exact rational values of the opened integers."""

import math
from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st

from mpc.functions.describe import _figures

STEPS = st.sampled_from([Fraction(1), Fraction(1, 10), Fraction(1, 3), Fraction(5, 2), Fraction(1, 10**9)])


def is_nearest(found: float, power: int, exact: Fraction) -> bool:
    """Whether no float lies nearer to the `power`-th root of this."""
    low, high = (Fraction(math.nextafter(found, end)) for end in (-math.inf, math.inf))
    below, above = (Fraction(found) + low) / 2, (Fraction(found) + high) / 2
    return (max(below, Fraction(0)) ** power if exact >= 0 else below) <= exact <= above**power


@settings(deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15), min_size=2, max_size=12), STEPS)
@example([0, 0], Fraction(1))
@example([0, 2**60], Fraction(1))
@example([-1, 0, 1], Fraction(1, 10**9))
def test_every_figure_is_rounded_once(steps: list[int], step: Fraction) -> None:
    n, values = len(steps), [number * step for number in steps]
    mean = sum(values, Fraction(0)) / n
    variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / (n - 1)
    found = _figures(n, sum(steps), sum(number * number for number in steps), step)
    for name, power, exact in (("mean", 1, mean), ("variance", 1, variance), ("sd", 2, variance)):
        figure = found[name]
        assert figure is not None
        assert is_nearest(figure, power, exact)
