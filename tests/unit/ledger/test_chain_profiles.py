"""Chains of every profile: what is final, what gas costs, what is never asked. Answers are written after the projects'
own documents; none of these nodes could be run here but anvil, and that is tested in tests/integration."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploy.chain.qbft import make_genesis
from deploy.chain.qbft.make_genesis import extra_data, genesis
from ledger.abi import read_transaction
from ledger.chain import Chain
from ledger.chainproof import decode
from ledger.errors import ChainRefused, ChainUnavailable, VerificationError
from ledger.keys import EthKey
from ledger.poolanswers import Meaning, meaning
from ledger.profiles import PROFILES, profile, refuse_development
from tests.unit.ledger.test_chain_rpc import NOW, Endpoint, raises, rpc_over

GRANT = "0x" + "01" * 32
BASE_FEE = 7 * 10**9


class Consortium(Endpoint):
    """A node that knows no `finalized` tag and no proofs, says what it was asked, and answers everything else."""

    offers = ("eth_chainId", "eth_getBlockByNumber", "eth_call", "eth_getTransactionCount", "eth_sendRawTransaction",
              "eth_getTransactionByHash", "eth_getTransactionReceipt", "eth_getCode")  # fmt: skip

    def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
        if method not in self.offers:
            self.calls.append((method, params))
            return {"error": {"code": -32601, "message": "Method not found"}}
        if params[:1] == ["finalized"]:
            return {"error": {"code": -32602, "message": "Invalid block parameter"}}
        found = super().reply(method, params)
        if method == "eth_getBlockByNumber" and found["result"]:
            found["result"]["extraData"] = "0x" + "00" * 200  # vanity, validators, seals: longer than 32 bytes
        return found


def chain_of(name: str, *endpoints: Endpoint, **options: Any) -> Chain:
    quorum = options.get("quorum", 1)
    urls = [f"http://e{index}" for index in range(max(quorum, len(endpoints)))]
    chain = Chain(urls, quorum=quorum, profile_name=name, expected_chain_id=7,
                  contracts=dict.fromkeys(("anchor", "grants", "participants"), "0x" + "c0" * 20))  # fmt: skip
    chain.rpc = rpc_over(*endpoints, **options)
    return chain


@pytest.mark.parametrize(("name", "number"), [("qbft", 100), ("clique", 88), ("public", 98), ("embedded", 98)])
def test_what_is_final_is_the_profiles_to_say(name: str, number: int) -> None:
    endpoint = Endpoint() if name in ("public", "embedded") else Consortium()
    endpoint.answer = "0x" + "00" * 31 + "01"
    chain = chain_of(name, endpoint)
    assert chain.finalized().number == number
    chain.used(GRANT, "02" * 32, "finalized")
    asked = [params[1] for method, params in endpoint.calls if method == "eth_call"][-1]
    assert asked in {"qbft": ("latest",), "clique": (hex(number),)}.get(name, ("finalized",))


def test_a_young_clique_chain_is_final_at_its_genesis() -> None:
    assert chain_of("clique", Consortium(head=5)).finalized().number == 0


def test_a_consortium_node_is_never_asked_for_fees_or_proofs() -> None:
    endpoint = Consortium()
    endpoint.answer = "0x" + "00" * 31 + "01"
    chain, key = chain_of("qbft", endpoint), EthKey.create()
    tx = chain.sign_consume(key, 3, grant_id=GRANT, job_hash="02" * 32, signature="0x" + "00" * 65)
    assert read_transaction(tx.raw) == tx
    endpoint.answer = tx.hash
    assert chain.send_raw(tx.raw) == tx.hash
    assert {method for method, _ in endpoint.calls} <= set(Consortium.offers)


def test_without_idle_blocks_an_old_head_says_nothing_and_two_must_agree() -> None:
    old = [Consortium(time=NOW - 9000), Consortium(time=NOW - 9000), Consortium(time=NOW - 9000, head=20)]
    for one in old:
        one.answer = "0x" + "00" * 31 + "01"
    with raises("chain.quorum", VerificationError):
        Chain(["http://e0"], profile_name="fisco")
    assert chain_of("fisco", *old, quorum=2).used(GRANT, "02" * 32)
    with raises("chain.stale_head"):
        chain_of("qbft", *old, quorum=2).used(GRANT, "02" * 32)


def test_a_public_chain_is_asked_once_what_gas_costs() -> None:
    class Public(Endpoint):
        base = BASE_FEE

        def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
            if method == "eth_feeHistory":
                return {"result": {"oldestBlock": "0x1", "baseFeePerGas": ["0x1", hex(self.base)]}}
            return super().reply(method, params)

    endpoints = [Public(), Public(), Public()]
    endpoints[0].base = 1  # one that wants our transaction to hang, and one that wants our money
    endpoints[2].base = 10**18
    chain = chain_of("public", *endpoints, quorum=2)
    assert chain.gas_price() == 2 * BASE_FEE + 10**9
    for one in endpoints:
        one.base = 10**15
    with raises("chain.fee"):
        chain.gas_price()
    for one in endpoints[1:]:
        one.fail = True
    with raises("chain.fee"):
        chain.gas_price()
    assert chain_of("embedded", Endpoint()).gas_price() == 0


def test_a_profile_nobody_knows_is_refused() -> None:
    with raises("chain.profile", VerificationError):
        profile("ethereum")
    assert set(PROFILES) == {"embedded", "qbft", "clique", "fisco", "public"}
    assert [name for name, one in PROFILES.items() if one.development] == ["embedded"]


@pytest.mark.parametrize("client", ["anvil/v1.7.1", "HardhatNetwork/3.18.0/@nomicfoundation", "Ganache/v7.9.2"])
def test_a_development_node_is_refused_in_production_whatever_the_profile(client: str) -> None:
    class Named(Endpoint):
        def reply(self, method: str, params: list[Any]) -> dict[str, Any]:
            return {"result": client} if method == "web3_clientVersion" else super().reply(method, params)

    with raises("chain.development", VerificationError):
        rpc_over(Named(), production=True).value("eth_gasPrice")
    with raises("chain.development", VerificationError):
        refuse_development("embedded")
    endpoint = Consortium()  # keeps its name to itself
    endpoint.answer = "0x05"
    assert rpc_over(endpoint, production=True).value("eth_call") == "0x05"


ANSWERS = [
    # geth, anvil
    (-32000, "already known", Meaning.KNOWN), (-32000, "nonce too low: next nonce 5, tx nonce 3", Meaning.NONCE_USED),
    (-32003, "transaction already imported", Meaning.KNOWN), (-32003, "nonce too low", Meaning.NONCE_USED),
    (-32000, "txpool is full", Meaning.OPEN), (-32000, "replacement transaction underpriced", Meaning.OPEN),
    (-32000, "transaction underpriced: tip needed 1, tip permitted 0", Meaning.OPEN),
    (-32000, "invalid sender", Meaning.REFUSED), (-32000, "intrinsic gas too low", Meaning.REFUSED),
    (-32000, "exceeds block gas limit", Meaning.REFUSED),
    (-32000, "insufficient funds for gas * price + value", Meaning.REFUSED),
    (-32000, "only replay-protected (EIP-155) transactions allowed over RPC", Meaning.REFUSED),
    (-32000, "invalid chain id for signer: have 1 want 2", Meaning.REFUSED),
    (-32000, "rlp: expected input list for types.LegacyTx", Meaning.REFUSED),
    # Besu
    (-32000, "Known transaction", Meaning.KNOWN), (-32001, "Nonce too low", Meaning.NONCE_USED),
    (-32006, "Transaction nonce is too distant from current sender nonce", Meaning.OPEN),
    (-32003, "Intrinsic gas exceeds gas limit", Meaning.REFUSED), (-32002, "Invalid signature", Meaning.REFUSED),
    (-32004, "Upfront cost exceeds account balance", Meaning.REFUSED),
    (-32000, "Transaction pool not enabled", Meaning.OPEN), (-32007, "Sender account not authorized to send "
     "transactions", Meaning.REFUSED), (-32000, "Transaction processing could not be completed due to an exception",
     Meaning.OPEN),
    # Nethermind
    (-32010, "AlreadyKnown", Meaning.KNOWN), (-32010, "OldNonce, current nonce: 4, nonce of rejected tx: 3",
     Meaning.NONCE_USED), (-32010, "FeeTooLow", Meaning.OPEN), (-32010, "NonceGap, expected nonce 3", Meaning.OPEN),
    # FISCO BCOS
    (10_000, "NonceCheckFail", Meaning.NONCE_USED), (10_004, "AlreadyInTxPool", Meaning.KNOWN),
    (10_003, "TxPoolIsFull", Meaning.OPEN), (10_001, "InvalidChainId", Meaning.REFUSED),
    # gateways
    (-32005, "limit exceeded", Meaning.OPEN), (-32603, "Internal error", Meaning.OPEN),
    (-32603, "internal error: insufficient funds", Meaning.OPEN), (429, "Too many requests, reason: call rate limit",
     Meaning.OPEN), (-32000, "request timed out", Meaning.OPEN), (0, "", Meaning.OPEN),
]  # fmt: skip


@pytest.mark.parametrize(("code", "message", "expected"), ANSWERS)
def test_what_a_node_says_of_a_transaction(code: int, message: str, expected: Meaning) -> None:
    assert meaning(code, message) is expected


@pytest.mark.parametrize(("message", "kind"), [("txpool is full", ChainUnavailable), ("invalid sender", ChainRefused)])
def test_a_full_pool_is_unknown_and_a_wrong_signature_is_refused(message: str, kind: type[Exception]) -> None:
    endpoint = Endpoint()
    endpoint.answer = {"error": {"code": -32000, "message": message}}
    chain = chain_of("embedded", endpoint)
    tx = chain.sign_consume(EthKey.create(), 0, grant_id=GRANT, job_hash="02" * 32, signature="0x" + "00" * 65)
    with pytest.raises(kind):
        chain.send_raw(tx.raw)


def test_an_endpoint_that_names_another_transaction_took_none() -> None:
    endpoint = Endpoint()
    endpoint.answer = "0x" + "0d" * 32
    chain = chain_of("embedded", endpoint)
    tx = chain.sign_consume(EthKey.create(), 0, grant_id=GRANT, job_hash="02" * 32, signature="0x" + "00" * 65)
    with raises("chain.rpc"):
        chain.send_raw(tx.raw)


def test_a_head_from_the_future_is_not_believed() -> None:
    with raises("chain.clock"):
        chain_of("embedded", Endpoint(time=NOW + 301)).is_revoked(GRANT)


def test_who_just_failed_is_asked_last() -> None:
    first, second = Endpoint(), Endpoint()
    first.answer = second.answer = "0x05"
    rpc = rpc_over(first, second)
    first.fail = True
    rpc.value("eth_gasPrice")
    before = len(first.calls)
    rpc.value("eth_gasPrice")
    assert (rpc.in_turn()[0], len(first.calls)) == ("http://e1", before)


def test_health_tells_each_endpoint_apart() -> None:
    good, gone, other = Endpoint(), Endpoint(), Endpoint(chain_id=8)
    gone.fail = True
    found = rpc_over(good, gone, other, chain_id=7).health()
    assert [(one.answers, one.head, one.head_age, one.trouble) for one in found] == [
        (True, 100, 1, ""), (False, None, None, "chain.unavailable"), (False, None, None, "chain.wrong")]


def test_besu_is_told_of_no_option_that_its_pool_refuses() -> None:
    """The limit by account is the sequenced pool's; with the layered one, the default, Besu does not start."""
    written = tomllib.loads((Path(make_genesis.__file__).parent / "config.toml").read_text())
    assert written["tx-pool"] == "sequenced"
    assert written["tx-pool-limit-by-account-percentage"] == "1"


