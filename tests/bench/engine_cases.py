"""Our engine at its benchmark: parties, dealer and consumer as processes of their own, over TCP on the loopback.

    python -m tests.bench.engine_cases CASE REPETITIONS SIZE

The links are plain sockets, as those of the engines beside it are; in cases that end in `_shipped` they are those of a
job (`wires`). What the dealer makes is made inside the measured time, though in a job it deals ahead.
`sum` is a job's whole way of a number: keys agreed, shares made, packed, sealed to the consumer, sent, unsealed and
added up, in as many words as bounds of 2^30 and three rows prove to be enough. `sum_unsealed` leaves out the sealing,
which others do not have; `sum_wide` takes all four words; `sum_plan` is what `describe` over 5,000 rows hands in: whole
numbers of Python, counts and sums and squares, in the words that its plan proves to be needed, read as numbers again.
`comparisons_words` turns the answers, which are shared by xor, into shares by addition.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from hashlib import sha256
from typing import Any, cast

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.disclosure import Opening
from mpc.encoding import Grid
from mpc.functions import describe
from mpc.sharing import LIMBS, PairKeys, add_up, integers, limbs, open_sealed, pair_key, seal, share_total
from tests.bench import engine_inputs, parties
from tests.bench.parties import Party
from tests.bench.wires import SESSION, keys_for, links, relay_role

PRECISION, WORD, ROWS, REACH = 16, 8, 5000, 2**30
CONSUMER = X25519PrivateKey.from_private_bytes(bytes([9]) * 32)
COST = {"name": "cost", "kind": "number", "unit": None, "min": str(-REACH), "max": str(REACH), "step": "1",
        "codes": None}


def _private(seat: int) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes([seat + 1]) * 32)


def _public(seat: int) -> bytes:
    return _private(seat).public_key().public_bytes_raw()


# -- the sum of three --------------------------------------------------------------------------------------------------


def _wide(case: str) -> int:
    """Words of a total, by what is declared."""
    if case == "sum_plan":
        return describe.plan({"columns": ["cost"], "by": None}, [COST], 3, ROWS).limbs
    declared = Grid("value", Fraction(1), -REACH, REACH)
    return LIMBS if case == "sum_wide" else -(-declared.bits(3, moment=1) // 64)


def _held(case: str, seat: int, size: int) -> Any:
    """What this party adds: a vector of words; in `sum_plan` whole numbers of Python: counts, sums, sums of squares."""
    drawn = np.random.default_rng(seat).integers(-REACH, REACH, size)
    if case != "sum_plan":
        return drawn
    rows = ROWS // 3
    makers = (lambda k: k % rows, lambda k: k * rows, lambda k: k * k * rows)
    return tuple(makers[at % 3](k) for at, k in enumerate(drawn.tolist()))


def sum_role(party: Party) -> None:
    case, wide = party.given["case"], _wide(party.given["case"])
    wires, mine = links(party, 4, dealer=3), _held(case, party.seat, party.given["size"])
    sealed, rounds = case != "sum_unsealed", iter(range(1000))
    key = CONSUMER.public_key().public_bytes_raw().hex()

    def whole() -> None:
        session = sha256(bytes([next(rounds)])).hexdigest()
        keys = PairKeys.agree(_private(party.seat), {seat: _public(seat) for seat in range(3)}, session=session,
                              seat=party.seat)
        plain = Opening(party.seat, 10, bytes(32), bytes(32), share_total(mine, keys, wide=wide), ()).to_bytes()
        wires.send(3, b"E", seal(plain, recipient_key=key, info=b"bench") if sealed else plain)

    party.measure(whole, party.given["repetitions"])
    party.wait()
    wires.close()


def consumer_role(party: Party) -> None:
    case, size = party.given["case"], party.given["size"]
    wires, sealed, found = links(party, 4, dealer=3), case != "sum_unsealed", []

    def received(seat: int) -> bytes:
        """One part, opened at once, as the buyer's program does: its sealed bytes are kept no longer."""
        part = wires.recv(seat, b"E")
        return open_sealed(part, private=CONSUMER, info=b"bench") if sealed else part

    def whole() -> None:
        total = add_up([Opening.from_bytes(received(seat)).shares for seat in range(3)])
        found[:] = [integers(total) if case == "sum_plan" else total]

    party.measure(whole, party.given["repetitions"])
    held = [_held(case, seat, size) for seat in range(3)]
    if case == "sum_plan":
        right = found[0] == [sum(one) for one in zip(*held, strict=True)]
    else:
        wanted = sum(held)
        right = np.array_equal(found[0], limbs(wanted, _wide(case))) and integers(found[0][:9]) == wanted[:9].tolist()
    if not right:
        raise ValueError("our total is wrong")
    party.wait()
    wires.close()


