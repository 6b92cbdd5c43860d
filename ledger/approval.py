"""EIP-712: the 32 bytes that a regulator, a custodian and a service key sign, and that contract and nodes verify.

Each slot has a message type of its own and each message names who speaks, so one signature never fills two; Approval
also names the custodian who may consent, Consent the service key that may consume. Two schemes sign the same 32 bytes:
secp256k1 from a key file, and a passkey, whose assertion the signer's PasskeyAccount takes (`ledger.passkey`) and whose
keys the caller must know.
No clock here: whether `sign_by` has passed is for who registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ledger import ecdsa
from ledger.documents import chain_id_of, check, document_hash, new_document, parse_time, sha256_hex
from ledger.ecdsa import address_of, keccak256, recover_key
from ledger.errors import VerificationError
from ledger.passkey import Assertion, check_one_of
from ledger.schemas import admission as ADMISSION
from ledger.schemas import approval as APPROVAL
from ledger.schemas import cancellation as CANCELLATION
from ledger.schemas import suspension as SUSPENSION
from ledger.schemas import veto as VETO
from ledger.trust import Trust

if TYPE_CHECKING:
    from ledger.keys import EthKey

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
COMMON = ("bytes32 grantId,bytes32 termsHash,bytes32 datasetId,bytes32 purpose,address grantee,address decider,"
          "uint48 notBefore,uint48 notAfter,uint32 maxUses,bytes32 nonce,uint48 signBy")
APPROVAL_TYPE = f"Approval({COMMON},address custodian)"
CONSENT_TYPE = f"Consent({COMMON},address service)"
REVOCATION_TYPE = "Revocation(bytes32 grantId,bytes32 reasonHash,address decider)"
USE_TYPE = "Use(bytes32 grantId,bytes32 jobHash)"
CANCELLATION_TYPE = "Cancellation(bytes32 grantId,bytes32 nonce,address decider)"
GRANT_SUSPENSION_TYPE = "Suspension(bytes32 grantId,bool suspended,uint64 number,address decider)"
PARTICIPANT_SUSPENSION_TYPE = "Suspension(bytes32 participantId,bool suspended,uint64 number,address decider)"
CONTENT = "bytes32 participantId,bytes32 recordHash,uint64 number,address controller"
RECORD_TYPE = f"Record({CONTENT},uint48 signBy,address decider)"
PROPOSAL_TYPE = f"Proposal({CONTENT},uint48 signBy,address decider)"
VETO_TYPE = f"Veto({CONTENT},address decider)"
GRANTS_NAME, PARTICIPANTS_NAME = "Xinglin GrantRegistry", "Xinglin ParticipantRegistry"
NO_SERVICE = "0x" + "00" * 20

Passkeys = Mapping[str, Sequence[Mapping[str, Any]]]
"""Of each PasskeyAccount, by its address: the keys in it, as a participant record or the trust file names them."""
NO_PASSKEYS: Passkeys = MappingProxyType({})


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
    return Domain(GRANTS_NAME, trust.chain.id, trust.chain.contracts["grants"].address,
                  space_salt(trust.space_id))


def participants_domain_of(trust: Trust) -> Domain:
    return Domain(PARTICIPANTS_NAME, trust.chain.id, trust.chain.contracts["participants"].address,
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
    return digest(domain, APPROVAL_TYPE, *values, terms["custodian_approver"])


def _signed_approval(terms: Mapping[str, Any], key: EthKey, *, domain: Domain, role: str, nonce: str, sign_by: int,
                     service: str | None) -> dict[str, Any]:
    check(dict(terms), "grant_terms")
    value = terms_digest(domain, terms, role=role, decider=key.address, nonce=nonce, sign_by=sign_by, service=service)
    approval = {"role": role, "nonce": nonce, "sign_by": sign_by, "service": service, **signed_by(key, value)}
    APPROVAL(approval, "")
    return approval


def signed_by(key: EthKey, value: bytes) -> dict[str, Any]:
    """A secp256k1 signature over a digest, with who made it."""
    return {"decider": key.address, "scheme": "secp256k1", "public_key": key.public,
            "signature": "0x" + key.sign_digest(value).hex()}


def signed_by_passkey(account: str, assertion: Assertion) -> dict[str, Any]:
    """A passkey's assertion over a digest in which `account`, the person's PasskeyAccount, is the decider."""
    return {"decider": account, "scheme": "passkey", "public_key": assertion.public_key,
            "signature": "0x" + assertion.encode().hex()}


def approval_by_passkey(terms: Mapping[str, Any], account: str, assertion: Assertion, *, role: str, nonce: str,
                        sign_by: int, service: str | None = None) -> dict[str, Any]:
    """Either half of a grant, given on a page over `terms_digest` of the same values. Verify it before it is sent."""
    check(dict(terms), "grant_terms")
    approval = {"role": role, "nonce": nonce, "sign_by": sign_by, "service": service,
                **signed_by_passkey(account, assertion)}
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
                    role: str | None = None, passkeys: Passkeys = NO_PASSKEYS) -> str:
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
    verify_digest(value, approval, passkeys)
    return str(approval["decider"])


def verify_digest(value: bytes, signature: Mapping[str, Any], passkeys: Passkeys = NO_PASSKEYS) -> None:
    """That the decider named beside this signature made it over these 32 bytes, by the scheme it names.

    A passkey says nothing without its account's keys: an account that is not in `passkeys` is a stranger's.
    """
    raw = bytes.fromhex(signature["signature"][2:])
    if signature["scheme"] == "passkey":
        if signature["decider"] not in passkeys:
            raise VerificationError("approval.wrong_signer", "the keys of this account are not known here")
        assertion = Assertion.decode(raw)
        if assertion.public_key != signature["public_key"]:
            raise VerificationError("approval.wrong_signer", "the key shown is not the one that signed")
        check_one_of(assertion, passkeys[signature["decider"]], challenge=value)
        return
    if signature["decider"] in passkeys or address_of(signature["public_key"]) != signature["decider"]:
        raise VerificationError("approval.wrong_signer", "the key shown is not the decider's")
    try:
        ecdsa.verify_digest(value, raw, signature["public_key"])
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
    return new_document("revocation", grant=terms["id"], terms_hash=document_hash(terms), by=by,
                        reason_hash=hashed, **signed_by(key, value))


def verify_revocation(terms: Mapping[str, Any], revocation: Mapping[str, Any], *, domain: Domain,
                      passkeys: Passkeys = NO_PASSKEYS) -> str:
    """The address that revoked; as with approvals the caller knows whether the regulator's may."""
    check(dict(revocation), "revocation")
    if revocation["grant"] != terms["id"] or revocation["terms_hash"] != document_hash(terms):
        raise VerificationError("revocation.other_grant", "this revokes another grant")
    if revocation["by"] == "custodian" and revocation["decider"] != terms["custodian_approver"]:
        raise VerificationError("revocation.wrong_custodian", "the terms name another key for this custodian")
    value = digest(domain, REVOCATION_TYPE, grant_chain_id(terms), revocation["reason_hash"], revocation["decider"])
    verify_digest(value, revocation, passkeys)
    return str(revocation["decider"])


