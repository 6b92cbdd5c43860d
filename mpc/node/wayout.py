"""Why the portal is not reached, told apart by who can mend it: this machine, the hospital's network, the operator.

Asks the proxy itself and reads what the doctor's request died of; decides nothing and changes nothing.
"""

import errno
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpx

from mpc.node import reach
from mpc.node.config import Config
from mpc.wire import PORTS

# what OpenSSL says of a certificate, and its mend: not yet valid, over; other names; no authority that we know
CERTIFICATES = {9: "portal_expired", 10: "portal_expired", 62: "portal_name", 64: "portal_name",
                **dict.fromkeys((2, 18, 19, 20, 21), "portal_authority")}

STATUS = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})(?=[ \r\n]|\Z)")


@dataclass(frozen=True)
class Finding:
    """One check: well, not well or (None) not to be found out. `seen` is a key of FOUND, `values` are what its words
    and those of the mend name; `mend` is another mend than that of the check, `first` the check to be mended before."""

    check: str
    ok: bool | None
    seen: str
    values: dict[str, Any] = field(default_factory=dict)
    mend: str = ""
    first: str = ""


def place(url: str) -> dict[str, Any]:
    """Host and port of an address, as whoever guards the way must be told them."""
    try:
        parts = urlsplit(url)
        return {"host": parts.hostname or "?", "port": parts.port or PORTS.get(parts.scheme, 443)}
    except ValueError:
        return {"host": "?", "port": "?"}


def ask_proxy(there: tuple[str, int], aim: str, proxy: SplitResult) -> str:
    """The status of its answer to CONNECT; empty when what answers is no proxy."""
    lines = [f"CONNECT {aim} HTTP/1.1", f"Host: {aim}"]
    if proxy.username:
        given = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(given).decode()}")
    with socket.create_connection(there, timeout=5) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        found = STATUS.match(line.recv(64))
    return found[1].decode() if found else ""


def mend_of_proxy(status: str) -> str:
    return "proxy_password" if status == "407" else "proxy_refuses" if status else "proxy"


def named(error: BaseException) -> str:
    """A short name that means the same in every language."""
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if number else type(error).__name__


def mend_of_portal(config: Config, status: int) -> str:
    """What its status asks for; empty when the portal is well."""
    if status == 407:
        return "proxy_password"
    if status != 200:
        return "portal_ill" if status >= 500 else "portal_other"
    local = urlsplit(config.portal).hostname in reach.THIS_MACHINE
    return "" if local or config.portal.startswith("https:") else "portal_plain"


def no_portal(config: Config, error: httpx.HTTPError) -> Finding:
    """Why nothing answered, told apart by who can mend it: this machine, the hospital's network, the operator."""
    proxy = reach.proxy_for(config.portal, config)
    aim, dialled = place(config.portal), place(proxy or config.portal)
    values = {**aim, "place": f"{dialled['host']}:{dialled['port']}", "code": type(error).__name__, "text": str(error)}
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Finding("portal", False, "certificate", {**values, "code": cause.verify_code,
                           "text": cause.verify_message}, CERTIFICATES.get(cause.verify_code, "portal_certificate"))
        if isinstance(cause, socket.gaierror):
            return Finding("portal", False, "no_address", {"host": dialled["host"], "text": cause.strerror}, "dns")
        if isinstance(cause, httpx.ProxyError):
            status = str(cause)[:3] if re.match(r"[0-9]{3}\b", str(cause)) else ""
            return Finding("portal", False, "proxy_says", {**values, "status": status or "?",
                           "file": config.home / "proxy.password"}, mend_of_proxy(status))
        if isinstance(cause, ConnectionRefusedError | httpx.ConnectTimeout):
            return Finding("portal", False, "no_way_to", {**values, "code": named(cause)},
                           "proxy" if proxy else "portal_closed")
    if isinstance(error, httpx.UnsupportedProtocol):
        return Finding("portal", False, "trouble", values)
    return _cut_off(error, values, bool(proxy))


def _cut_off(error: httpx.HTTPError, values: dict[str, Any], proxied: bool) -> Finding:
    """A way that is closed (no route, forbidden), or one that was open and led to no answer."""
    deepest = list(_causes(error))[-1]
    closed = isinstance(deepest, OSError) and not isinstance(deepest, ssl.SSLError | ConnectionError)
    mend = ("proxy" if proxied else "portal_closed") if closed else "portal_cut"
    return Finding("portal", False, "no_way_to" if closed else "cut", {**values, "code": named(deepest)}, mend)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
