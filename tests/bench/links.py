"""The links alone, two parties through a true relay: round trips, throughput, memory, and rounds on slow lines.

    ./run bench links [ROUNDS]

Every process is its own: relay, this party, its peer. The reference of the first lines is a plain TCP socket between
two processes, measured in the same run: what the same exchange costs when nothing is protected and nobody is behind a
firewall. `a line` is one way, on both parties' lines to the relay, by a forwarder; the reference is the line itself:
four times the delay a round trip. The proxy at the end is a CONNECT proxy that leaves Nagle's algorithm on, as some do.
"""

from __future__ import annotations

import json
import resource
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.documents import from_b64, public_hex, to_b64
from mpc.token import Claims, holder_of, mint
from mpc.transport.carrier import Relay, WebSocketCarrier
from mpc.transport.identity import Place, SessionIdentity
from mpc.transport.mesh import Mesh
from mpc.transport.setting import Peer, Setting
from tests.bench.machine import print_line, print_machine
from tests.simulators.slow_wire import SlowWire

SESSION = "ab" * 32
SIZES = {"8 B": 8, "8 kB": 8192, "1 MB": 1 << 20}
BULK, PIECE = 200 << 20, 4 << 20
ROUNDS = 300


def mesh_of(body: Mapping[str, Any]) -> Mesh:
    seat = body["seat"]
    own = SessionIdentity(*(from_b64(one) for one in body["own"]))
    made = Mesh(Setting(SESSION, seat, 1, "bench", 1, time.monotonic() + 3600), own,
                {1 - seat: Peer(1 - seat, from_b64(body["peer"]))},
                WebSocketCarrier(Relay(body["url"], body["token"], body["proxy"], own.private_key)))
    made.link()
    return made


def answer() -> None:
    """The peer's process: echo, or swallow, until told to stop."""
    mesh = mesh_of(json.loads(sys.stdin.readline()))
    while True:
        said = mesh.recv(0, b"T")
        if said == b"stop":
            mesh.close()
            return
        if said == b"bulk":
            got = 0
            while got < BULK:
                got += len(mesh.recv(0, b"T"))
            mesh.send(0, b"T", b"done")
            continue
        mesh.send(0, b"T", said)


@contextmanager
def linked(key: Ed25519PrivateKey, url: str, *, proxy: str | None = None, peer_url: str = "") -> Iterator[Mesh]:
    """This party's mesh, with a peer in another process."""
    owns = [SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place(SESSION, 1, seat), now=datetime.now(UTC))
            for seat in range(2)]
    room = sha256(str(time.time()).encode()).hexdigest()
    bodies = [{
        "seat": seat, "own": [to_b64(one) for one in (own.certificate, own.private_key, own.exchange_private)],
        "peer": to_b64(owns[1 - seat].certificate), "url": peer_url if seat and peer_url else url, "proxy": proxy,
        "token": mint(key, Claims(room, room, seat, 2, int(time.time()) + 3600, 1 << 40,
                                  holder_of(own.certificate))),
    } for seat, own in enumerate(owns)]
    with subprocess.Popen([sys.executable, "-m", "tests.bench.links", "peer"], stdin=subprocess.PIPE) as process:
        if process.stdin is None:
            raise OSError("no pipe")
        process.stdin.write(json.dumps(bodies[1]).encode() + b"\n")
        process.stdin.flush()
        mesh = mesh_of(bodies[0])
        try:
            yield mesh
        finally:
            mesh.send(1, b"T", b"stop")
            mesh.close()
            process.wait(20)


def trips(mesh: Mesh, size: int, rounds: int) -> list[float]:
    """Milliseconds of each round trip."""
    body, found = bytes(size), []
    for _ in range(rounds + 3):
        began = time.perf_counter()
        mesh.send(1, b"T", body)
        mesh.recv(1, b"T", limit=size)
        found.append(time.perf_counter() - began)
    return [1000 * one for one in found[3:]]


