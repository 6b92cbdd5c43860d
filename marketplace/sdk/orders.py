"""Builds what an order needs from verified documents: which grants carry it, the agreement, the job spec.

The portal is never asked for a key, a hash or a roster: these come from records and grants that were verified, and the
dealer from the trust file. Pure but for the clock and randomness that come in as arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ledger.documents import document_hash, new_document, timestamp
from ledger.trust import Trust
from marketplace.sdk.client import our_errors
from marketplace.sdk.errors import Refused
from marketplace.sdk.fn import Call
from marketplace.sdk.records import Document
from marketplace.sdk.types import Dataset, Grant, Product, Scenario
from mpc.filters import columns_of
from mpc.spec import ENGINE, check_engine, check_roster

DEADLINE = timedelta(minutes=15)
ACTIVE = "active"


def choose_grants(grants: Iterable[Grant], product: Product, call: Call, *, grantee: str, now: datetime,
                  scenario: str | None = None) -> list[Grant]:
    """The active grants of one scenario that cover exactly the product's datasets and this function.

    Of several scenarios the one that ends last is taken; grants come sorted by dataset.
    """
    by_scenario: dict[str, list[Grant]] = {}
    why = "no grants of yours cover this product's datasets; apply for a scenario"
    moment = timestamp(now)
    for grant in grants:
        if grant.terms["grantee"] == grantee and (scenario is None or grant.scenario == scenario):
            by_scenario.setdefault(grant.scenario, []).append(grant)
    fitting: list[list[Grant]] = []
    for found in by_scenario.values():
        found.sort(key=lambda grant: grant.dataset)
        if [grant.dataset for grant in found] != sorted(product.datasets):
            continue
        if any(call.key not in grant.functions for grant in found):
            why = f"the grants of scenario {found[0].scenario} do not allow {call.key}"
        elif any(not columns_of(call.filter) <= set(grant.terms.get("filter_columns", ())) for grant in found):
            why = f"the grants of scenario {found[0].scenario} do not allow filters on these columns"
        elif any(grant.state != ACTIVE for grant in found):
            states = ", ".join(sorted({grant.state for grant in found} - {ACTIVE}))
            why = f"not all grants of scenario {found[0].scenario} are active: {states}"
        elif any(not grant.not_before <= moment < grant.not_after for grant in found):
            why = f"the grants of scenario {found[0].scenario} are not in force today"
        else:
            fitting.append(found)
    if not fitting:
        raise Refused(why, code="grant.outside_scope", who_must_act="consumer")
    return max(fitting, key=lambda found: (min(g.not_after for g in found), found[0].scenario))


def grant_references(grants: Sequence[Grant]) -> list[dict[str, str]]:
    return [{"id": grant.id, "terms_hash": grant.terms_hash, "dataset": grant.dataset} for grant in grants]


def new_agreement(product: Product, scenario: Scenario, grants: Sequence[Grant], *, consumer: str) -> Document:
    """Price and terms, to be signed by us and then by the lead provider."""
    with our_errors():
        return new_document(
            "agreement",
            product=product.id,
            product_hash=product.hash,
            scenario=scenario.id,
            scenario_hash=scenario.hash,
            consumer=consumer,
            provider=product.lead,
            price=dict(product.document["price"]),
            grants=grant_references(grants),
            **_fresh_id(),
        )


def new_job_spec(*, agreement: Document, grants: Sequence[Grant], call: Call, inputs: Sequence[Dataset],
                 members: Mapping[str, Document], trust: Trust, recipient: Mapping[str, str], now: datetime,
                 nonce: str, apart: Mapping[str, Any] | None = None) -> Document:
    """The spec every node will check; `members` are the providers' verified records by participant id, `apart` what is
    otherwise where hospitals are not online together."""
    for grant in grants:
        _check_grant(grant, call, inputs, trust)
    roster = [
        {
            "seat": seat,
            "participant": dataset.provider,
            "signing": members[dataset.provider]["keys"]["signing"],
            "record_hash": document_hash(members[dataset.provider]),
        }
        for seat, dataset in enumerate(inputs)
    ]
    with our_errors():
        spec = new_document(
            "job_spec",
            agreement=agreement["id"],
            agreement_hash=document_hash(agreement),
            grants=grant_references(grants),
            function=call.reference(),
            parameters=dict(call.parameters),
            filter=call.filter,
            inputs=[{"dataset": d.id, "dataset_hash": d.hash, "provider": d.provider} for d in inputs],
            roster=roster,
            dealer={"participant": trust.dealer.participant, "signing": trust.dealer.signing},
            disclosure={"floor": max(grant.floor for grant in grants)},
            recipient=dict(recipient),
            issued_at=timestamp(now),
            nonce=nonce,
            **(apart or {"engine": ENGINE, "deadline": timestamp(now + DEADLINE)}),
            **_fresh_id(),
        )
        check_roster(spec)
        check_engine(spec)
    return spec


def _check_grant(grant: Grant, call: Call, inputs: Sequence[Dataset], trust: Trust) -> None:
    """Refuse here what every node would refuse: another roster, dealer or digest than the grant's."""
    roster = [(item["dataset"], item["provider"]) for item in grant.terms["roster"]]
    if roster != [(dataset.id, dataset.provider) for dataset in inputs]:
        raise Refused(f"grant {grant.id} is for another set of datasets", code="spec.roster_mismatch")
    if grant.terms["dealer"] != trust.dealer.participant:
        raise Refused(f"grant {grant.id} names another dealer", code="spec.roster_mismatch")
    digests = {f"{f['name']}@{f['version']}": f["digest"] for f in grant.terms["functions"]}
    if digests.get(call.key) != call.digest:
        raise Refused(f"grant {grant.id} allows other code of {call.key} than ours", code="spec.function_digest")


def _fresh_id() -> dict[str, Any]:
    from ledger.documents import new_id

    return {"id": new_id()}
