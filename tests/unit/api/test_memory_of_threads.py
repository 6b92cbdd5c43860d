"""The portal's threads share the C library's arenas: else each keeps what its largest answer took, for good."""

from __future__ import annotations

import os
import subprocess
import sys

COUNT = """
import ctypes, threading
import dataspace.wsgi

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
everybody = threading.Barrier(25)

def serve():
    libc.malloc(100_000)
    everybody.wait()  # an arena goes to the next thread only when its own has ended

for _ in range(24):
    threading.Thread(target=serve).start()
everybody.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def test_all_threads_share_two_arenas() -> None:
    settings = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=settings | {"XINGLIN_WAKE": "off"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert 1 <= done.stdout.count("<heap nr=") <= 2
