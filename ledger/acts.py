"""What the people of an office, a hospital or an enterprise do, through a Door: apply, admit, offer, decide, consent.

Shared by the node's command line and the SDK. Every act verifies what it is about to sign, down to signatures under
the regulator's key of the trust file; what the portal merely says is never signed. No HTTP here, no storage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from ledger.approval import (
    approve,
    consent,
    domain_of,
    grant_chain_id,
    sign_cancellation,
    sign_revocation,
    sign_suspension,
    verify_approval,
)
from ledger.documents import (
    Document,
    chain_id_of,
    check,
    document_hash,
    new_document,
    new_id,
    new_salt,
    purpose_hash,
    read_signed,
    signed,
    verify_signed,
)
from ledger.errors import VerificationError
from ledger.keys import EthKey, KeyFile
from ledger.membership import (
    CheckedDoor,
    DoorLike,
    NumberReader,
    admit,
    delivered,
    enrol,
    fingerprint_of,
    finish,
    named,
    next_number,
    participant_of,
    propose,
    recover,
    regulator_approver,
    rotate,
    suspend_participant,
    veto,
)
from ledger.trust import Trust

__all__ = [
    "AUTHORS", "CheckedDoor", "DoorLike", "address_of_grantee", "admit", "apply_scenario", "cancel_approval",
    "check_datasets", "confirm_product", "consent_grant", "dataset_of", "decide_listing", "decide_scenario", "enrol",
    "fingerprint_of", "finish", "offer_product", "participant_of", "product_of", "propose", "recover", "references",
    "register_dataset", "resume_grant", "revoke_grant", "roster_of", "rotate", "scenario_of", "submit_product",
    "suspend_grant", "suspend_participant", "terms_for", "verify_regulator_approval", "verify_terms", "veto",
]

SIGN_WITHIN = timedelta(hours=24)
NO_ADDRESS = "0x" + "00" * 20
# What terms take over from their scenario as it stands; filter_columns only where the scenario names any.
SCOPE = ("floor", "by_institution", "max_uses", "not_before", "not_after", "filter_columns")
AUTHORS: Mapping[str, tuple[str, frozenset[str]]] = MappingProxyType({
    "dataset": ("provider", frozenset({"provider"})), "product": ("lead", frozenset({"provider", "service_firm"})),
    "scenario": ("consumer", frozenset({"consumer", "service_firm"})),
})
"""Which field of a document names who must have signed it, and what that one must be admitted as."""


# -- reading, with every signature verified ------------------------------------------------------------------------

def dataset_of(door: DoorLike, trust: Trust, dataset: str, *, hash: str | None = None) -> Document:
    """A dataset's record under its provider's signature: the current one, or that of this hash."""
    wire = door.get(f"/datasets/{dataset}", {"hash": hash} if hash else None)["record"]
    return named(_by(door, trust, wire, "dataset"), "id", dataset)


def product_of(door: DoorLike, trust: Trust, product: str, *, current: bool = True) -> Document:
    """A product under its lead's signature, each of its datasets as it says and (where `current`) as it is by now."""
    wire = door.get(f"/products/{product}")["document"]
    document = named(_by(door, trust, wire, "product"), "id", product)
    check_datasets(door, trust, document["datasets"], current=current)
    return document


def scenario_of(door: DoorLike, trust: Trust, scenario: str) -> Document:
    """A scenario under its consumer's signature, each of its datasets as it says and as it is by now."""
    wire = door.get(f"/scenarios/{scenario}")["document"]
    document = named(_by(door, trust, wire, "scenario"), "id", scenario)
    check_datasets(door, trust, document["datasets"])
    return document


def check_datasets(door: DoorLike, trust: Trust, references: Sequence[Mapping[str, str]], *,
                   current: bool = True) -> list[Document]:
    """The records behind the references, in their order; hash and provider must be those referred to.

    What is decided anew is about `current` records; under a grant an earlier version may be meant.
    """
    found = []
    for reference in references:
        record = dataset_of(door, trust, reference["id"], hash=None if current else reference["hash"])
        if document_hash(record) != reference["hash"] or record["provider"] != reference["provider"]:
            raise VerificationError("dataset.changed", f"dataset {reference['id']} is not the one referred to")
        found.append(record)
    return found


def _by(door: DoorLike, trust: Trust, wire: object, type: str) -> Document:
    """A document under its author's signature, if the regulator admitted the author as one who may write such."""
    field, roles = AUTHORS[type]
    author = participant_of(door, trust, read_signed(wire, type)[field])
    if not roles & set(author["admitted_as"]):
        raise VerificationError("participant.wrong_role", f"the {field} of this {type} is not admitted as such")
    return verify_signed(wire, type=type, keys=[author["keys"]["signing"]])


# -- datasets and products -----------------------------------------------------------------------------------------

