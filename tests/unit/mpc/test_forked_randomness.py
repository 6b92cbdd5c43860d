"""Workers are forks of one process: none draws what another one drew, whatever was drawn before."""

import subprocess
import sys

FORKS = """
import os, secrets
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from mpc.sharing import seal

recipient = X25519PrivateKey.generate().public_key().public_bytes_raw().hex()  # the parent's generator has a state now
seal(b"", recipient_key=recipient, info=b"")
for _ in range(3):
    if not (child := os.fork()):
        drawn = X25519PrivateKey.generate().private_bytes_raw(), secrets.token_bytes(32), seal(
            b"", recipient_key=recipient, info=b"")
        os.write(1, (" ".join(one.hex() for one in drawn) + "\\n").encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_it_works() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120, check=True)
    drawn = done.stdout.split()
    assert len(drawn) == 9
    assert len(set(drawn)) == 9
