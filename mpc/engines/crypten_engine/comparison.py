"""Which of many shared numbers are negative: one masked opening, then a borrow among bits. Six rounds.

[x] is x shared by addition modulo 2^64, <b> is b shared by xor. The dealer gives [r] for r uniform modulo 2^64, and
<r_i> for its bits with <r_i r_j> for each pair of neighbours j = i - 1, i odd (kind "mask" of `dealing`). For every x:
1. Open c = x + r modulo 2^64 to the parties.
2. x = c - r, so its sign is c_63 ^ r_63 ^ B, where B says that the lower 63 bits of c are less than those of r.
3. For each pair of neighbouring bits, from public c and shared r, without a message (n = not c, bits 1 over 0):
     less   <g> = n1 <r1> ^ n0 (n1 <r0> ^ <r1 r0>)                   the pair of c is less than that of r
     equal  <p> = n1 n0 ^ n1 <r0> ^ n0 <r1> ^ <r1 r0>                the pairs are equal
   In the highest pair r_63 counts as 0 and c_63 as 0: it belongs to step 2.
4. Five times, high half with low half, until one is left: g = g_high ^ p_high g_low and p = p_high p_low; the order of
   `dealing.spread_bits` has put neighbours half a word apart. Both products take one piece "both": the parties open
   p_high ^ a, g_low ^ b, p_low ^ b' to each other, with fresh uniform a, b, b' from the dealer. The last step needs g.
5. <x is negative> = <c_63 ^ r_63 ^ g>. It stays shared.
Exact for every x from -2^63 to 2^63 - 1: no range is assumed, nothing can overflow, no step fails with any chance.

Why nobody learns anything (parties that follow the protocol, any n - 1 of them together, the dealer not with them).
What a party sends is its share of c, that is x_i + r_i with r_i uniform and known to it and the dealer alone, and bits
under fresh uniform a_i, b_i, b'_i: a set of n - 1 parties sees of the last one only uniform bits that are independent
of each other and of x, given c and the opened bits. Those are uniform too: c since r is, the others since a, b, b' are.
So a simulator draws all of them by itself. Sizes, order and number of messages follow from the count of numbers alone.

After: masked bits as in edaBits (Escudero, Ghosh, Keller, Rachuri, Wu, CRYPTO 2020) and the comparison of a public with
a shared number by bits (Damgard, Fitzi, Kiltz, Nielsen, Toft, TCC 2006); here the dealer makes the masked bits, and
the first level of the tree costs nothing since it makes the products of neighbours too. Per number and party 19.5 bytes
are sent to each peer; CrypTen 0.4.1 takes 432 bytes, counted both ways, in 8 rounds and more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mpc.engines.crypten_engine.dealing import Numbers, Piece, both, mask, spread_bits

if TYPE_CHECKING:
    from mpc.engines.crypten_engine.computation import Computation

TOP, REST = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
CHUNK = 1 << 15


# The tree: how many products, and for the steps inside a byte its high halves and their distance to the low ones.
STEPS: tuple[tuple[int, tuple[int, int] | None], ...] = (
    (2, None), (2, None), (2, (0xF0, 4)), (2, (0xCC, 2)), (1, (0xAA, 1)))


def _pieces(count: int) -> list[Piece]:
    """One for each step; the count is rounded up to a multiple of eight."""
    full = (count + 7) // 8 * 8
    return [both(factors, (2 * full) >> at) for at, (factors, _) in enumerate(STEPS)]


def script(count: int) -> list[Piece]:
    """What the comparison of so many numbers takes."""
    return [mask(count), *_pieces(count)] if count else []


def negative(of: Computation, numbers: Numbers) -> Numbers:
    """For each number a share by xor, 0 or 1, of "it is less than 0"."""
    if not len(numbers):
        return np.empty(0, dtype=np.uint8)
    first = of.seat == 0
    r, high, low, products = of.take(mask(len(numbers)))
    c = of.exchange(numbers + r)
    less, equal = _pairs(c, high, low, products, first=first)
    sign = (high >> np.uint32(31)).astype(np.uint8)
    if first:
        sign ^= (c >> np.uint64(63)).astype(np.uint8)
    less = _borrow(of, less, equal)
    return sign ^ np.ascontiguousarray(np.unpackbits(less).reshape(-1, 8).T).reshape(-1)[: len(numbers)]


def _pairs(c: Numbers, high: Numbers, low: Numbers, products: Numbers, *, first: bool) -> tuple[Numbers, Numbers]:
    """Step 3, in pieces that stay in the processor's cache."""
    count = len(c)
    full = (count + 7) // 8 * 8
    less, equal = np.zeros(full, dtype=np.uint32), np.zeros(full, dtype=np.uint32)
    for at in range(0, count, CHUNK):
        part = slice(at, min(at + CHUNK, count))
        spread = spread_bits(np.bitwise_not(c[part]))
        n1, n0 = (spread >> np.uint64(32)).astype(np.uint32) | TOP, spread.astype(np.uint32)
        r1, r0, m = high[part] & REST, low[part], products[part]
        lower = n1 & r0
        equal[part] = lower ^ (n0 & r1) ^ m
        lower ^= m
        less[part] = (n1 & r1) ^ (n0 & lower)
        if first:
            equal[part] ^= n1 & n0
    return less, equal


def _halves(words: Numbers) -> tuple[Numbers, Numbers]:
    """High and low halves of words of 32 or 16 bits, as bytes."""
    half = np.uint16 if words.dtype == np.uint32 else np.uint8
    parts = words.view(half)  # little-endian: the low half stands first
    return np.ascontiguousarray(parts[1::2]), np.ascontiguousarray(parts[0::2])


def _folded(octets: Numbers, high: int, shift: int) -> tuple[Numbers, Numbers]:
    """The same within bytes: half as many bytes of high halves, and of low halves, two numbers' in each."""
    half = len(octets) // 2
    front, back, high_bits, low_bits = octets[:half], octets[half:], np.uint8(high), np.uint8(high >> shift)
    return ((front & high_bits) | ((back & high_bits) >> np.uint8(shift)),
            ((front & low_bits) << np.uint8(shift)) | (back & low_bits))


def _borrow(of: Computation, less: Numbers, equal: Numbers) -> Numbers:
    """Step 4: eight numbers' bits in a byte, number k + q * count / 8 in bit 7 - q of byte k."""
    for factors, within in STEPS:
        if within is None:
            (high, low), (p_high, p_low) = _halves(less), _halves(equal)
        else:
            (high, low), (p_high, p_low) = _folded(less, *within), _folded(equal, *within)
        half = high.dtype
        products = of.both(p_high.view(np.uint8), [low.view(np.uint8), p_low.view(np.uint8)][:factors])
        less = high ^ products[0].view(half)
        equal = products[-1].view(half)  # the last step makes none, and nobody needs it
    return less
