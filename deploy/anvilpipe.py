"""Asks anvil over its Unix socket: one request a connection at a time, one line for each answer.

All connections are made at the start, and then the socket's name is removed: whoever comes later finds no way in. A
connection that fails is not made again; that anvil is to be ended is for its keeper to say. Reads no answer.
"""

import os
import socket
from pathlib import Path
from queue import Empty, LifoQueue

from ledger.posting import PostFailed

CONNECTIONS = 8
LARGEST_ANSWER = 1 << 30  # a dump of the whole chain


class Busy(PostFailed):
    """Every connection is in use: nothing was asked, and nothing is known against the server."""


class Pipes:
    """Kept connections to one server; may be used by several threads, who wait for each other when all are in use."""

    def __init__(self, path: Path) -> None:
        """Raises OSError while nobody listens there."""
        self._free: LifoQueue[socket.socket] = LifoQueue()
        self._lost = 0
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for _ in range(CONNECTIONS):
                self._free.put(_connected(f"/proc/self/fd/{folder}/{path.name}"))  # a socket's path may be 107 long
            path.unlink()
        except BaseException:
            self.close()
            raise
        finally:
            os.close(folder)

    def post(self, body: bytes, *, within: float) -> bytes:
        """The answer, which is one line; PostFailed or OSError if none came, and what was done is not known. `Busy` if
        nothing was asked."""
        if self._lost >= CONNECTIONS:
            raise PostFailed("no connection is left")
        try:
            line = self._free.get(timeout=within)
        except Empty as trouble:
            raise Busy("no connection is free") from trouble
        try:
            line.settimeout(within)
            line.sendall(body)
            with line.makefile("rb") as file:
                answer = file.readline(LARGEST_ANSWER)
            if not answer.endswith(b"\n"):
                raise PostFailed("the answer ends in the middle")
        except BaseException:
            self._lost += 1
            line.close()
            raise
        self._free.put(line)
        return answer

    def close(self) -> None:
        while not self._free.empty():
            self._free.get_nowait().close()


def _connected(path: str) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.connect(path)
    except BaseException:
        line.close()
        raise
    return line
