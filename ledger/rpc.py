"""JSON-RPC to one or several endpoints of the same chain, over kept connections, with a quorum.

An answer counts when `quorum` endpoints gave the same one. Unreachable, stale and disagreeing are ChainUnavailable:
nothing is known. An endpoint of another chain (chain id, genesis) is wrong: VerificationError. Only `ledger.chain`
uses this file; it knows methods and blocks, and nothing about contracts.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ledger.errors import ChainUnavailable, VerificationError

BlockTag = str | int
FRESH_FOR = 1.0  # seconds for which a head that was fresh is not asked for again


@dataclass(frozen=True)
class Block:
    number: int
    hash: str
    time: int


@dataclass(frozen=True)
class RpcError:
    """The endpoint's own refusal, an answer like any other: endpoints can agree on it."""

    code: int
    message: str
    data: str

    @property
    def reverted(self) -> bool:
        return self.code == 3 or "revert" in self.message.lower()


def quantity(value: object) -> int:
    """A number as JSON-RPC writes it; an endpoint that writes anything else has not answered."""
    if not isinstance(value, str) or re.fullmatch("0x[0-9a-fA-F]{1,64}", value) is None:
        raise ChainUnavailable("chain.rpc", "the endpoint's answer cannot be read: no number where one belongs")
    return int(value, 16)


def hex_bytes(value: object) -> str:
    """Bytes as JSON-RPC writes them, in lower case."""
    if not isinstance(value, str) or re.fullmatch("0x([0-9a-fA-F]{2})*", value) is None:
        raise ChainUnavailable("chain.rpc", "the endpoint's answer cannot be read: no bytes where some belong")
    return value.lower()


def block_param(tag: BlockTag) -> str:
    return hex(tag) if isinstance(tag, int) else tag


class Rpc:
    """The endpoints of one chain."""

    def __init__(self, urls: Sequence[str], *, quorum: int = 1, chain_id: int | None = None,
                 genesis: str | None = None, timeout: float = 10.0, stale_after: float = 120.0,
                 now: Callable[[], float] = time.time, transport: httpx.BaseTransport | None = None) -> None:
        if not 1 <= quorum <= len(urls):
            raise VerificationError("chain.quorum", "the quorum must lie between one and the number of endpoints")
        self.urls = tuple(urls)
        self.quorum = quorum
        self.expected_chain_id = chain_id
        self.expected_genesis = genesis.lower() if genesis else None
        self._stale_after = stale_after
        self._now = now
        # trust_env off: no proxy of the environment between us and the chain
        self._http = httpx.Client(timeout=httpx.Timeout(timeout, connect=3.0), transport=transport, trust_env=False)
        self._known: set[str] = set()
        self._ids = itertools.count(1)
        self._fresh_until = 0.0

    def close(self) -> None:
        self._http.close()

    def ask(self, url: str, method: str, params: Sequence[Any] = ()) -> Any:
        """One endpoint's answer, after it proved once to be of our chain; an RpcError is returned, not raised."""
        if url not in self._known:
            self._identify(url)
        try:
            return self._post(url, method, params)
        except ChainUnavailable:
            self._known.discard(url)  # whoever answers there next has to prove it again
            raise

    def agree(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The answer that `quorum` endpoints share."""
        answers: dict[str, list[Any]] = {}
        trouble: ChainUnavailable | None = None
        for url in self.urls:
            try:
                answer = self.ask(url, method, params)
            except ChainUnavailable as error:
                trouble = error
                continue
            same = answers.setdefault(repr(answer) if isinstance(answer, RpcError)
                                      else json.dumps(answer, sort_keys=True), [])
            same.append(answer)
            if len(same) >= self.quorum:
                return answer
        if len(answers) > 1:
            raise ChainUnavailable("chain.disagree", f"the chain's endpoints disagree on {method}")
        raise trouble or ChainUnavailable("chain.unavailable", f"too few endpoints answered {method}")

    def value(self, method: str, params: Sequence[Any] = ()) -> Any:
        """An answer that must not be a refusal."""
        answer = self.agree(method, params)
        if isinstance(answer, RpcError):
            raise ChainUnavailable("chain.rpc", f"{method}: {answer.message[:200]}")
        return answer

    def block(self, tag: BlockTag) -> Block:
        """A block by number, or by tag the newest one that `quorum` endpoints have reached."""
        if not isinstance(tag, int) and self.quorum > 1:
            tag = self._reached(tag)
        found = self.value("eth_getBlockByNumber", [block_param(tag), False])
        if found is None:
            raise ChainUnavailable("chain.no_block", f"the chain has no block {tag}")
        return _block(found)

    def pinned(self, tag: BlockTag) -> str:
        """The block parameter of a read: with several endpoints a number, so that all speak of the same state."""
        if isinstance(tag, int) or self.quorum == 1:
            return block_param(tag)
        return hex(self.block(tag).number)

    def require_fresh(self) -> None:
        """Refuse to say anything about a chain whose head is old."""
        if time.monotonic() < self._fresh_until:
            return
        head = self.block("latest")
        age = self._now() - head.time
        if age > self._stale_after:
            raise ChainUnavailable("chain.stale_head", f"the newest block is {int(age)} seconds old")
        self._fresh_until = time.monotonic() + FRESH_FOR

    def _reached(self, tag: str) -> int:
        numbers = []
        trouble: ChainUnavailable | None = None
        for url in self.urls:
            try:
                found = self.ask(url, "eth_getBlockByNumber", [tag, False])
            except ChainUnavailable as error:
                trouble = error
                continue
            if isinstance(found, dict):
                numbers.append(_block(found).number)
        if len(numbers) < self.quorum:
            raise trouble or ChainUnavailable("chain.unavailable", "too few endpoints know their newest block")
        return sorted(numbers, reverse=True)[self.quorum - 1]

    def _identify(self, url: str) -> None:
        chain_id = quantity(self._post(url, "eth_chainId", []))
        genesis = _block(self._post(url, "eth_getBlockByNumber", ["0x0", False]))
        if self.expected_chain_id not in (None, chain_id):
            raise VerificationError("chain.wrong", f"chain id {chain_id} is not {self.expected_chain_id}")
        if self.expected_genesis not in (None, genesis.hash):
            raise VerificationError("chain.wrong", "the chain has another genesis block")
        self._known.add(url)

    def _post(self, url: str, method: str, params: Sequence[Any]) -> Any:
        number = next(self._ids)
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        try:
            response = self._http.post(url, json=call)
            answer = response.json() if response.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            raise ChainUnavailable("chain.unavailable", f"the chain does not answer: {type(error).__name__}") from error
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise ChainUnavailable("chain.unavailable", f"the chain answered {method} with HTTP {response.status_code}")
        refused = answer.get("error")
        if isinstance(refused, dict):
            code = refused.get("code")
            return RpcError(code if isinstance(code, int) else 0, str(refused.get("message", "")),
                            str(refused.get("data") or ""))
        if "result" not in answer:
            raise ChainUnavailable("chain.unavailable", f"the chain answered {method} with nothing")
        return answer["result"]


def _block(found: object) -> Block:
    if not isinstance(found, dict):
        raise ChainUnavailable("chain.rpc", "the endpoint's answer cannot be read: no block")
    return Block(quantity(found.get("number")), hex_bytes(found.get("hash")), quantity(found.get("timestamp")))
