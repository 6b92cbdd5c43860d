"""What peers and relay send to a party: hellos, the word with which a session ends, a TLS stream, a channel's messages.

A channel is made anew for every input, by a true handshake: half of its bytes come through the peer's own TLS, as a
hostile peer would send them, half are put in its way, as a relay would.
"""

from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import canonical
from mpc.errors import MpcError
from mpc.transport.channel import Channel
from mpc.transport.identity import Place, SessionIdentity, binding, context_for
from mpc.transport.link import reason, told
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Peer, Setting
from mpc.transport.window import Frame
from tests.fuzz.target import Target, promise

SESSION, PARTIES = "ab" * 32, 3
HELLO = {"session": SESSION, "seat": 1, "to": 0, "agreement": "agreed", "floor": 10}


@cache
def identities() -> list[SessionIdentity]:
    return [SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place(SESSION, 1, seat), now=datetime.now(UTC))
            for seat in range(PARTIES)]


class NoCarrier:
    """Nothing is dialled here."""


@cache
def mesh() -> Mesh:
    """One party's end that was never started."""
    own = identities()
    return Mesh(Setting(SESSION, 0, PARTIES - 1, "agreed", 10, 1e12), own[0],
                {seat: Peer(seat, own[seat].certificate) for seat in range(1, PARTIES)},
                NoCarrier())  # type: ignore[arg-type]


def hello(body: bytes) -> None:
    """A peer's first message: it names our session and its floor, or the session ends with that peer's seat."""
    end = mesh()
    end.floors = {0: 10}
    try:
        end._greeted(1, body)
    except MpcError as error:
        promise(error.about_seat == 1, "a hello that is refused names nobody")
        raise
    promise(type(end.floors[1]) is int, "a floor that is no number")


def farewell(body: bytes) -> None:
    """A peer's last word becomes an error of ours, whatever it says."""
    error = told(1, body, seats=PARTIES - 1)
    promise(error.about_seat is None or 0 <= error.about_seat < PARTIES, "somebody who is not there is blamed")
    promise(len(error.code) <= 64, "a code of any length")


def shaken() -> tuple[Channel, Channel]:
    """Both ends of a fresh link."""
    one, other = identities()[:2]
    name = binding(SESSION, 0, 1)
    server = Channel(context_for(one, other.certificate, name, server=True), server=True)
    client = Channel(context_for(other, one.certificate, name, server=False), server=False)
    for _ in range(6):
        for here, there in ((client, server), (server, client)):
            if not here.up:
                here.shake()
            there.feed(here._outgoing.read())
    promise(client.up and server.up, "the handshake is done")
    return server, client


def from_a_peer(body: bytes) -> None:
    server, client = shaken()
    if body:
        client._tls.write(body)
    server.feed(client._outgoing.read())
    for kind, inner in server.messages():
        promise(len(kind) == 1 and len(inner) <= len(body), "a message that nobody sent")


def from_a_relay(body: bytes) -> None:
    server, client = shaken()
    client.send(b"H", b"")
    client.send(b"T", b"numbers")
    true = client.take(1 << 16)
    server.feed(body[:20_000] if body[:1] != b"+" else true + body[1:])
    promise(all(one in ((b"H", b""), (b"T", b"numbers")) for one in server.messages()), "what no peer sent")


def frame(body: bytes) -> None:
    Frame.read(body)


def messages_seed() -> list[bytes]:
    hello = b"H" + bytes(8)
    return [hello + b"T" + (3).to_bytes(8, "big") + b"abc" + b"F" + bytes(8),
            hello + b"T" + (1 << 27).to_bytes(8, "big") + b"x"]


def farewell_seed() -> list[bytes]:
    return [reason(MpcError("x")), canonical({"code": "relay.refused", "about_seat": 1})]


TARGETS: dict[str, Target] = {
    "hello": Target(hello, (MpcError,), lambda: [canonical(HELLO)]),
    "last word": Target(farewell, (), farewell_seed),
    "channel, from a peer": Target(from_a_peer, (MpcError,), messages_seed, dear=True),
    "channel, from a relay": Target(from_a_relay, (MpcError,), lambda: [b"+", b"\x17\x03\x03\x00\x05hello"], dear=True),
    "frame": Target(frame, (MpcError,), lambda: [bytes(80)]),
}
