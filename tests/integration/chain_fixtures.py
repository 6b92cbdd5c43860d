"""One embedded chain for the session, with a space's contracts on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.devchain import DevChain
from ledger.approval import space_salt
from ledger.chain import Chain
from ledger.deployment import deploy_contracts
from ledger.documents import new_id
from ledger.keys import EthKey
from tests.integration.chain_space import VETO_DELAY, ChainSpace


@pytest.fixture(scope="session")
def devchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevChain]:
    home: Path = tmp_path_factory.mktemp("chain")
    with DevChain(home) as running:
        yield running


@pytest.fixture(scope="session")
def chain_space(devchain: DevChain) -> Iterator[ChainSpace]:
    deployer, regulator, operator = EthKey.create(), EthKey.create(), EthKey.create()
    space_id = new_id()
    chain = Chain([devchain.url])
    deployed = deploy_contracts(chain, deployer, admin=regulator.address, operator=operator.address,
                                space_salt=space_salt(space_id), veto_delay=VETO_DELAY)
    yield ChainSpace(chain, deployed, space_id, deployer, regulator, operator)
    chain.close()
