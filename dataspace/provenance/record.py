"""The one writer of events, one or many. An event is written in the caller's transaction, or not at all.

The database owes each new event to the log in the same statement. Who gives an event's id or a key makes recording
repeatable: what is there already is answered, not written again.
"""

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
from dataspace.provenance.models import Event
from dataspace.provenance.wake import wake
from ledger.documents import canonical, timestamp
from ledger.entry import check_parts, entry_of

URGENT = frozenset({"grant.revoked", "grant.suspended", "participant.suspended"})
"""What somebody must see at once: it does not wait for a batch, nor behind one."""
AT_ONCE = 5000


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
    return record_many([happening], now=now)[0]


def record_many(happenings: Sequence[Happening], *, now: datetime) -> list[Event]:
    """Write what happened, in this order, with few statements however many there are."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an event belongs to a transaction")
    for kind, subject_kind in {(one.kind, one.subject_kind) for one in happenings}:
        check_parts(kind, subject_kind)
    at, salts = timestamp(now), secrets.token_hex(32 * len(happenings))
    events = [
        _event(one, at=at, now=now, salt=salts[64 * number : 64 * (number + 1)])
        for number, one in enumerate(happenings)
    ]
    repeatable = any(one.id or one.key for one in happenings)
    Event.objects.bulk_create(events, batch_size=AT_ONCE, ignore_conflicts=repeatable)
    wake()
    return _standing(events) if repeatable else events


def _event(one: Happening, *, at: str, now: datetime, salt: str) -> Event:
    event_id = one.id or uuid4()
    actor = one.actor
    entry = entry_of(
        one.kind,
        id=str(event_id),
        subject=(one.subject_kind, str(one.subject_id)),
        participant=str(actor.participant_id) if actor.participant_id else None,
        person=str(actor.person_id) if actor.person_id else None,
        at=at,
        body=dict(one.body),
        salt=salt,
    )
    seen_by = {who for who in (*one.audience, actor.participant_id) if who is not None}
    return Event(
        id=event_id,
        key=one.key,
        kind=one.kind,
        subject_kind=one.subject_kind,
        subject_id=one.subject_id,
        participant_id=actor.participant_id,
        person_id=actor.person_id,
        audience=sorted(seen_by),
        at=now,
        urgent=one.kind in URGENT,
        commitment=sha256(canonical(entry)).hexdigest(),
        entry=entry,
    )


def _standing(events: Sequence[Event]) -> list[Event]:
    """The rows that stand for these: their own, or those that were there. Of something else: Conflict."""
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
