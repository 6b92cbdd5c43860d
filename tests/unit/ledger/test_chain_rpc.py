"""Endpoints that lie, lag, disagree or are gone: what is believed, and which code says why not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address

from ledger.abi import creation, matches_artifact, read_transaction, refusal, returned, sign_transaction
from ledger.chain import Chain, GrantOnChain
from ledger.errors import ChainRefused, ChainUnavailable, LedgerError, VerificationError
from ledger.keys import EthKey, keccak256
from ledger.rpc import Rpc

NOW = 1_800_000_000
GENESIS = "0x" + "0a" * 32
Answer = Callable[[str, list[Any]], Any]


class Endpoint:
    """One endpoint of a simulated chain; `fail` makes it refuse connections."""

    def __init__(self, *, chain_id: int = 7, genesis: str = GENESIS, head: int = 100, time: int = NOW - 1) -> None:
        self.chain_id, self.genesis, self.head, self.time = chain_id, genesis, head, time
        self.answer: Any = "0x"
        self.fail = False
        self.calls: list[tuple[str, list[Any]]] = []

    def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.calls.append((method, params))
        if method == "eth_chainId":
            return {"result": hex(self.chain_id)}
        if method == "eth_getBlockByNumber":
            number = {"latest": self.head, "finalized": self.head - 2}.get(params[0])
            number = int(params[0], 16) if number is None else number
            if number > self.head:
                return {"result": None}
            block_hash = self.genesis if number == 0 else "0x" + f"{number:064x}"
            return {"result": {"number": hex(number), "hash": block_hash, "timestamp": hex(self.time)}}
        return self.answer if isinstance(self.answer, dict) else {"result": self.answer}


def rpc_over(*endpoints: Endpoint, **options: Any) -> Rpc:
    def post(url: str, content: bytes) -> tuple[int, bytes]:
        endpoint = endpoints[int(url.removeprefix("http://e"))]
        if endpoint.fail:
            raise ConnectionRefusedError
        body = json.loads(content)
        return 200, json.dumps({"id": body["id"], **endpoint.reply(body["method"], body["params"])}).encode()

    return Rpc([f"http://e{index}" for index in range(len(endpoints))], post=post, now=lambda: NOW, **options)


def chain_over(*endpoints: Endpoint, **options: Any) -> Chain:
    chain = Chain(["http://e0"], contracts=dict.fromkeys(("anchor", "grants", "participants"), "0x" + "c0" * 20))
    chain.rpc = rpc_over(*endpoints, **options)
    return chain


def raises(code: str, kind: type[LedgerError] = ChainUnavailable) -> pytest.RaisesExc[LedgerError]:
    return pytest.RaisesExc(kind, check=lambda error: error.code == code)


def test_it_works() -> None:
    endpoint = Endpoint()
    endpoint.answer = "0x" + "00" * 31 + "01"
    chain = chain_over(endpoint)
    assert chain.used("0x" + "01" * 32, "02" * 32)
    method, params = endpoint.calls[-1]
    assert (method, params[1]) == ("eth_call", "finalized")


def test_a_gone_endpoint_is_unavailable_not_wrong() -> None:
    endpoint = Endpoint()
    endpoint.fail = True
    with raises("chain.unavailable"):
        chain_over(endpoint).used("0x" + "01" * 32, "02" * 32)


def test_another_endpoint_stands_in() -> None:
    first, second = Endpoint(), Endpoint()
    first.fail, second.answer = True, "0x05"
    assert rpc_over(first, second).value("eth_gasPrice") == "0x05"


def test_a_stale_head_says_nothing() -> None:
    with raises("chain.stale_head"):
        chain_over(Endpoint(time=NOW - 121)).is_revoked("0x" + "01" * 32)


def test_another_chain_is_wrong() -> None:
    with raises("chain.wrong", VerificationError):
        rpc_over(Endpoint(chain_id=8), chain_id=7).value("eth_gasPrice")
    with raises("chain.wrong", VerificationError):
        rpc_over(Endpoint(genesis="0x" + "0b" * 32), genesis=GENESIS).value("eth_gasPrice")


def test_who_comes_back_has_to_prove_itself_again() -> None:
    endpoint = Endpoint()
    rpc = rpc_over(endpoint, chain_id=7)
    rpc.value("eth_gasPrice")
    endpoint.fail = True
    with raises("chain.unavailable"):
        rpc.value("eth_gasPrice")
    endpoint.fail, endpoint.chain_id = False, 8
    with raises("chain.wrong", VerificationError):
        rpc.value("eth_gasPrice")


@pytest.mark.parametrize("answer", [None, 5, [], {}, "latest", "0x", {"number": None}, {"number": "0x1", "hash": 7}])
def test_an_answer_that_cannot_be_read_is_unknown_not_a_crash(answer: Any) -> None:
    class Odd(Endpoint):
        def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
            known = params[:1] == ["0x0"] or method == "eth_chainId"
            return super().reply(method, params) if known else {"result": answer}
    chain = chain_over(Odd())
    for ask in (chain.head, lambda: chain.account_nonce("0x" + "01" * 20), lambda: chain.is_active("0x" + "01" * 32)):
        with pytest.raises(ChainUnavailable):
            ask()
    odd = Endpoint()
    odd.answer = {"error": {"code": "not a number", "message": None, "data": 7}}
    with raises("chain.rpc"):
        rpc_over(odd).value("eth_gasPrice")


def test_a_revert_is_known_though_nobody_can_say_why() -> None:
    """An endpoint without old states must not make a reverted transaction look like one that still may come."""
    class Pruned(Endpoint):
        def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
            if method == "eth_getTransactionReceipt":
                return {"result": {"status": "0x0", "blockNumber": "0x10", "blockHash": "0x" + "0b" * 32}}
            if method == "eth_getTransactionByHash":
                return {"result": {"from": "0x" + "01" * 20, "to": "0x" + "02" * 20, "input": "0x"}}
            if method == "eth_call":
                return {"error": {"code": -32000, "message": "missing trie node"}}
            return super().reply(method, params)
    with raises("chain.refused", ChainRefused):
        chain_over(Pruned()).wait("0x" + "0c" * 32, seconds=0)


def test_a_quorum_outvotes_one_liar() -> None:
    endpoints = [Endpoint(), Endpoint(), Endpoint()]
    for endpoint, answer in zip(endpoints, ("0xbad", "0x01", "0x01"), strict=True):
        endpoint.answer = answer
    assert rpc_over(*endpoints, quorum=2).value("eth_call") == "0x01"


def test_without_a_quorum_they_disagree() -> None:
    first, second = Endpoint(), Endpoint()
    first.answer, second.answer = "0x01", "0x02"
    with raises("chain.disagree"):
        rpc_over(first, second, quorum=2).value("eth_call")
    second.fail = True
    with raises("chain.unavailable"):
        rpc_over(first, second, quorum=2).value("eth_call")


def test_a_quorum_reads_one_block_all_have_reached() -> None:
    first, second, third = Endpoint(head=100), Endpoint(head=90), Endpoint(head=5000)
    rpc = rpc_over(first, second, third, quorum=2)
    assert rpc.pinned("latest") == hex(100)
    assert rpc.block("finalized").number == 98


def test_a_quorum_larger_than_the_endpoints_is_refused() -> None:
    with raises("chain.quorum", VerificationError):
        rpc_over(Endpoint(), quorum=2)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"id": 999999, "result": "0x1"}', b"<html>"])
def test_what_is_no_answer_is_unavailable(body: bytes) -> None:
    rpc = Rpc(["http://e0"], post=lambda url, content: (200, body))
    with raises("chain.unavailable"):
        rpc.value("eth_gasPrice")


def test_a_node_that_lacks_the_state_is_unavailable() -> None:
    endpoint = Endpoint()
    endpoint.answer = {"error": {"code": -32000, "message": "missing trie node"}}
    with raises("chain.rpc"):
        chain_over(endpoint).grant("0x" + "01" * 32)


def test_no_contract_there_is_wrong() -> None:
    with raises("chain.wrong", VerificationError):
        chain_over(Endpoint()).grant("0x" + "01" * 32)


def test_a_transaction_is_the_same_bytes_each_time() -> None:
    key = EthKey("01" * 32)
    first, second = (sign_transaction(key, chain_id=7_000_001, nonce=3, to="0x" + "c0" * 20, data="0x1234", gas=9)
                     for _ in range(2))
    assert first == second
    assert read_transaction(first.raw) == first
    assert first.hash == "0x" + keccak256(bytes.fromhex(first.raw[2:])).hex()


def test_another_implementation_signs_the_same_transaction() -> None:
    key, to, data = EthKey("01" * 32), "0x" + "c0" * 20, "0x1234"
    for nonce, chain_id, target in ((0, 1, to), (3, 7_000_001, to), (2**31, 2**31 - 1, None)):
        ours = sign_transaction(key, chain_id=chain_id, nonce=nonce, to=target, data=data, gas=99)
        fields = {"nonce": nonce, "gasPrice": 0, "gas": 99, "value": 0, "data": data, "chainId": chain_id}
        theirs = Account.sign_transaction(fields | ({"to": to_checksum_address(target)} if target else {}),
                                          "0x" + key.secret)
        assert ours.raw == "0x" + theirs.raw_transaction.hex()
        assert ours.hash == "0x" + theirs.hash.hex()


def test_a_transaction_of_another_form_is_refused() -> None:
    for raw in ("0x02c0", "0x", "0xc0", "0xc3010203"):
        with raises("chain.form", VerificationError):
            read_transaction(raw)


def test_a_reverts_name_becomes_its_code() -> None:
    used_up = "0x" + keccak256(b"UsedUp(bytes32)")[:4].hex() + "11" * 32
    assert refusal(used_up, "execution reverted").code == "chain.refused.used_up"
    assert refusal("0xdeadbeef", "execution reverted").code == "chain.refused"
    assert refusal("", "execution reverted").code == "chain.refused"


def test_immutables_are_masked_and_nothing_else() -> None:
    from ledger.abi import contract

    code = bytearray.fromhex(contract("grants")["deployedBytecode"][2:])
    place = contract("grants")["immutableReferences"][0]
    code[place["start"]] ^= 0xFF
    assert matches_artifact("grants", "0x" + code.hex())
    code[place["start"] - 1] ^= 0x01
    assert not matches_artifact("grants", "0x" + code.hex())
    assert not matches_artifact("grants", "0x")


def test_the_grant_struct_has_the_fields_we_read() -> None:
    from ledger.abi import contract

    names = [field["name"] for entry in contract("grants")["abi"] if entry.get("name") == "grants"
             for field in entry["outputs"][0]["components"]]
    snake = ["".join("_" + letter.lower() if letter.isupper() else letter for letter in name) for name in names]
    assert tuple(snake) == tuple(GrantOnChain.__dataclass_fields__)
    assert returned("grants", "grants", "0x" + "00" * 32 * len(names))[0][-1] == 0


def test_creation_ends_with_the_arguments() -> None:
    data = creation("anchor", ["0x" + "aa" * 20, "0x" + "bb" * 20])
    assert data.endswith("aa" * 20 + "00" * 12 + "bb" * 20)
