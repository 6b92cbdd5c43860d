"""Order a job: the portal's own checks, then the row. Nodes believe none of them and check everything themselves."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.datasets.queries import version_of
from dataspace.errors import Conflict, Refused
from dataspace.grants.models import Grant, GrantUse
from dataspace.grants.services import refusal_of
from dataspace.grants.states import State as GrantState
from dataspace.moves import begin
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.provenance import space
from ledger.documents import document_hash, parse_time, read_signed, verify_signed
from marketplace.agreements.models import Agreement
from marketplace.agreements.states import State as AgreementState
from marketplace.jobs import policies
from marketplace.jobs.models import Job, JobParty
from marketplace.jobs.services.say import audience_of, body_of
from marketplace.jobs.states import BEGIN, INITIAL, OPEN, State
from mpc.catalog import CATALOG
from mpc.errors import MpcError
from mpc.filters import check_form, columns_of
from mpc.question import check_question
from mpc.spec import are_apart, check_engine, check_roster, function_key, question_hash

FRESH = timedelta(minutes=5)
SKEW = timedelta(seconds=60)
Spec = Mapping[str, Any]


@transaction.atomic
def order(wire: Mapping[str, Any], *, actor: Actor, now: datetime, answer_within: timedelta) -> tuple[Job, bool]:
    """The new job, or the one that has the answer already (and then True)."""
    claimed = read_signed(wire, "job_spec")
    consumer_id = UUID(claimed["recipient"]["participant"])
    policies.check_may_order(actor, consumer_id=consumer_id)
    consumer = Participant.objects.get(pk=consumer_id)
    spec = verify_signed(wire, type="job_spec", keys=[signing_key_of(consumer)])
    hashed = document_hash(spec)
    known = Job.objects.filter(pk=spec["id"]).first()
    if known is not None:
        if known.spec_hash == hashed and known.consumer_id == consumer_id:
            return known, True
        raise Conflict("a job of this id has another spec", code="spec.two_specs")
    _check_time(spec, now=now)
    _check_filter_form(spec)
    agreement = _agreement_of(spec, consumer=consumer)
    grants = _lock_grants(spec, agreement=agreement)
    for grant in grants:
        _check_grant(grant, spec, now=now)
    _check_roster(spec, grants, consumer=consumer)
    _check_function(spec, grants)
    answered = _answered(question_hash(spec), consumer)
    if answered is not None:
        return answered, True
    _check_nobody_collects(spec, consumer)
    for grant in grants:
        _check_budget(grant)
    row = _new_job(wire, spec, agreement=agreement, now=now, answer_within=answer_within)
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=audience_of(row, spec), body=body_of(spec, hashed))
    row.grants.set(grants)
    seats = [(seat["seat"], seat["participant"], "party") for seat in spec["roster"]]
    seats.append((len(seats), spec["dealer"]["participant"], "dealer"))
    JobParty.objects.bulk_create(
        JobParty(job=row, participant_id=UUID(who), seat=seat, role=role) for seat, who, role in seats
    )
    return row, False


def _new_job(
    wire: Mapping[str, Any], spec: Spec, *, agreement: Agreement, now: datetime, answer_within: timedelta
) -> Job:
    deadline = parse_time(spec["deadline"])
    return Job(
        id=UUID(spec["id"]),
        agreement=agreement,
        consumer=agreement.consumer,
        function=function_key(spec["function"]),
        spec=dict(wire),
        spec_hash=document_hash(spec),
        question_hash=question_hash(spec),
        answer_by=parse_time(spec["contributions"]["by"]) if are_apart(spec) else min(now + answer_within, deadline),
        deadline=deadline,
        created_at=now,
    )


def _check_time(spec: Spec, *, now: datetime) -> None:
    issued = parse_time(spec["issued_at"])
    if not now - FRESH <= issued <= now + SKEW or parse_time(spec["deadline"]) <= now:
        raise Refused("the spec was issued too long ago, or its deadline has passed", code="spec.stale")


def _agreement_of(spec: Spec, *, consumer: Participant) -> Agreement:
    agreement = Agreement.objects.filter(pk=spec["agreement"], consumer=consumer).first()
    if agreement is None or agreement.document_hash != spec["agreement_hash"]:
        raise Refused("no such agreement", code="agreement.invalid")
    if agreement.state != AgreementState.SIGNED:
        raise Refused(f"the agreement is {agreement.state}", code="agreement.invalid", who_must_act="provider")
    return agreement


def _lock_grants(spec: Spec, *, agreement: Agreement) -> list[Grant]:
    """The agreement's grants, all at once, in one order, until the order is written or refused."""
    ids = list(agreement.grants.values_list("pk", flat=True))
    rows = list(Grant.objects.select_for_update().filter(pk__in=ids).order_by("pk"))
    rows.sort(key=lambda one: str(one.dataset_id))
    asked = [(one["id"], one["terms_hash"], one["dataset"]) for one in spec["grants"]]
    if asked != [(str(one.pk), one.terms_hash, str(one.dataset_id)) for one in rows]:
        raise Refused("the grants are not those of the agreement", code="spec.roster_mismatch")
    return rows


