"""Pages of scenarios and the grants that came of them."""

from uuid import UUID

from django.http import HttpResponse

from dataspace.grants.queries import grants_for
from dataspace.grants.states import State as GrantState
from dataspace.http import ActorRequest
from dataspace.scenarios.queries import scenario_for, scenarios_for
from dataspace.scenarios.states import State
from marketplace.agreements.queries import agreements_for
from marketplace.home.page import page, part, signed_in, timeline


@signed_in
def scenarios(request: ActorRequest) -> HttpResponse:
    """The scenarios that the reader applied for, decides, or is asked to consent to."""
    return page(request, "home/scenarios.html", "scenarios", {"rows": part(request, scenarios_for(request.actor))})


@signed_in
def scenario(request: ActorRequest, scenario_id: UUID) -> HttpResponse:
    """One scenario: the terms as signed, who must still agree, what happened, the grants."""
    row = scenario_for(request.actor, scenario_id)
    grants = list(grants_for(request.actor).filter(scenario_id=row.pk).order_by("created_at", "pk"))
    context = {
        "row": row,
        "document": row.document["document"],
        "functions": [f"{one['name']}@{one['version']}" for one in row.document["document"]["functions"]],
        "roster": [entry.dataset for entry in row.roster.all()],
        "grants": grants,
        "mine_to_sign": [
            grant
            for grant in grants
            if grant.custodian_id == request.actor.participant_id and grant.state == GrantState.SUBMITTED
        ],
        "agreements": agreements_for(request.actor).filter(scenario_id=row.pk),
        "steps": timeline(request, [row.pk, *(grant.pk for grant in grants)]),
        "to_decide": request.actor.is_regulator and row.state == State.SUBMITTED,
    }
    return page(request, "home/scenario.html", "scenarios", context)


@signed_in
def grants(request: ActorRequest) -> HttpResponse:
    """The grants that the reader gave, holds or watches over."""
    rows = grants_for(request.actor).order_by("-created_at", "pk")
    return page(request, "home/grants.html", "grants", {"rows": part(request, rows)})
