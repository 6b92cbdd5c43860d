"""CrypTen 0.4.1 as it is published, at the engine's benchmark: gloo, a TTP server process, 16 fractional bits.

    python -m tests.bench.peer_crypten CASE REPETITIONS SIZE

Nothing is patched but the import of a torch module that no longer exists. So every draw is mt19937 with 32 effective
bits of seed, links are neither encrypted nor authenticated, messages are pickled, products are truncated with errors
(a large product is off by 2^32 now and then). Values are decoded as float32. Runs in the environment of
`requirements-bench-crypten.lock`; prints one line of JSON.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from typing import Any

from tests.bench import parties
from tests.bench.parties import Party

STEPS = 5


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


def inputs(case: str, size: int) -> list[Any]:
    """The same numbers in every process: what the parties hold is settled before the clock starts."""
    import torch

    draw = torch.Generator().manual_seed(7)
    if case == "sum":
        return [torch.randint(-(2**30), 2**30, (size,), generator=draw) for _ in range(3)]
    if case == "comparisons":
        return [100 * torch.randn(size, generator=draw, dtype=torch.float64)]
    if case == "product":
        return [torch.randn(size, size, generator=draw, dtype=torch.float64) for _ in range(2)]
    return [torch.randn(size, 20, generator=draw, dtype=torch.float64),
            torch.randint(0, 2, (size,), generator=draw).double()]


def gradient(x: Any, y: Any, w: Any, sigmoid: Any) -> Any:
    for _ in range(STEPS):
        w = w - x.t().matmul(sigmoid(x.matmul(w)) - y) * 2.0**-14
    return w


def party_role(party: Party) -> None:
    import torch

    crypten, case = settle(party), party.given["case"]
    crypten.init()
    values = inputs(case, party.given["size"])
    counter = crypten.communicator.get()
    shared = [] if case == "sum" else [crypten.cryptensor(value, src=0) for value in values]
    start = crypten.cryptensor(torch.zeros(20)) if case == "gradient" else None
    found: list[Any] = []

    def once() -> None:
        counter.reset_communication_stats()
        if case == "sum":
            made = [crypten.cryptensor(value, src=at) for at, value in enumerate(values)]
            found[:] = [(made[0] + made[1] + made[2]).get_plain_text(dst=0)]
        elif case == "comparisons":
            found[:] = [shared[0] > 0]
        elif case == "product":
            found[:] = [shared[0].matmul(shared[1])]
        else:
            found[:] = [gradient(*shared, start, lambda one: one.sigmoid())]

    party.measure(once, party.given["repetitions"])
    party.found["rounds"] = counter.comm_rounds
    opened = found[0] if case == "sum" else found[0].get_plain_text()
    if opened is not None:
        check(case, values, opened)
    party.wait()
    crypten.uninit()


def check(case: str, values: list[Any], found: Any) -> None:
    import torch

    if case == "sum":
        wanted = sum(values).double()
    elif case == "comparisons":
        wanted = (values[0] > 0).double()
    elif case == "product":
        wanted = values[0] @ values[1]
    else:
        wanted = gradient(*values, torch.zeros(20, dtype=torch.float64), torch.sigmoid)
    error = (found.double() - wanted).abs()
    if float(error.median()) > (128 if case == "sum" else 0.05):
        raise ValueError("CrypTen's result is wrong")


def server_role(party: Party) -> None:
    """The TTP server: a process beside the parties. It has no repetitions of its own, only their barriers."""
    import threading

    settle(party)
    from crypten.mpc.provider import TTPServer

    threading.Thread(target=TTPServer, daemon=True).start()
    party.measure(lambda: None, party.given["repetitions"])
    party.wait()


def main() -> None:
    case, repetitions, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    count = 3 if case == "sum" else 2
    roles = [party_role] * count + [server_role]
    print(json.dumps(parties.run(roles, case=case, repetitions=repetitions, size=size, parties=count)))


if __name__ == "__main__":
    main()
