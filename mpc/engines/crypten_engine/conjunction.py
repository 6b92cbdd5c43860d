"""Which groups of shared bits are all zero: count the ones, and look the count up. Two rounds, however many bits.

[x] is x shared by addition modulo 2^32, <b> is b shared by xor. For every bit b and every group G:
1. Each bit becomes a number: `Computation.to_words` opens b under a random bit that the dealer shared in both ways.
2. [F] = sum of [b] over G, without a message; with n bits in the largest group, 0 <= F <= n < 2^w.
3. The dealer gives [r] for r uniform modulo 2^32, and <e>, 2^w bits of which the one at place r modulo 2^w is 1 (kind
   "lookup" of `dealing`). Open c = F + r modulo 2^32.
4. <F is 0> = <e> at place c modulo 2^w: F = 0 exactly if c = r there, since F < 2^w. It stays shared.
No step fails by chance. What is opened is uniform whatever the bits are, as r and the dealer's bits are; sizes follow
from the groups alone. A tree of ANDs takes a round for each doubling of the group; here eight hospitals wait no longer
than three. The table costs 2^w bits a group, from the dealer to party 0 alone.

After the table look-ups of Ishai, Kushilevitz, Meldgaard, Orlandi and Paskin-Cherniavsky (TCC 2013), of one table only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mpc.engines.crypten_engine.dealing import Numbers, Piece, bit, lookup

if TYPE_CHECKING:
    from mpc.engines.crypten_engine.computation import Computation

Groups = Sequence[Sequence[int]]
WORD = 4  # bytes of a count


def script(parts: Groups, groups: Groups) -> list[Piece]:
    """What `none_of` takes, for parts that hold every bit and groups of those parts."""
    bits = 1 + max(place for part in parts for place in part)
    return [bit(bits, WORD), lookup(len(groups), _width(parts, groups))]


def _width(parts: Groups, groups: Groups) -> int:
    """w: so that the largest group's count is below 2^w, and a table fills bytes."""
    most = max(sum(len(parts[part]) for part in group) for group in groups)
    return max(3, most.bit_length())


def _sums(words: Numbers, groups: Groups) -> Numbers:
    """The sums stay in their words: a carry out of them would tell about the shares."""
    starts = np.cumsum([0, *map(len, groups[:-1])])
    sums: Numbers = np.add.reduceat(words[np.concatenate(groups)], starts, dtype=words.dtype)
    return sums


def none_of(of: Computation, bits: Numbers, parts: Groups, groups: Groups) -> Numbers:
    """For each group of parts a share by xor, 0 or 1, of "every bit in every part is 0". No part and no group is
    empty, and no group names a part twice."""
    counts = _sums(_sums(of.to_words(bits, WORD), parts), groups)
    width = _width(parts, groups)
    r, table = of.take(lookup(len(groups), width))
    at = of.exchange(counts + r) & np.uint32((1 << width) - 1)
    octets = table[np.arange(len(groups)), at >> np.uint32(3)]
    found: Numbers = (octets >> (np.uint32(7) - (at & np.uint32(7))).astype(np.uint8)) & np.uint8(1)
    return found