def sign_use(grant_chain_id: str, job_hash: str, key: EthKey, domain: Domain) -> str:
    """The service key's signature for one `consume`, 0x hex."""
    value = digest(domain, USE_TYPE, grant_chain_id, "0x" + job_hash.removeprefix("0x"))
    return "0x" + key.sign_digest(value).hex()


def verify_use(grant_chain_id: str, job_hash: str, signature: str, *, domain: Domain) -> str:
    """The address that signed this use."""
    value = digest(domain, USE_TYPE, grant_chain_id, "0x" + job_hash.removeprefix("0x"))
    return address_of(recover_key(value, _hex(signature)))


def sign_cancellation(terms: Mapping[str, Any], nonce: str, key: EthKey, domain: Domain) -> dict[str, Any]:
    """The decider takes back an approval or consent of its own, by its nonce, that nobody has registered yet."""
    value = digest(domain, CANCELLATION_TYPE, grant_chain_id(terms), nonce, key.address)
    return {"nonce": nonce, **signed_by(key, value)}


def verify_cancellation(terms: Mapping[str, Any], cancellation: Mapping[str, Any], *, domain: Domain,
                        passkeys: Passkeys = NO_PASSKEYS) -> str:
    """The address that takes its own approval back: it can be nobody else's."""
    CANCELLATION(dict(cancellation), "")
    value = digest(domain, CANCELLATION_TYPE, grant_chain_id(terms), cancellation["nonce"], cancellation["decider"])
    verify_digest(value, cancellation, passkeys)
    return str(cancellation["decider"])


