"""EIP-712: the 32 bytes that a regulator, a custodian and a service key sign, and that contract and nodes verify.

Approval (regulator) and Consent (custodian) are two message types, so one signature cannot fill both slots; Consent
also names the service key that may consume. No web3 here, no clock: whether `sign_by` has passed is for who registers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledger.documents import chain_id_of, check, document_hash, new_document, parse_time, sha256_hex
from ledger.ecdsa import address_of, keccak256, recover_key, verify_digest
from ledger.errors import VerificationError
from ledger.schemas import admission as ADMISSION
from ledger.schemas import approval as APPROVAL
from ledger.trust import Trust

if TYPE_CHECKING:
    from ledger.keys import EthKey

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
COMMON = ("bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,"
          "uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy")
APPROVAL_TYPE = f"Approval({COMMON})"
CONSENT_TYPE = f"Consent({COMMON},address service)"
REVOCATION_TYPE = "Revocation(bytes32 grantId,bytes32 reasonHash,address decider)"
USE_TYPE = "Use(bytes32 grantId,bytes32 jobHash)"
RECORD_TYPE = "Record(bytes32 participantId,bytes32 recordHash,uint64 number,address decider)"
NO_SERVICE = "0x" + "00" * 20


@dataclass(frozen=True)
class Domain:
    """Which contract of which chain and space a signature is meant for."""

    name: str
    chain_id: int
    contract: str
    salt: str
    version: str = "1"

    def separator(self) -> bytes:
        return keccak256(keccak256(DOMAIN_TYPE.encode()) + keccak256(self.name.encode())
                         + keccak256(self.version.encode()) + _word(self.chain_id) + _word(self.contract)
                         + _word(self.salt))


def space_salt(space_id: str) -> str:
    """The EIP-712 salt of a space, given to its contracts when they are made."""
    return "0x" + sha256_hex(space_id.encode())


def domain_of(trust: Trust) -> Domain:
    """The domain of grants: approvals, consents, revocations, uses."""
    return Domain("Xinglin GrantRegistry", trust.chain.id, trust.chain.contracts["grants"].address,
                  space_salt(trust.space_id))


def participants_domain_of(trust: Trust) -> Domain:
    return Domain("Xinglin ParticipantRegistry", trust.chain.id, trust.chain.contracts["participants"].address,
                  space_salt(trust.space_id))


def _word(value: int | str) -> bytes:
    """One 32-byte word: integers, addresses and bytes32 all end up right-aligned and whole."""
    if isinstance(value, int):
        return value.to_bytes(32)
    raw = _hex(value)
    if len(raw) not in (20, 32):
        raise VerificationError("approval.form", "neither an address nor 32 bytes")
    return raw.rjust(32, b"\0")


def _hex(value: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except ValueError as trouble:
        raise VerificationError("approval.form", "not hexadecimal") from trouble


def digest(domain: Domain, type: str, *values: int | str) -> bytes:
    """The EIP-712 digest of a message whose fields are all one word."""
    struct = keccak256(keccak256(type.encode()) + b"".join(_word(value) for value in values))
    return keccak256(b"\x19\x01" + domain.separator() + struct)


def seconds(when: str) -> int:
    """A document's time as the chain knows it."""
    return int(parse_time(when).timestamp())


def grant_chain_id(terms: Mapping[str, Any]) -> str:
    return chain_id_of(terms["id"], terms["salt"])


def terms_digest(domain: Domain, terms: Mapping[str, Any], *, role: str, decider: str, nonce: str, sign_by: int,
                 service: str | None = None) -> bytes:
    """What the regulator (Approval) or the custodian (Consent) signs over grant terms."""
    values: list[int | str] = [
        grant_chain_id(terms), "0x" + document_hash(terms), terms["dataset_chain_id"], terms["purpose_hash"],
        terms["grantee_address"], decider, seconds(terms["not_before"]), seconds(terms["not_after"]),
        terms["max_uses"], nonce, sign_by]
    if role == "custodian":
        return digest(domain, CONSENT_TYPE, *values, service or NO_SERVICE)
    return digest(domain, APPROVAL_TYPE, *values)


def _signed_approval(terms: Mapping[str, Any], key: EthKey, *, domain: Domain, role: str, nonce: str, sign_by: int,
                     service: str | None) -> dict[str, Any]:
    check(dict(terms), "grant_terms")
    value = terms_digest(domain, terms, role=role, decider=key.address, nonce=nonce, sign_by=sign_by, service=service)
    approval = {"role": role, "decider": key.address, "nonce": nonce, "sign_by": sign_by, "service": service,
                "public_key": key.public, "signature": "0x" + key.sign_digest(value).hex()}
    APPROVAL(approval, "")
    return approval


def approve(terms: Mapping[str, Any], key: EthKey, *, domain: Domain, nonce: str, sign_by: int) -> dict[str, Any]:
    """The regulator's half of a grant."""
    return _signed_approval(terms, key, domain=domain, role="regulator", nonce=nonce, sign_by=sign_by, service=None)


