"""SPU 0.9.5 at the engine's benchmark, by its own runtime: real processes, brpc links, one computing thread each.

    python -m tests.bench.peer_spu semi2k|aby3 CASE REPETITIONS SIZE

Semi2k takes its triples from SPU's default, the trusted first party: no dealer, no message for a triple, but party 0
could unmask everything. Links are neither encrypted nor authenticated. Field and fraction bits are SPU's defaults for
64 bits. A comparison ends in shares by xor. Runs in the environment of `requirements-bench.lock`; prints one line of
JSON.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import tempfile
from typing import Any

from tests.bench import engine_inputs, parties
from tests.bench.parties import Party


def program(case: str) -> Any:
    import jax
    import jax.numpy as jnp

    def gradient(x: Any, y: Any) -> Any:
        w = jnp.zeros((x.shape[1],))
        for _ in range(engine_inputs.STEPS):
            w = w - 2.0 ** -engine_inputs.rate_bits(x.shape[0]) * jnp.matmul(x.T, jax.nn.sigmoid(jnp.matmul(x, w)) - y)
        return w

    return {"sum": lambda a, b, c: a + b + c, "comparisons": lambda x: x > 0, "product": jnp.matmul,
            "truncation": lambda x, y: x * y, "gradient": gradient}[case]


class Seat:
    """A party of SPU: its link, its runtime, its compiled program."""

    def __init__(self, party: Party, *, profile: bool = False) -> None:
        import spu
        from spu import libspu
        from spu.utils import frontend

        given, self.seat = party.given, party.seat
        self.count = 2 if given["protocol"] == "semi2k" and given["case"] != "sum" else 3
        kind = {"semi2k": libspu.ProtocolKind.SEMI2K, "aby3": libspu.ProtocolKind.ABY3}[given["protocol"]]
        config = libspu.RuntimeConfig(protocol=kind, field=libspu.FieldType.FM64)
        config.max_concurrency = 1
        config.enable_pphlo_profile = profile
        desc = libspu.link.Desc()
        for seat in range(self.count):
            desc.add_party(f"party-{seat}", f"127.0.0.1:{party.ports[seat]}")
        desc.recv_timeout_ms = 600_000
        self.link = libspu.link.create_brpc(desc, self.seat)
        self.runtime, self.io = spu.Runtime(self.link, config), spu.Io(self.count, config)
        self.values = engine_inputs.inputs(given["case"], given["size"])
        self.names = [f"in{at}" for at in range(len(self.values))]
        secret = [libspu.Visibility.VIS_SECRET] * len(self.values)
        self.secret = secret[0]
        self.executable, _ = frontend.compile(
            frontend.Kind.JAX, program(given["case"]), self.values, {}, self.names, secret,
            lambda flat: [f"out{at}" for at in range(len(flat))])

    def share(self, at: int, owner: int) -> None:
        """The owner of this input gives every party its share."""
        import numpy as np

        if self.seat == owner:
            value = self.values[at]
            made = self.io.make_shares(value if value.dtype == np.int64 else value.astype(np.float32), self.secret)
            for other in range(self.count):
                if other != owner:
                    self.link.send(other, pickle.dumps((made[other].meta, list(made[other].share_chunks))))
            mine = made[owner]
        else:
            mine = self.read(owner)
        self.runtime.set_var(self.names[at], mine)

    def read(self, seat: int) -> Any:
        from spu import libspu

        share = libspu.Share()
        share.meta, share.share_chunks = pickle.loads(self.link.recv(seat))
        return share

    def open(self) -> Any:
        """To party 0."""
        mine = self.runtime.get_var("out0")
        if self.seat:
            self.link.send(0, pickle.dumps((mine.meta, list(mine.share_chunks))))
            return None
        return self.io.reconstruct([mine, *(self.read(seat) for seat in range(1, self.count))])

    def run(self) -> None:
        self.runtime.run(self.executable)


def role(party: Party) -> None:
    case, seat = party.given["case"], Seat(party)
    if case == "sum":
        opened: list[Any] = []

        def whole() -> None:
            for at in range(3):
                seat.share(at, at)
            seat.run()
            opened[:] = [seat.open()]

        party.measure(whole, party.given["repetitions"])
        found = opened[0]
        if found is not None and not (found == sum(seat.values)).all():
            raise ValueError("SPU's total is wrong")
    else:
        for at in range(len(seat.values)):
            seat.share(at, 0)
        party.measure(seat.run, party.given["repetitions"])
        found = seat.open()
        if found is not None and case == "truncation":
            party.found["off"] = engine_inputs.off(seat.values, found)
        elif found is not None:
            engine_inputs.check(case, seat.values, found, by_chance=True)
    party.wait()


def counted(party: Party) -> None:
    """Once more, for what SPU itself counts and only tells its log: how often party 0 sends."""
    with tempfile.TemporaryFile() as told:
        kept = os.dup(1)
        os.dup2(told.fileno(), 1)
        seat = Seat(party, profile=party.seat == 0)
        for at in range(len(seat.values)):
            seat.share(at, 0)
        party.measure(seat.run, 1, warm=0)
        os.dup2(kept, 1)
        told.seek(0)
        lines = told.read().decode("utf-8", "replace")
    for sends in re.findall(r"Link details: .*send actions (\d+)", lines):
        party.found["rounds"] = int(sends)


def main() -> None:
    protocol, case, repetitions, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    seats = 2 if protocol == "semi2k" and case != "sum" else 3
    given = {"protocol": protocol, "case": case, "repetitions": repetitions, "size": size}
    found = parties.run([role] * seats, **given)
    if case not in ("sum", "truncation"):
        found["rounds"] = parties.run([counted] * seats, **given)["rounds"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
