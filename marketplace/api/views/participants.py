"""Participants: apply, be admitted, be read."""

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.errors import DataspaceError
from dataspace.participants import queries, services
from ledger.errors import ChainUnavailable
from marketplace.api import schemas
from marketplace.api.auth import EnrolAuthentication, SignatureAuthentication
from marketplace.api.schemas import SignedSchema
from marketplace.api.views.base import ApiView, created, documented, listed


class Participants(ApiView):
    """Known participants; an application signs with the key it brings."""

    def get_authenticators(self) -> list[SignatureAuthentication]:  # type: ignore[override]
        posts = self.request is not None and self.request.method == "POST"
        return [EnrolAuthentication() if posts else SignatureAuthentication()]

    @documented("List participants")
    def get(self, request: Request) -> Response:
        return listed(queries.participants_for(self.actor), schemas.participant)

    @documented("Apply as a participant", request=SignedSchema, status=201)
    def post(self, request: Request) -> Response:
        (record,) = schemas.body_of(request, "record")
        row = services.apply(schemas.an_object(record), now=self.now)
        return created({"id": str(row.pk), "state": row.state})


class Participant(ApiView):
    @documented("One participant and its signed record")
    def get(self, request: Request, participant_id: UUID) -> Response:
        return Response(schemas.participant(queries.participant_for(self.actor, participant_id)))


class Admission(ApiView):
    @documented("The regulator admits", request=SignedSchema)
    def post(self, request: Request, participant_id: UUID) -> Response:
        record, approval = schemas.body_of(request, "record", "approval")
        schemas.admission(approval, "/approval")
        row = queries.participant_for(self.actor, participant_id)
        services.admit(row, record=schemas.an_object(record), approval=approval, actor=self.actor, now=self.now)
        row.refresh_from_db()
        try:
            services.settle(row)
        except (ChainUnavailable, DataspaceError):
            row.refresh_from_db()  # stored; the followers carry it on
        return Response({"id": str(row.pk), "state": row.state})
