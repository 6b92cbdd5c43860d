"""One party's part of a session, from linked peers to a sealed envelope. Knows no process, no file but its own rows.

1. Link: every peer named the same session, function and plan; the strictest floor of all parties counts.
2. Count: this hospital's own rows, locally; then wait until that has taken a round time.
3. Each party contributes 32 random bytes to the gate key; the first gate round is about to start: `started`.
4. Gate and shares (`functions/sums.py`): no party knows which cells open.
5. Wait until this party may let go (`allowed`: its use is on chain), then until every party and the dealer may.
6. Seal to the consumer's key. One envelope a session.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import canonical
from mpc.catalog import CATALOG, digest_of, engine_digest, validate_parameters
from mpc.disclosure import Opening, gate_hash, gate_key, seen_by, strictest
from mpc.engines import budget
from mpc.engines.base import Engine
from mpc.errors import FloorTooLow, SpecRefused
from mpc.functions.plan import Counted, Plan, with_filter
from mpc.functions.registry import function
from mpc.functions.rows import Rows
from mpc.functions.sums import run
from mpc.sharing import PairKeys, pair_key, seal
from mpc.spec import hpke_info
from mpc.transport.mesh import Mesh
from mpc.wire import Order, Task

CONTRIBUTION, READY = b"G", b"R"
EVEN, STEP = 0.25, 5.0


@dataclass(frozen=True)
class Sealed:
    """What leaves the hospital."""

    sealed: bytes
    gate_hash: str


def plan_of(order: Order | Task) -> Plan:
    """The plan that this order means, checked against the catalogue and the ring, before any row is read."""
    if order.function not in CATALOG:
        raise SpecRefused("no such function", code="spec.function_digest")
    entry = CATALOG[order.function]
    if order.digest not in (None, entry.digest) or digest_of(order.function) != entry.digest:
        raise SpecRefused("the function's code is not what the job or our catalogue names", code="spec.function_digest")
    if order.parties < entry.min_parties:
        raise SpecRefused("too few parties for the function", code="spec.roster_mismatch")
    validate_parameters(order.function, order.parameters, order.columns)
    if order.floor < entry.minimum_floor:
        raise FloorTooLow("the floor lies under the function's own")
    made = function(order.function).plan(order.parameters, order.columns, order.parties, order.rows_max_total)
    budget.check(made.products, made.uses)
    return with_filter(made, order.filter, order.columns)


def agreement(order: Order, plan: Plan) -> str:
    """What every peer's hello must name: any difference ends the session before a share leaves."""
    return sha256(canonical({
        "type": "computation", "version": 1, "space": order.space, "job_hash": order.job_hash,
        "function": order.function, "digest": CATALOG[order.function].digest, "plan": plan.digest(),
        "engine": engine_digest(),
        "recipient": order.recipient, "recipient_key": order.recipient_key,
    })).hexdigest()


def keys_of(order: Order) -> tuple[PairKeys, Mapping[int, bytes]]:
    """Keys with the other parties, and the key with the dealer; the dealer holds one for each party."""
    private = X25519PrivateKey.from_private_bytes(order.own.exchange_private)
    among = {seat: public for seat, public in order.exchange.items() if seat != order.dealer}
    dealt = among if order.role == "dealer" else {order.dealer: order.exchange[order.dealer]}
    parties = {} if order.role == "dealer" else among
    return (
        PairKeys.agree(private, parties, session=order.session, seat=order.seat),
        {seat: pair_key(private, public, session=order.session, seat=order.seat, peer_seat=seat)
         for seat, public in dealt.items()},
    )


def count(order: Order | Task, plan: Plan) -> Counted:
    """What this hospital counts; the rows are closed again before anything is sent."""
    if order.data is None:
        raise SpecRefused("a party without data")
    rows = Rows.open(order.data.path, order.data.kind, plan.read_by(order.data.identifiers), check=order.data.check,
                     unlisted_as_missing=order.data.unlisted_as_missing, only=plan.filter, access=order.data.access)
    try:
        counted = function(order.function).local(rows, plan)
        rows.settle()
        return counted
    finally:
        rows.close()


def evened(spent: float) -> float:
    """The seconds that counting is to take, of which so many are spent: the next of 0.25, 0.5, 1, 2, 4, 5, 10, 15, 20
    and so on, so that nobody waits five seconds."""
    full = EVEN
    while full < spent and full < STEP:
        full *= 2
    return full if spent <= full < STEP else STEP * math.ceil(spent / STEP)


def compute(order: Order, plan: Plan, mesh: Mesh, engine: Engine, counted: Counted, *,
            started: Callable[[], None], finished: Callable[[], None], allowed: Callable[[], None]) -> Sealed:
    """Steps 3 to 6, over links that are up."""
    seats = range(order.parties)
    floor = strictest(*(mesh.floors[seat] for seat in seats))
    mine = secrets.token_bytes(32)
    others = [seat for seat in seats if seat != order.seat]
    for seat in others:
        mesh.send(seat, CONTRIBUTION, mine)
    parts = {seat: mesh.recv(seat, CONTRIBUTION, limit=32) for seat in others} | {order.seat: mine}
    started()
    chosen = run(engine, plan, counted, floor)
    finished()
    allowed()
    wait_for_all(mesh)
    contributions = [parts[seat] for seat in seats]
    key, seen = gate_key(contributions), seen_by(contributions, chosen.masked)
    digest = gate_hash(key, order.session, seen)
    info = hpke_info(space=order.space, job_hash=order.job_hash, session=order.session, sender=order.sender,
                     recipient=order.recipient, recipient_key=order.recipient_key, gate_hash=digest)
    plain = Opening(order.seat, floor, key, seen, chosen.shares, engine.told).to_bytes()
    return Sealed(seal(plain, recipient_key=order.recipient_key, info=info), digest)


def wait_for_all(mesh: Mesh) -> None:
    """Nobody seals before everybody, the dealer too, said that it may. The dealer is told that its word has come."""
    say_ready(mesh)
    hear_ready(mesh)
    mesh.send(mesh.dealer, READY, b"")


def say_ready(mesh: Mesh) -> None:
    for seat in sorted(set(mesh.floors) - {mesh.seat}):
        mesh.send(seat, READY, b"")


def hear_ready(mesh: Mesh) -> None:
    for seat in sorted(set(mesh.floors) - {mesh.seat}):
        mesh.recv(seat, READY, limit=0)