# -- computations of two with a dealer ---------------------------------------------------------------------------------


def _script(case: str, size: int) -> list[Any]:
    from mpc.engines.crypten_engine import comparison, dealing, products

    if case == "comparisons":
        return comparison.script(size)
    if case == "comparisons_words":
        return [*comparison.script(size), dealing.bit(size, WORD)]
    if case == "product":
        return products.matmul_script(size, size, size, PRECISION)
    if case == "truncation":
        return products.multiply_script(size, PRECISION)
    step = [*products.gradient_script(size, engine_inputs.FEATURES, PRECISION),
            *products.truncate_script(engine_inputs.FEATURES, engine_inputs.rate_bits(size))]
    return engine_inputs.STEPS * step


def _compute(case: str, of: Any, shared: list[Any]) -> Any:
    """Every engine's program for the case. x is above 0 exactly if -x is negative."""
    from mpc.engines.crypten_engine import comparison, products

    if case.startswith("comparisons"):
        above = comparison.negative(of, np.uint64(0) - shared[0])
        return of.to_words(above, WORD) if case == "comparisons_words" else above
    if case == "product":
        return products.matmul(of, *shared, PRECISION)
    if case == "truncation":
        return products.multiply(of, *shared, PRECISION)
    weights = np.zeros(engine_inputs.FEATURES, np.uint64)
    for _ in range(engine_inputs.STEPS):
        slope = products.gradient(of, shared[0], weights, shared[1], PRECISION)
        weights = weights - products.truncate(of, slope, engine_inputs.rate_bits(len(shared[0])))
    return weights


def party_role(party: Party) -> None:
    from mpc.engines.crypten_engine import kernel, products
    from mpc.engines.crypten_engine.computation import Computation

    kernel.begin_session()
    case, size, wires = party.given["case"], party.given["size"], links(party, 3, dealer=2)
    keys = PairKeys.agree(_private(party.seat), {seat: _public(seat) for seat in range(2)}, session=SESSION,
                          seat=party.seat)
    values, shared = engine_inputs.inputs(case.removesuffix("_words"), size), []
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
    _check(party, wires, values, found[0])
    party.wait()
    wires.close()


def _check(party: Party, wires: Any, values: list[Any], share: Any) -> None:
    """Party 0 puts both shares together."""
    from mpc.engines.crypten_engine import products

    if party.seat == 1:
        wires.send(0, b"V", share.tobytes())
        return
    case = party.given["case"]
    theirs = np.frombuffer(wires.recv(1, b"V"), share.dtype).reshape(share.shape)
    if case == "comparisons":
        opened = share ^ theirs
    else:
        opened = share + theirs if case == "comparisons_words" else products.decode(share + theirs, PRECISION)
    if case == "truncation":
        party.found["off"] = engine_inputs.off(values, opened)
    else:
        engine_inputs.check(case.removesuffix("_words"), values, opened)


def _dealt(seat: int, other: int, repetition: int) -> bytes:
    """The key of a party and the dealer, another one each time."""
    session = sha256(bytes([repetition])).hexdigest()
    return pair_key(_private(seat), _public(other), session=session, seat=seat, peer_seat=other)


def dealer_role(party: Party) -> None:
    from mpc.engines.crypten_engine import dealing, kernel

    kernel.begin_session()
    wires, rounds = links(party, 3, dealer=2), iter(range(1000))
    script = _script(party.given["case"], party.given["size"])

    def whole() -> None:
        repetition = next(rounds)
        streams = [kernel.Keystream(_dealt(2, seat, repetition)) for seat in range(2)]
        dealing.deal(cast(Any, wires), streams, script, check=lambda: None)

    party.measure(whole, party.given["repetitions"])
    party.wait()
    wires.close()


def main() -> None:
    asked, repetitions, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    case = asked.removesuffix("_shipped")
    roles = [sum_role] * 3 + [consumer_role] if case.startswith("sum") else [party_role] * 2 + [dealer_role]
    given = {"case": case, "repetitions": repetitions, "size": size}
    if asked != case:
        given |= keys_for(len(roles))
        roles = [*roles, relay_role]
    print(json.dumps(parties.run(roles, **given)))


if __name__ == "__main__":
    main()
