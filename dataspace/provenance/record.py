"""The one writer of events, one or many. An event is written in the caller's transaction, or not at all.

The database owes each new event to the log in the same statement. Who gives an event's id or a key makes recording
repeatable: what is there already is answered, not written again.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction

from dataspace.actor import Actor
from dataspace.errors import Conflict
from dataspace.provenance.bulk import copy
from dataspace.provenance.models import Event
from dataspace.provenance.wake import wake
from ledger.documents import timestamp
from ledger.entry import check_parts, written

URGENT = frozenset({"grant.revoked", "grant.suspended", "grant.cancelled", "grant.consent_taken_back",
                    "dataset.withdrawn", "participant.suspended"})
"""What somebody must see at once: it does not wait for a batch, nor behind one."""
COLUMNS = (
    "id", "key", "kind", "subject_kind", "subject_id", "participant_id", "person_id", "audience", "at", "urgent",
    "commitment", "entry",
)  # fmt: skip
Row = tuple[Any, ...]


@dataclass(frozen=True)
class Happening:
    """What happened, before it is written; `id` or `key` make it one, however often it is recorded."""

    kind: str
    subject_kind: str
    subject_id: UUID
    actor: Actor
    audience: Sequence[UUID | None] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    id: UUID | None = None
    key: str | None = None


def record(
    kind: str,
    *,
    subject_kind: str,
    subject_id: UUID,
    actor: Actor,
    now: datetime,
    audience: Iterable[UUID | None],
    body: Mapping[str, Any] | None = None,
    id: UUID | None = None,
    key: str | None = None,
) -> Event:
    """Write what happened; the entry's salt keeps its commitment from being guessed."""
    happening = Happening(kind, subject_kind, subject_id, actor, tuple(audience), dict(body or {}), id, key)
    (row,) = _rows([happening], now=now)
    event = _event(row)
    if id is None and key is None:
        event.save(force_insert=True)
    else:
        (event,) = _standing([event])
    wake()
    return event


def record_many(happenings: Sequence[Happening], *, now: datetime) -> list[UUID]:
    """Write what happened, in this order, in one statement however many there are; answers the events' ids."""
    rows = _rows(happenings, now=now)
    if any(one.id or one.key for one in happenings):
        ids = [event.id for event in _standing([_event(row) for row in rows])]
    else:
        copy(Event, COLUMNS, rows)
        ids = [row[0] for row in rows]
    wake()
    return ids


def _rows(happenings: Sequence[Happening], *, now: datetime) -> list[Row]:
    """Rows in the order of COLUMNS; audience and entry as JSON text."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an event belongs to a transaction")
    for kind, subject_kind in {(one.kind, one.subject_kind) for one in happenings}:
        check_parts(kind, subject_kind)
    at, salts = timestamp(now), secrets.token_hex(32 * len(happenings))
    return [
        _row(one, at=at, now=now, salt=salts[64 * number : 64 * (number + 1)])
        for number, one in enumerate(happenings)
    ]


def _row(one: Happening, *, at: str, now: datetime, salt: str) -> Row:
    event_id, actor = one.id or uuid4(), one.actor
    entry = written(
        one.kind,
        id=str(event_id),
        subject=(one.subject_kind, str(one.subject_id)),
        participant=str(actor.participant_id) if actor.participant_id else None,
        person=str(actor.person_id) if actor.person_id else None,
        at=at,
        body=one.body,
        salt=salt,
    )
    seen_by = sorted({str(who) for who in (*one.audience, actor.participant_id) if who is not None})
    return (
        event_id,
        one.key,
        one.kind,
        one.subject_kind,
        one.subject_id,
        actor.participant_id,
        actor.person_id,
        json.dumps(seen_by),
        now,
        one.kind in URGENT,
        sha256(entry).hexdigest(),
        entry.decode(),
    )


def _event(row: Row) -> Event:
    values = dict(zip(COLUMNS, row, strict=True))
    return Event(**{**values, "audience": json.loads(values["audience"]), "entry": json.loads(values["entry"])})


def _standing(events: Sequence[Event]) -> list[Event]:
    """Write what is not there; the rows that stand for these: their own, or the earlier ones. Else Conflict."""
    Event.objects.bulk_create(events, ignore_conflicts=True)
    by_id = {one.id: one for one in Event.objects.filter(id__in=[one.id for one in events])}
    keys = [one.key for one in events if one.key is not None]
    by_key = {one.key: one for one in Event.objects.filter(key__in=keys)}
    found = []
    for one in events:
        known = by_id.get(one.id) or by_key.get(one.key)
        if known is None or (known.kind, known.subject_id) != (one.kind, one.subject_id) or (
            one.key is not None and known.key != one.key
        ):
            raise Conflict("this id or key stands for something else that happened", code="event.other")
        found.append(known)
    return found
