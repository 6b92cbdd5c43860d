"""Three parties and a dealer at the gate in forked processes, over pipes. Prints what each party met, one JSON line.

A program, for `test_gate.py`: with a number, one party's own counts are not those of its total, by that much; with
`many`, a gate over 40 groups of two columns, many of them at the very edge of floor and dominance; with `empty`, the
same gate over nothing. What a party met are its shares of what the consumer may know, what the parties opened to each
other for that, and how many bytes it sent; of the dealer its keys.
"""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.disclosure import Gate, balanced, gate_of, nodes
from mpc.engines.crypten_engine.engine import CryptenEngine, serve_dealer
from mpc.errors import MpcError, PeerLost
from mpc.sharing import PairKeys, pair_key

SESSION, PARTIES, DEALER = "ab" * 32, 3, 3
FLOOR = 10
Brought = tuple[Gate, list[list[int]], list[list[int]]]


def few() -> Brought:
    """Four cells. Left out in turn, the others count at least 9, 20, 60 and 60; the two halves 29 and 120."""
    tree, counts = balanced(range(4)), [[4, 10, 30, 30], [5, 10, 30, 30], [6, 20, 30, 30]]
    return gate_of(tree, missing=0, tops=0), counts, [[sum(own[at] for at in node) for node in nodes(tree)]
                                                      for own in counts]


def many() -> Brought:
    """Forty groups, two columns of sums, one column's missing values; the same numbers in every process."""
    draw, cells = random.Random(7), 40
    tree = balanced(range(cells))
    counts = [[draw.choice((5, 30, 31, 60)) for _ in range(cells)] for _ in range(PARTIES)]
    for own in counts:
        own[3] = own[17] = draw.choice((3, 5, 6))
    numbers = []
    for own in counts:
        numbers.append([sum(own[at] for at in node) for node in nodes(tree)] + [draw.choice((4, 5, 9)), 1000])
        own.append(numbers[-1][-2])
        for _ in range(2 * cells):
            first, second = draw.choice((9, 9, 9, 90)), draw.choice((0, 9))
            numbers[-1] += [first + second + draw.choice((1, 2, 9, 20)), first, second]
    return gate_of(tree, missing=1, tops=2), counts, numbers


class Pipes:
    """What the engine asks of a mesh, over socket pairs."""

    def __init__(self, seat: int, ends: Mapping[int, socket.socket]) -> None:
        self.seat, self.dealer, self._ends, self.sent = seat, DEALER, ends, 0

    def send(self, seat: int, tag: bytes, body: bytes) -> None:
        self.sent += 9 + len(body)
        self._ends[seat].sendall(tag + len(body).to_bytes(8, "big") + body)

    def recv(self, seat: int, tag: bytes, limit: int = 1 << 24) -> bytes:
        head = self._read(seat, 9)
        size = int.from_bytes(head[1:], "big")
        if head[:1] != tag or size > limit:
            raise PeerLost("another frame was due", about_seat=seat)
        return self._read(seat, size)

    def _read(self, seat: int, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._ends[seat].recv(size - len(data))
            if not piece:
                raise PeerLost("gone", about_seat=seat)
            data += piece
        return data


def main() -> None:
    lie = int(sys.argv[1]) if sys.argv[1] not in ("many", "empty") else 0
    gate, counts, numbers = few() if sys.argv[1] not in ("many", "empty") else many()
    if sys.argv[1] == "empty":
        counts, numbers = ([[0] * len(own) for own in vectors] for vectors in (counts, numbers))
    private = [X25519PrivateKey.generate() for _ in range(PARTIES + 1)]
    public = {seat: key.public_key().public_bytes_raw() for seat, key in enumerate(private)}
    ends: list[dict[int, socket.socket]] = [{} for _ in private]
    for one in range(PARTIES + 1):
        for other in range(one):
            ends[one][other], ends[other][one] = socket.socketpair()
            for end in (ends[one][other], ends[other][one]):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)

    def with_dealer(seat: int, other: int) -> bytes:
        return pair_key(private[seat], public[other], session=SESSION, seat=seat, peer_seat=other)

    def party(seat: int) -> str:
        among = {other: key for other, key in public.items() if other != DEALER}
        pipes = Pipes(seat, ends[seat])
        engine = CryptenEngine(cast(Any, pipes), PARTIES, PairKeys.agree(
            private[seat], among, session=SESSION, seat=seat), with_dealer(seat, DEALER), gate)
        try:
            shares = engine.share_total(counts[seat], 1)
            said = [counts[seat][0] + (lie if seat == 1 else 0), *counts[seat][1:]]
            chosen = engine.gate(gate, shares, [*said, *numbers[seat]], FLOOR)
            engine.finish()
            return f"{' '.join(map(str, chosen.shares[:, 0].tolist()))} {chosen.masked.hex()} {pipes.sent}"
        except MpcError as error:
            return error.code

    def dealer(seat: int) -> str:
        keys = [with_dealer(seat, other) for other in range(PARTIES)]
        try:
            serve_dealer(cast(Any, Pipes(seat, ends[seat])), keys, gate=gate, check=lambda: None)
            return f"dealt {' '.join(key.hex() for key in keys)}"
        except MpcError as error:
            return error.code

    tasks: list[Callable[[int], str]] = [*[party] * PARTIES, dealer]
    children = []
    for seat, task in enumerate(tasks):
        inner, outer = os.pipe()
        child = os.fork()
        if child == 0:
            for other, held in enumerate(ends):
                for end in held.values() if other != seat else ():
                    end.close()
            os.write(outer, task(seat).encode())
            os._exit(0)
        os.close(outer)
        children.append((child, inner))
    for held in ends:
        for end in held.values():
            end.close()
    said = []
    for child, inner in children:
        with open(inner, encoding="utf-8") as pipe:
            said.append(pipe.read())
        os.waitpid(child, 0)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
