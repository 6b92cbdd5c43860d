"""The oracle among the engines: parties in one process, the gate's rule applied in the clear. Never on real data.

Shares of totals are the true ones (`mpc.sharing`); only the gate is played by a hub that sees every own count.
"""

from __future__ import annotations

import threading

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.disclosure import Gate, Pattern, Told, told_of
from mpc.errors import GateInconsistent
from mpc.sharing import Integers, Limbs, PairKeys, Words, low_words, share_total, words


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

    def gate(self, gate: Gate, count_shares: Limbs, own: Integers, floor: int) -> Pattern:
        self.told = told_of(len(count_shares))
        return self._hub.decide(self._seat, gate, low_words(count_shares), words(own).tolist(), floor)
