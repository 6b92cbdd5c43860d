"""Products of shared fixed-point numbers that cannot fail: own multiplication, exact truncation, what stands on them.

A number v is held as the integer v * 2^f, [x] shared by addition modulo 2^64; f is the precision. A product of two has
precision 2f and is brought back to f by `truncate`. CrypTen cuts each share by itself, and then the result is off by
2^(64-f) with a chance of |x y| 2^(2f-64), silently: at f = 16 one product of size 2^24 in 256.

`multiply`, `matmul`: [a], [b], [a b] uniform from the dealer; open x - a = d and y - b = e in one round;
    [x y] = [a b] + d [b] + [a] e + d e.
`truncate`, for every |z| < 2^62: r uniform modulo 2^64, [r >> f] and [r_63] from the dealer (kind "truncation").
1. Open c = z + 2^62 + r modulo 2^64. As 0 <= z + 2^62 < 2^63, the sum has wrapped exactly if r_63 = 1 and c_63 = 0.
2. [z >> f] = (c >> f) - [r >> f] + (1 - c_63) 2^(64-f) [r_63] - 2^(62-f).
   What the lower f bits of c lack to those of r is forgotten: the result is z / 2^f rounded down, or one unit more.
   It is never off by more, whatever r is.
`sigmoid`: straight lines between ten knots, 0 and 1 outside, off by at most 0.0035: the sum over all knots t of
    slope * (x - t) * [x >= t]. All comparisons at once, then one product: nine rounds. It saturates, so no x is
    out of its domain.
Everything that is opened is under a fresh uniform mask, so messages say nothing (as in `comparison`). Sources: Beaver,
CRYPTO 1991; truncation pairs with the wrap bit as in Escudero, Ghosh, Keller, Rachuri, Wu, CRYPTO 2020, section 5.
"""

from __future__ import annotations

import numpy as np

from mpc.engines.crypten_engine import comparison
from mpc.engines.crypten_engine.computation import Computation
from mpc.engines.crypten_engine.dealing import Numbers, Piece, bit, matrices, product, truncation
from mpc.engines.crypten_engine.kernel import int_matmul
from mpc.errors import RangeExceeded

OFFSET, WORD = 62, 8
# Where the sigmoid's line bends left of 0, and by how much; right of 0 it bends back the same.
KNOTS = ((-5.7353, 0.011487), (-3.5251, 0.036443), (-2.4232, 0.056558), (-1.6158, 0.068706), (-0.8787, 0.065535))


def encode(values: Numbers, precision: int) -> Numbers:
    """Real numbers as words: the nearest multiple of 2^-precision, from float64, or refused."""
    scaled = np.rint(np.asarray(values, dtype=np.float64) * 2.0**precision)
    if not np.isfinite(scaled).all() or (np.abs(scaled) >= 2.0**OFFSET).any():
        raise RangeExceeded("a number does not fit the ring")
    return scaled.astype(np.int64).view(np.uint64)


def decode(words: Numbers, precision: int) -> Numbers:
    """The real numbers that words stand for, to the nearest float64."""
    found: Numbers = words.view(np.int64).astype(np.float64) / 2.0**precision
    return found


def multiply_script(count: int, precision: int) -> list[Piece]:
    return [product(count), *truncate_script(count, precision)]


def matmul_script(rows: int, inner: int, columns: int, precision: int) -> list[Piece]:
    return [matrices(rows, inner, columns), *truncate_script(rows * columns, precision)]


def truncate_script(count: int, precision: int) -> list[Piece]:
    return [truncation(count, precision)] if precision else []


def sigmoid_script(count: int, precision: int) -> list[Piece]:
    wide = 2 * len(KNOTS) * count
    return [*comparison.script(wide), bit(wide, WORD), *multiply_script(wide, 0), *truncate_script(count, precision)]


def gradient_script(rows: int, columns: int, precision: int) -> list[Piece]:
    return [*matmul_script(rows, columns, 1, precision), *sigmoid_script(rows, precision),
            *matmul_script(columns, rows, 1, precision)]


def multiply(of: Computation, x: Numbers, y: Numbers, precision: int) -> Numbers:
    """Shares of the products, number by number; of precision 0: of whole numbers, modulo 2^64."""
    a, b, c = of.take(product(len(x)))
    opened = of.exchange(np.concatenate([x - a, y - b]))
    d, e = opened[: len(x)], opened[len(x) :]
    if of.seat == 0:
        b = b + e
    return truncate(of, c + d * b + a * e, precision)


def matmul(of: Computation, x: Numbers, y: Numbers, precision: int) -> Numbers:
    """Shares of the product of two matrices, one truncation for each number of the result."""
    (rows, inner), columns = x.shape, y.shape[1]
    a, b, c = of.take(matrices(rows, inner, columns))
    opened = of.exchange(np.concatenate([(x - a).reshape(-1), (y - b).reshape(-1)]))
    d, e = opened[: x.size].reshape(x.shape), opened[x.size :].reshape(y.shape)
    if of.seat == 0:
        b = b + e
    whole = c + int_matmul(d, b) + int_matmul(a, e)
    return truncate(of, whole.reshape(-1), precision).reshape(rows, columns)


def truncate(of: Computation, z: Numbers, precision: int) -> Numbers:
    """Shares of z / 2^precision, rounded down or one unit more, for every |z| < 2^62."""
    if not precision:
        return z
    r, down, top = of.take(truncation(len(z), precision))
    first = of.seat == 0
    c = of.exchange(z + r + np.uint64(1 << OFFSET if first else 0))
    found: Numbers = (((c >> np.uint64(63)) ^ np.uint64(1)) * top << np.uint64(64 - precision)) - down
    if first:
        found += (c >> np.uint64(precision)) - np.uint64(1 << OFFSET - precision)
    return found


def sigmoid(of: Computation, x: Numbers, precision: int) -> Numbers:
    """Shares of 1 / (1 + exp(-x))."""
    knots = [(knot, slope) for knot, slope in KNOTS] + [(-knot, -slope) for knot, slope in reversed(KNOTS)]
    first = np.uint64(of.seat == 0)
    at, slopes = (encode(np.array(column), precision) for column in zip(*knots, strict=True))
    over = (x[np.newaxis, :] - first * at[:, np.newaxis]).reshape(-1)
    under = comparison.negative(of, over)
    held = of.to_words(under ^ np.uint8(first), WORD)
    bent = multiply(of, over, held, 0).reshape(len(knots), -1)
    return truncate(of, (slopes[:, np.newaxis] * bent).sum(axis=0, dtype=np.uint64), precision)


def gradient(of: Computation, x: Numbers, weights: Numbers, labels: Numbers, precision: int) -> Numbers:
    """Shares of a logistic regression's gradient, X^T (sigmoid(X w) - y), which is not yet divided by the rows."""
    guess = sigmoid(of, matmul(of, x, weights.reshape(-1, 1), precision).reshape(-1), precision)
    wrong = (guess - labels).reshape(-1, 1)
    return matmul(of, np.ascontiguousarray(x.T), wrong, precision).reshape(-1)
