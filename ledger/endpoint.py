"""Asks chosen endpoints what the chain holds, with the standard library only: the verifier's way to the chain.

Before it believes an answer it compares chain id, genesis and the contract's code with the trust file, and refuses an
old head. Follows no redirect and no proxy of the environment. Of several endpoints every one must answer, unless their
owner says how many will do, and none may say another thing. Portal and nodes use `chain.py` instead.
"""

from __future__ import annotations

import http.client
import itertools
import json
import re
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ledger.ecdsa import keccak256
from ledger.errors import ChainUnavailable, VerificationError
from ledger.profiles import PROFILES, Finality, Profile
from ledger.trust import Trust

MAX_ANSWER = 4_000_000
STALE_AFTER = 120
RECORD = re.compile("0x[0-9a-fA-F]{256}")
RECORD_OF = keccak256(b"recordOf(bytes32)")[:4]
ROOT_AT = keccak256(b"rootAt(bytes32,uint64)")[:4]
Block = tuple[int, str, int]
"""Number, hash (0x) and time."""


@dataclass(frozen=True)
class CurrentRecord:
    """What ParticipantRegistry holds of one participant."""

    record_hash: str
    number: int
    controller: str
    suspended: bool


class Endpoints:
    """What these endpoints say in agreement; a `ledger.receipt.ChainView`.

    One that does not answer makes the answer unknown, unless `quorum` others did; one that contradicts, always.
    """

    def __init__(self, trust: Trust, urls: Sequence[str], *, quorum: int | None = None, timeout: float = 10.0,
                 now: Callable[[], float] = time.time) -> None:
        self._all = [_Endpoint(trust, url, timeout, now) for url in urls]
        self._quorum = len(self._all) if quorum is None else min(quorum, len(self._all))

    def final_hash(self, number: int) -> str:
        return self._agreed(lambda one: one.final_hash(number))

    def root_at(self, log_id: str, size: int) -> str:
        return self._agreed(lambda one: one.root_at(log_id, size))

    def participant_record(self, participant_id: str) -> CurrentRecord | None:
        """The record that the final state holds as this participant's current one; its id as on chain."""
        words = self._agreed(lambda one: one.record_of(participant_id))
        number, suspended = int(words[66:130], 16), int(words[194:258], 16)
        return CurrentRecord(words[:66], number, "0x" + words[154:194], bool(suspended)) if number else None

    def _agreed(self, ask: Callable[[_Endpoint], str]) -> str:
        answers, trouble = list[str](), ChainUnavailable("chain.unavailable", "no endpoint was given")
        for one in self._all:
            try:
                answers.append(ask(one))
            except ChainUnavailable as away:
                trouble = away
        if len(set(answers)) > 1:
            raise ChainUnavailable("chain.disagree", "the endpoints disagree")
        if not answers or len(answers) < self._quorum:
            raise trouble
        return answers[0]


