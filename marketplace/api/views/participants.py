"""Participants: apply, be admitted, be read."""

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.errors import DataspaceError
from dataspace.participants import queries
from dataspace.participants.models import Participant as Row
from dataspace.participants.services import entry, renew, suspend
from dataspace.participants.states import State
from ledger.errors import ChainRefused, ChainUnavailable
from ledger.schemas import admission, suspension
from ledger.schemas import veto as VETO
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
        row = entry.apply(schemas.an_object(record), now=self.now)
        return created({"id": str(row.pk), "state": row.state})


class Participant(ApiView):
    open_while_suspended = True

    @documented("One participant and its signed record; with ?hash= that record of it")
    def get(self, request: Request, participant_id: UUID) -> Response:
        row = queries.participant_for(self.actor, participant_id)
        wanted = request.query_params.get("hash")
        shown = schemas.participant(row)
        return Response(shown if wanted is None else {**shown, "record": queries.record_of(row, wanted)})


class Admission(ApiView):
    @documented("The regulator admits, or admits a participant's new record", request=SignedSchema)
    def post(self, request: Request, participant_id: UUID) -> Response:
        record, approval = schemas.body_of(request, "record", "approval")
        admission(approval, "/approval")
        row = queries.participant_for(self.actor, participant_id)
        renewal = queries.open_renewal_of(row)
        if renewal is None or row.state == State.APPLIED:
            entry.admit(row, record=schemas.an_object(record), approval=approval, actor=self.actor, now=self.now)
            row.refresh_from_db()
            _carry(lambda: entry.settle(row))
        else:
            renew.admit(renewal, record=schemas.an_object(record), approval=approval, actor=self.actor)
            renewal.refresh_from_db()
            _carry(lambda: renew.carry(renewal))
        return _shown(row)


class Records(ApiView):
    open_while_suspended = True

    @documented("A participant offers a new record, under its old keys", request=SignedSchema, status=201)
    def post(self, request: Request, participant_id: UUID) -> Response:
        (record,) = schemas.body_of(request, "record")
        row = queries.participant_for(self.actor, participant_id)
        made = renew.offer(row, record=schemas.an_object(record), actor=self.actor, now=self.now)
        return created({"id": str(row.pk), "state": row.state, "number": made.number})


class Proposal(ApiView):
    @documented("The regulator proposes a record for lost keys", request=SignedSchema)
    def post(self, request: Request, participant_id: UUID) -> Response:
        record, proposal = schemas.body_of(request, "record", "proposal")
        admission(proposal, "/proposal")
        row = queries.participant_for(self.actor, participant_id)
        made = renew.propose(
            row, record=schemas.an_object(record), proposal=proposal, actor=self.actor, now=self.now
        )
        _carry(lambda: renew.carry(made))
        return _shown(row)


class Veto(ApiView):
    open_while_suspended = True

    @documented("Who held the keys until now, or the regulator, says no to a proposed record")
    def post(self, request: Request, participant_id: UUID) -> Response:
        (veto,) = schemas.body_of(request, "veto")
        VETO(veto, "/veto")
        row = queries.participant_for(self.actor, participant_id)
        made = renew.veto(row, veto=veto, actor=self.actor, now=self.now)
        _carry(lambda: renew.carry(made))
        return _shown(row)


class Finish(ApiView):
    @documented("Put a proposed record in place, once it can be vetoed no more")
    def post(self, request: Request, participant_id: UUID) -> Response:
        schemas.body_of(request)
        row = queries.participant_for(self.actor, participant_id)
        made = renew.ask_finish(row, actor=self.actor)
        _carry(lambda: renew.carry(made))
        return _shown(row)


class Suspension(ApiView):
    @documented("The regulator suspends or restores")
    def post(self, request: Request, participant_id: UUID) -> Response:
        (given,) = schemas.body_of(request, "suspension")
        suspension(given, "/suspension")
        row = queries.participant_for(self.actor, participant_id)
        suspend.suspend(row, suspension=given, actor=self.actor, now=self.now)
        row.refresh_from_db()
        _carry(lambda: suspend.relay_suspension(row))
        return _shown(row)


def _carry(act: Callable[[], object]) -> None:
    """On to the chain now; what waits is stored, and the followers carry it on."""
    with suppress(ChainUnavailable, ChainRefused, DataspaceError):
        act()


def _shown(row: Row) -> Response:
    row.refresh_from_db()
    return Response({"id": str(row.pk), "state": row.state})