def register_dataset(door: DoorLike, keys: KeyFile, *, name: str, title: Mapping[str, str],
                     columns: Sequence[Mapping[str, Any]], rows_max: int, fingerprint: str,
                     one_person_per_row: bool = False, former: Mapping[str, Any] | None = None) -> Document:
    """Describe a dataset to the space, or (after `former`) a later version of one; of its rows only the keyed
    fingerprint goes along. Grants over the former version go on naming that one. Without an identifier column it is
    the custodian's word that no person has two rows, for everybody to read."""
    said = {"one_person_per_row": True} if one_person_per_row else {}
    same = {"id": former["id"], "id_salt": former["id_salt"], "number": former["number"] + 1} if former else {
        "id": new_id(), "number": 1}
    record = new_document("dataset", provider=keys.participant, name=name, title=dict(title),
                          columns=[dict(one) for one in columns], rows_max=rows_max, fingerprint=fingerprint,
                          **said, **same)
    wire = signed(record, keys.signing)
    door.post("/datasets", {"record": wire})
    return wire


def references(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Dataset records as products and scenarios refer to them."""
    return sorted(({"id": one["id"], "provider": one["provider"], "hash": document_hash(one)} for one in records),
                  key=lambda one: one["id"])


def offer_product(door: DoorLike, keys: KeyFile, trust: Trust, *, title: Mapping[str, str],
                  summary: Mapping[str, str], dataset_ids: Sequence[str], functions: Sequence[str],
                  price: Mapping[str, Any]) -> Document:
    """Draft a product as its lead, over datasets of one's own and of others, who must then confirm."""
    records = [dataset_of(door, trust, one) for one in dataset_ids]
    document = new_document("product", id=new_id(), title=dict(title), summary=dict(summary), lead=keys.participant,
                            datasets=references(records), functions=list(functions), price=dict(price))
    wire = signed(document, keys.signing)
    door.post("/products", {"document": wire})
    return wire


def confirm_product(door: DoorLike, keys: KeyFile, trust: Trust, product_id: str) -> Document:
    """A provider agrees that its dataset is sold in this product."""
    product = product_of(door, trust, product_id)
    if keys.participant not in [one["provider"] for one in product["datasets"]]:
        raise VerificationError("product.not_a_provider", "no dataset of this organisation is in the product")
    wire = signed(new_document("product_confirmation", product=product_id, product_hash=document_hash(product),
                               participant=keys.participant), keys.signing)
    door.post(f"/products/{product_id}/confirmations", {"confirmation": wire})
    return wire


def submit_product(door: DoorLike, product_id: str) -> Any:
    """The lead hands the product to the regulator, once all have confirmed."""
    return door.post(f"/products/{product_id}/submission", {})


def decide_listing(door: DoorLike, office_keys: KeyFile, trust: Trust, product_id: str, *, decision: str = "list",
                   note: str = "") -> Document:
    """The regulator lists, delists or returns a product."""
    product = product_of(door, trust, product_id)
    wire = signed(new_document("product_listing", product=product_id, product_hash=document_hash(product),
                               participant=office_keys.participant, decision=decision, note=note),
                  office_keys.signing)
    door.post(f"/products/{product_id}/listing", {"decision": wire})
    return wire


# -- scenarios and grants ------------------------------------------------------------------------------------------

def apply_scenario(door: DoorLike, keys: KeyFile, trust: Trust, *, title: Mapping[str, str], purpose: str,
                   functions: Sequence[str], floor: int, dataset_ids: Sequence[str], not_before: str, not_after: str,
                   max_uses: int, by_institution: bool = False, persons: Sequence[str] = (),
                   filter_columns: Sequence[str] = ()) -> Document:
    """A consumer applies: what for, with which functions (`describe@1`), on exactly which datasets together."""
    records = [dataset_of(door, trust, one) for one in dataset_ids]
    named = sorted((one.split("@") for one in functions), key=lambda one: one[0])
    document = new_document(
        "scenario", id=new_id(), title=dict(title), purpose=purpose, consumer=keys.participant,
        functions=[{"name": name, "version": int(version)} for name, version in named], floor=floor,
        by_institution=by_institution, max_uses=max_uses, not_before=not_before, not_after=not_after,
        datasets=references(records), persons=list(persons),
        **({"filter_columns": sorted(filter_columns)} if filter_columns else {}))
    wire = signed(document, keys.signing)
    door.post("/scenarios", {"document": wire})
    door.post(f"/scenarios/{document['id']}/submission", {})
    return wire


def terms_for(scenario: Mapping[str, Any], dataset: Mapping[str, Any], *, provider: Mapping[str, Any],
              consumer: Mapping[str, Any], digests: Mapping[str, str], trust: Trust) -> Document:
    """The terms of one dataset's grant; `provider` and `consumer` are verified records, `digests` the catalogue's."""
    if not provider["keys"]["approval"]:
        raise VerificationError("grant.no_approver", f"{provider['id']} has no approval key to consent with")
    if scenario["consumer"] in [one["provider"] for one in scenario["datasets"]]:
        raise VerificationError("grant.own_data", "the consumer is one of the providers")
    wanted = [f"{one['name']}@{one['version']}" for one in scenario["functions"]]
    if unknown := [one for one in wanted if one not in digests]:
        raise VerificationError("grant.unknown_function", f"the catalogue has no {', '.join(unknown)}")
    return new_document(
        "grant_terms", id=new_id(), space_id=trust.space_id, scenario=scenario["id"],
        scenario_hash=document_hash(scenario), dataset=dataset["id"], dataset_hash=document_hash(dataset),
        dataset_chain_id=chain_id_of(dataset["id"], dataset["id_salt"]), custodian=dataset["provider"],
        custodian_approver=provider["keys"]["approval"][0]["address"], roster=roster_of(scenario),
        dealer=trust.dealer.participant, grantee=scenario["consumer"], grantee_address=address_of_grantee(consumer),
        purpose_hash=purpose_hash(scenario["purpose"], scenario["salt"]),
        functions=[{**one, "digest": digests[key]} for one, key in zip(scenario["functions"], wanted, strict=True)],
        **{name: scenario[name] for name in SCOPE if name in scenario})


def roster_of(scenario: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"dataset": one["id"], "provider": one["provider"]} for one in scenario["datasets"]]


