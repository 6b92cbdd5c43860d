"""Scenarios and grants: apply, decide, consent, revoke, use."""

from contextlib import suppress
from typing import Any
from uuid import UUID

from django.db import transaction
from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.errors import DataspaceError, Invalid, NotFound, Refused
from dataspace.grants import queries as grants
from dataspace.grants import services as grant_services
from dataspace.scenarios import queries, services
from ledger.documents import check
from ledger.errors import ChainRefused, ChainUnavailable
from ledger.schemas import approval as approval_shape
from ledger.schemas import cancellation as cancellation_shape
from ledger.schemas import suspension as suspension_shape
from marketplace.api import schemas
from marketplace.api.bell import bell
from marketplace.api.schemas import SignedSchema
from marketplace.api.views.base import ApiView, created, documented, id_asked, listed
from marketplace.jobs import queries as jobs
from marketplace.jobs.services import answer
from marketplace.jobs.states import State as JobState


class Scenarios(ApiView):
    @documented("List scenarios")
    def get(self, request: Request) -> Response:
        return listed(queries.scenarios_for(self.actor), schemas.scenario)

    @documented("Draft a scenario", request=SignedSchema, status=201)
    def post(self, request: Request) -> Response:
        (document,) = schemas.body_of(request, "document")
        row = services.draft(schemas.an_object(document), actor=self.actor, now=self.now)
        return created({"id": str(row.pk), "state": row.state})


class Scenario(ApiView):
    @documented("One scenario and its signed document")
    def get(self, request: Request, scenario_id: UUID) -> Response:
        return Response(schemas.scenario(queries.scenario_for(self.actor, scenario_id)))


class Submission(ApiView):
    @documented("The consumer submits the scenario")
    def post(self, request: Request, scenario_id: UUID) -> Response:
        row = queries.scenario_for(self.actor, scenario_id)
        services.submit(row, actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Decision(ApiView):
    @documented("The regulator decides the scenario", request=SignedSchema)
    def post(self, request: Request, scenario_id: UUID) -> Response:
        decision, given = schemas.body_of(request, "decision", optional=["grants"])
        row = queries.scenario_for(self.actor, scenario_id)
        made = grant_services.approve_scenario(
            row,
            decision=schemas.an_object(decision),
            grants=_terms_and_approvals(given),
            actor=self.actor,
            now=self.now,
        )
        return Response({"id": str(row.pk), "state": row.state, "grants": [str(one.pk) for one in made]})


def _terms_and_approvals(given: Any) -> list[dict[str, Any]]:
    """The grants of an approval, each of the right form."""
    if given is None:
        return []
    if not isinstance(given, list):
        raise Invalid("grants is a list", code="body.malformed")
    for one in given:
        if not isinstance(one, dict) or set(one) != {"terms", "approval"}:
            raise Invalid("a grant is given by its terms and the approval", code="body.malformed")
        check(one["terms"], "grant_terms")
        approval_shape(one["approval"], "/approval")
    return given


class Grants(ApiView):
    @documented("List grants; with ?scenario= those of one scenario")
    def get(self, request: Request) -> Response:
        rows = grants.grants_for(self.actor).order_by("-created_at")
        scenario = id_asked(request, "scenario")
        return listed(rows if scenario is None else rows.filter(scenario=scenario), schemas.grant)


class Grant(ApiView):
    @documented("One grant: terms, signatures, state")
    def get(self, request: Request, grant_id: UUID) -> Response:
        return Response(schemas.grant(grants.grant_for(self.actor, grant_id)))


class Consent(ApiView):
    @documented("The custodian consents")
    def post(self, request: Request, grant_id: UUID) -> Response:
        (consent,) = schemas.body_of(request, "consent")
        approval_shape(consent, "/consent")
        row = grants.grant_for(self.actor, grant_id)
        grant_services.consent(row, consent=consent, actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Revocation(ApiView):
    open_while_suspended = True

    @documented("The regulator or the custodian revokes")
    def post(self, request: Request, grant_id: UUID) -> Response:
        (revocation,) = schemas.body_of(request, "revocation")
        check(revocation, "revocation")
        row = grants.grant_for(self.actor, grant_id)
        grant_services.revoke(row, revocation=revocation, actor=self.actor, now=self.now)
        bell.ring()
        row.refresh_from_db()
        with suppress(ChainUnavailable, ChainRefused, DataspaceError):  # stored; the followers carry it on
            grant_services.relay_revocation(row)
        return Response({"id": str(row.pk), "state": row.state})


class Suspension(ApiView):
    @documented("The regulator or the custodian holds the grant, or lets go of it")
    def post(self, request: Request, grant_id: UUID) -> Response:
        (given,) = schemas.body_of(request, "suspension")
        suspension_shape(given, "/suspension")
        row = grants.grant_for(self.actor, grant_id)
        grant_services.suspend(row, suspension=given, actor=self.actor, now=self.now)
        row.refresh_from_db()
        with suppress(ChainUnavailable, ChainRefused, DataspaceError):  # stored; the followers carry it on
            grant_services.relay_suspensions(row)
        return Response({"id": str(row.pk), "state": row.state})


class Cancellation(ApiView):
    @documented("Who approved or consented takes it back, before it is registered")
    def post(self, request: Request, grant_id: UUID) -> Response:
        (given,) = schemas.body_of(request, "cancellation")
        cancellation_shape(given, "/cancellation")
        row = grants.grant_for(self.actor, grant_id)
        grant_services.cancel(row, cancellation=given, actor=self.actor, now=self.now)
        row.refresh_from_db()
        with suppress(ChainUnavailable, ChainRefused, DataspaceError):
            grant_services.relay_cancellations(row)
        return Response({"id": str(row.pk), "state": row.state})


class Uses(ApiView):
    @documented("A node's signed use, relayed to the chain")
    def post(self, request: Request) -> Response:
        schemas.use(request.data, "")
        asked = schemas.an_object(request.data)
        row = self._written(asked)
        try:
            tx = grant_services.relay_use(row)
        except (ChainUnavailable, ChainRefused, DataspaceError):
            return Response({"tx": None})  # stored; the followers carry it on
        return Response({"tx": tx.hash})

    @transaction.atomic
    def _written(self, asked: dict[str, str]) -> Any:
        grant = grants.grants_for(self.actor).filter(chain_id=asked["grant_chain_id"]).first()
        job = jobs.jobs_for(self.actor).filter(spec_hash=asked["job_hash"]).first()
        if grant is None or job is None or not job.grants.filter(pk=grant.pk).exists():
            raise NotFound("no such grant in such a job")
        if job.state not in {JobState.READY, JobState.RUNNING, JobState.COLLECTING}:
            raise Refused(f"the job is {job.state}", code="job.over")
        answer.start(job, actor=self.actor, now=self.now)
        return grant_services.use(
            grant, job_hash=asked["job_hash"], signature=asked["signature"], actor=self.actor, now=self.now
        )
