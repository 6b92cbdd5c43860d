"""Our engine at its benchmark: parties, dealer and consumer as processes of their own, over TCP on the loopback.

    python -m tests.bench.engine_cases CASE REPETITIONS SIZE

The links are plain sockets, as those of the engines beside it are. What the dealer makes is made inside the measured
time, though in a job it deals ahead. `sum` is a job's whole way of a number: keys agreed, shares made, packed, sealed
to the consumer, sent, unsealed and added up, in as many words as bounds of 2^30 and three rows prove to be enough.
`sum_unsealed` leaves out the sealing, which others do not have; `sum_wide` takes all four words.
"""

from __future__ import annotations

import json
import queue
import socket
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.disclosure import Opening
from mpc.encoding import Grid
from mpc.sharing import LIMBS, PairKeys, add_up, integers, limbs, open_sealed, pair_key, seal, share_total
from tests.bench import parties
from tests.bench.parties import Party

SESSION, STEPS, PRECISION, RATE_BITS = "ab" * 32, 5, 16, 14
CONSUMER = X25519PrivateKey.from_private_bytes(bytes([9]) * 32)


class Wires:
    """What the engine asks of a mesh, over one TCP connection for each pair; a thread for each writes."""

    def __init__(self, party: Party, count: int, *, dealer: int) -> None:
        self.seat, self.dealer, self.floors = party.seat, dealer, {}
        self._ends: dict[int, socket.socket] = {}
        self._queues: dict[int, queue.SimpleQueue[list[bytes]]] = {}
        self._join(party.ports, count)
        for seat, end in self._ends.items():
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._queues[seat] = queue.SimpleQueue()
            threading.Thread(target=self._write, args=(end, self._queues[seat]), daemon=True).start()

    def _join(self, ports: Sequence[int], count: int) -> None:
        with socket.create_server(("127.0.0.1", ports[self.seat])) as server:
            for other in range(self.seat):
                self._ends[other] = _connected(ports[other])
                self._ends[other].sendall(bytes([self.seat]))
            for _ in range(self.seat + 1, count):
                end, _ = server.accept()
                self._ends[end.recv(1)[0]] = end

    @staticmethod
    def _write(end: socket.socket, frames: queue.SimpleQueue[list[bytes]]) -> None:
        while True:
            for part in frames.get():
                end.sendall(part)

    def send(self, seat: int, tag: bytes, body: bytes) -> None:
        self._queues[seat].put([tag + len(body).to_bytes(8, "big"), body])

    def recv(self, seat: int, tag: bytes, limit: int = 1 << 30) -> bytes:
        head = self._read(seat, 9)
        size = int.from_bytes(head[1:], "big")
        if head[:1] != tag or size > limit:
            raise ValueError("another frame was due")
        return cast(bytes, self._read(seat, size))

    def _read(self, seat: int, size: int) -> bytearray:
        body = bytearray(size)
        view = memoryview(body)
        while view:
            view = view[self._ends[seat].recv_into(view) :]
        return body


def _connected(port: int) -> socket.socket:
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _private(seat: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes([seat + 1]) * 32)


def _public(seat: int) -> bytes:
    return _private(seat).public_key().public_bytes_raw()


# -- the sum of three --------------------------------------------------------------------------------------------------


