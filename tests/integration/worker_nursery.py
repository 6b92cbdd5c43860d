"""Imports the worker once and forks a fresh one for every request: real processes without five imports of torch a test.

Run as a program with a socket on standard input. No torch operation and no key before the fork.
"""

from __future__ import annotations

import os
import socket
import sys


def main() -> None:
    from mpc import worker

    server = socket.socket(fileno=os.dup(0))
    os.set_inheritable(server.fileno(), False)
    while True:
        message, handles, _, _ = socket.recv_fds(server, 16, 3)
        if not message:
            return
        child = os.fork()
        if child == 0:
            server.close()
            for target, handle in enumerate(handles):
                os.dup2(handle, target)
                os.close(handle)
            try:
                status = worker.main()
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
            finally:
                os._exit(70)
        for handle in handles:
            os.close(handle)
        server.sendall(f"{child}\n".encode())


if __name__ == "__main__":
    main()
