"""The dealer's part of a session: correlated randomness for one gate, and its own word before anything is sealed.

Holds no data and receives no share. What it deals follows from the plan, a few pieces ahead of need. `check` looks at
the start, before each piece and before it says that it is ready at what its agent has said, who looks at the office's
book of revocations ten times a second: a grant it knows to be revoked ends the session, whatever the portal says. The
chain is asked before it begins and once the last piece is taken. The dealer is the last to be ready: only when every
party is does its agent count the gate, and let it say so; until then nobody can seal. It stays until every party has
said that it heard, for a link or the relay may just be away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mpc.errors import MpcError
from mpc.functions.plan import Plan
from mpc.party import hear_ready, keys_of, say_ready
from mpc.transport.mesh import Mesh
from mpc.wire import Order

Serve = Callable[..., int]


def serve(order: Order, plan: Plan, mesh: Mesh, *, deal: Serve, check: Callable[[], None],
          started: Callable[[], None], all_ready: Callable[[], None], allowed: Callable[[], None]) -> int:
    """Deal for the plan until party 0 has taken everything; returns the number of pieces. After `started` and after
    `all_ready` it waits until it is `allowed`."""
    check()
    _, keys = keys_of(order)
    pieces = deal(mesh, [keys[seat] for seat in range(order.parties)], gate=plan.gate, check=check)
    started()
    allowed()
    hear_ready(mesh)
    all_ready()
    allowed()
    check()
    say_ready(mesh)
    with suppress(MpcError):  # what was let go cannot be taken back; but who leaves too soon may not have been heard
        hear_ready(mesh)
    return pieces
