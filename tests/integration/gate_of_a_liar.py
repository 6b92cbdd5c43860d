"""Three parties and a dealer at the gate in forked processes, over real links; one party's own counts are not those of
its total. Prints what each party met, one JSON line. A program, for `test_engine.py`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from mpc.engines.crypten_engine.engine import CryptenEngine, serve_dealer
from mpc.errors import MpcError
from mpc.sharing import PairKeys, pair_key
from mpc.transport.identity import SessionIdentity, address_of, listen
from mpc.transport.mesh import Mesh, Peer, Setting

SESSION, PARTIES, DEALER = "ab" * 32, 3, 3
COUNTS = ([4, 0, 30], [5, 0, 30], [6, 20, 30])


def main() -> None:
    lie = int(sys.argv[1])
    identities = [SessionIdentity.fresh(now=datetime.now(UTC)) for _ in range(PARTIES + 1)]
    listeners = [listen() for _ in identities]
    public = {seat: one.exchange for seat, one in enumerate(identities)}
    peers = {seat: Peer(seat, address_of(listeners[seat]), one.certificate) for seat, one in enumerate(identities)}

    def mesh(seat: int) -> Mesh:
        others = {other: peer for other, peer in peers.items() if other != seat}
        made = Mesh(Setting(SESSION, seat, DEALER, "gate", 10, time.monotonic() + 60), identities[seat], others,
                    listeners[seat])
        made.link()
        return made

    def party(seat: int) -> str:
        private = X25519PrivateKey.from_private_bytes(identities[seat].exchange_private)
        among = {other: key for other, key in public.items() if other != DEALER}
        own = mesh(seat)
        engine = CryptenEngine(own, PARTIES, PairKeys.agree(private, among, session=SESSION, seat=seat), pair_key(
            private, public[DEALER], session=SESSION, seat=seat, peer_seat=DEALER))
        try:
            shares = engine.share_total(COUNTS[seat])
            said = [COUNTS[seat][0] + (lie if seat == 1 else 0), *COUNTS[seat][1:]]
            pattern = engine.gate(shares, said, 10)
            engine.finish()
            return "".join("1" if bit else "0" for bit in pattern)
        except MpcError as error:
            own.fail(error)
            return error.code
        finally:
            own.close()

    def dealer(seat: int) -> str:
        private = X25519PrivateKey.from_private_bytes(identities[seat].exchange_private)
        keys = [pair_key(private, public[other], session=SESSION, seat=seat, peer_seat=other)
                for other in range(PARTIES)]
        own = mesh(seat)
        try:
            serve_dealer(own, keys, cells=3, check=lambda: None)
            return "dealt"
        except MpcError as error:
            return error.code
        finally:
            own.close()

    tasks: list[Callable[[int], str]] = [*[party] * PARTIES, dealer]
    children = []
    for seat, task in enumerate(tasks):
        inner, outer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(outer, task(seat).encode())
            os._exit(0)
        os.close(outer)
        children.append((child, inner))
    print(json.dumps([(os.read(inner, 100).decode(), os.waitpid(child, 0)[1])[0] for child, inner in children]))


if __name__ == "__main__":
    main()
