"""Agreements and jobs: offer, sign, order, answer, cancel."""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from dataspace.provenance.queries import timeline_for
from dataspace.provenance.wake import wake
from ledger.documents import timestamp, to_b64
from marketplace.agreements import queries as agreements
from marketplace.agreements import services as agreement_services
from marketplace.api import schemas
from marketplace.api.bell import bell
from marketplace.api.idempotency import idempotent
from marketplace.api.schemas import ContributionSchema, FrozenSchema, Json, SignedSchema, WithdrawalSchema
from marketplace.api.views.base import ApiView, created, documented, id_asked, listed
from marketplace.jobs import queries
from marketplace.jobs.models import Job as JobRow
from marketplace.jobs.services import answer, collect, move, order, tend
from mpc.spec import are_apart


class Agreements(ApiView):
    @documented("List agreements; with ?scenario= and ?product= those of one scenario, over one product")
    def get(self, request: Request) -> Response:
        asked = {name: id_asked(request, name) for name in ("scenario", "product")}
        rows = agreements.agreements_for(self.actor)
        return listed(rows.filter(**{name: one for name, one in asked.items() if one is not None}), schemas.agreement)

    @documented("The consumer offers an agreement", request=SignedSchema, status=201)
    def post(self, request: Request) -> Response:
        (document,) = schemas.body_of(request, "document")
        row = agreement_services.offer(schemas.an_object(document), actor=self.actor, now=self.now)
        bell.ring()
        return created({"id": str(row.pk), "state": row.state})


class Agreement(ApiView):
    @documented("One agreement and its signed document")
    def get(self, request: Request, agreement_id: UUID) -> Response:
        return Response(schemas.agreement(agreements.agreement_for(self.actor, agreement_id)))


class AgreementSignature(ApiView):
    @documented("The lead signs the agreement", request=SignedSchema)
    def post(self, request: Request, agreement_id: UUID) -> Response:
        (document,) = schemas.body_of(request, "document")
        row = agreements.agreement_for(self.actor, agreement_id)
        agreement_services.sign(row, wire=schemas.an_object(document), actor=self.actor, now=self.now)
        return Response({"id": str(row.pk), "state": row.state})


class Jobs(ApiView):
    @documented("List jobs")
    def get(self, request: Request) -> Response:
        return listed(queries.jobs_for(self.actor), _brief)

    @documented("Order a job", request=SignedSchema, status=201)
    @idempotent
    def post(self, request: Request) -> Response:
        (spec,) = schemas.body_of(request, "spec")
        row, existing = order.order(
            schemas.an_object(spec),
            actor=self.actor,
            now=self.now,
            answer_within=timedelta(seconds=settings.XINGLIN_VERDICT_SECONDS),
        )
        if not existing:
            wake("marketplace.jobs.tasks.advance", str(row.pk))
            tend.step(row.pk, now=self.now)
            row.refresh_from_db()
            bell.ring()
        shape = {"id": str(row.pk), "state": row.state, "existing": existing}
        return Response(shape, status=200 if existing else 201)


class Job(ApiView):
    @documented("One job: state, verdicts, envelopes (for its consumer), timeline")
    def get(self, request: Request, job_id: UUID) -> Response:
        row = queries.job_for(self.actor, job_id)
        shape = _brief(row)
        shape["who_must_act"] = queries.who_must_act(row)
        shape["spec"] = row.spec
        shape["contributions"] = _contributions(row) if are_apart(row.spec["document"]) else None
        shape["verdicts"] = [one.document for one in row.verdicts.filter(attempt=row.attempt)]
        own = row.consumer_id == self.actor.participant_id
        shape["envelopes"] = [one.document for one in row.envelopes.filter(attempt=row.attempt)] if own else []
        events = timeline_for(self.actor, row.pk)
        shape["timeline"] = [{"event": one.kind, "at": one.entry["at"], "id": str(one.id)} for one in events]
        return Response(shape)


def _contributions(row: JobRow) -> Json:
    """Who has contributed, until when the others may, and whose part is not in the set any more, with the reason."""
    asked = row.spec["document"]["contributions"]
    given = queries.standing(row.pk).defer("ciphertexts", "document")
    return {
        "by": asked["by"],
        "minimum": asked["minimum"],
        "given": [
            {"seat": one.seat, "participant": str(one.participant_id), "contribution": one.document_hash,
             "at": timestamp(one.at)}
            for one in given
        ],
        "left_out": [
            {"seat": one.seat, "participant": str(one.participant_id), "code": one.left_out}
            for one in row.parties.exclude(left_out="")
        ],
    }  # fmt: skip


