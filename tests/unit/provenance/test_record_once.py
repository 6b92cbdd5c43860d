"""What happened once is recorded once, many at a time; what is urgent waits for nobody."""

from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction

from dataspace.actor import SYSTEM
from dataspace.errors import Conflict
from dataspace.provenance import followers, queries, recorder
from dataspace.provenance.models import Anchor, Checkpoint, Delivery, Event, Leaf
from dataspace.provenance.record import Happening, record, record_many
from ledger.entry import commitment, leaf_hash
from ledger.errors import DocumentError
from tests.simulators.portal_space import Space, now
from tests.unit.provenance.test_record_and_anchor import happened


def one(**how: Any) -> Event:
    what = {"subject_kind": "grant", "subject_id": uuid4(), "actor": SYSTEM, "now": now(), "audience": []} | how
    return record("grant.registered", **what)


def test_what_has_the_same_id_or_key_happens_once(people: Space) -> None:
    subject, event_id = uuid4(), uuid4()
    for how in ({"id": event_id}, {"key": f"seen:{subject}"}, {"id": uuid4(), "key": "both"}):
        first = one(subject_id=subject, **how)
        assert one(subject_id=subject, **how).pk == first.pk
        recorder.sequence(now=now())
        assert one(subject_id=subject, **how).pk == first.pk, "also when its delivery is gone"
        assert not Delivery.objects.exists()
    assert Event.objects.count() == Leaf.objects.count() == 3


def test_an_id_or_key_of_something_else_is_refused(people: Space) -> None:
    first = one(key="k", id=uuid4())
    for how in ({"key": "k"}, {"id": first.id}, {"key": "k", "subject_id": first.subject_id, "id": uuid4()}):
        refused = how.get("subject_id") is None
        with transaction.atomic():
            if refused:
                with pytest.raises(Conflict, match="something else"):
                    one(**how)
            else:
                assert one(**how).pk == first.pk
    assert Event.objects.count() == 1


def test_many_are_recorded_in_order_with_few_statements(people: Space, django_assert_max_num_queries: Any) -> None:
    subject = uuid4()
    what = [Happening("grant.used", "grant", subject, SYSTEM, body={"number": number}) for number in range(700)]
    with django_assert_max_num_queries(16):
        ids = record_many([*what, what[0]], now=now())
        recorder.sequence(now=now())
    events = list(Event.objects.all())
    assert [event.id for event in events] == ids
    assert [event.entry["body"] for event in events[:-1]] == [{"number": number} for number in range(700)]
    assert [leaf.event_id for leaf in Leaf.objects.order_by("index")] == [event.pk for event in events]
    assert [event.commitment for event in events] == [commitment(event.entry).hex() for event in events]
    assert Leaf.objects.get(index=9).hash == leaf_hash(events[9].entry).hex()


def test_what_has_no_canonical_form_or_no_transaction_is_not_recorded(people: Space) -> None:
    for wrong in ({"body": {"amount": 1.5}}, {"subject_kind": "Grant!"}):
        with pytest.raises(DocumentError), transaction.atomic():
            one(**wrong)
    assert not Event.objects.exists()


def test_a_revocation_goes_before_a_long_queue(people: Space, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(recorder, "BATCH", 20)
    happened(50)
    urgent = record("grant.revoked", subject_kind="grant", subject_id=uuid4(), actor=SYSTEM, now=now(), audience=[])
    settings.XINGLIN_BATCH_SECONDS = 3600.0
    followers.run_all()
    assert urgent.leaf.index == 0
    first = Checkpoint.objects.first()
    assert first is not None
    assert first.size == 1, "it has a checkpoint of its own"
    assert Anchor.objects.order_by("pk")[0].size == 1, "and an anchor"
    assert Leaf.objects.count() == 41, "full batches follow at once; the last ten wait for their time"
    again = record("grant.revoked", subject_kind="grant", subject_id=uuid4(), actor=SYSTEM, now=now(), audience=[])
    followers.run_all()
    assert (again.leaf.index, Leaf.objects.count(), queries.anchored_size()) == (41, 42, 42)
    settings.XINGLIN_BATCH_SECONDS = 0.0
    followers.run_all()
    assert queries.anchored_size() == 52