def test_the_genesis_of_four_validators_is_the_one_another_implementation_writes() -> None:
    """The vector is GoQuorum's, sorted as Besu wants it."""
    validators = ["0x44add0ec310f115a0e603b2d7db9f067778eaf8a", "0x294fc7e8f22b3bcdcf955dd7ff3ba2ed833f8212",
                  "0x6beaaed781d2d2ab6350f5c4566a2c6eaac407a6", "0x8be76812f765c24641ec63dc2852b378aba2b440"]
    assert extra_data(validators) == (
        "0xf87aa00000000000000000000000000000000000000000000000000000000000000000f854"
        "94294fc7e8f22b3bcdcf955dd7ff3ba2ed833f82129444add0ec310f115a0e603b2d7db9f067778eaf8a"
        "946beaaed781d2d2ab6350f5c4566a2c6eaac407a6948be76812f765c24641ec63dc2852b378aba2b440c080c0")
    made = genesis(20261122, validators, now=NOW)
    assert made["config"]["zeroBaseFee"] is True  # type: ignore[index]
    assert decode(bytes.fromhex(str(made["extraData"])[2:]))[2:] == [[], b"", []]
    for wrong in (validators[:3], [validators[0], *validators], [*validators[:3], "0x12"]):
        with pytest.raises(ValueError):
            genesis(1, wrong, now=NOW)
