"""Who says what about a job: the seat of whoever asks, and its document under the key that the order names for it."""

from collections.abc import Mapping
from typing import Any

from dataspace.actor import Actor
from dataspace.errors import Conflict, Invalid, Refused
from ledger.documents import verify_signed
from marketplace.jobs import policies
from marketplace.jobs.models import Job, JobParty
from marketplace.jobs.services.move import is_open


def seat_of(job: Job, actor: Actor) -> JobParty:
    seats = list(job.parties.all())
    policies.check_may_answer(actor, seated=[one.participant_id for one in seats])
    return next(one for one in seats if one.participant_id == actor.participant_id)


def _signing_key(job: Job, seat: JobParty) -> str:
    """The key that the spec, under the consumer's signature, names for this seat."""
    spec = job.spec["document"]
    return str(spec["dealer"]["signing"] if seat.role == "dealer" else spec["roster"][seat.seat]["signing"])


def read_answer(wire: Mapping[str, Any], type: str, *, job: Job, seat: JobParty) -> dict[str, Any]:
    """A node's document about this job, and this attempt if it names one, under the key of its seat."""
    document = verify_signed(wire, type=type, keys=[_signing_key(job, seat)])
    if (document["job"], document["job_hash"]) != (str(job.pk), job.spec_hash):
        raise Invalid("this answers another job", code="spec.two_specs")
    if document.get("participant", document.get("sender")) != str(seat.participant_id):
        raise Invalid("this is another participant's answer", code="job.wrong_participant")
    if document.get("attempt", job.attempt) != job.attempt:
        raise Conflict(f"the job is at attempt {job.attempt}", code="job.other_attempt")
    return document


def check_open(job: Job) -> None:
    if not is_open(job):
        raise Refused(f"the job is {job.state}", code="job.over")