def bulk(mesh: Mesh, pieces: Sequence[bytes]) -> float:
    """Megabytes a second, one way."""
    began = time.perf_counter()
    mesh.send(1, b"T", b"bulk")
    for piece in pieces:
        mesh.send(1, b"T", piece)
    mesh.recv(1, b"T")
    return BULK / 1e6 / (time.perf_counter() - began)


def plain(size: int, rounds: int) -> list[float]:
    """The same round trips over a bare socket between two processes."""
    server = socket.create_server(("127.0.0.1", 0))
    code = ("import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
            "s.setsockopt(socket.IPPROTO_TCP,socket.TCP_NODELAY,1)\n"
            "while d:=s.recv(1<<20): s.sendall(d)\n")
    with subprocess.Popen([sys.executable, "-c", code, str(server.getsockname()[1])]):
        line, _ = server.accept()
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found, body = [], bytes(size)
        for _ in range(rounds):
            began, got = time.perf_counter(), 0
            sender = threading.Thread(target=line.sendall, args=(body,)) if size > 1 << 16 else None
            sender.start() if sender else line.sendall(body)
            while got < size:
                got += len(line.recv(1 << 20))
            if sender:
                sender.join()
            found.append(time.perf_counter() - began)
        line.close()
    server.close()
    return [1000 * one for one in found]


def stubborn_proxy() -> int:
    """A CONNECT proxy that never sets TCP_NODELAY; its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def one(line: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(4096)
        host, _, port = head.split()[1].decode().rpartition(":")
        there = socket.create_connection((host, int(port)))
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for source, target in ((line, there), (there, line)):
            threading.Thread(target=carry, args=(source, target), daemon=True).start()

    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def accept() -> None:
        while True:
            threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(server.getsockname()[1])


@contextmanager
def relay(key: Ed25519PrivateKey) -> Iterator[int]:
    """The relay's process; its port."""
    command = [sys.executable, "-m", "mpc.relay", "--listen", "127.0.0.1:0", "--key", public_hex(key)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise OSError("no pipe")
        try:
            yield int(json.loads(process.stdout.readline())["listening"].rpartition(":")[2])
        finally:
            process.terminate()


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print_machine()
    key = Ed25519PrivateKey.generate()
    with relay(key) as port:
        url = f"ws://127.0.0.1:{port}"
        with linked(key, url) as mesh:
            for name, size in SIZES.items():
                count = rounds if size < 1 << 16 else max(10, rounds // 10)
                print_line(bench="links", case=f"round trip of {name}", metric="time", unit="ms",
                           values=trips(mesh, size, count), reference=("a bare TCP socket", plain(size, count)))
            pieces = [secrets.token_bytes(PIECE) for _ in range(BULK // PIECE)]
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            speed = [bulk(mesh, pieces) for _ in range(3)]
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
            print(json.dumps({"bench": "links", "case": "200 MB one way", "metric": "throughput", "unit": "MB/s",
                              "value": round(sorted(speed)[1], 1), "n": 3, "spread": [round(min(speed), 1), round(
                                  max(speed), 1)], "memory_beside_the_messages_mb": round(grown, 1)}), flush=True)
        for delay in (0.0, 0.02, 0.05):
            wires = [SlowWire(port, delay=delay) for _ in range(2)]
            with linked(key, wires[0].url, peer_url=wires[1].url) as mesh:
                count = rounds if not delay else max(20, rounds // 10)
                print_line(bench="links", case=f"round trip of 8 B at {1000 * delay:.0f} ms a line", metric="time",
                           unit="ms", values=trips(mesh, 8, count), reference=("the lines alone", [4000 * delay]))
            for wire in wires:
                wire.end()
        with linked(key, url, proxy=f"http://127.0.0.1:{stubborn_proxy()}") as mesh:
            print_line(bench="links", case="round trip of 8 B behind a proxy with Nagle's algorithm", metric="time",
                       unit="ms", values=trips(mesh, 8, rounds), reference=("a bare TCP socket", plain(8, rounds)))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["peer"]:
        answer()
    else:
        sys.exit(main())
