"""What an entry about a job says, and who sees it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dataspace.provenance import space
from marketplace.jobs.models import Job
from mpc.spec import function_key


def audience_of(job: Job, spec: Mapping[str, Any]) -> list[UUID]:
    """The consumer, those with a seat, the regulator."""
    seated = [UUID(seat["participant"]) for seat in spec["roster"]]
    return [job.consumer_id, UUID(spec["dealer"]["participant"]), space.regulator_id(), *seated]


def body_of(spec: Mapping[str, Any], job_hash: str) -> dict[str, Any]:
    """The job's hash, function and grants: a receipt carries the approvals of the grants it names."""
    grants = sorted(({"id": one["id"], "terms_hash": one["terms_hash"]} for one in spec["grants"]), key=_by_id)
    return {"job_hash": job_hash, "agreement_hash": spec["agreement_hash"], "grants": grants,
            "function": function_key(spec["function"])}


def _by_id(grant: Mapping[str, str]) -> str:
    return grant["id"]
