"""A space that is nothing but its ledger: keys, a trust file, and contracts on a real chain. For tests of what is lost.

It has no people; events are written straight into the record.
"""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.approval import space_salt
from ledger.chain import Chain
from ledger.deployment import deploy_contracts
from ledger.documents import new_id, public_hex
from ledger.keys import EthKey, KeyFile
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust


class LedgerSpace:
    """Founded once; `settings` are those of a portal that serves it."""

    def __init__(self, folder: Path, chain: Chain, *, rpc: list[str] | None = None, quorum: int = 1) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        root, log_key, operator = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), EthKey.create()
        office, dealer = (KeyFile.create(folder / f"{name}.json", service=True, approval=True) for name in "ab")
        self.regulator, self.operator, self.space_id = EthKey.create(), operator, new_id()
        approver, space_id = self.regulator.address, self.space_id
        contracts = self.contracts = deploy_contracts(chain, EthKey.create(), admin=approver,
                                                      operator=operator.address, space_salt=space_salt(space_id))
        wire = make_trust(
            root, space_id=space_id, name="ledger", log_key=public_hex(log_key),
            chain={"id": chain.chain_id, "profile": "embedded", "genesis": chain.genesis_hash(),
                   "rpc": rpc or list(chain.rpc.urls), "quorum": quorum, "contracts": contracts},
            regulator={"participant": office.participant, "signing": office.signing_public,
                       "sealing": office.sealing_public, "approvers": [approver]},
            dealer={"participant": dealer.participant, "signing": dealer.signing_public})  # fmt: skip
        self.fingerprint = fingerprint_of_root(public_hex(root))
        (folder / "trust.json").write_text(json.dumps(wire))
        for name, secret in (("log.key", log_key.private_bytes_raw().hex()), ("chain.key", operator.secret)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(secret)

    @property
    def trust(self) -> Trust:
        return load_trust(self.folder / "trust.json", fingerprint=self.fingerprint)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "XINGLIN_TRUST": str(self.folder / "trust.json"),
            "XINGLIN_FINGERPRINT": self.fingerprint,
            "XINGLIN_LOG_KEY_FILE": str(self.folder / "log.key"),
            "XINGLIN_CHAIN_KEY_FILE": str(self.folder / "chain.key"),
            "XINGLIN_VAR": str(self.folder),
        }
