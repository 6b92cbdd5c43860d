"""How this node reaches the relay: at the address that the portal names, or at the one that its own folder names.

The portal is not trusted with addresses: it may name a relay on its own host, and nothing else, so that a lying portal
cannot point a hospital's worker at a machine inside the hospital. Any other relay is pinned in `config.toml`. The same
holds for the proxy: the folder's, else the environment's, never the portal's.
"""

import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mpc.node.config import Config
from mpc.node.errors import Refused

SCHEMES = {"ws": "http", "wss": "https"}


def way(offered: object, config: Config) -> dict[str, Any]:
    """Address, token and proxy for the worker; raises `Refused` when the portal's word leads nowhere it may lead."""
    if not isinstance(offered, Mapping) or not isinstance(offered.get("token"), str):
        raise Refused("relay.refused", "the portal gives no admission to a relay")
    url = config.relay or offered.get("url")
    if not isinstance(url, str) or not _is_address(url):
        raise Refused("relay.refused", "the relay's address is malformed")
    if not config.relay and urlsplit(url).hostname != urlsplit(config.portal).hostname:
        raise Refused("relay.refused", "the portal names a relay on another host than its own; only config.toml may",
                      "custodian")
    return {"url": url, "token": offered["token"][:2048], "proxy": proxy_for(url, config)}


def proxy_for(url: str, config: Config) -> str | None:
    """The HTTP CONNECT proxy on the way, if there is one."""
    if config.proxy:
        return config.proxy_address()
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    found = urllib.request.getproxies()
    return found.get(SCHEMES[parts.scheme]) or found.get("all")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
