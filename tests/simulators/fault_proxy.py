"""Stands between a client and a JSON-RPC endpoint, and fails on cue: a fault for each request that is to be spoilt.

Knows TCP, as much HTTP as our clients send, and the JSON of a call; it keeps no state of the chain.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from enum import StrEnum
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from ledger.posting import FAILURES, Poster

STALE_BY = 600  # seconds


class Fault(StrEnum):
    DROP = "drop"  # the request never arrives, no answer comes
    DELAY = "delay"  # it arrives, and the answer comes when nobody waits for it any more
    ERROR_500 = "error_500"
    DUPLICATE = "duplicate"  # it arrives twice, and two answers come
    LOST_ANSWER = "lost_answer"  # the node accepts it, the answer is lost
    STALE_HEAD = "stale_head"  # blocks are ten minutes old
    CUT_ANSWER = "cut_answer"  # the answer ends in the middle
    POOL_FULL = "pool_full"  # an error answer that says nothing about the future


Spoil = Callable[[int, str], Fault | None]


class FaultProxy(ThreadingTCPServer):
    """`spoil(number of the request, its method)` says what happens to it; None lets it through."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: str, *, spoil: Spoil = lambda number, method: None, late: float = 1.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream, self.spoil, self.late = upstream, spoil, late
        self.poster = Poster(10)
        self.spoilt: list[Fault] = []
        self._count = 0
        self._counting = threading.Lock()
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def fault(self, method: str) -> Fault | None:
        with self._counting:
            self._count += 1
            found = self.spoil(self._count, method)
            if found is not None:
                self.spoilt.append(found)
            return found


class _Handler(StreamRequestHandler):
    server: FaultProxy

    def handle(self) -> None:
        try:
            while self._one_request():
                pass
        except (OSError, *FAILURES):
            pass

    def _one_request(self) -> bool:
        """Whether the connection goes on."""
        length = -1
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length < 0:
            return False
        body = self.rfile.read(length)
        call = json.loads(body)
        fault = self.server.fault(str(call.get("method")))
        if fault is Fault.DROP:
            return False
        if fault is Fault.ERROR_500:
            return self._answer(b"down for maintenance", status=500)
        if fault is Fault.POOL_FULL and call["method"] == "eth_sendRawTransaction":
            error = {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32003, "message": "txpool is full"}}
            return self._answer(json.dumps(error).encode())
        return self._through(fault, call, body)

    def _through(self, fault: Fault | None, call: dict[str, Any], body: bytes) -> bool:
        status, answer = self.server.poster.post(self.server.upstream, body)
        if fault is Fault.LOST_ANSWER:
            return False
        if fault is Fault.DELAY:
            self.server.closing.wait(self.server.late)
        if fault is Fault.DUPLICATE:
            _, second = self.server.poster.post(self.server.upstream, body)
            self._answer(answer, status=status)
            return self._answer(second, status=status)
        if fault is Fault.STALE_HEAD and call["method"] == "eth_getBlockByNumber":
            found = json.loads(answer)
            found["result"]["timestamp"] = hex(int(found["result"]["timestamp"], 16) - STALE_BY)
            answer = json.dumps(found).encode()
        if fault is Fault.CUT_ANSWER:
            return self._answer(answer, status=status, cut=True)
        return self._answer(answer, status=status)

    def _answer(self, body: bytes, *, status: int = 200, cut: bool = False) -> bool:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + (body[: len(body) // 2] if cut else body))
        self.wfile.flush()
        return not cut
