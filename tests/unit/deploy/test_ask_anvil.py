"""Asking anvil when every connection is in use, when none is left, and while it writes its chain down."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import anvil
from deploy.anvil import Anvil
from deploy.anvilpipe import CONNECTIONS, Busy, Pipes
from ledger.posting import PostFailed


class Slow:
    """A server that answers when it is told to, with `answer`, or hangs up."""

    def __init__(self, path: Path) -> None:
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen(CONNECTIONS)
        self.pipes = Pipes(path)
        self.lines = [self.server.accept()[0] for _ in range(CONNECTIONS)]

    def close(self) -> None:
        for line in [*self.lines, self.server]:
            line.close()
        self.pipes.close()


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    monkeypatch.chdir(tmp_path)  # a socket's path may be 107 long
    made = Slow(Path("s"))
    yield made
    made.close()


class Process:
    killed = False

    def kill(self) -> None:
        self.killed = True


def asked(slow: Slow) -> Anvil:
    made = object.__new__(Anvil)
    made._pipes, made._process, made._dumping = slow.pipes, Process(), False  # type: ignore[assignment]
    return made


def test_it_works(slow: Slow) -> None:
    """All connections wait for an answer: the next one learns that, and anvil lives."""
    one = asked(slow)
    waiting = [threading.Thread(target=slow.pipes.post, args=(b"?",), kwargs={"within": 60}, daemon=True)
               for _ in range(CONNECTIONS)]
    for thread in waiting:
        thread.start()
    for line in slow.lines:
        assert line.recv(1) == b"?"
    with pytest.raises(Busy):
        one.post(b"?", within=0.01)
    assert not one._process.killed  # type: ignore[attr-defined]
    for line in slow.lines:
        line.sendall(b"!\n")
    for thread in waiting:
        thread.join(60)
    assert slow.pipes._free.qsize() == CONNECTIONS


def test_one_that_does_not_answer_is_ended(slow: Slow) -> None:
    one = asked(slow)
    with pytest.raises(TimeoutError):
        one.post(b"?", within=0.01)
    assert one._process.killed  # type: ignore[attr-defined]


def test_one_that_writes_its_chain_down_is_waited_for(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    one, found = asked(slow), []
    monkeypatch.setattr(anvil, "DUMPED_WITHIN", 60.0)
    one._dumping = True
    thread = threading.Thread(target=lambda: found.append(one.post(b"?", within=0.001)), daemon=True)
    thread.start()
    line = slow.lines[-1]  # the last that was put back is the first to be taken
    assert line.recv(1) == b"?"
    thread.join(0.05)
    line.sendall(b"!\n")
    thread.join(60)
    assert found == [b"!\n"] and not one._process.killed  # type: ignore[attr-defined]


def test_where_no_connection_is_left_it_is_gone(slow: Slow) -> None:
    """Else every later question would be told to come back, for ever."""
    for line in slow.lines:
        line.close()
    for _ in range(CONNECTIONS):
        with pytest.raises((PostFailed, OSError)):
            slow.pipes.post(b"?", within=60)
    with pytest.raises(PostFailed) as gone:
        slow.pipes.post(b"?", within=60)
    assert not isinstance(gone.value, Busy)
    assert slow.pipes._lost == CONNECTIONS
