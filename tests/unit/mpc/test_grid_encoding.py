"""Decimal text to grid steps: exact, bounded, and silent about values."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.encoding import COUNT_LIMIT, Grid, check_count_fit, decimal
from mpc.errors import DataRefused, ParametersInvalid, RangeExceeded
from mpc.sharing import add_up, integers, limbs


def number(low: str, high: str, step: str) -> dict[str, str]:
    return {"name": "x", "kind": "number", "min": low, "max": high, "step": step}


def test_it_works() -> None:
    grid = Grid.of(number("-1.0", "40", "0.1"))
    assert grid.encode("37.2") == 372
    assert grid.encode("-1") == -10
    assert grid.encode("1e1") == 100
    assert grid.decode(372) == Fraction("37.2")


@given(steps=st.integers(-10**9, 10**9), places=st.integers(0, 6))
def test_every_grid_value_comes_back(steps: int, places: int) -> None:
    grid = Grid.of(number("-1000000000", "1000000000", f"1e-{places}"))
    value = Fraction(steps, 10**places)
    text = f"{'-' if value < 0 else ''}{abs(steps) // 10**places}.{abs(steps) % 10**places:0{places or 1}d}"
    assert grid.decode(grid.encode(text)) == value


@pytest.mark.parametrize("text", ["", " 1", "1 ", "nan", "inf", "0x10", "1,5", "1e999", "１", "--1",
                                  "1.05", "300.1", "-0.1"])
def test_what_the_dictionary_does_not_allow_is_refused_without_saying_it(text: str) -> None:
    with pytest.raises(DataRefused) as refused:
        Grid.of(number("0", "300", "0.1")).encode(text)
    assert refused.value.code == "dataset.off_dictionary"
    assert str(refused.value) == "column x holds a value its dictionary does not allow"


@pytest.mark.parametrize("bounds", [("0", "10", "0"), ("0", "10", "-1"), ("5", "1", "1"), ("0.5", "10", "1"),
                                    ("0", "1e", "1")])
def test_a_column_without_a_true_grid_is_refused(bounds: tuple[str, str, str]) -> None:
    with pytest.raises(ParametersInvalid):
        Grid.of(number(*bounds))


def test_sums_that_may_not_fit_are_refused_before_any_row() -> None:
    wide = Grid.of(number("0", "1e30", "1e-10"))
    with pytest.raises(RangeExceeded):
        wide.check_fit(10)
    Grid.of(number("0", "1e6", "1e-3")).check_fit(COUNT_LIMIT - 1)


@pytest.mark.parametrize(("reach", "rows", "fits"), [
    (2**104, 2**46, True), (2**104 + 1, 2**46, False), (2**104, 2**46 + 1, False), (2**127, 1, True),
    (2**127 + 1, 1, False), (2**31, 1, True), (2**15, 2**32, True), (2**15, 2**33, True),
    (0, COUNT_LIMIT, True), (1, 2**254, True), (1, 2**254 + 1, False),
])
def test_the_bits_that_sums_need_are_counted_from_dictionary_and_record(reach: int, rows: int, fits: bool) -> None:
    """m * ceil(log2(max|x| / step)) + ceil(log2(N_max)) + 2 <= 256, at its very edge."""
    for grid in (Grid("x", Fraction(1, 10), 0, reach), Grid("x", Fraction(7), -reach, 0)):
        if not fits:
            with pytest.raises(RangeExceeded):
                grid.check_fit(rows)
            continue
        grid.check_fit(rows)
        largest = rows * reach**2
        assert integers(add_up([limbs([largest, -largest]), limbs([0, 0])])) == [largest, -largest]
        assert largest < 2**255
        wide = -(-grid.bits(rows) // 64)
        assert wide <= 4
        assert integers(add_up([limbs([largest, -largest], wide), limbs([0, 0], wide)])) == [largest, -largest]


def test_the_number_of_rows_is_bounded() -> None:
    check_count_fit(COUNT_LIMIT - 1)
    for rows in (0, -1, COUNT_LIMIT):
        with pytest.raises(RangeExceeded):
            check_count_fit(rows)


@given(st.text(max_size=12))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert decimal(text) is None or isinstance(decimal(text), Fraction)