class _Endpoint:
    """One of them; it proves at its first use that it is of the trust file's chain."""

    def __init__(self, trust: Trust, url: str, timeout: float, now: Callable[[], float]) -> None:
        self._trust, self._url, self._timeout, self._now = trust, url, timeout, now
        self._final: int | None = None

    def final_hash(self, number: int) -> str:
        if number > self._newest_final():
            raise ChainUnavailable("chain.not_final", f"block {number} is not final at the endpoint yet")
        return self._block(hex(number))[1]

    def root_at(self, log_id: str, size: int) -> str:
        data = ROOT_AT + bytes.fromhex(log_id[2:]) + size.to_bytes(32)
        call = {"to": self._trust.chain.contracts["anchor"].address, "data": "0x" + data.hex()}
        answer = self._ask("eth_call", [call, hex(self._newest_final())])
        if not isinstance(answer, str) or len(answer) != 66:
            raise ChainUnavailable("chain.unavailable", "the endpoint's answer is not a root")
        return answer.lower()

    def record_of(self, participant_id: str) -> str:
        final, contract = self._newest_final(), self._trust.chain.contracts["participants"]
        self._compare(contract.address, contract.code_hash)
        call = {"to": contract.address, "data": "0x" + (RECORD_OF + bytes.fromhex(participant_id[2:])).hex()}
        answer = self._ask("eth_call", [call, hex(final)])
        if not isinstance(answer, str) or not RECORD.fullmatch(answer):
            raise ChainUnavailable("chain.unavailable", "the endpoint's answer is not a record")
        return answer.lower()

    def _compare(self, address: str, code_hash: str) -> None:
        code = self._ask("eth_getCode", [address, "latest"])
        try:
            same = "0x" + keccak256(bytes.fromhex(code[2:])).hex() == code_hash
        except (TypeError, ValueError) as trouble:
            raise ChainUnavailable("chain.unavailable", "the endpoint's answer cannot be read") from trouble
        if not same:
            raise VerificationError("chain.wrong", "a contract's code is not the one the trust file names")

    def _newest_final(self) -> int:
        if self._final is None:
            self._identify()
            head, kind = self._block("latest"), self._profile()
            age = self._now() - head[2]
            if kind.idle_blocks and age > STALE_AFTER:
                raise ChainUnavailable("chain.stale_head", f"the endpoint's newest block is {int(age)} seconds old")
            if kind.finality is Finality.TAG:
                self._final = self._block("finalized")[0]
            else:
                self._final = max(0, head[0] - kind.depth)
        return self._final

    def _profile(self) -> Profile:
        if self._trust.chain.profile not in PROFILES:
            raise ChainUnavailable("chain.profile", "when a block of this kind of chain is final is not known")
        return PROFILES[self._trust.chain.profile]

    def _identify(self) -> None:
        chain, anchor = self._trust.chain, self._trust.chain.contracts["anchor"]
        chain_id = self._ask("eth_chainId", [])
        genesis = self._block("0x0")[1]
        code = self._ask("eth_getCode", [anchor.address, "latest"])
        try:
            same = (int(chain_id, 16) == chain.id and genesis == chain.genesis
                    and "0x" + keccak256(bytes.fromhex(code[2:])).hex() == anchor.code_hash)
        except (TypeError, ValueError) as trouble:
            raise ChainUnavailable("chain.unavailable", "the endpoint's answer cannot be read") from trouble
        if not same:
            raise VerificationError("chain.wrong", "the endpoint is of another chain, or the contract is not ours")

    def _block(self, tag: str) -> Block:
        found = self._ask("eth_getBlockByNumber", [tag, False])
        try:
            return int(found["number"], 16), str(found["hash"]).lower(), int(found["timestamp"], 16)
        except (TypeError, ValueError, KeyError) as trouble:
            raise ChainUnavailable("chain.unavailable", f"the endpoint shows no block {tag}") from trouble

    def _ask(self, method: str, parameters: list[Any]) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": next(_numbers), "method": method, "params": parameters})
        try:
            answer = json.loads(_post(self._url, body, self._timeout))
        except (http.client.HTTPException, OSError, ValueError, RecursionError) as trouble:
            raise ChainUnavailable("chain.unavailable", f"{method}: {trouble}") from trouble
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainUnavailable("chain.unavailable", f"{method}: the endpoint answered with an error")
        return answer["result"]


_numbers = itertools.count(1)


def _post(url: str, body: str, timeout: float) -> bytes:
    """One request to the host that was named and to no other: no proxy, no redirect."""
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError("an endpoint begins with http:// or https://")
    link: http.client.HTTPConnection
    if place.scheme == "https":
        link = http.client.HTTPSConnection(place.hostname, place.port, timeout=timeout,
                                           context=ssl.create_default_context())
    else:
        link = http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)
    try:
        path = (place.path or "/") + (f"?{place.query}" if place.query else "")
        link.request("POST", path, body, {"Content-Type": "application/json"})
        response = link.getresponse()
        if response.status != 200:
            raise ValueError(f"the endpoint answered with HTTP {response.status}")
        return response.read(MAX_ANSWER)
    finally:
        link.close()
