"""What each process of the space is told through its environment: as little as it needs.

A node's process learns nothing of the database, the portal's processes nothing of a hospital's folder.
"""

import os
import secrets
import sys
from pathlib import Path

from deploy.places import Places

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "LD_LIBRARY_PATH")


def bare() -> dict[str, str]:
    """What every child gets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"LANG": "C.UTF-8", **kept, "PYTHONUNBUFFERED": "1"}


def node() -> dict[str, str]:
    """A node's or the dealer's environment: one computing thread, for five of them share the machine."""
    return {**bare(), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def portal(places: Places, *, database: str, queue: str, url: str, fingerprint: str) -> dict[str, str]:
    """The environment of everything that loads the portal's settings."""
    return {
        **bare(),
        "XINGLIN_ENV": "development",
        "DATABASE_URL": database,
        "BROKER_URL": "pgmq:" + queue.split(":", 1)[1],
        "SECRET_KEY": secret(places.portal / "secret.key", 48),
        "XINGLIN_TRUST": str(places.trust),
        "XINGLIN_FINGERPRINT": fingerprint,
        "XINGLIN_LOG_KEY_FILE": str(places.portal / "log.key"),
        "XINGLIN_CHAIN_KEY_FILE": str(places.portal / "chain.key"),
        "XINGLIN_PORTAL_URL": url,
        "XINGLIN_VAR": str(places.portal),
    }


def secret(path: Path, length: int = 32) -> str:
    """A random hex string kept in a file of its owner's; made on first use."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(path, secrets.token_hex(length) + "\n")
    return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)


def python(*arguments: str) -> list[str]:
    """A command of this environment's Python."""
    return [sys.executable, *arguments]
