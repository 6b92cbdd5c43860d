"""The space's relay: one process through which every party's links run, so that no node opens a port.

It gets the public half of the key under which the portal makes tokens, and nothing else of the space.
"""

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import environment
from deploy.places import Places
from deploy.supervisor import Child, Supervisor
from ledger.documents import public_hex

NAME = "relay"


def start(supervisor: Supervisor, places: Places, port: int, *, stage: int) -> dict[str, str]:
    """Start it, and say what the portal's settings are for it."""
    file = places.portal / "relay.key"
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(environment.secret(file)))
    health = f"http://127.0.0.1:{port}/healthz"
    supervisor.start(Child(
        NAME, environment.python("-m", "mpc.relay", "--listen", f"127.0.0.1:{port}", "--key", public_hex(key)),
        stage=stage, environment=environment.bare(), ready=lambda: _answers(health),
    ))  # fmt: skip
    return {"XINGLIN_RELAY": f"ws://127.0.0.1:{port}", "XINGLIN_RELAY_KEY_FILE": str(file)}


def _answers(health: str) -> bool:
    try:
        return httpx.get(health, timeout=2).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
