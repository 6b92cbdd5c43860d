"""One party's end of a computation over shares: what it takes from the dealer, what it opens, and to whom.

Two kinds of messages leave a party. `exchange` and `exchange_all` open numbers under a fresh uniform mask, within a
protocol (`comparison`, `conjunction`, `choice`, `products`): they tell nobody anything. `open_to` makes a number known,
and writes down what it was, to whom, and how many; there is no other way to a number in the clear.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpc.disclosure import CONSUMER, PARTIES_ALL, Told
from mpc.engines.crypten_engine.dealing import Field, Numbers, Piece, Script, Supply, bit, both
from mpc.engines.crypten_engine.kernel import Keystream
from mpc.errors import EngineUnfit
from mpc.transport.mesh import Mesh

SHARE = b"T"


class Computation:
    """Over the links of one session, for one script."""

    def __init__(self, mesh: Mesh, parties: int, dealer_key: bytes, script: Script) -> None:
        self._mesh, self.parties, self.seat = mesh, parties, mesh.seat
        self._supply = Supply(mesh, Keystream(dealer_key), script)
        self.told: list[Told] = []
        self.rounds = 0

    def take(self, piece: Piece) -> list[Numbers]:
        return self._supply.take(piece)

    def exchange(self, share: Numbers, *, xor: bool = False) -> Numbers:
        """One round: every party sends its share to every other, and puts all of them together."""
        (total,) = self.exchange_all([(Field(share.shape, share.dtype.type, xor=xor), share)])
        return total

    def exchange_all(self, parts: Sequence[tuple[Field, Numbers]]) -> list[Numbers]:
        """The same with several kinds of numbers, in one round."""
        self.rounds += 1
        body = b"".join(share.tobytes() for _, share in parts)
        others = [seat for seat in range(self.parties) if seat != self.seat]
        for seat in others:
            self._mesh.send(seat, SHARE, body)
        totals = [share.copy() for _, share in parts]
        for seat in others:
            theirs, at = memoryview(self._mesh.recv(seat, SHARE, limit=len(body))), 0
            for total, (field, _) in zip(totals, parts, strict=True):
                field.put(total, field.read(theirs[at : at + field.size]))
                at += field.size
        return totals

    def open_to(self, recipients: str, what: str, share: Numbers) -> Numbers:
        """The one place where a number becomes known: to the parties now, to the consumer by the share that this party
        may seal, which comes back as it is. Of several rows each is a limb."""
        if recipients not in (PARTIES_ALL, CONSUMER):
            raise EngineUnfit("numbers are opened to all parties, or to the consumer, and to nobody else")
        self.told.append(Told(what, recipients, int(share.shape[-1])))
        return self.exchange(share) if recipients == PARTIES_ALL else share

    def both(self, one: Numbers, others: Sequence[Numbers]) -> Numbers:
        """Shares of the ANDs of bytes, bit by bit, with each of the others: a row for each."""
        a, b, c = self.take(both(len(others), len(one)))
        masked = [one ^ a, *(other ^ fresh for other, fresh in zip(others, b, strict=True))]
        opened = self.exchange(np.stack(masked), xor=True)
        d, e = opened[0], opened[1:]
        found: Numbers = c ^ (d & b) ^ (e & a)
        if self.seat == 0:
            found ^= d & e
        return found

    def to_words(self, bits: Numbers, octets: int) -> Numbers:
        """From bits shared by xor, 0 or 1 each, to the same numbers shared by addition, in words of so many bytes: open
        v = bit ^ random for a random bit that the dealer gives in both sharings; [bit] = v + (1 - 2 v) [random]."""
        packed, whole = self.take(bit(len(bits), octets))
        opened = self.exchange(np.packbits(bits) ^ packed, xor=True)
        v = np.unpackbits(opened, count=len(bits)).astype(whole.dtype)
        found: Numbers = whole * (whole.dtype.type(1) - v - v)
        if self.seat == 0:
            found += v
        return found

    def finish(self) -> None:
        """Nothing that the plan foresees is left over."""
        self._supply.finish()
