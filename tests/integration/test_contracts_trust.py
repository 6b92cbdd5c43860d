"""The trust file against the chain: what a node compares before it believes anything, by both doors."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.anchor import log_id_of
from ledger.chain import Chain
from ledger.documents import new_id, public_hex
from ledger.endpoint import Endpoints
from ledger.errors import ChainUnavailable, VerificationError
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from tests.integration.chain_space import ChainSpace

pytestmark = pytest.mark.stack


def trust_of(space: ChainSpace, **changes: Any) -> Trust:
    root = Ed25519PrivateKey.generate()
    key = public_hex(Ed25519PrivateKey.generate())
    chain = {"id": space.chain.chain_id, "profile": "embedded", "genesis": space.chain.genesis_hash(),
             "rpc": list(space.chain.rpc.urls), "quorum": 1, "contracts": space.deployed} | changes
    wire = make_trust(root, space_id=space.space_id, name="test", chain=chain, log_key=key,
                      regulator={"participant": new_id(), "signing": key, "sealing": key,
                                 "approvers": [space.regulator.address]},
                      dealer={"participant": new_id(), "signing": key})
    return load_trust(wire, fingerprint=fingerprint_of_root(public_hex(root)))


def test_it_works(chain_space: ChainSpace) -> None:
    trust = trust_of(chain_space)
    chain = Chain.from_trust(trust)
    chain.check_contracts(trust)
    origin, root = f"xinglin/{secrets.token_hex(8)}", "0x" + secrets.token_hex(32)
    assert chain.root_at(log_id_of(origin), 1) is None
    chain_space.send(chain.sign_anchor(chain_space.operator, chain_space.nonce(chain_space.operator),
                                       log_id=log_id_of(origin), prev_size=0, size=1, root=root, proof=[]), final=True)
    assert chain.root_at(log_id_of(origin), 1) == root
    assert Endpoints(trust, chain.rpc.urls).root_at(log_id_of(origin), 1) == root


@pytest.mark.parametrize("change", ["id", "genesis", "code_hash", "swapped"])
def test_another_chain_or_contract_is_wrong(chain_space: ChainSpace, change: str) -> None:
    contracts = {name: dict(one) for name, one in chain_space.deployed.items()}
    if change == "code_hash":
        contracts["grants"]["code_hash"] = "0x" + "11" * 32
    if change == "swapped":
        contracts["grants"], contracts["participants"] = contracts["participants"], contracts["grants"]
    known: dict[str, dict[str, Any]] = {"id": {"id": chain_space.chain.chain_id + 1},
                                        "genesis": {"genesis": "0x" + "22" * 32}}
    changes = known.get(change, {"contracts": contracts})
    trust = trust_of(chain_space, **changes)
    with pytest.raises(VerificationError) as caught:
        Chain.from_trust(trust).check_contracts(trust)
    assert caught.value.code == "chain.wrong"


def test_a_gone_chain_is_unavailable(chain_space: ChainSpace) -> None:
    trust = trust_of(chain_space, rpc=["http://127.0.0.1:9"])
    with pytest.raises(ChainUnavailable) as caught:
        Chain.from_trust(trust).check_contracts(trust)
    assert caught.value.code == "chain.unavailable"


def test_who_decides_on_chain_is_known(chain_space: ChainSpace) -> None:
    trust = trust_of(chain_space)
    chain_space.chain.check_roles(trust, operator=chain_space.operator.address)
    chain_space.chain.check_roles(trust)
    assert chain_space.chain.role_members("anchor", "ANCHOR_ROLE") == (chain_space.operator.address,)
    for name in ("anchor", "grants", "participants"):
        assert chain_space.chain.role_members(name, "DEFAULT_ADMIN_ROLE") == (chain_space.regulator.address,)
    with pytest.raises(VerificationError) as caught:  # another operator than the portal's own key
        chain_space.chain.check_roles(trust, operator=chain_space.stranger.address)
    assert caught.value.code == "chain.roles"
    unknown = replace(trust, regulator=replace(trust.regulator, approvers=(chain_space.stranger.address,)))
    with pytest.raises(VerificationError) as caught:  # a regulator on chain whom the trust file does not name
        chain_space.chain.check_roles(unknown)
    assert caught.value.code == "chain.roles"
