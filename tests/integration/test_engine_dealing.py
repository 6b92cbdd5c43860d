"""Dealing ahead: the right numbers, in the script's order, a few pieces at a time, with an eye on the book."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from mpc.disclosure import balanced, gate_of
from mpc.engines.crypten_engine import dealing
from mpc.engines.crypten_engine.dealing import AHEAD, Numbers, Piece, both
from mpc.engines.crypten_engine.engine import gate_script
from mpc.engines.crypten_engine.kernel import Keystream
from mpc.errors import EngineUnfit, PeerLost, ProtocolBroken, Stopped
from mpc.functions.plan import MAX_COMPARISONS
from tests.simulators.wired_parties import Played


class Line:
    """A mesh of one dealer: hears that so many pieces were taken, then nothing; keeps what it sends."""

    def __init__(self, taken: int, word: bytes = b"") -> None:
        self.taken, self.word, self.sent = taken, word, [0]
        self.most = 0

    def send(self, seat: int, kind: bytes, body: bytes) -> None:
        self.sent.append(len(body))
        self.most = max(self.most, self.pieces - self.heard)

    heard = 0

    @property
    def pieces(self) -> int:
        return len(self.sent) - 1

    def recv(self, seat: int, kind: bytes, *, limit: int | None = None) -> bytes:
        if len(self.word) != limit:
            raise ProtocolBroken("another length", about_seat=seat)
        if self.heard == self.taken or self.heard == self.pieces:
            raise PeerLost("party 0 says nothing", about_seat=seat)
        self.heard += 1
        return self.word


def streams(parties: int = 3) -> list[Keystream]:
    return [Keystream(bytes([seat]) * 32) for seat in range(parties)]


def dealt(line: Line, script: Sequence[Piece], check: Any = lambda: None) -> int:
    return dealing.deal(cast(Any, line), streams(), script, check=check)


def put_together(piece: Piece, parties: int) -> list[Numbers]:
    """All numbers of a piece, from the shares of all parties."""
    played = Played(parties, [piece], lambda of: of.take(piece))
    free, bound = piece.layout
    totals = []
    for at, field in enumerate((*free, *bound)):
        total = played.answers[0][at].copy()
        for shares in played.answers[1:]:
            field.put(total, shares[at])
        totals.append(total)
    return totals


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_it_works(parties: int) -> None:
    """Each kind is what it says it is."""
    r, high, low, products = put_together(dealing.mask(50), parties)
    spread = dealing.spread_bits(r)
    assert ((high.astype(np.uint64) << np.uint64(32)) | low).tolist() == spread.tolist()
    assert products.tolist() == (high & low & np.uint32(2**31 - 1)).tolist()
    a, b, c = put_together(both(2, 33), parties)
    assert np.array_equal(c, a & b)
    for octets in (4, 8):
        packed, whole = put_together(dealing.bit(13, octets), parties)
        assert whole.itemsize == octets and whole.tolist() == np.unpackbits(packed, count=13).tolist()
    r, table = put_together(dealing.lookup(30, 5), parties)
    assert [np.flatnonzero(row).tolist() for row in np.unpackbits(table, axis=1)] == [[at % 32] for at in r.tolist()]
    for limbs in (1, 2, 4):
        packed, a, r, products = put_together(dealing.choice(11, 3, limbs), parties)
        assert r[0].tolist() == np.unpackbits(packed, count=11).tolist() and not r[1:].any()
        assert a.all() and np.array_equal(products, a * np.repeat(r[0], 3))
    a, b, c = put_together(dealing.product(20), parties)
    assert np.array_equal(c, a * b)
    a, b, c = put_together(dealing.matrices(3, 4, 5), parties)
    assert np.array_equal(c, a @ b)
    r, down, top = put_together(dealing.truncation(40, 20), parties)
    assert np.array_equal(down, r >> np.uint64(20)) and np.array_equal(top, r >> np.uint64(63))


@pytest.mark.parametrize("piece", [
    Piece("additive", (2,)), Piece("__import__", (2,)), Piece("both", (-1, 2)), Piece("both", (2,)),
    Piece("both", (True, 2)), Piece("mask", (0,)), Piece("mask", (2**40,)), Piece("mask", (2**27,)),
    Piece("product", (1, 1)), Piece("choice", (8, 1, 5)), Piece("choice", (8, 1)),
    Piece("matrices", (1, 2**31 - 1, 1)), Piece("both", (1, 2**25)),
])
def test_the_dealer_deals_only_what_is_on_its_list_and_within_the_quota(piece: Piece) -> None:
    line = Line(9)
    with pytest.raises(EngineUnfit):
        dealt(line, [both(1, 1), piece])
    assert line.pieces == 0, "not even what comes before it"


def test_a_script_of_many_pieces_that_each_keep_the_quota_is_refused_as_a_whole() -> None:
    """Naive: 65,536 pieces of 64 MB are four terabytes, and eight bytes that are sent may be 34 GB that are drawn."""
    assert Piece("matrices", (1, 2**31 - 1, 1)).size == 8
    piece = both(1, dealing.MOST_BYTES // 3)
    assert dealing.check_script([piece] * (dealing.MOST_IN_ALL // piece.drawn))
    for script in ([piece] * (dealing.MOST_IN_ALL // piece.drawn + 1), [both(1, 1)] * (dealing.MOST_PIECES + 1)):
        line = Line(9)
        with pytest.raises(EngineUnfit):
            dealt(line, script)
        with pytest.raises(EngineUnfit):
            Played(2, script, lambda of: None)
        assert line.pieces == 0


def test_the_largest_gate_there_is_keeps_the_quotas() -> None:
    for parties, cells, tops in ((16, 27, 20), (4, 2**20 // 56, 2)):
        gate = gate_of(balanced(range(cells)), missing=1, tops=tops, moments=2 * tops, limbs=4)
        assert 0.9 * MAX_COMPARISONS < gate.comparisons(parties) <= MAX_COMPARISONS
        dealing.check_script(gate_script(gate, parties))


def test_only_a_few_pieces_are_out_at_any_time() -> None:
    line = Line(50)
    assert dealt(line, [both(1, 8)] * 50) == 50
    assert line.most == AHEAD
    silent = Line(0)
    with pytest.raises(PeerLost):
        dealt(silent, [both(1, 8)] * 50)
    assert silent.pieces == AHEAD, "a dealer that hears nothing does not deal on"


def test_the_dealer_looks_at_its_book_before_every_piece_and_at_the_end() -> None:
    """A revocation that it hears of in the middle, or after the last piece, ends the session."""
    for at in (1, 2, 7, 20, 21):
        line, looked = Line(20), iter(range(1, 50))

        def check(at: int = at, looked: Any = looked) -> None:
            if next(looked) == at:
                raise Stopped("revoked", code="grant.revoked")

        with pytest.raises(Stopped):
            dealt(line, [both(1, 8)] * 20, check)
        assert line.pieces == at - 1
        assert line.heard >= at - 1 - AHEAD, "and it had heard that nearly all before was used"


def test_party_0_tells_the_dealer_nothing_but_that_it_took_a_piece() -> None:
    with pytest.raises(ProtocolBroken):
        dealt(Line(9, b"more"), [both(1, 8)] * 9)


@pytest.mark.parametrize("asked", [both(1, 9), both(2, 8), dealing.mask(8), dealing.bit(8, 8)])
def test_a_computation_takes_what_its_plan_foresees_and_nothing_else(asked: Piece) -> None:
    for seat_that_errs in (0, 1):
        with pytest.raises((EngineUnfit, PeerLost)):
            Played(2, [both(1, 8)], lambda of, seat=seat_that_errs: of.take(asked if of.seat == seat else both(1, 8)))
    with pytest.raises(EngineUnfit):
        Played(2, [], lambda of: of.take(asked))


def test_a_message_that_is_not_the_pieces_is_refused() -> None:
    class Short:
        seat, dealer = 0, 2

        def recv(self, seat: int, kind: bytes, *, limit: int | None = None) -> bytes:
            return Line(1, b"\0" * 7).recv(seat, kind, limit=limit)

    supply = dealing.Supply(cast(Any, Short()), Keystream(secrets.token_bytes(32)), [both(1, 8)])
    with pytest.raises(ProtocolBroken):
        supply.take(both(1, 8))


def test_the_script_of_a_gate_follows_from_its_shape_alone() -> None:
    gate = gate_of(balanced(range(40)), missing=1, tops=2)
    script = gate_script(gate, 3)
    assert script == gate_script(gate_of(balanced(range(40)), missing=1, tops=2), 3)
    assert script != gate_script(gate, 4)
    assert sum(piece.size for piece in script) < 26 * gate.comparisons(3)
    assert len(script) == 9
    more = gate_script(gate_of(balanced(range(40)), missing=1, tops=2, moments=4, limbs=2), 3)
    assert [piece.shape for piece in more[-2:]] == [(40, 5, 2), (1, 1, 2)]
