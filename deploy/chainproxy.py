"""The door of the embedded chain: JSON-RPC reads and `eth_sendRawTransaction`, nothing else.

anvil's own methods (`anvil_*`, `evm_*`, `debug_*`, impersonation, rewinding) stop here, so that who can reach the chain
can still only send what they signed. The proxy decides nothing about a transaction; its keeper (deploy.devchain) writes
it down before anvil sees it.
"""

import json
import re
from collections.abc import Sequence
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Protocol

from deploy.anvil import GONE

SEND = "eth_sendRawTransaction"
MOST_PARAMETERS = {  # method: the most parameters it may carry (state overrides of eth_call stay outside)
    "eth_blockNumber": 0, "eth_call": 2, "eth_chainId": 0, "eth_estimateGas": 2, "eth_gasPrice": 0,
    "eth_getBalance": 2, "eth_getBlockByHash": 2, "eth_getBlockByNumber": 2, "eth_getCode": 2, "eth_getLogs": 1,
    "eth_getProof": 3, "eth_getStorageAt": 3, "eth_getTransactionByHash": 1, "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1, SEND: 1, "eth_syncing": 0, "net_version": 0, "web3_clientVersion": 0,
}  # fmt: skip
LONGEST_BODY = 1 << 20
LARGEST_BATCH = 100
LONGEST_LINE = 8192
MOST_HEADERS = 100
RAW = re.compile("0x(?:[0-9a-fA-F]{2})+")


class Keeper(Protocol):
    """The chain behind the door."""

    def read(self, body: bytes) -> bytes: ...

    def send(self, body: bytes, raws: Sequence[str]) -> bytes: ...


class Door(ThreadingTCPServer):
    """Listens on 127.0.0.1."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, keeper: Keeper) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.keeper = keeper


def refusal_of(call: Any) -> str | None:
    """Why this one call may not pass, or None."""
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return "not a JSON-RPC call"
    if "id" not in call:
        return "a call without an id is never answered"
    method, params = call["method"], call.get("params", [])
    if method not in MOST_PARAMETERS:
        return f"{method[:60]} is not offered here"
    if not isinstance(params, list) or len(params) > MOST_PARAMETERS[method]:
        return f"{method} is not offered with these parameters"
    if method == SEND and (len(params) != 1 or not isinstance(params[0], str) or RAW.fullmatch(params[0]) is None):
        return f"{method} takes the bytes of one signed transaction"
    return None


class _Handler(StreamRequestHandler):
    """As much HTTP/1.1 as a JSON-RPC client sends; a general server spends longer on headers than anvil on a call."""

    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave in one packet
    timeout = 120
    server: Door

    def handle(self) -> None:
        try:
            while self._one_request():
                pass
        except OSError:  # the caller went away
            pass

    def _one_request(self) -> bool:
        """Whether the connection goes on."""
        first = self.rfile.readline(LONGEST_LINE).split()
        if not first:
            return False
        headers: dict[bytes, bytes] = {}
        while (line := self.rfile.readline(LONGEST_LINE)) not in (b"\r\n", b"\n"):
            name, colon, value = line.partition(b":")
            if not colon or len(headers) > MOST_HEADERS:
                return self._answer(400, b"", last=True)
            headers[name.strip().lower()] = value.strip()
        length = headers.get(b"content-length", b"")
        # no web page may call this, and no body of unknown length; what is not read ends the connection
        if first[0] != b"POST" or len(first) != 3 or b"origin" in headers or b"transfer-encoding" in headers:
            return self._answer(400, b"", last=True)
        if not length.isdigit() or int(length) > LONGEST_BODY:
            return self._answer(400, b"", last=True)
        if headers.get(b"expect"):
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        last = first[2] != b"HTTP/1.1" or headers.get(b"connection", b"").lower() == b"close"
        status, body = self._reply(self.rfile.read(int(length)))
        return self._answer(status, body, last=last)

    def _reply(self, body: bytes) -> tuple[int, bytes]:
        try:
            request = json.loads(body)
        except (ValueError, RecursionError):
            return _error(None, -32700, "not JSON")
        calls = request if isinstance(request, list) else [request]
        if not 1 <= len(calls) <= LARGEST_BATCH:
            return _error(None, -32600, "too many calls at once, or none")
        for call in calls:
            refused = refusal_of(call)
            if refused:
                return _error(call.get("id") if isinstance(call, dict) else None, -32601, refused)
        # our own bytes, not the caller's: what was checked is what is forwarded (a key twice reads differently)
        forwarded = json.dumps(request).encode()
        raws = [call["params"][0] for call in calls if call["method"] == SEND]
        keeper = self.server.keeper
        try:
            return 200, keeper.send(forwarded, raws) if raws else keeper.read(forwarded)
        except (*GONE, ValueError):
            return 503, b""

    def _answer(self, status: int, body: bytes, *, last: bool) -> bool:
        head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\n" + ("Connection: close\r\n" if last else "") + "\r\n"
        self.wfile.write(head.encode() + body)
        self.wfile.flush()
        return not last


def _error(call_id: Any, code: int, message: str) -> tuple[int, bytes]:
    error = {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}
    return 200, json.dumps(error).encode()
