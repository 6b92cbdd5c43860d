"""A portal in this process over the session's embedded chain, with keys and a trust file of its own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction

from dataspace.actor import SYSTEM
from dataspace.provenance import followers, queries, space
from dataspace.provenance.record import Happening, record_many
from deploy.waiting import wait_until
from ledger.documents import new_id, public_hex
from ledger.keys import KeyFile
from ledger.trust import fingerprint_of_root, make_trust
from tests.integration.chain_space import ChainSpace
from tests.simulators.portal_space import now, write_secret


@pytest.fixture
def portal(chain_space: ChainSpace, settings: Any, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A portal over the session's chain; answers its trust file's wire form, with the root key beside it."""
    root, log_key = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    office, dealer = (KeyFile.create(tmp_path / f"{name}.json", approval=True) for name in ("office", "dealer"))
    chain = {"id": chain_space.chain.chain_id, "profile": "embedded", "genesis": chain_space.chain.genesis_hash(),
             "rpc": list(chain_space.chain.rpc.urls), "quorum": 1, "contracts": chain_space.deployed}
    wire = make_trust(
        root, space_id=new_id(), name="test", chain=chain, log_key=public_hex(log_key),
        regulator={"participant": office.participant, "signing": office.signing_public,
                   "sealing": office.sealing_public, "approvers": [chain_space.regulator.address]},
        dealer={"participant": dealer.participant, "signing": dealer.signing_public})
    (tmp_path / "trust.json").write_text(json.dumps(wire))
    settings.XINGLIN_TRUST = str(tmp_path / "trust.json")
    settings.XINGLIN_FINGERPRINT = fingerprint_of_root(public_hex(root))
    settings.XINGLIN_LOG_KEY_FILE = str(write_secret(tmp_path / "log.key", log_key.private_bytes_raw().hex()))
    settings.XINGLIN_CHAIN_KEY_FILE = str(write_secret(tmp_path / "chain.key", chain_space.operator.secret))
    settings.XINGLIN_WAKE = False
    yield {"wire": wire, "root": root, "log_key": log_key}
    space.chain().close()


def happen(count: int) -> None:
    with transaction.atomic():
        record_many([Happening("grant.used", "grant", uuid4(), SYSTEM) for _ in range(count)], now=now())


def anchored(size: int) -> bool:
    def there() -> bool:
        followers.run_all()
        return queries.anchored_size() == size
    return wait_until(there, seconds=30)