def address_of_grantee(consumer: Mapping[str, Any]) -> str:
    """How the grantee appears on chain: its approver's address, else its service key's, else nothing."""
    held = [one["address"] for one in consumer["keys"]["approval"]]
    return str((held or [consumer["keys"]["service"]])[0] or NO_ADDRESS)


def decide_scenario(door: DoorLike, office_keys: KeyFile, trust: Trust, scenario_id: str, *,
                    decision: str = "approve", note: str = "", digests: Mapping[str, str] | None = None,
                    approver: EthKey | None = None) -> Document:
    """The regulator decides; approving signs the terms of one grant for each dataset. Answers what was posted."""
    scenario = scenario_of(door, trust, scenario_id)
    body: Document = {"decision": signed(new_document(
        "scenario_decision", scenario=scenario_id, scenario_hash=document_hash(scenario), decision=decision,
        note=note, participant=office_keys.participant), office_keys.signing)}
    if decision == "approve":
        key = regulator_approver(office_keys, approver, trust)
        consumer = participant_of(door, trust, scenario["consumer"])
        body["grants"] = []
        for dataset in check_datasets(door, trust, scenario["datasets"]):
            provider = participant_of(door, trust, dataset["provider"])
            terms = terms_for(scenario, dataset, provider=provider, consumer=consumer, digests=digests or {},
                              trust=trust)
            approval = approve(terms, key, domain=domain_of(trust), nonce="0x" + new_salt(), sign_by=_sign_by())
            body["grants"].append({"terms": terms, "approval": approval})
    door.post(f"/scenarios/{scenario_id}/decision", body)
    return body


def _sign_by() -> int:
    return int((datetime.now(UTC) + SIGN_WITHIN).timestamp())


def verify_terms(terms: Mapping[str, Any], scenario: Mapping[str, Any], trust: Trust) -> None:
    """That grant terms say no more and nothing else than the scenario they were made from."""
    check(dict(terms), "grant_terms")
    functions = [{"name": one["name"], "version": one["version"]} for one in terms["functions"]]
    holds = (terms["scenario"] == scenario["id"] and terms["scenario_hash"] == document_hash(scenario)
             and terms["space_id"] == trust.space_id and terms["dealer"] == trust.dealer.participant
             and terms["grantee"] == scenario["consumer"] and terms["roster"] == roster_of(scenario)
             and terms["grantee"] not in [one["provider"] for one in terms["roster"]]
             and terms["purpose_hash"] == purpose_hash(scenario["purpose"], scenario["salt"])
             and functions == scenario["functions"] and all(terms.get(name) == scenario.get(name) for name in SCOPE)
             and {"id": terms["dataset"], "provider": terms["custodian"], "hash": terms["dataset_hash"]}
             in scenario["datasets"])
    if not holds:
        raise VerificationError("grant.terms_mismatch", "the terms are not those of the scenario")


def verify_regulator_approval(terms: Mapping[str, Any], approval: Mapping[str, Any], trust: Trust) -> str:
    """The regulator's approval, by an approver of the trust file."""
    decider = verify_approval(terms, approval, domain=domain_of(trust), role="regulator",
                              passkeys=trust.regulator.passkeys)
    if decider not in trust.regulator.approvers:
        raise VerificationError("grant.approval_invalid", "the trust file names no such approver of the regulator")
    return decider


