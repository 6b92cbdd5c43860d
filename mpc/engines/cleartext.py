"""The oracle among the engines: parties in one process, the gate's rule applied in the clear. Never on real data.

Shares of totals are the true ones (`mpc.sharing`); only the gate is played by a hub that sees every own count.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.disclosure import Chosen, Gate, Pattern, Told, told_of
from mpc.errors import GateInconsistent
from mpc.sharing import Integers, Limbs, PairKeys, Words, limbs, low_words, share_total, words


def withhold(shares: Limbs, pattern: Pattern, spans: Sequence[Sequence[int]], *, first: bool) -> Limbs:
    """One party's shares of the pattern's bits, which the first party holds as they are, and of all numbers, zeros in
    the place of those whose cell stays closed; the length never changes."""
    kept = np.zeros_like(shares)
    at = np.array([index for opened, span in zip(pattern, spans, strict=True) if opened for index in span], np.intp)
    kept[at] = shares[at]
    bits = [int(first and opened) for opened in pattern]
    return np.concatenate([limbs(bits, shares.shape[1]), kept])


class Hub:
    """Where the cleartext engines of one session meet."""

    def __init__(self, parties: int, session: str, *, timeout: float = 30.0) -> None:
        private = [X25519PrivateKey.generate() for _ in range(parties)]
        public = {seat: key.public_key().public_bytes_raw() for seat, key in enumerate(private)}
        self.parties = parties
        self.engines = [
            CleartextEngine(self, seat, PairKeys.agree(private[seat], public, session=session, seat=seat))
            for seat in range(parties)
        ]
        self._barrier = threading.Barrier(parties, timeout=timeout)
        self._shares: dict[int, Words] = {}
        self._own: dict[int, list[int]] = {}

    def decide(self, seat: int, gate: Gate, shares: Words, own: list[int], floor: int) -> Pattern:
        self._shares[seat], self._own[seat] = shares, own
        self._barrier.wait()
        totals: Words = np.sum(list(self._shares.values()), axis=0, dtype=np.uint64)
        brought = [self._own[seat] for seat in range(self.parties)]
        counts = np.sum([words(one[: len(totals)]).view(np.uint64) for one in brought], axis=0, dtype=np.uint64)
        if not np.array_equal(counts, totals):
            raise GateInconsistent("own counts and the total disagree")
        return gate.decide([one[len(totals) :] for one in brought], floor)


class CleartextEngine:
    """One seat at the hub."""

    def __init__(self, hub: Hub, seat: int, keys: PairKeys) -> None:
        self._hub, self._keys, self._seat = hub, keys, seat
        self.told: tuple[Told, ...] = ()

    @property
    def seat(self) -> int:
        return self._seat

    @property
    def parties(self) -> int:
        return self._hub.parties

    def share_total(self, values: Integers, limbs: int) -> Limbs:
        return share_total(values, self._keys, wide=limbs)

    def gate(self, gate: Gate, shares: Limbs, own: Integers, floor: int) -> Chosen:
        self.told = told_of(gate.spans)
        counts = low_words(shares[: len(gate.needs)])
        pattern = self._hub.decide(self._seat, gate, counts, words(own).tolist(), floor)
        return Chosen(withhold(shares, pattern, gate.spans, first=self._seat == 0), b"")
