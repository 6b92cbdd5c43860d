"""A small space on a real chain: an office, a hospital, an operator, and a helper that sends and waits."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from ledger.abi import RawTx
from ledger.approval import Domain, approve, consent, grant_chain_id, sign_use, space_salt
from ledger.chain import Chain, TxReceipt
from ledger.documents import chain_id_of, new_document, new_id, new_salt, timestamp
from ledger.keys import EthKey

SALT = "ab" * 32
VETO_DELAY = 10  # seconds in which a slow machine must have asked too early


def at(seconds: float) -> str:
    """A document's time, so many seconds from now."""
    from datetime import UTC, datetime

    return timestamp(datetime.fromtimestamp(int(time.time() + seconds), UTC))


@dataclass
class ChainSpace:
    """The deployed contracts of one test space, and everybody's keys."""

    chain: Chain
    deployed: dict[str, dict[str, str]]
    space_id: str
    deployer: EthKey
    regulator: EthKey
    operator: EthKey
    custodian: EthKey = field(default_factory=EthKey.create)
    service: EthKey = field(default_factory=EthKey.create)
    stranger: EthKey = field(default_factory=EthKey.create)

    @property
    def grants(self) -> Domain:
        return Domain("Xinglin GrantRegistry", self.chain.chain_id, self.deployed["grants"]["address"],
                      space_salt(self.space_id))

    @property
    def participants(self) -> Domain:
        return Domain("Xinglin ParticipantRegistry", self.chain.chain_id, self.deployed["participants"]["address"],
                      space_salt(self.space_id))

    def nonce(self, key: EthKey) -> int:
        return self.chain.account_nonce(key.address)

    def send(self, tx: RawTx, *, final: bool = False) -> TxReceipt:
        """Mined or refused: raises what the contract said."""
        return self.chain.wait(self.chain.send_raw(tx.raw), seconds=15, final=final)

    def terms(self, *, dataset: str | None = None, custodian: EthKey | None = None, begins: float = -60,
              ends: float = 3600, max_uses: int = 3) -> dict[str, Any]:
        dataset = dataset or new_id()
        provider, purpose = new_id(), "0x" + secrets.token_hex(32)
        return new_document(
            "grant_terms", id=new_id(), space_id=self.space_id, scenario=new_id(), scenario_hash="11" * 32,
            dataset=dataset, dataset_hash="22" * 32, dataset_chain_id=chain_id_of(dataset, SALT), custodian=provider,
            custodian_approver=(custodian or self.custodian).address,
            roster=[{"dataset": dataset, "provider": provider}],
            dealer=new_id(), grantee=new_id(), grantee_address="0x" + secrets.token_hex(20), purpose_hash=purpose,
            functions=[{"name": "describe", "version": 1, "digest": "33" * 32}], floor=10, by_institution=False,
            max_uses=max_uses, not_before=at(begins), not_after=at(ends), salt=new_salt())

    def approval(self, terms: dict[str, Any], *, key: EthKey | None = None, sign_by: float = 600) -> dict[str, Any]:
        return approve(terms, key or self.regulator, domain=self.grants, nonce="0x" + secrets.token_hex(32),
                       sign_by=int(time.time() + sign_by))

    def consent(self, terms: dict[str, Any], *, key: EthKey | None = None, sign_by: float = 600) -> dict[str, Any]:
        return consent(terms, key or self.custodian, service=self.service.address, domain=self.grants,
                       nonce="0x" + secrets.token_hex(32), sign_by=int(time.time() + sign_by))

    def register(self, terms: dict[str, Any], approval: dict[str, Any] | None = None,
                 given: dict[str, Any] | None = None) -> str:
        """Registers, relayed by the stranger; the grant's id on chain."""
        self.send(self.chain.sign_register(self.stranger, self.nonce(self.stranger), terms=terms,
                                           approval=approval or self.approval(terms),
                                           consent=given or self.consent(terms)))
        return grant_chain_id(terms)

    def consume(self, grant_id: str, job_hash: str, *, key: EthKey | None = None, by: EthKey | None = None,
                final: bool = False) -> TxReceipt:
        relay = by or self.stranger
        return self.send(self.chain.sign_consume(
            relay, self.nonce(relay), grant_id=grant_id, job_hash=job_hash,
            signature=sign_use(grant_id, job_hash, key or self.service, self.grants)), final=final)


_jobs = itertools.count(1)


def job_hash() -> str:
    return f"{next(_jobs):064x}"