def _wide(party: Party) -> int:
    """Words of a total, by the declared bounds."""
    declared = Grid("value", Fraction(1), -(2**30), 2**30)
    return LIMBS if party.given["case"] == "sum_wide" else -(-declared.bits(3, moment=1) // 64)


def sum_role(party: Party) -> None:
    wires, mine = Wires(party, 4, dealer=3), np.random.default_rng(party.seat).integers(-(2**30), 2**30,
                                                                                        party.given["size"])
    sealed, rounds, wide = party.given["case"] != "sum_unsealed", iter(range(1000)), _wide(party)
    key = CONSUMER.public_key().public_bytes_raw().hex()

    def whole() -> None:
        session = sha256(bytes([next(rounds)])).hexdigest()
        keys = PairKeys.agree(_private(party.seat), {seat: _public(seat) for seat in range(3)}, session=session,
                              seat=party.seat)
        plain = Opening(party.seat, 10, bytes(32), (), share_total(mine, keys, wide=wide), ()).to_bytes()
        wires.send(3, b"E", seal(plain, recipient_key=key, info=b"bench") if sealed else plain)

    party.measure(whole, party.given["repetitions"])
    party.found["rounds"] = 1
    party.wait()


def consumer_role(party: Party) -> None:
    wires, size = Wires(party, 4, dealer=3), party.given["size"]
    sealed, found = party.given["case"] != "sum_unsealed", []

    def whole() -> None:
        held = [wires.recv(seat, b"E") for seat in range(3)]
        if sealed:
            held = [open_sealed(one, private=CONSUMER, info=b"bench") for one in held]
        found[:] = [add_up([Opening.from_bytes(one).shares for one in held])]

    party.measure(whole, party.given["repetitions"])
    wanted = sum(np.random.default_rng(seat).integers(-(2**30), 2**30, size) for seat in range(3))
    if not np.array_equal(found[0], limbs(wanted, _wide(party))) or integers(found[0][:9]) != wanted[:9].tolist():
        raise ValueError("our total is wrong")
    party.wait()


# -- computations of two with a dealer ---------------------------------------------------------------------------------


def _inputs(case: str, size: int) -> list[Any]:
    draw = np.random.default_rng(7)
    if case == "comparisons":
        return [draw.normal(0, 100, size)]
    if case == "product":
        return [draw.normal(0, 1, (size, size)), draw.normal(0, 1, (size, size))]
    return [draw.normal(0, 1, (size, 20)), draw.integers(0, 2, size).astype(np.float64)]


def _script(case: str, size: int) -> list[Any]:
    from mpc.engines.crypten_engine import comparison, products

    if case == "comparisons":
        return comparison.script(size)
    if case == "product":
        return products.matmul_script(size, size, size, PRECISION)
    return STEPS * [*products.gradient_script(size, 20, PRECISION), *products.truncate_script(20, RATE_BITS)]


def _compute(case: str, of: Any, shared: list[Any]) -> Any:
    """Every engine's program for the case; in `gradient` the step is 0.5 / 8192, which is 2^-14."""
    from mpc.engines.crypten_engine import comparison, products

    if case == "comparisons":
        return comparison.negative(of, shared[0])
    if case == "product":
        return products.matmul(of, *shared, PRECISION)
    weights = np.zeros(20, np.uint64)
    for _ in range(STEPS):
        slope = products.gradient(of, shared[0], weights, shared[1], PRECISION)
        weights = weights - products.truncate(of, slope, RATE_BITS)
    return weights


def _wanted(case: str, values: list[Any]) -> Any:
    if case == "comparisons":
        return values[0] < 0
    if case == "product":
        return values[0] @ values[1]
    weights = np.zeros(20)
    for _ in range(STEPS):
        guess = 1 / (1 + np.exp(-values[0] @ weights))
        weights = weights - values[0].T @ (guess - values[1]) * 2.0**-RATE_BITS
    return weights


def party_role(party: Party) -> None:
    from mpc.engines.crypten_engine import kernel, products
    from mpc.engines.crypten_engine.computation import Computation

    kernel.begin_session()
    case, size, wires = party.given["case"], party.given["size"], Wires(party, 3, dealer=2)
    keys = PairKeys.agree(_private(party.seat), {seat: _public(seat) for seat in range(2)}, session=SESSION,
                          seat=party.seat)
    values, shared = _inputs(case, size), []
    for at, value in enumerate(values):
        words = products.encode(value, PRECISION) if party.seat == 0 else np.zeros(value.shape, np.uint64)
        keys.hide(words.reshape(1, -1), label=f"input {at}")
        shared.append(words)
    found: list[Any] = []
    rounds, script = iter(range(1000)), _script(case, size)

    def whole() -> None:
        dealt = _dealt(party.seat, 2, next(rounds))
        of = Computation(cast(Any, wires), 2, dealt, script)
        found[:] = [_compute(case, of, shared), of.rounds]
        of.finish()

    party.measure(whole, party.given["repetitions"])
    party.found["rounds"] = found[1]
    _check(party, wires, case, values, found[0])
    party.wait()


def _check(party: Party, wires: Wires, case: str, values: list[Any], share: Any) -> None:
    from mpc.engines.crypten_engine import products

    if party.seat == 1:
        wires.send(0, b"V", share.tobytes())
        return
    theirs = np.frombuffer(wires.recv(1, b"V"), share.dtype).reshape(share.shape)
    opened = (share ^ theirs) if case == "comparisons" else products.decode(share + theirs, PRECISION)
    error = np.abs(opened.astype(np.float64) - _wanted(case, values))
    if float(error.max()) > (0 if case == "comparisons" else 0.05):
        raise ValueError("our result is wrong")


def _dealt(seat: int, other: int, repetition: int) -> bytes:
    """The key of a party and the dealer, another one each time."""
    session = sha256(bytes([repetition])).hexdigest()
    return pair_key(_private(seat), _public(other), session=session, seat=seat, peer_seat=other)


def dealer_role(party: Party) -> None:
    from mpc.engines.crypten_engine import dealing, kernel

    kernel.begin_session()
    wires, rounds = Wires(party, 3, dealer=2), iter(range(1000))
    script = _script(party.given["case"], party.given["size"])

    def whole() -> None:
        repetition = next(rounds)
        streams = [kernel.Keystream(_dealt(2, seat, repetition)) for seat in range(2)]
        dealing.deal(cast(Any, wires), streams, script, check=lambda: None)

    party.measure(whole, party.given["repetitions"])
    party.wait()


def main() -> None:
    case, repetitions, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    roles = [sum_role] * 3 + [consumer_role] if case.startswith("sum") else [party_role] * 2 + [dealer_role]
    print(json.dumps(parties.run(roles, case=case, repetitions=repetitions, size=size)))


if __name__ == "__main__":
    main()
