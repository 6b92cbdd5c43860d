"""Pages of computations: metadata, verdicts and ciphertext's whereabouts. A result is never shown here."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render

from dataspace.datasets.models import Dataset
from dataspace.grants.queries import grants_for
from dataspace.http import ActorRequest
from dataspace.provenance.queries import anchored_size
from marketplace.home.catalogue import identifiers
from marketplace.home.page import named, page, part, signed_in, timeline
from marketplace.jobs.models import Contribution, Job, Total
from marketplace.jobs.queries import job_for, jobs_for, standing, who_must_act
from marketplace.jobs.states import OPEN, State
from mpc.spec import are_apart, function_key


@signed_in
def jobs(request: ActorRequest) -> HttpResponse:
    """The reader's computations: ordered, taken part in, or watched over."""
    return page(request, "home/jobs.html", "jobs", {"rows": part(request, jobs_for(request.actor))})


@signed_in
def job(request: ActorRequest, job_id: UUID) -> HttpResponse:
    """One computation, and how its buyer opens the result."""
    row = job_for(request.actor, job_id)
    return page(request, "home/job.html", "jobs", _story(request, row))


@signed_in
def live(request: ActorRequest, job_id: UUID) -> HttpResponse:
    """The part of the page that changes while the parties compute; htmx asks for it until the job has ended."""
    row = job_for(request.actor, job_id)
    context = {**_story(request, row), "anchored": anchored_size()}
    response = render(request, "home/job_live.html", context)
    if row.state not in OPEN:
        response["HX-Refresh"] = "true"
    return response


def by_row(datasets: list[str]) -> list[Dataset]:
    """Of a job's datasets those of which each row counts as one person."""
    found = Dataset.objects.select_related("provider").filter(pk__in=datasets).order_by("created_at")
    return [one for one in found if not identifiers(one.columns)]


def _story(request: ActorRequest, row: Job) -> dict[str, Any]:
    spec = row.spec["document"]
    verdicts = {one.participant_id: one for one in row.verdicts.all() if one.attempt == row.attempt}
    parties = list(row.parties.select_related("participant"))
    stop = next((one for one in verdicts.values() if one.decision in {"refuse", "hold"}), None)
    failure = row.failures.order_by("at").first()
    apart = are_apart(spec)
    given = {one.participant_id: one for one in standing(row.pk).defer("document", "ciphertexts")} if apart else {}
    frozen = Total.objects.filter(job=row, frozen__isnull=False).exists()
    who = named([row.about, stop.participant_id if stop else None, failure.participant_id if failure else None])
    return {
        "row": row,
        "spec": spec,
        "function": function_key(spec["function"]),
        "parties": [
            {
                "party": one,
                "verdict": _part(one.role, given.get(one.participant_id), frozen=frozen, left_out=one.left_out)
                or _answer(verdicts.get(one.participant_id), late=apart and (frozen or row.state not in OPEN)),
            }
            for one in parties
        ],
        "by_row": by_row([one["dataset"] for one in spec["inputs"]]),
        "is_apart": apart,
        "contributed": len(given),
        "grants": grants_for(request.actor).filter(pk__in=[one["id"] for one in spec["grants"]]).order_by("created_at"),
        "steps": timeline(request, [row.pk]),
        "is_open": row.state in OPEN,
        "is_done": row.state in {State.RELEASED, State.SETTLED},
        "is_buyer": row.consumer_id == request.actor.participant_id,
        "envelopes": len(given) or row.envelopes.filter(attempt=row.attempt).count(),
        "stop": stop.document["document"] if stop else None,
        "must_act": who_must_act(row),
        "stopped_by": who.get(stop.participant_id) if stop else None,
        "failure": failure,
        "about": who.get(row.about),
    }


def _part(role: str, given: Contribution | None, *, frozen: bool, left_out: str = "") -> dict[str, Any] | None:
    """What a party has handed in that was not online with the others, or why that counts no more."""
    if left_out:
        return {"decision": "left_out", "code": left_out, "at": None}
    if given is not None:
        return {"decision": "contributed", "code": "", "at": given.at}
    return {"decision": "frozen", "code": "", "at": None} if role == "dealer" and frozen else None


def _answer(verdict: Any, *, late: bool) -> dict[str, Any]:
    """A party's verdict; `late` says that whoever has not contributed will not any more."""
    if verdict is None or (late and verdict.decision == "accept"):
        return {"decision": "absent" if late else "waiting", "code": "", "at": None}
    return {"decision": verdict.decision, "code": verdict.code, "at": verdict.at}
