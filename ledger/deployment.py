"""Puts a space's contracts on its chain, once, when the space is founded, and people's passkey accounts beside them.

The deployer keeps no role in any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger import abi
from ledger.abi import bytes32
from ledger.chain import Chain
from ledger.errors import VerificationError
from ledger.keys import EthKey

VETO_DELAY = 2 * 24 * 3600


def deploy_contracts(chain: Chain, deployer_key: EthKey, *, admin: str, operator: str, space_salt: str,
                     regulators: Sequence[str] | None = None, veto_delay: int = VETO_DELAY,
                     seconds: float = 30.0) -> dict[str, dict[str, str]]:
    """Deploy the three contracts and check them; the deployer keeps no role in any.

    `admin` alone may name other regulators and operators, and only a day ahead; `regulators` approve from the start
    (the admin, if nobody is named); `operator` may only anchor. `veto_delay`: seconds in which the holder of a
    participant's record may refuse one that the regulator proposes without it.
    """
    salt, approvers = bytes32(space_salt), list(regulators or [admin])
    arguments: dict[str, list[Any]] = {"anchor": [admin, operator], "grants": [admin, approvers, salt],
                                       "participants": [admin, approvers, veto_delay, salt]}
    nonce = chain.account_nonce(deployer_key.address)
    sent = {name: _send(chain, deployer_key, nonce + step, name, given)
            for step, (name, given) in enumerate(arguments.items())}
    deployed = {}
    for name, tx_hash in sent.items():
        address = _made(chain, name, tx_hash, seconds)
        deployed[name] = {"address": address, "code_hash": chain.code_hash(address)}
        chain.contracts[name] = address
    return deployed


def deploy_passkey_account(chain: Chain, deployer_key: EthKey, *, keys: Sequence[Mapping[str, Any]], guardian: str,
                           space_salt: str, delay: int = VETO_DELAY, seconds: float = 30.0) -> str:
    """One person's account over at least two passkeys (as a participant record names them); its address.

    Whoever pays for this gets no say in it. `guardian` may be the zero address.
    """
    named = [(bytes32(one["x"]), bytes32(one["y"]), one["origin"]) for one in keys]
    bound = all(one["device_bound"] for one in keys)
    tx_hash = _send(chain, deployer_key, chain.account_nonce(deployer_key.address), "passkey",
                    [guardian, bound, delay, named, bytes32(space_salt)])
    address = _made(chain, "passkey", tx_hash, seconds)
    chain.check_passkey_account(address, keys, guardians=[guardian], least_delay=delay, block="latest")
    return address


def _send(chain: Chain, key: EthKey, nonce: int, name: str, arguments: Sequence[Any]) -> str:
    tx = abi.sign_transaction(key, chain_id=chain.chain_id, nonce=nonce, to=None, data=abi.creation(name, arguments),
                              gas=abi.DEPLOY_GAS, gas_price=chain.gas_price())
    return chain.send_raw(tx.raw)


def _made(chain: Chain, name: str, tx_hash: str, seconds: float) -> str:
    address = chain.wait(tx_hash, seconds=seconds).contract
    if address is None:
        raise VerificationError("chain.wrong", "a deployment made no contract")
    chain.check_artifact(name, address)
    return address
