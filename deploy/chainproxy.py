"""The door of the embedded chain: JSON-RPC reads and `eth_sendRawTransaction`, nothing else.

anvil's own methods (`anvil_*`, `evm_*`, `debug_*`, impersonation, rewinding) stop here, so that who can reach the chain
can still only send what they signed. The proxy decides nothing about a transaction; its keeper (deploy.devchain) writes
it down before anvil sees it.
"""

import http.client
import json
import re
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from deploy.anvil import ChainTrouble

SEND = "eth_sendRawTransaction"
MOST_PARAMETERS = {  # method: the most parameters it may carry (state overrides of eth_call stay outside)
    "eth_blockNumber": 0, "eth_call": 2, "eth_chainId": 0, "eth_estimateGas": 2, "eth_gasPrice": 0,
    "eth_getBalance": 2, "eth_getBlockByHash": 2, "eth_getBlockByNumber": 2, "eth_getCode": 2, "eth_getLogs": 1,
    "eth_getProof": 3, "eth_getStorageAt": 3, "eth_getTransactionByHash": 1, "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1, SEND: 1, "eth_syncing": 0, "net_version": 0, "web3_clientVersion": 0,
}  # fmt: skip
LONGEST_BODY = 1 << 20
LARGEST_BATCH = 100
RAW = re.compile("0x(?:[0-9a-fA-F]{2})+")


class Keeper(Protocol):
    """The chain behind the door."""

    def read(self, body: bytes) -> bytes: ...

    def send(self, body: bytes, raws: Sequence[str]) -> bytes: ...


class Door(ThreadingHTTPServer):
    """Listens on 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, keeper: Keeper) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.keeper = keeper


def refusal_of(call: Any) -> str | None:
    """Why this one call may not pass, or None."""
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return "not a JSON-RPC call"
    method, params = call["method"], call.get("params", [])
    if method not in MOST_PARAMETERS:
        return f"{method[:60]} is not offered here"
    if not isinstance(params, list) or len(params) > MOST_PARAMETERS[method]:
        return f"{method} is not offered with these parameters"
    if method == SEND and (len(params) != 1 or not isinstance(params[0], str) or RAW.fullmatch(params[0]) is None):
        return f"{method} takes the bytes of one signed transaction"
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body leave in one packet
    timeout = 120
    server: Door

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LONGEST_BODY or self.headers.get("Origin"):
            self.close_connection = True  # the body stays unread; and no web page may call this
            self._answer(400, b"")
            return
        try:
            request = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            self._error(None, -32700, "not JSON")
            return
        calls = request if isinstance(request, list) else [request]
        if not 1 <= len(calls) <= LARGEST_BATCH:
            self._error(None, -32600, "too many calls at once, or none")
            return
        for call in calls:
            refused = refusal_of(call)
            if refused:
                self._error(call.get("id") if isinstance(call, dict) else None, -32601, refused)
                return
        # our own bytes, not the caller's: what was checked is what is forwarded (a key twice reads differently)
        body = json.dumps(request).encode()
        raws = [call["params"][0] for call in calls if call["method"] == SEND]
        try:
            answer = self.server.keeper.send(body, raws) if raws else self.server.keeper.read(body)
        except (OSError, ValueError, ChainTrouble, http.client.HTTPException):
            self._answer(503, b"")
            return
        self._answer(200, answer)

    def _error(self, call_id: Any, code: int, message: str) -> None:
        error = {"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": message}}
        self._answer(200, json.dumps(error).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: a busy node asks many times a second."""
