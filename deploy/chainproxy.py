"""The door of the embedded chain: JSON-RPC reads and `eth_sendRawTransaction`, nothing else.

anvil's own methods (`anvil_*`, `evm_*`, `debug_*`, impersonation, rewinding) stop here, so that who can reach the chain
can still only send what they signed. The proxy keeps nothing and decides nothing about a transaction.
"""

import http.client
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SEND = "eth_sendRawTransaction"
MOST_PARAMETERS = {  # method: the most parameters it may carry (state overrides of eth_call stay outside)
    "eth_blockNumber": 0, "eth_call": 2, "eth_chainId": 0, "eth_estimateGas": 2, "eth_gasPrice": 0,
    "eth_getBalance": 2, "eth_getBlockByHash": 2, "eth_getBlockByNumber": 2, "eth_getCode": 2, "eth_getLogs": 1,
    "eth_getProof": 3, "eth_getStorageAt": 3, "eth_getTransactionByHash": 1, "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1, SEND: 1, "eth_syncing": 0, "net_version": 0, "web3_clientVersion": 0,
}  # fmt: skip
LONGEST_BODY = 1 << 20
LARGEST_BATCH = 100
MINED_WITHIN = 1.5  # seconds; a transaction whose turn has come is mined on demand within milliseconds


class Door(ThreadingHTTPServer):
    """Listens on 127.0.0.1; `upstream` says where anvil is now, since a restart moves it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, upstream: Callable[[], int], on_send: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream = upstream
        self.on_send = on_send
        self._local = threading.local()
        self._sending = threading.Lock()

    def send(self, body: bytes) -> bytes:
        """anvil's answer, one sender at a time, each followed by its block.

        anvil judges a transaction against the state before the block that is being mined. One that comes right behind
        its predecessor can so wait for ever for a nonce that is mined already (seen once in some hundred starts).
        """
        with self._sending:
            answer = self.forward(body)
            self._await_block(answer)
        return answer

    def _await_block(self, answer: bytes) -> None:
        """Until what was sent is mined; a transaction ahead of its turn is not waited for longer than MINED_WITHIN."""
        deadline = time.monotonic() + MINED_WITHIN
        found = json.loads(answer)
        for one in found if isinstance(found, list) else [found]:
            sent = one.get("result") if isinstance(one, dict) else None
            if not isinstance(sent, str):
                continue
            receipt = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionReceipt", "params": [sent]}
            asked = json.dumps(receipt).encode()
            while time.monotonic() < deadline and not json.loads(self.forward(asked)).get("result"):
                time.sleep(0.005)

    def forward(self, body: bytes) -> bytes:
        """anvil's answer; asked once more when it did not come (the kept connection was stale, or anvil has moved)."""
        try:
            return self._ask(body)
        except (OSError, http.client.HTTPException):
            return self._ask(body)

    def _ask(self, body: bytes) -> bytes:
        """Over one kept connection for each thread; one that failed is not kept."""
        port, connection = self.upstream(), getattr(self._local, "connection", None)
        if connection is None or connection.port != port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
        self._local.connection = None
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer: bytes = connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        self._local.connection = connection
        return answer


def refusal_of(call: Any) -> str | None:
    """Why this one call may not pass, or None."""
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return "not a JSON-RPC call"
    method, params = call["method"], call.get("params", [])
    if method not in MOST_PARAMETERS:
        return f"{method[:60]} is not offered here"
    if not isinstance(params, list) or len(params) > MOST_PARAMETERS[method]:
        return f"{method} is not offered with these parameters"
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
        self._pass_on(request, any(call["method"] == SEND for call in calls))

    def _pass_on(self, request: Any, sends: bool) -> None:
        try:
            # our own bytes, not the caller's: what was checked is what is forwarded (a key twice reads differently)
            forward = self.server.send if sends else self.server.forward
            answer = forward(json.dumps(request).encode())
        except (OSError, ValueError, http.client.HTTPException):
            self._answer(503, b"")
            return
        if sends:
            self.server.on_send()
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
