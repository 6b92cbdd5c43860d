"""Verbs about datasets: register, describe anew, withdraw."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.datasets import policies
from dataspace.datasets.models import Dataset, FormerVersion
from dataspace.datasets.states import BEGIN, INITIAL, MOVES, Move
from dataspace.errors import Conflict
from dataspace.moves import advance, begin
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.provenance import space
from ledger.documents import document_hash, read_signed, verify_signed


@transaction.atomic
def register(record: Mapping[str, Any], *, actor: Actor, now: datetime) -> Dataset:
    """Take in a provider's signed description; the rows stay where they are."""
    claimed = read_signed(record, "dataset")
    provider_id = UUID(claimed["provider"])
    policies.check_may_register(actor, provider_id=provider_id)
    provider = Participant.objects.get(pk=provider_id)
    document = verify_signed(record, type="dataset", keys=[signing_key_of(provider)])
    known = Dataset.objects.filter(pk=document["id"]).first()
    if known is not None:
        return _renew(known, record, document, actor=actor, now=now)
    row = Dataset(
        id=UUID(document["id"]),
        provider=provider,
        number=document["number"],
        name=document["name"],
        title_zh=document["title"]["zh"],
        title_en=document["title"]["en"],
        rows_max=document["rows_max"],
        record=dict(record),
        record_hash=document_hash(document),
        created_at=now,
    )
    audience = [provider_id, space.regulator_id()]
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=audience, body={"record_hash": row.record_hash})
    return row


def _renew(
    dataset: Dataset, record: Mapping[str, Any], document: Mapping[str, Any], *, actor: Actor, now: datetime
) -> Dataset:
    """A later version takes the place of the one before; what was granted goes on naming that one's hash."""
    policies.check_may_renew(actor, provider_id=dataset.provider_id)
    row = Dataset.objects.select_for_update().get(pk=dataset.pk)
    hashed = document_hash(document)
    if row.record_hash == hashed:
        return row
    if document["number"] <= row.number:
        raise Conflict("this dataset has another description of this number", code="dataset.known")
    FormerVersion.objects.create(
        dataset=row, number=row.number, record=row.record, record_hash=row.record_hash, replaced_at=now
    )
    advance(
        row,
        Move.RENEW,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=[row.provider_id, space.regulator_id()],
        body={"record_hash": hashed, "former_hash": row.record_hash, "number": document["number"]},
        changes={
            "number": document["number"],
            "name": document["name"],
            "title_zh": document["title"]["zh"],
            "title_en": document["title"]["en"],
            "rows_max": document["rows_max"],
            "record": dict(record),
            "record_hash": hashed,
        },
    )
    return row


@transaction.atomic
def withdraw(dataset: Dataset, *, actor: Actor, now: datetime) -> None:
    """The dataset takes part in nothing new; what was granted ends by revocation or expiry."""
    policies.check_may_withdraw(actor, provider_id=dataset.provider_id)
    advance(
        dataset,
        Move.WITHDRAW,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=[dataset.provider_id],
        body={"record_hash": dataset.record_hash},
    )
