"""CrypTen 0.4.1 as it is published, at the engine's benchmark: gloo, a TTP server process, 16 fractional bits.

    python -m tests.bench.peer_crypten CASE REPETITIONS SIZE

Nothing is patched but the import of a torch module that no longer exists. So every draw is mt19937 with 32 effective
bits of seed, links are neither encrypted nor authenticated, messages are pickled, products are truncated with errors
(a large product is off by 2^32 now and then; `truncation` counts how often). Values are decoded as float32. A
comparison ends in shares by addition. Runs in the environment of
`requirements-bench-crypten.lock`; prints one line of JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from typing import Any

from tests.bench import engine_inputs, parties
from tests.bench.parties import Party


def engine() -> Any:
    """CrypTen, past the imports that newer versions of torch and a missing onnx break."""
    added = []
    for name, inside in (("torch.onnx._internal.registration", {"registry": None}),
                         ("onnx.numpy_helper", {}), ("onnx", {"numpy_helper": None})):
        try:
            missing = importlib.util.find_spec(name) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            stand_in = types.ModuleType(name)
            stand_in.__dict__.update(inside)
            sys.modules[name] = stand_in
            added.append(name)
    try:
        import crypten
    finally:
        for name in added:
            sys.modules.pop(name, None)
    return crypten


def settle(party: Party) -> Any:
    """Environment and provider, the same in every process, before the engine starts."""
    import torch

    torch.set_num_threads(1)
    os.environ.update(WORLD_SIZE=str(party.given["parties"]), RANK=str(party.seat), RENDEZVOUS="env://",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=str(party.ports[-1]), DISTRIBUTED_BACKEND="gloo",
                      GLOO_SOCKET_IFNAME="lo")
    crypten = engine()
    crypten.cfg.mpc.provider = "TTP"
    crypten.cfg.communicator.verbose = True
    return crypten


def gradient(x: Any, y: Any, w: Any) -> Any:
    for _ in range(engine_inputs.STEPS):
        w = w - x.t().matmul(x.matmul(w).sigmoid() - y) * 2.0 ** -engine_inputs.rate_bits(x.shape[0])
    return w


def party_role(party: Party) -> None:
    import torch

    crypten, case = settle(party), party.given["case"]
    crypten.init()
    values = engine_inputs.inputs(case, party.given["size"])
    counter, held = crypten.communicator.get(), [torch.from_numpy(value) for value in values]
    shared = [] if case == "sum" else [crypten.cryptensor(value, src=0) for value in held]
    start = crypten.cryptensor(torch.zeros(engine_inputs.FEATURES)) if case == "gradient" else None
    found: list[Any] = []

    def once() -> None:
        counter.reset_communication_stats()
        if case == "sum":
            made = [crypten.cryptensor(value, src=at) for at, value in enumerate(held)]
            found[:] = [(made[0] + made[1] + made[2]).get_plain_text(dst=0)]
        elif case == "comparisons":
            found[:] = [shared[0] > 0]
        elif case == "product":
            found[:] = [shared[0].matmul(shared[1])]
        elif case == "truncation":
            found[:] = [shared[0] * shared[1]]
        else:
            found[:] = [gradient(*shared, start)]

    party.measure(once, party.given["repetitions"])
    party.found["rounds"] = counter.comm_rounds
    opened = found[0] if case == "sum" else found[0].get_plain_text()
    if case == "truncation":
        party.found["off"] = engine_inputs.off(values, opened.numpy())
    elif opened is not None and opened.numel():  # a sum is opened to party 0 alone
        engine_inputs.check(case, values, opened.numpy(), by_chance=True)
    party.wait()
    crypten.uninit()


def server_role(party: Party) -> None:
    """The TTP server: a process beside the parties, whose thread works while they do. It has no repetitions of its own,
    only their barriers."""
    import threading

    settle(party)
    from crypten.mpc.provider import TTPServer

    serving = threading.Thread(target=TTPServer, daemon=True)
    serving.start()
    party.measure(lambda: None, party.given["repetitions"])
    party.wait()
    serving.join(60)  # until party 0 says that it is over


def main() -> None:
    case, repetitions, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    count = 3 if case == "sum" else 2
    roles = [party_role] * count + [server_role]
    print(json.dumps(parties.run(roles, case=case, repetitions=repetitions, size=size, parties=count)))


if __name__ == "__main__":
    main()