def consent(terms: Mapping[str, Any], key: EthKey, *, service: str, domain: Domain, nonce: str,
            sign_by: int) -> dict[str, Any]:
    """The custodian's half; `service` is the address that may consume for it."""
    if key.address != terms["custodian_approver"]:
        raise VerificationError("approval.wrong_custodian", "the terms name another key for this custodian")
    return _signed_approval(terms, key, domain=domain, role="custodian", nonce=nonce, sign_by=sign_by,
                            service=service.lower())


def verify_approval(terms: Mapping[str, Any], approval: Mapping[str, Any], *, domain: Domain,
                    role: str | None = None) -> str:
    """The address that decided. Whether that address may decide is the caller's to know: the trust file says it of the
    regulator's, the terms (checked here) and a hospital's own configuration of the custodian's.
    """
    check(dict(terms), "grant_terms")
    APPROVAL(dict(approval), "")
    if role is not None and approval["role"] != role:
        raise VerificationError("approval.wrong_role", f"this is not the {role}'s signature")
    is_custodian = approval["role"] == "custodian"
    if is_custodian != (approval["service"] is not None):
        raise VerificationError("approval.service", "the custodian names a service key, the regulator none")
    if is_custodian and approval["decider"] != terms["custodian_approver"]:
        raise VerificationError("approval.wrong_custodian", "the terms name another key for this custodian")
    value = terms_digest(domain, terms, role=approval["role"], decider=approval["decider"], nonce=approval["nonce"],
                         sign_by=approval["sign_by"], service=approval["service"])
    _verify_digest(value, approval)
    return str(approval["decider"])


def _verify_digest(value: bytes, signature: Mapping[str, Any]) -> None:
    if address_of(signature["public_key"]) != signature["decider"]:
        raise VerificationError("approval.wrong_signer", "the key shown is not the decider's")
    try:
        verify_digest(value, bytes.fromhex(signature["signature"][2:]), signature["public_key"])
    except VerificationError as trouble:
        raise VerificationError(
            "approval.signature", "the signature is not the decider's, or not over this") from trouble


def reason_hash(reason: str, terms: Mapping[str, Any]) -> str:
    """A reason as the chain sees it, salted by the terms."""
    return "0x" + sha256_hex(b"xinglin/reason\n" + bytes.fromhex(terms["salt"]) + reason.encode())


def sign_revocation(terms: Mapping[str, Any], key: EthKey, *, by: str, reason: str, domain: Domain) -> dict[str, Any]:
    """A revocation by the regulator or the grant's custodian; final wherever it is seen."""
    hashed = reason_hash(reason, terms)
    value = digest(domain, REVOCATION_TYPE, grant_chain_id(terms), hashed, key.address)
    return new_document("revocation", grant=terms["id"], terms_hash=document_hash(terms), by=by, decider=key.address,
                        reason_hash=hashed, public_key=key.public, signature="0x" + key.sign_digest(value).hex())


def verify_revocation(terms: Mapping[str, Any], revocation: Mapping[str, Any], *, domain: Domain) -> str:
    """The address that revoked; as with approvals the caller knows whether the regulator's may."""
    check(dict(revocation), "revocation")
    if revocation["grant"] != terms["id"] or revocation["terms_hash"] != document_hash(terms):
        raise VerificationError("revocation.other_grant", "this revokes another grant")
    if revocation["by"] == "custodian" and revocation["decider"] != terms["custodian_approver"]:
        raise VerificationError("revocation.wrong_custodian", "the terms name another key for this custodian")
    value = digest(domain, REVOCATION_TYPE, grant_chain_id(terms), revocation["reason_hash"], revocation["decider"])
    _verify_digest(value, revocation)
    return str(revocation["decider"])


def sign_use(grant_chain_id: str, job_hash: str, key: EthKey, domain: Domain) -> str:
    """The service key's signature for one `consume`, 0x hex."""
    value = digest(domain, USE_TYPE, grant_chain_id, "0x" + job_hash.removeprefix("0x"))
    return "0x" + key.sign_digest(value).hex()


def verify_use(grant_chain_id: str, job_hash: str, signature: str, *, domain: Domain) -> str:
    """The address that signed this use."""
    value = digest(domain, USE_TYPE, grant_chain_id, "0x" + job_hash.removeprefix("0x"))
    return address_of(recover_key(value, _hex(signature)))


def sign_record(participant_chain_id: str, record_hash: str, number: int, key: EthKey,
                domain: Domain) -> dict[str, Any]:
    """The regulator's admission of a participant record, as ParticipantRegistry takes it."""
    value = digest(domain, RECORD_TYPE, participant_chain_id, "0x" + record_hash.removeprefix("0x"), number,
                   key.address)
    return {"decider": key.address, "number": number, "public_key": key.public,
            "signature": "0x" + key.sign_digest(value).hex()}


def verify_record(participant_chain_id: str, record_hash: str, admission: Mapping[str, Any], *,
                  domain: Domain) -> str:
    """The address that admitted this record; whether the trust file names it is the caller's to know."""
    ADMISSION(dict(admission), "")
    value = digest(domain, RECORD_TYPE, participant_chain_id, "0x" + record_hash.removeprefix("0x"),
                   admission["number"], admission["decider"])
    _verify_digest(value, admission)
    return str(admission["decider"])