def sign_suspension(subject: str, suspended: bool, number: int, key: EthKey, domain: Domain) -> dict[str, Any]:
    """Hold a grant or a participant (its id on chain; the domain says which), or let it go on.

    Numbers rise, and none may lie more than a day ahead: the signer's clock in milliseconds.
    """
    value = digest(domain, _suspension_type(domain), subject, int(suspended), number, key.address)
    return {"suspended": suspended, "number": number, **signed_by(key, value)}


def verify_suspension(subject: str, suspension: Mapping[str, Any], *, domain: Domain,
                      passkeys: Passkeys = NO_PASSKEYS) -> str:
    """The address that suspends or lets go on; whether it may is the caller's to know."""
    SUSPENSION(dict(suspension), "")
    value = digest(domain, _suspension_type(domain), subject, int(suspension["suspended"]), suspension["number"],
                   suspension["decider"])
    verify_digest(value, suspension, passkeys)
    return str(suspension["decider"])


def latest_number(now: float) -> int:
    """The highest number of a suspension that is taken at this time (Unix seconds), as in the contracts: else a stolen
    key would use the numbers up."""
    return int(now + 86_400) * 1000


def _suspension_type(domain: Domain) -> str:
    return GRANT_SUSPENSION_TYPE if domain.name == GRANTS_NAME else PARTICIPANT_SUSPENSION_TYPE


def sign_record(participant: str, record_hash: str, number: int, key: EthKey, domain: Domain, *, controller: str,
                sign_by: int, type: str = RECORD_TYPE) -> dict[str, Any]:
    """A regulator's admission of a participant record, as ParticipantRegistry takes it until `sign_by` (Unix seconds);
    `participant`: its id on chain. With PROPOSAL_TYPE to replace a record whose holder's key is lost.
    """
    value = digest(domain, type, participant, _hex32(record_hash), number, controller, sign_by, key.address)
    return {"number": number, "sign_by": sign_by, **signed_by(key, value)}


def verify_record(participant: str, record_hash: str, admission: Mapping[str, Any], *, domain: Domain,
                  controller: str, type: str = RECORD_TYPE, passkeys: Passkeys = NO_PASSKEYS) -> str:
    """The address that admitted (proposed) this record; whether it may is the caller's to know."""
    ADMISSION(dict(admission), "")
    value = digest(domain, type, participant, _hex32(record_hash), admission["number"], controller,
                   admission["sign_by"], admission["decider"])
    verify_digest(value, admission, passkeys)
    return str(admission["decider"])


def sign_veto(participant: str, record_hash: str, number: int, key: EthKey, domain: Domain, *,
              controller: str) -> dict[str, Any]:
    """Against a proposal, which these values name: by the holder, or by any regulator."""
    value = digest(domain, VETO_TYPE, participant, _hex32(record_hash), number, controller, key.address)
    return {"number": number, **signed_by(key, value)}


def verify_veto(participant: str, record_hash: str, veto: Mapping[str, Any], *, domain: Domain, controller: str,
                passkeys: Passkeys = NO_PASSKEYS) -> str:
    """The address that vetoed this proposal; whether it may is the caller's to know."""
    VETO(dict(veto), "")
    value = digest(domain, VETO_TYPE, participant, _hex32(record_hash), veto["number"], controller, veto["decider"])
    verify_digest(value, veto, passkeys)
    return str(veto["decider"])


def _hex32(value: str) -> str:
    return "0x" + value.removeprefix("0x")
