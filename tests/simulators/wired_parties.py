"""Parties and a dealer of one computation as threads over queues, with every message written down. For tests."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np

from mpc.engines.crypten_engine.computation import Computation
from mpc.engines.crypten_engine.dealing import Numbers, Piece, deal
from mpc.engines.crypten_engine.kernel import Keystream
from mpc.errors import PeerLost, ProtocolBroken

Play = Callable[[Computation], Any]


class Wire:
    """What a computation asks of a mesh."""

    def __init__(self, seat: int, dealer: int, lines: dict[tuple[int, int], queue.SimpleQueue[tuple[bytes, bytes]]],
                 sent: dict[int, list[bytes]]) -> None:
        self.seat, self.dealer, self._lines, self._sent = seat, dealer, lines, sent

    def send(self, seat: int, kind: bytes, body: bytes) -> None:
        self._sent[self.seat].append(body)
        self._lines[self.seat, seat].put((kind, body))

    def fail(self) -> None:
        """Everybody hears that this seat has ended."""
        for (one, _), line in self._lines.items():
            if one == self.seat:
                line.put((b"X", b""))

    def recv(self, seat: int, kind: bytes, *, limit: int | None = None) -> bytes:
        try:
            found, body = self._lines[seat, self.seat].get(timeout=60)
        except queue.Empty:
            raise PeerLost("nothing came", about_seat=seat) from None
        if found == b"X":
            raise PeerLost("a peer has ended", about_seat=seat)
        if found != kind or (limit is not None and len(body) != limit):
            raise ProtocolBroken("another message was due", about_seat=seat)
        return body


class Played:
    """What came of it: each party's answer, and the bodies of the messages by the seat that sent them."""

    def __init__(self, parties: int, script: Iterable[Piece], play: Play, *,
                 keys: Sequence[bytes] | None = None) -> None:
        seats, script = range(parties + 1), list(script)
        lines: dict[tuple[int, int], queue.SimpleQueue[tuple[bytes, bytes]]] = {
            (one, other): queue.SimpleQueue() for one in seats for other in seats}
        self.sent: dict[int, list[bytes]] = {seat: [] for seat in seats}
        keys = keys or [secrets.token_bytes(32) for _ in range(parties)]
        self.rounds = 0

        def party(seat: int) -> Any:
            wire = Wire(seat, parties, lines, self.sent)
            try:
                of = Computation(cast(Any, wire), parties, keys[seat], script)
                answer = play(of)
                of.finish()
            except Exception:
                wire.fail()
                raise
            self.rounds = of.rounds
            return answer

        def dealer() -> int:
            wire = cast(Any, Wire(parties, parties, lines, self.sent))
            return deal(wire, [Keystream(key) for key in keys], script, check=lambda: None)

        with ThreadPoolExecutor(parties + 1) as pool:
            dealt = pool.submit(dealer)
            self.answers = [one.result() for one in [pool.submit(party, seat) for seat in range(parties)]]
            self.dealt = dealt.result()


def shared(values: Sequence[int], parties: int) -> list[Numbers]:
    """Each party's share of these numbers modulo 2^64, fresh every time."""
    total = np.array([value % 2**64 for value in values], dtype=np.uint64)
    rows = [np.frombuffer(secrets.token_bytes(8 * len(values)), dtype=np.uint64).copy() for _ in range(parties - 1)]
    for row in rows:
        total -= row
    return [*rows, total]


def added(shares: Iterable[Numbers]) -> list[int]:
    """The signed numbers that these shares make."""
    rows = [share.astype(np.uint64) for share in shares]
    total = rows[0].copy()
    for row in rows[1:]:
        total += row
    return [int(one) for one in total.view(np.int64).reshape(-1)]
