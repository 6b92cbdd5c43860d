"""Names of hosts, looked up once, before a worker confines itself: afterwards it may send no datagram, so ask nobody.

What was found is all that this process knows from then on; any other name does not exist in it. A C library that looks
names up by itself is handed an address instead (`addresses`). Opens nothing but the look-up.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from typing import Any

_ask = socket.getaddrinfo


def settle(names: Iterable[str]) -> None:
    """Look these up now, and nothing from now on."""
    known: dict[str, list[str]] = {}
    for name in names:
        with contextlib.suppress(OSError):  # whoever dials it finds out, and says so in its own words
            known[name.lower()] = _addresses(name)

    def look_up(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0,  # noqa: PLR0917 - as it is asked
                flags: int = 0) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        found: list[Any] = []
        for address in known.get(name.lower(), []) if isinstance(name, str) else []:
            with contextlib.suppress(socket.gaierror):  # of another family than asked for
                found += _ask(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        return found or _ask(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)

    socket.getaddrinfo = look_up


def addresses(name: str) -> list[str]:
    """Where this host is, in the order in which to try; empty when nobody knows."""
    try:
        return _addresses(name)
    except OSError:
        return []


def _addresses(name: str) -> list[str]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))