def consent_grant(door: DoorLike, trust: Trust, grant_id: str, *, approver: EthKey, service: str,
                  dataset: Mapping[str, Any] | None = None) -> Document:
    """The custodian consents with its own key and names its node's service key; answers {terms, approval, consent}.

    `dataset` is the custodian's own copy of the record; without it the portal's, under the own signature, is used.
    """
    grant = door.get(f"/grants/{grant_id}")
    terms, approval = grant["terms"], grant["approval"]
    check(terms, "grant_terms")
    if terms["id"] != grant_id or terms["custodian"] != door.participant:
        raise VerificationError("grant.wrong_custodian", "this grant asks somebody else's consent")
    verify_terms(terms, scenario_of(door, trust, terms["scenario"]), trust)
    verify_regulator_approval(terms, approval, trust)
    own = dataset or dataset_of(door, trust, terms["dataset"])
    if (document_hash(own), chain_id_of(own["id"], own["id_salt"])) != (terms["dataset_hash"],
                                                                       terms["dataset_chain_id"]):
        raise VerificationError("grant.wrong_dataset", "the terms are about another dataset")
    given = consent(terms, approver, service=service, domain=domain_of(trust), nonce="0x" + new_salt(),
                    sign_by=_sign_by())
    door.post(f"/grants/{grant_id}/consent", {"consent": given})
    return {"terms": terms, "approval": approval, "consent": given}


def revoke_grant(door: DoorLike, trust: Trust, grant_id: str, *, approver: EthKey, reason: str,
                 terms: Mapping[str, Any] | None = None) -> Document:
    """Revoke as the regulator or as the grant's custodian, whichever the key is.

    Answers {terms, revocation, delivered}: it is final wherever it is seen, so the caller hands it on also when the
    portal refused it or could not be asked. With `terms` at hand the portal need not be asked for them.
    """
    known, by = _own_terms(door, trust, grant_id, approver, terms)
    revocation = sign_revocation(known, approver, by=by, reason=reason, domain=domain_of(trust))
    return {"terms": known, "revocation": revocation,
            "delivered": delivered(door, f"/grants/{grant_id}/revocation", {"revocation": revocation})}


def suspend_grant(door: DoorLike, trust: Trust, grant_id: str, *, approver: EthKey, suspended: bool = True,
                  terms: Mapping[str, Any] | None = None, chain: NumberReader | None = None) -> Document:
    """Hold a registered grant, or let go of it again, as the regulator or as its custodian, whichever the key is.

    It is suspended while either side holds it. Answers {terms, suspension, delivered}; like a revocation it may be
    handed to the chain without the portal.
    """
    known, by = _own_terms(door, trust, grant_id, approver, terms)
    subject, custodian = grant_chain_id(known), by == "custodian"
    number = next_number(lambda: chain.grant_suspensions(subject, by_custodian=custodian) if chain else 0)
    suspension = sign_suspension(subject, suspended, number, approver, domain_of(trust))
    return {"terms": known, "suspension": suspension,
            "delivered": delivered(door, f"/grants/{grant_id}/suspension", {"suspension": suspension})}


def resume_grant(door: DoorLike, trust: Trust, grant_id: str, *, approver: EthKey,
                 terms: Mapping[str, Any] | None = None) -> Document:
    """Let go of a grant that this side suspended."""
    return suspend_grant(door, trust, grant_id, approver=approver, suspended=False, terms=terms)


def cancel_approval(door: DoorLike, trust: Trust, grant_id: str, *, approver: EthKey) -> Document:
    """Take back one's own approval or consent that is not registered yet: nobody can ever use it."""
    grant = door.get(f"/grants/{grant_id}")
    terms, by = _own_terms(door, trust, grant_id, approver, grant["terms"])
    mine = grant["approval"] if by == "regulator" else grant["consent"]
    if mine is None or mine["decider"] != approver.address:
        raise VerificationError("approval.missing", "this key signed nothing that could be taken back")
    cancellation = sign_cancellation(terms, mine["nonce"], approver, domain_of(trust))
    door.post(f"/grants/{grant_id}/cancellation", {"cancellation": cancellation})
    return {"terms": terms, "cancellation": cancellation}


def _own_terms(door: DoorLike, trust: Trust, grant_id: str, approver: EthKey,
               terms: Mapping[str, Any] | None) -> tuple[Document, str]:
    """The terms, and for which side this key speaks: `regulator` or `custodian`."""
    known = dict(terms) if terms else door.get(f"/grants/{grant_id}")["terms"]
    check(known, "grant_terms")
    named(known, "id", grant_id)
    if approver.address in trust.regulator.approvers:
        return known, "regulator"
    if approver.address == known["custodian_approver"]:
        return known, "custodian"
    raise VerificationError("key.wrong_role", "neither the regulator's nor this custodian's approval key")
