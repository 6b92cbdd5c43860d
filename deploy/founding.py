"""Founds a space: the commission's root key, the operator's keys, the contracts on the chain, the trust file.

The root key lies in the commission's office and signs the trust file, nothing else. The operator's key may send
transactions and anchor; it ends with no other role on any contract.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy import environment
from deploy.places import Places
from ledger.approval import space_salt
from ledger.chain import Chain
from ledger.deployment import deploy_contracts
from ledger.documents import new_id, public_hex
from ledger.keys import EthKey, KeyFile
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from mpc.node.config import Config

NAME = "杏林示范空间 / Xinglin demonstration space"


def make_roots(places: Places) -> tuple[str, EthKey]:
    """The root key's fingerprint and the operator's chain key; made once."""
    root = _root_key(places)
    if not (places.portal / "log.key").exists():
        environment.write_private(
            places.portal / "log.key", Ed25519PrivateKey.generate().private_bytes_raw().hex() + "\n"
        )
    chain_key = places.portal / "chain.key"
    if not chain_key.exists():
        environment.write_private(chain_key, EthKey.create().secret + "\n")
    return fingerprint_of_root(public_hex(root)), EthKey(chain_key.read_text().strip())


def _root_key(places: Places) -> Ed25519PrivateKey:
    return _ed25519(environment.secret(places.office / "root.key"))


def _ed25519(value: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(value))


def found(
    places: Places, homes: Mapping[str, Config], *, rpc: str, chain_key: EthKey, witnesses: Mapping[str, Any]
) -> Trust:
    """Put the contracts on the chain and sign the trust file; a space that has one keeps it."""
    root = _root_key(places)
    fingerprint = fingerprint_of_root(public_hex(root))
    if places.trust.exists():
        return load_trust(places.trust, fingerprint=fingerprint)
    space_id = new_id()
    office, dealer = homes["regulator"], homes["dealer"]
    office_keys = KeyFile.load(office.keys)
    log_key = public_hex(_ed25519((places.portal / "log.key").read_text().strip()))
    chain = Chain([rpc])
    contracts = deploy_contracts(
        chain, EthKey.create(), admin=office.approver, operator=chain_key.address, space_salt=space_salt(space_id)
    )  # the deployer's key is forgotten here: it held no role for a moment
    document = make_trust(
        root,
        space_id=space_id,
        name=NAME,
        chain={
            "id": chain.chain_id,
            "profile": "embedded",
            "genesis": chain.genesis_hash(),
            "rpc": [rpc],
            "quorum": 1,
            "contracts": contracts,
        },
        log_key=log_key,
        regulator={
            "participant": office.participant,
            "signing": office_keys.signing_public,
            "sealing": office_keys.sealing_public,
            "approvers": [office.approver],
        },
        dealer={"participant": dealer.participant, "signing": KeyFile.load(dealer.keys).signing_public},
        witnesses=witnesses,
    )
    _write_trust(places.trust, document)
    return load_trust(places.trust, fingerprint=fingerprint)


def _write_trust(path: Path, document: object) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
