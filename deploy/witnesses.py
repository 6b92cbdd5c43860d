"""The witnesses of a space we build: one at the commission's office, one at each of two hospitals; two must cosign.

Each makes its key in its organisation's own home and serves as a process of its own. Where fewer hospitals take part
there are fewer witnesses, and still two of them must cosign (or the only one).
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from deploy import environment
from deploy.places import Places
from deploy.sources import Cast
from deploy.supervisor import Child, Supervisor
from ledger.trust import Trust
from ledger.witness_service import adopt, make_home

HOSPITALS = 2
NEEDED = 2


def chosen(cast: Cast) -> list[str]:
    """The organisations that run a witness."""
    return ["regulator", *(one.key for one in cast.hospitals[:HOSPITALS])]


def port_name(key: str) -> str:
    """What the witness's port is called among the space's ports."""
    return f"witness {key}"


def make(places: Places, cast: Cast) -> dict[str, Any]:
    """Everybody's home and key; the `witnesses` of the trust file."""
    keys = [make_home(_home(places, key), f"xinglin/{key.replace('_', '-')}") for key in chosen(cast)]
    return {"k": min(NEEDED, len(keys)), "keys": keys}


def start(
    supervisor: Supervisor, places: Places, cast: Cast, trust: Trust, ports: Mapping[str, int], *, rpc: str, stage: int
) -> dict[str, str]:
    """Start them, each with the trust file it was given; answers the settings that tell the portal where they are."""
    urls = []
    for key in chosen(cast):
        home, port = _home(places, key), ports[port_name(key)]
        adopt(home, places.trust, fingerprint=trust.fingerprint, rpc=[rpc])
        name = f"witness-{key}"
        serve = environment.python("-m", "ledger", "witness", "--home", str(home), "--listen", f"127.0.0.1:{port}")
        ready = partial(_ready, places.logs / f"{name}.log")
        supervisor.start(Child(name, serve, stage, environment.bare(), ready))
        urls.append(f"http://127.0.0.1:{port}")
    return {"XINGLIN_WITNESSES": ",".join(urls), "XINGLIN_BATCH_SECONDS": "0.2"}


def _ready(log: Path) -> bool:
    return log.exists() and "ready" in log.read_text(errors="replace")


def _home(places: Places, key: str) -> Path:
    return places.organisation(key) / "witness"