def _check_grant(grant: Grant, spec: Spec, *, now: datetime) -> None:
    if grant.state != GrantState.ACTIVE:
        raise Refused(
            f"grant {grant.pk} is {grant.state}", code=f"grant.{refusal_of(grant.state)}", who_must_act="custodian"
        )
    if now < grant.not_before:
        raise Refused(f"grant {grant.pk} is not in force yet", code="grant.not_yet")
    if now >= grant.not_after:
        raise Refused(f"grant {grant.pk} has expired", code="grant.expired")
    terms = grant.terms
    if spec["function"] not in terms["functions"]:
        names = {(one["name"], one["version"]) for one in terms["functions"]}
        if (spec["function"]["name"], spec["function"]["version"]) in names:
            raise Refused("the function's digest is not the granted one", code="spec.function_digest")
        raise Refused(f"grant {grant.pk} does not allow this function", code="grant.outside_scope")
    if not columns_of(spec["filter"]) <= set(terms.get("filter_columns", ())):
        raise Refused(f"grant {grant.pk} does not allow filters on these columns", code="grant.outside_scope")
    if spec["disclosure"]["floor"] < terms["floor"]:
        raise Refused(f"grant {grant.pk} asks for a higher floor", code="grant.outside_scope")
    if terms["grantee"] != spec["recipient"]["participant"]:
        raise Refused(f"grant {grant.pk} was given to another", code="grant.outside_scope")


def _check_filter_form(spec: Spec) -> None:
    try:
        check_form(spec["filter"])
    except MpcError as trouble:
        raise Refused(trouble.text, code="spec.parameters") from trouble


def _check_budget(grant: Grant) -> None:
    """Uses on record and orders under way, each job once, stay under what was granted."""
    used = set(GrantUse.objects.filter(grant=grant).values_list("job_hash", flat=True))
    waiting = Job.objects.filter(grants=grant, state__in=OPEN).values_list("spec_hash", flat=True)
    if len(used | set(waiting)) >= grant.max_uses:
        raise Refused(f"every use of grant {grant.pk} is taken", code="grant.exhausted")


def _check_roster(spec: Spec, grants: Sequence[Grant], *, consumer: Participant) -> None:
    try:
        check_roster(spec)
        check_engine(spec)
    except MpcError as trouble:
        raise Refused(trouble.text, code=trouble.code) from trouble
    trust = space.trust()
    dealer = {"participant": trust.dealer.participant, "signing": trust.dealer.signing}
    sealing = consumer.record["document"]["keys"]["sealing"]
    granted = [(one["dataset"], one["provider"]) for one in grants[0].terms["roster"]]
    if [(one["dataset"], one["provider"]) for one in spec["inputs"]] != granted:
        raise Refused("the inputs are not exactly the granted roster", code="spec.roster_mismatch")
    if spec["dealer"] != dealer or spec["recipient"]["sealing"] != sealing:
        raise Refused("dealer or recipient are not as on record", code="spec.roster_mismatch")
    for grant, one in zip(grants, spec["inputs"], strict=True):
        if one["dataset_hash"] != grant.terms["dataset_hash"]:
            raise Refused(f"dataset {one['dataset']} is granted in another version", code="grant.wrong_dataset")
    for seat in spec["roster"]:
        member = Participant.objects.get(pk=seat["participant"])
        if (seat["signing"], seat["record_hash"]) != (signing_key_of(member), member.record_hash):
            raise Refused(f"{member.pk} is on record otherwise", code="participant.record_mismatch")


def _check_function(spec: Spec, grants: Sequence[Grant]) -> None:
    key = function_key(spec["function"])
    if key not in CATALOG or CATALOG[key].digest != spec["function"]["digest"]:
        raise Refused("the function's digest is not the catalogue's", code="spec.function_digest")
    by_id = {str(one.dataset_id): one.dataset for one in grants}
    granted = [version_of(by_id[one["dataset"]], one["dataset_hash"]) for one in spec["inputs"]]
    try:
        check_question(key, spec["parameters"], spec["filter"], [one["document"] for one in granted])
    except MpcError as trouble:
        raise Refused(trouble.text, code="spec.parameters") from trouble


def _check_nobody_collects(spec: Spec, consumer: Participant) -> None:
    """Of two jobs of one question whose hospitals are not online together only one can have a result, and each would
    spend uses; the office freezes one set for a question, once."""
    rows = Job.objects.filter(question_hash=question_hash(spec), consumer=consumer, state__in=OPEN)
    for row in rows:
        if are_apart(spec) or are_apart(row.spec["document"]):
            raise Refused(f"job {row.pk} asks the same, and is not over", code="job.same_question")


def _answered(question: str, consumer: Participant) -> Job | None:
    """The released job with the same question: the same envelopes again, not a new computation."""
    states = [State.RELEASED, State.SETTLED]
    return Job.objects.filter(question_hash=question, consumer=consumer, state__in=states).first()
