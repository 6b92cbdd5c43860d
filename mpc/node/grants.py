"""The grants among a job's papers: whole, those of the spec, over this job, approved by both sides, in time.

Pure, as all of `papers.py`, whose part this is: what the chain or the book says of a grant is asked in `checks.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.approval import Domain, Passkeys, domain_of, verify_approval
from ledger.documents import chain_id_of, check, document_hash, parse_time
from ledger.errors import DocumentError, LedgerError
from ledger.participant import passkeys_of
from ledger.trust import Trust
from mpc.filters import columns_of
from mpc.node.errors import Refused

Document = dict[str, Any]


@dataclass(frozen=True)
class Grant:
    """One grant's terms with both approvals, and its id on chain."""

    terms: Document
    approval: Document
    consent: Document
    chain_id: str

    @property
    def id(self) -> str:
        """The grant's UUID."""
        return str(self.terms["id"])


def read_grant(papers: Any) -> Grant:
    try:
        terms, approval, consent = papers["terms"], papers["approval"], papers["consent"]
        check(terms, "grant_terms")
    except (DocumentError, KeyError, TypeError) as error:
        raise Refused("grant.terms_mismatch", "a grant's terms are malformed or incomplete") from error
    if approval is None or consent is None:
        raise Refused("grant.approval_invalid", "an approval of a grant is missing", "custodian")
    return Grant(terms, approval, consent, chain_id_of(terms["id"], terms["salt"]))


def check_named(spec: Document, grants: Sequence[Grant]) -> None:
    """The papers are exactly the grants of the spec, in its order, one for each input."""
    if [grant.id for grant in grants] != [named["id"] for named in spec["grants"]]:
        raise Refused("grant.terms_mismatch", "the grants shown are not those of the spec")
    if len(grants) != len(spec["inputs"]):
        raise Refused("spec.roster_mismatch", "there is not one grant for each input")
    for grant, named, source in zip(grants, spec["grants"], spec["inputs"], strict=True):
        terms = grant.terms
        if document_hash(terms) != named["terms_hash"]:
            raise Refused("grant.terms_mismatch", "a grant's terms are not those that the spec names")
        if not terms["dataset"] == named["dataset"] == source["dataset"]:
            raise Refused("grant.wrong_dataset", "a grant is for another dataset than the input it stands for")
        if terms["dataset_hash"] != source["dataset_hash"]:
            raise Refused("grant.wrong_dataset", "a grant is for another version of the dataset")
        if terms["custodian"] != source["provider"]:
            raise Refused("grant.wrong_custodian", "a grant names another custodian than the input's provider")


def check_terms(grant: Grant, spec: Document, consumer: Document, trust: Trust) -> None:
    """This grant covers this job."""
    terms, function = grant.terms, spec["function"]
    if [(one["dataset"], one["provider"]) for one in terms["roster"]] != [
        (one["dataset"], one["provider"]) for one in spec["inputs"]
    ]:
        raise Refused("spec.roster_mismatch", "the inputs are not exactly the roster that was granted")
    if terms["space_id"] != trust.space_id or terms["dealer"] != trust.dealer.participant:
        raise Refused("grant.outside_scope", "a grant is of another space or names another dealer")
    if terms["grantee"] != consumer["id"]:  # the address on chain is of the keys it had when it was granted
        raise Refused("grant.outside_scope", "a grant is for another grantee")
    covered = [one for one in terms["functions"] if (one["name"], one["version"]) == (
        function["name"], function["version"])]
    if not covered:
        raise Refused("grant.outside_scope", "a grant does not cover this function")
    if covered[0]["digest"] != function["digest"]:
        raise Refused("spec.function_digest", "the function granted has another digest")
    if not columns_of(spec["filter"]) <= set(terms.get("filter_columns", ())):
        raise Refused("grant.outside_scope", "a grant does not allow filters on these columns")


def check_approvals(grant: Grant, records: Mapping[str, Document], trust: Trust) -> None:
    terms, domain = grant.terms, domain_of(trust)
    approvers = {address.lower() for address in trust.regulator.approvers}
    custodian = records[terms["custodian"]]
    passkeys = {**passkeys_of(custodian), **trust.regulator.passkeys}  # no record says what the regulator's keys are
    if _signer(terms, grant.approval, "regulator", domain, passkeys) not in approvers:
        raise Refused("grant.approval_invalid", "a grant's approval is not by an approver of the trust file")
    addresses = {key["address"].lower() for key in custodian["keys"]["approval"]}
    signer = _signer(terms, grant.consent, "custodian", domain, passkeys)
    if signer != terms["custodian_approver"] or signer not in addresses:
        raise Refused("grant.wrong_custodian", "a grant's consent is not by that dataset's custodian", "custodian")


def _signer(terms: Document, approval: Document, role: str, domain: Domain, passkeys: Passkeys) -> str:
    if not isinstance(approval, dict) or approval.get("role") != role:
        raise Refused("grant.approval_invalid", f"a grant's {role} slot holds something else")
    try:
        return verify_approval(terms, approval, domain=domain, role=role, passkeys=passkeys)
    except LedgerError as error:
        if error.code == "approval.wrong_custodian":
            raise Refused("grant.wrong_custodian", "a grant's consent is by another custodian", "custodian") from error
        raise Refused("grant.approval_invalid", f"a grant's signature of the {role} is wrong") from error


def check_one_scenario(grants: Sequence[Grant]) -> None:
    same = ("scenario", "scenario_hash", "purpose_hash", "roster", "grantee", "functions", "filter_columns")
    first = grants[0].terms
    if any(grant.terms.get(name) != first.get(name) for grant in grants for name in same):
        raise Refused("grant.outside_scope", "the grants are not of one scenario")


def check_period(grant: Grant, now: datetime) -> None:
    if now < parse_time(grant.terms["not_before"]):
        raise Refused("grant.not_yet", "a grant does not hold yet, by this node's clock")
    if now >= parse_time(grant.terms["not_after"]):
        raise Refused("grant.expired", "a grant is over, by this node's clock")
