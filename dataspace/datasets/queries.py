"""Reading datasets, actor first. Descriptions are the catalogue's: the admitted see what is registered."""

from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from dataspace.actor import Actor
from dataspace.datasets.models import Dataset
from dataspace.datasets.states import State
from dataspace.errors import NotFound


def datasets_for(actor: Actor) -> QuerySet[Dataset]:
    rows = Dataset.objects.select_related("provider")
    if actor.is_regulator:
        return rows
    if actor.is_admitted:
        return rows.filter(Q(state=State.REGISTERED) | Q(provider_id=actor.participant_id))
    return rows.none()


def version_of(row: Dataset, record_hash: str) -> dict[str, Any]:
    """The signed description of this hash: the current one or a former one."""
    if row.record_hash == record_hash:
        return dict(row.record)
    former = row.former.filter(record_hash=record_hash).first()
    if former is None:
        raise NotFound("no such version of the dataset")
    return dict(former.record)


def dataset_for(actor: Actor, dataset_id: UUID) -> Dataset:
    row = datasets_for(actor).filter(pk=dataset_id).first()
    if row is None:
        raise NotFound("no such dataset")
    return row