def _brief(row: JobRow) -> Json:
    return {
        "id": str(row.pk),
        "state": row.state,
        "code": row.code or None,
        "about": str(row.about) if row.about else None,
        "attempt": row.attempt,
        "function": row.function,
        "agreement": str(row.agreement_id),
        "deadline": row.spec["document"]["deadline"],
        "entry": str(row.released_event) if row.released_event else None,
    }


class Cancellation(ApiView):
    @documented("The consumer cancels the job")
    def post(self, request: Request, job_id: UUID) -> Response:
        row = queries.job_for(self.actor, job_id)
        move.cancel(row, actor=self.actor, now=self.now)
        bell.ring()
        row.refresh_from_db()
        return Response(_brief(row))


class Answer(ApiView):
    """What a node answers; afterwards others may have something to do."""

    def done(self, row: JobRow) -> Response:
        bell.ring()
        row.refresh_from_db()
        return Response({"id": str(row.pk), "state": row.state})


class Verdicts(Answer):
    @documented("A node's verdict", request=SignedSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (verdict,) = schemas.body_of(request, "verdict")
        row = queries.job_for(self.actor, job_id)
        hear = collect.verdict if are_apart(row.spec["document"]) else answer.verdict
        hear(row, wire=schemas.an_object(verdict), actor=self.actor, now=self.now)
        return self.done(row)


class Envelopes(Answer):
    @documented("A party's sealed part of the result", request=SignedSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (envelope,) = schemas.body_of(request, "envelope")
        row = queries.job_for(self.actor, job_id)
        answer.envelope(row, wire=schemas.an_object(envelope), actor=self.actor, now=self.now)
        return self.done(row)


class Failures(Answer):
    @documented("A node's word that its part failed", request=SignedSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (failure,) = schemas.body_of(request, "failure")
        row = queries.job_for(self.actor, job_id)
        hear = collect.failure if are_apart(row.spec["document"]) else answer.failure
        hear(row, wire=schemas.an_object(failure), actor=self.actor, now=self.now)
        return self.done(row)


class Contributions(Answer):
    @documented("One hospital's part of a job whose parties are not online together", request=ContributionSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (contribution, ciphertexts) = schemas.body_of(request, "contribution", "ciphertexts")
        row = queries.job_for(self.actor, job_id)
        collect.contribute(
            row,
            wire=schemas.an_object(contribution),
            ciphertexts=schemas.a_text(ciphertexts),
            actor=self.actor,
            now=self.now,
        )
        wake("marketplace.jobs.tasks.advance", str(row.pk))
        return self.done(row)


class Contribution(ApiView):
    @documented("The consumer fetches one contribution of the set that was frozen")
    def get(self, request: Request, job_id: UUID, seat: int) -> Response:
        one = queries.contribution_for(self.actor, job_id, seat)
        return Response({"contribution": one.document, "ciphertexts": to_b64(bytes(one.ciphertexts))})


class Withdrawal(Answer):
    @documented("A hospital takes its contribution back, until the set is frozen", request=WithdrawalSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (withdrawal,) = schemas.body_of(request, "withdrawal")
        row = queries.job_for(self.actor, job_id)
        collect.withdraw(row, wire=schemas.an_object(withdrawal), actor=self.actor, now=self.now)
        return self.done(row)


class Freeze(Answer):
    @documented("The dealer's office freezes the set of contributors", request=FrozenSchema)
    def post(self, request: Request, job_id: UUID) -> Response:
        (frozen,) = schemas.body_of(request, "freeze")
        row = queries.job_for(self.actor, job_id)
        collect.freeze(row, wire=schemas.an_object(frozen), actor=self.actor, now=self.now)
        wake("marketplace.jobs.tasks.advance", str(row.pk))
        return self.done(row)


class Total(ApiView):
    @documented("The consumer fetches the dealer's word on the set, and the portal's product")
    def get(self, request: Request, job_id: UUID) -> Response:
        one = queries.total_for(self.actor, job_id)
        return Response({"frozen": one.frozen, "product": to_b64(bytes(one.product or b""))})
