"""The one writer of events. An event and its deliveries are written in the caller's transaction, or not at all."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from dataspace.actor import Actor
from dataspace.provenance import followers
from dataspace.provenance.models import Delivery, Event
from dataspace.provenance.wake import wake
from ledger.documents import new_document, timestamp


def record(
    kind: str,
    *,
    subject_kind: str,
    subject_id: UUID,
    actor: Actor,
    now: datetime,
    audience: Iterable[UUID | None],
    body: Mapping[str, Any] | None = None,
) -> Event:
    """Write what happened; the entry's salt keeps its hash from being guessed."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an event belongs to a transaction")
    event_id = uuid4()
    person = str(actor.person_id) if actor.person_id else None
    entry = new_document(
        "entry",
        id=str(event_id),
        kind=kind,
        subject={"kind": subject_kind, "id": str(subject_id)},
        actor={"participant": str(actor.participant_id) if actor.participant_id else None, "person": person},
        at=timestamp(now),
        body=dict(body or {}),
    )
    seen_by = {one for one in (*audience, actor.participant_id) if one is not None}
    event = Event.objects.create(
        id=event_id,
        kind=kind,
        subject_kind=subject_kind,
        subject_id=subject_id,
        participant_id=actor.participant_id,
        person_id=actor.person_id,
        audience=sorted(seen_by),
        at=now,
        entry=entry,
    )
    Delivery.objects.bulk_create([Delivery(event=event, follower=name) for name in followers.DELIVERED_TO])
    wake()
    return event
