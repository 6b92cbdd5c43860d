"""What a worker that was taken over tries against its own node: each attempt succeeds in a free process, and fails in
one that has confined itself. Landlock alone stops none of these on every kernel; the filter must."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpc import confinement, hosts

PROGRAM = """
import ctypes, fcntl, json, os, resource, signal, socket, sys
from mpc.confinement import confine
attacks, held, file, log, port, victim = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), number)
def quietly(attempt):
    try:
        attempt()
    except BlockingIOError:  # it is on its way
        pass
def stream():
    made = socket.socket()
    made.setblocking(False)
    return made
if held:
    confine(ports=[1])
found = {}
for name, attack in attacks.items():
    try:
        exec(attack)
        found[name] = "done"
    except OSError as error:
        found[name] = type(error).__name__
print(json.dumps(found))
"""
FASTOPEN = 0x20000000
ATTACKS = {
    "MPTCP, which Landlock's ports do not rule": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "connecting by a first segment": f"quietly(lambda: stream().sendto(b'x', {FASTOPEN}, ('127.0.0.1', port)))",
    "the same as a message": f"quietly(lambda: stream().sendmsg([b'x'], [], {FASTOPEN}, ('127.0.0.1', port)))",
    "the same as an option": "socket.socket().setsockopt(6, 30, 1)",
    "a datagram to anywhere": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a datagram to a service of this machine":
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', log)",
    "letting everybody read the keys": "os.chmod(file, 0o644)",
    "the same by its folder": "os.chmod('keys.json', 0o644, dir_fd=os.open(os.path.dirname(file), os.O_PATH))",
    "the same by the newest call": "call(452, os.open(os.path.dirname(file), os.O_PATH), b'keys.json', 0o644, 0)",
    "changing a file's owner": "os.chown(file, os.getuid(), os.getgid())",
    "changing a file's times": "os.utime(file)",
    "a label on a file": "os.setxattr(file, 'user.x', b'1')",
    "taking the agent's open files": "resource.prlimit(victim, resource.RLIMIT_NOFILE, (64, 64))",
    "a signal": "os.kill(victim, 0)",
    "a signal to one thread": "call(234, victim, victim, 0)",
    "a signal by handle": "signal.pidfd_send_signal(os.pidfd_open(victim), 0)",
    "a signal by way of a file": "fcntl.fcntl(socket.socketpair()[0], fcntl.F_SETOWN, victim)",
    "the same as a device": "fcntl.ioctl(socket.socketpair()[0], 0x8901, victim.to_bytes(4, 'little'))",
    "one processor for the agent": "os.sched_setaffinity(victim, {0})",
    "the agent's turn on it": "os.setpriority(os.PRIO_PROCESS, victim, 5)",
    "memory that others open by name": "call(29, 0, 4096, 0o1600)",
}
OF_ITSELF = {
    "abort() and raise()": "os.kill(os.getpid(), 0); signal.raise_signal(signal.SIGCONT)",
    "its own limits": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); resource.prlimit(0, resource.RLIMIT_CPU)",
    "its own processors": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "a socket": "socket.create_connection",
    "a pair of them": "socket.socketpair()",
}


@pytest.fixture
def victim() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    yield process.pid
    process.kill()
    process.communicate()


@pytest.fixture
def tried(tmp_path: Path, victim: int):  # type: ignore[no-untyped-def]
    keys, log = tmp_path / "keys.json", tmp_path / "log"
    keys.write_text("secret")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service, socket.create_server(("127.0.0.1", 0)) as other:
        service.bind(str(log))

        def attempt(attacks: dict[str, str], *, held: bool) -> dict[str, str]:
            given = json.dumps([attacks, held, str(keys), str(log), other.getsockname()[1], victim])
            done = subprocess.run([sys.executable, "-c", PROGRAM, given], capture_output=True, text=True, timeout=120,
                                  check=True)
            found: dict[str, str] = json.loads(done.stdout)
            return found
        yield attempt


@pytest.mark.skipif(not confinement.seccomp_works(), reason="no filter on this machine")
def test_it_works(tried) -> None:  # type: ignore[no-untyped-def]
    free, held = tried(ATTACKS, held=False), tried(ATTACKS, held=True)
    missing = {name for name, said in free.items() if said != "done"}
    assert len(missing) <= 3, free  # what this kernel has not, nobody can try: MPTCP, labels, the newest call
    assert {name: said for name, said in held.items() if said != "PermissionError"} == {}
    assert set(tried(OF_ITSELF, held=True).values()) == {"done"}


def test_names_are_looked_up_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker sends no datagram: what it may dial it knows, and no other name is anything to it."""
    monkeypatch.setattr(socket, "getaddrinfo", socket.getaddrinfo)  # put back what is replaced below
    known = {"relay.example": ["192.0.2.7", "2001:db8::7"], "localhost": ["127.0.0.1"]}
    asked = hosts._ask

    def names(host: str, *more: object, **named: object) -> object:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [one for address in known[host] for one in asked(address, *more, **named)]  # type: ignore[arg-type]
    monkeypatch.setattr(socket, "getaddrinfo", names)
    hosts.settle(["Relay.example".lower(), "gone.example"])
    known["later.example"] = ["192.0.2.9"]
    found = socket.getaddrinfo("RELAY.example", 443, type=socket.SOCK_STREAM)
    assert [one[4][:2] for one in found] == [("192.0.2.7", 443), ("2001:db8::7", 443)]
    assert hosts.addresses("relay.example") == known["relay.example"]
    assert [one[4] for one in socket.getaddrinfo("192.0.2.1", 1, family=socket.AF_INET, type=socket.SOCK_STREAM)] == [
        ("192.0.2.1", 1)]
    for name in ("gone.example", "later.example", "localhost"):
        assert hosts.addresses(name) == []
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(name, 80)


def test_certificates_are_found_where_each_system_keeps_them() -> None:
    assert {"/etc/ssl", "/etc/pki/ca-trust", "/etc/pki/tls/certs", "/etc/crypto-policies"} <= set(confinement.SYSTEM)
    assert "/etc/pki/tls/private" not in confinement.SYSTEM and os.sep + "etc" not in confinement.SYSTEM
