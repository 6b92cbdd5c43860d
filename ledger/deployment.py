"""Puts a space's contracts on its chain, once, when the space is founded. The deployer keeps no role in any."""

from __future__ import annotations

from collections.abc import Sequence
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
    sent = {}
    for step, (name, given) in enumerate(arguments.items()):
        tx = abi.sign_transaction(deployer_key, chain_id=chain.chain_id, nonce=nonce + step, to=None,
                                  data=abi.creation(name, given), gas=abi.DEPLOY_GAS,
                                  gas_price=chain.gas_price())
        sent[name] = chain.send_raw(tx.raw)
    deployed = {}
    for name, tx_hash in sent.items():
        address = chain.wait(tx_hash, seconds=seconds).contract
        if address is None:
            raise VerificationError("chain.wrong", "a deployment made no contract")
        chain.check_artifact(name, address)
        deployed[name] = {"address": address, "code_hash": chain.code_hash(address)}
        chain.contracts[name] = address
    return deployed
