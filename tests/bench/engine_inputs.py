"""What every engine of the benchmark computes on, what is right, and when a result counts as wrong.

Numpy and the standard library only: the same file is read beside our engine and in the environments of others, so all
have the same numbers. Every bound is relative to the largest number that is right, and zeros fail each of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS, FEATURES = 5, 20
TOLERANCE = {"sum": 1e-6, "comparisons": 1e-3, "product": 1e-3, "gradient": 0.05}
LARGE = 4096.0  # two of them multiplied: 2^24


def rate_bits(size: int) -> int:
    """A gradient step is 4 / size for sizes that are powers of two: 2^-11 for 8192."""
    return max(1, size.bit_length() - 3)


def inputs(case: str, size: int) -> list[Any]:
    """The same numbers in every process: what the parties hold is settled before the clock starts."""
    draw = np.random.default_rng(7)
    if case == "sum":
        return [draw.integers(-(2**30), 2**30, size) for _ in range(3)]
    if case == "comparisons":
        return [draw.normal(0, 100, size)]
    if case == "product":
        return [draw.normal(0, 1, (size, size)), draw.normal(0, 1, (size, size))]
    if case == "truncation":
        return [LARGE + draw.uniform(-8, 8, size), LARGE + draw.uniform(-8, 8, size)]
    x = draw.normal(0, 1, (size, FEATURES))
    return [x, (x @ np.linspace(-1, 1, FEATURES) > 0).astype(np.float64)]


def wanted(case: str, values: list[Any]) -> Any:
    """In the clear, in float64; `comparisons`: is it above 0."""
    if case == "sum":
        return values[0] + values[1] + values[2]
    if case == "comparisons":
        return values[0] > 0
    if case == "product":
        return values[0] @ values[1]
    if case == "truncation":
        return values[0] * values[1]
    weights, rate = np.zeros(FEATURES), 2.0 ** -rate_bits(len(values[0]))
    for _ in range(STEPS):
        weights = weights - values[0].T @ (1 / (1 + np.exp(-values[0] @ weights)) - values[1]) * rate
    return weights


def check(case: str, values: list[Any], found: Any, *, by_chance: bool = False) -> None:
    """Raise for a wrong result. An engine whose products are off `by_chance` is judged by its median error (in
    comparisons by how many are wrong)."""
    right = np.asarray(wanted(case, values), dtype=np.float64)
    error = np.abs(np.asarray(found, dtype=np.float64).reshape(right.shape) - right) / np.abs(right).max()
    middle = np.mean if case == "comparisons" else np.median
    if not float(middle(error) if by_chance else error.max()) <= (
            TOLERANCE[case] if by_chance or case != "comparisons" else 0.0):
        raise ValueError(f"the result of {case} is wrong")


def off(values: list[Any], found: Any) -> int:
    """How many products are off by far: a truncation that fails is off by 2^32 or so."""
    error = np.abs(np.asarray(found, dtype=np.float64) - wanted("truncation", values))
    return int((error > 2.0**20).sum())
