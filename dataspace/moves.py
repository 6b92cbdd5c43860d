"""The one writer of `state`: compare-and-set, and the event in the same transaction.

What people write freely (a reason, a note) stays in its row: the event's body holds ids, hashes and codes.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction

from dataspace.actor import Actor
from dataspace.errors import Conflict, IllegalMove
from dataspace.provenance.models import Event
from dataspace.provenance.record import record

Moves = Mapping[tuple[Any, Any], Any]


@transaction.atomic
def begin(
    row: models.Model,
    move: StrEnum,
    *,
    state: StrEnum,
    actor: Actor,
    now: datetime,
    audience: Iterable[UUID | None],
    body: Mapping[str, Any] | None = None,
) -> Event:
    """Write a new row in its first state, and the event that it exists."""
    kind = str(row._meta.model_name)
    row.state = state.value  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as trouble:
        raise Conflict(f"this {kind} is there already") from trouble
    return record(
        f"{kind}.{move.value}",
        subject_kind=kind,
        subject_id=row.pk,
        actor=actor,
        now=now,
        audience=audience,
        body=body,
    )


@transaction.atomic
def advance(
    row: models.Model,
    move: StrEnum,
    *,
    moves: Moves,
    actor: Actor,
    now: datetime,
    audience: Iterable[UUID | None],
    body: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Event:
    """Move one row to its next state, with what changes beside it; of two who move at once one gets Conflict."""
    kind = str(row._meta.model_name)
    before: str = row.state  # type: ignore[attr-defined]
    after = moves.get((before, move))
    if after is None:
        raise IllegalMove(f"a {kind} that is {before} cannot be {move.value}")
    values = {"state": str(after), **(changes or {})}
    if type(row)._default_manager.filter(pk=row.pk, state=before).update(**values) != 1:
        raise Conflict(f"{kind} {row.pk} is no longer {before}")
    for name, value in values.items():
        setattr(row, name, value)
    return record(
        f"{kind}.{move.value}",
        subject_kind=kind,
        subject_id=row.pk,
        actor=actor,
        now=now,
        audience=audience,
        body=body,
    )
