"""JSON-RPC to one or several endpoints of the same chain, over kept connections, with a quorum.

An answer counts when `quorum` endpoints gave the same one. Unreachable, stale and disagreeing are ChainUnavailable:
nothing is known. An endpoint of another chain (chain id, genesis), or a development node where production was asked
for, is wrong: VerificationError. Only `ledger.blockchain` uses this file; it knows methods and blocks, not contracts.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ledger.errors import ChainUnavailable, VerificationError
from ledger.posting import FAILURES, Poster
from ledger.profiles import PORT_OPEN, refuse_development

BlockTag = str | int
Post = Callable[[str, bytes], tuple[int, bytes]]
FRESH_FOR = 1.0  # seconds for which a head that was fresh is not asked for again
AHEAD = 300  # seconds that a block may lie in our future: two clocks differ, a head that stays fresh for ever lies
ASKED_LAST = 5.0  # seconds for which an endpoint that failed is asked after the others


@dataclass(frozen=True)
class Block:
    number: int
    hash: str
    time: int


@dataclass(frozen=True)
class EndpointHealth:
    """How one endpoint does; its name is the host alone, for a path may hold a secret."""

    name: str
    answers: bool
    last_good: float | None
    head: int | None
    head_age: float | None
    trouble: str
    port_open: bool = False
    """An embedded chain says of itself that other processes of its machine can reach behind its door."""


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
                 production: bool = False, now: Callable[[], float] = time.time, post: Post | None = None,
                 proxy: Callable[[str], str | None] | None = None) -> None:
        if not 1 <= quorum <= len(set(urls)) == len(urls):
            raise VerificationError("chain.quorum", "the quorum must lie between one and the number of endpoints")
        self.urls = tuple(urls)
        self.quorum = quorum
        self.expected_chain_id = chain_id
        self.expected_genesis = genesis.lower() if genesis else None
        self.production = production
        self._stale_after = stale_after
        self._now = now
        self._poster = Poster(timeout, proxy=proxy)
        self._post = post or self._poster.post
        self._known: set[str] = set()
        self._good: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._trouble: dict[str, str] = {}
        self._ids = itertools.count(1)
        self._fresh_until = 0.0

    def close(self) -> None:
        self._poster.close()

    def ask(self, url: str, method: str, params: Sequence[Any] = ()) -> Any:
        """One endpoint's answer, after it proved once to be of our chain; an RpcError is returned, not raised."""
        try:
            if url not in self._known:
                self._identify(url)
            answer = self._call(url, method, params)
        except ChainUnavailable as error:
            self._known.discard(url)  # whoever answers there next has to prove it again
            self._failed[url], self._trouble[url] = time.monotonic(), error.code
            raise
        self._good[url] = self._now()
        self._failed.pop(url, None)
        return answer

    def in_turn(self) -> list[str]:
        """The endpoints, those that failed a moment ago last: one that hangs does not hold up every read."""
        if not self._failed:
            return list(self.urls)
        recently = time.monotonic() - ASKED_LAST
        return sorted(self.urls, key=lambda url: self._failed.get(url, 0.0) > recently)

    def agree(self, method: str, params: Sequence[Any] = ()) -> Any:
        """The answer that `quorum` endpoints share."""
        answers: dict[str, list[Any]] = {}
        trouble: ChainUnavailable | None = None
        for url in self.in_turn():
            try:
                answer = self.ask(url, method, params)
            except ChainUnavailable as error:
                trouble = error
                continue
            if self.quorum == 1:
                return answer
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
        return hex(self._reached(tag))

    def require_fresh(self) -> None:
        """Refuse to say anything about a chain whose head is old."""
        if time.monotonic() < self._fresh_until:
            return
        age = self._now() - self.block("latest").time
        if age > self._stale_after:
            raise ChainUnavailable("chain.stale_head", f"the newest block is {int(age)} seconds old")
        if age < -AHEAD:
            raise ChainUnavailable("chain.clock", f"the newest block lies {int(-age)} seconds in our future")
        self._fresh_until = time.monotonic() + FRESH_FOR

    def health(self) -> list[EndpointHealth]:
        """Ask every endpoint for its head now."""
        found = []
        for url in self.urls:
            head: Block | None = None
            trouble, client = "", None
            try:
                head = _block(self.ask(url, "eth_getBlockByNumber", ["latest", False]))
                client = None if self.production else self.ask(url, "web3_clientVersion")
            except (ChainUnavailable, VerificationError) as error:
                trouble = error.code
            parts = urlsplit(url)
            name = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
            found.append(EndpointHealth(name, head is not None, self._good.get(url), head.number if head else None,
                                        self._now() - head.time if head else None, trouble,
                                        isinstance(client, str) and client.endswith(PORT_OPEN)))
        return found

    def _reached(self, tag: str) -> int:
        numbers = []
        trouble: ChainUnavailable | None = None
        for url in self.in_turn():
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
        chain_id = quantity(self._call(url, "eth_chainId", []))
        genesis = _block(self._call(url, "eth_getBlockByNumber", ["0x0", False]))
        if self.expected_chain_id not in (None, chain_id):
            raise VerificationError("chain.wrong", f"chain id {chain_id} is not {self.expected_chain_id}")
        if self.expected_genesis not in (None, genesis.hash):
            raise VerificationError("chain.wrong", "the chain has another genesis block")
        if self.production:  # a node that keeps its name to itself is not one of those that tests run on
            client = self._call(url, "web3_clientVersion", [])
            refuse_development("public", client if isinstance(client, str) else "")
        self._known.add(url)

    def _call(self, url: str, method: str, params: Sequence[Any]) -> Any:
        number = next(self._ids)
        call = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
        try:
            status, body = self._post(url, json.dumps(call).encode())
            answer = json.loads(body) if status == 200 else None
        except (*FAILURES, RecursionError) as error:
            raise ChainUnavailable("chain.unavailable", f"the chain does not answer: {type(error).__name__}") from error
        if not isinstance(answer, dict) or answer.get("id") != number:
            raise ChainUnavailable("chain.unavailable", f"the chain answered {method} with HTTP {status}")
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
