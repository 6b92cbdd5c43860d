"""How this node reaches portal, chain and relay: at addresses of its own folder and trust file, or the portal's word.

The portal is not trusted with addresses. It may name a relay on its own host, by TLS and on its own port or 443, and
nothing else, so that a lying portal cannot point a hospital's worker at a machine inside the hospital. (A portal
without TLS is for one machine alone, and so is its relay.) Any other relay is pinned in `config.toml`. The same holds
for the proxy: the folder's, else the environment's, never the portal's. Certificates are judged by this machine's own
store.
"""

import os
import ssl
import urllib.request
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

import httpx

from ledger.chain import Chain
from ledger.door import Door
from ledger.keys import KeyFile
from ledger.trust import Trust
from mpc.node.config import Config
from mpc.node.errors import Refused

SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
PATHS = ("", "/", "/relay")
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
SECONDS = 30.0


def way(offered: object, config: Config) -> dict[str, Any]:
    """Address, token and proxy for the worker; raises `Refused` when the portal's word leads nowhere it may lead."""
    if not isinstance(offered, Mapping) or not isinstance(offered.get("token"), str):
        raise Refused("relay.refused", "the portal gives no admission to a relay")
    url = config.relay or offered.get("url")
    if not isinstance(url, str) or not _is_address(url):
        raise Refused("relay.refused", "the relay's address is malformed")
    if not config.relay and not _is_the_portals(urlsplit(url), urlsplit(config.portal)):
        raise Refused("relay.refused", "the portal names a relay elsewhere than at its own address; only config.toml "
                      "may", "custodian")
    return {"url": url, "token": offered["token"][:2048], "proxy": proxy_for(url, config)}


def relays(config: Config) -> list[str]:
    """Where the relay may be: pinned, or one of the few places that a portal with TLS may name. Empty where it may be
    at any port of this machine."""
    portal = urlsplit(config.portal)
    if config.relay or portal.scheme != "https":
        return [config.relay] if config.relay else []
    host = f"[{portal.hostname}]" if ":" in str(portal.hostname) else portal.hostname
    return [f"wss://{host}{port}{path}" for port in dict.fromkeys((f":{portal.port or 443}", ":443"))
            for path in PATHS if path != "/"]


def proxy_for(url: str, config: Config) -> str | None:
    """The HTTP CONNECT proxy on the way, if there is one."""
    if config.proxy:
        return config.proxy_address()
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    known = urllib.request.getproxies()
    found = known.get(SCHEMES.get(parts.scheme, "")) or known.get("all")
    return f"http://{found}" if found and "://" not in found else found or None


def door_of(config: Config, keys: KeyFile) -> Door:
    """The signed way to the portal, through the hospital's HTTP proxy where there is one."""
    client = httpx.Client(timeout=SECONDS, follow_redirects=False, trust_env=False, verify=ssl.create_default_context(),
                          proxy=proxy_for(config.portal, config))
    return Door(config.portal, config.participant, keys.signing, client=client)


def chain_of(config: Config, trust: Trust) -> Chain:
    """The chain of the trust file, asked by ourselves, through the same proxy. Only a home that says `development`
    talks to a development chain, and not where the environment says otherwise."""
    production = "production" in (config.env, os.environ.get("XINGLIN_ENV"))
    return Chain.from_trust(trust, production=production,
                            proxy=partial(proxy_for, config=config))


def _is_the_portals(relay: SplitResult, portal: SplitResult) -> bool:
    if relay.hostname != portal.hostname or relay.path not in PATHS or relay.query or relay.username is not None:
        return False
    if portal.scheme != "https":
        return portal.hostname in THIS_MACHINE
    return relay.scheme == "wss" and (relay.port or 443) in (443, portal.port or 443)


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
