"""Asks one chosen endpoint for one anchored root, with the standard library only: the verifier's way to the chain.

Before it believes an answer it compares chain id, genesis and the contract's code with the trust file. Portal and nodes
use `chain.py` instead.
"""

from __future__ import annotations

import http.client
import itertools
import json
import urllib.error
import urllib.request
from typing import Any

from ledger.errors import ChainUnavailable, VerificationError
from ledger.keys import keccak256
from ledger.receipt import ChainRoot
from ledger.trust import Trust

MAX_ANSWER = 4_000_000
ROOT_AT = keccak256(b"rootAt(bytes32,uint64)")[:4]


def chain_root_reader(trust: Trust, url: str, *, timeout: float = 10.0) -> ChainRoot:
    """The function that `verify_receipt` asks; the endpoint is checked once, at its first use."""
    checked: list[bool] = []

    def read(log_id: str, size: int) -> str:
        if not checked:
            _check_endpoint(trust, url, timeout)
            checked.append(True)
        data = ROOT_AT + bytes.fromhex(log_id[2:]) + size.to_bytes(32)
        anchor = trust.chain.contracts["anchor"].address
        answer = _ask(url, "eth_call", [{"to": anchor, "data": "0x" + data.hex()}, "latest"], timeout)
        if not isinstance(answer, str) or len(answer) != 66:
            raise ChainUnavailable("chain.unavailable", "the endpoint's answer is not a root")
        return answer.lower()
    return read


def _check_endpoint(trust: Trust, url: str, timeout: float) -> None:
    anchor = trust.chain.contracts["anchor"]
    chain_id = _ask(url, "eth_chainId", [], timeout)
    genesis = _ask(url, "eth_getBlockByNumber", ["0x0", False], timeout)
    code = _ask(url, "eth_getCode", [anchor.address, "latest"], timeout)
    try:
        same = (int(chain_id, 16) == trust.chain.id and genesis["hash"].lower() == trust.chain.genesis
                and "0x" + keccak256(bytes.fromhex(code[2:])).hex() == anchor.code_hash)
    except (TypeError, ValueError, KeyError, AttributeError) as trouble:
        raise ChainUnavailable("chain.unavailable", "the endpoint's answer cannot be read") from trouble
    if not same:
        raise VerificationError("chain.wrong", "the endpoint is of another chain, or the contract is not ours")


_numbers = itertools.count(1)


def _ask(url: str, method: str, parameters: list[Any], timeout: float) -> Any:
    if not url.startswith(("http://", "https://")):
        raise ChainUnavailable("chain.unavailable", "an endpoint begins with http:// or https://")
    body = json.dumps({"jsonrpc": "2.0", "id": next(_numbers), "method": method, "params": parameters}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.loads(response.read(MAX_ANSWER))
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, RecursionError) as trouble:
        raise ChainUnavailable("chain.unavailable", f"{method}: {trouble}") from trouble
    if not isinstance(answer, dict) or "result" not in answer:
        raise ChainUnavailable("chain.unavailable", f"{method}: the endpoint answered with an error")
    return answer["result"]
