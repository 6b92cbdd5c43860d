"""Events become leaves, checkpoints and anchors; none is lost or doubled, whatever is away."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from dataspace.actor import SYSTEM
from dataspace.provenance import chainwork, followers, guard, queries, recorder
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Delivery, Event, Leaf, Sender
from dataspace.provenance.queries import anchored_size
from dataspace.provenance.record import record
from dataspace.provenance.store import log
from ledger.checkpoint import verify_checkpoint
from ledger.entry import leaf_hash
from ledger.errors import PortalRefused
from ledger.log import Log, MemoryStore
from tests.simulators.portal_space import Space, now


def happened(times: int = 1) -> list[Event]:
    from uuid import uuid4

    return [
        record("grant.registered", subject_kind="grant", subject_id=uuid4(), actor=SYSTEM, now=now(), audience=[])
        for _ in range(times)
    ]


def test_it_works(people: Space) -> None:
    with transaction.atomic():
        events = happened(3)
    followers.run_all()
    assert [one.hash for one in Leaf.objects.order_by("index")] == [leaf_hash(one.entry).hex() for one in events]
    checkpoint = Checkpoint.objects.get()
    assert queries.published() == checkpoint
    found = verify_checkpoint(checkpoint.note, origin=people.trust.log.origin, key=people.trust.log.key)
    assert (found.size, found.root) == (3, log().root())
    assert anchored_size() == 3


def test_many_batches_make_the_same_log_as_one(people: Space) -> None:
    other = Log(MemoryStore())
    for size in (1, 2, 300, 7):
        events = happened(size)
        recorder.sequence(now=now())
        other.append([leaf_hash(one.entry) for one in events])
    assert log().root() == other.root()
    assert log().inclusion(5) == other.inclusion(5)


def test_an_event_belongs_to_its_transaction(people: Space) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        happened()
        raise ZeroDivisionError
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


def test_sequencing_twice_adds_nothing(people: Space) -> None:
    happened(2)
    recorder.sequence(now=now())
    recorder.sequence(now=now())
    assert Leaf.objects.count() == 2
    assert not recorder.pending()


def test_while_the_chain_is_away_the_log_goes_on(people: Space) -> None:
    followers.run_all()  # the chain was asked once how long the log is
    guard.check()
    people.chain.switches.on = False
    happened(2)
    followers.run_all()
    assert (Leaf.objects.count(), anchored_size()) == (2, 0)
    people.chain.switches.on = True
    followers.run_all()
    assert anchored_size() == 2


def test_one_anchor_at_a_time(people: Space) -> None:
    people.chain.switches.mining = False
    happened()
    followers.run_all()
    happened()
    followers.run_all()
    assert Anchor.objects.count() == 1
    people.chain.mine()
    people.chain.switches.mining = True
    followers.run_all()
    assert [one.prev_size for one in Anchor.objects.order_by("size")] == [0, 1]


def test_one_anchor_at_a_time_also_under_a_new_account(people: Space) -> None:
    """Its nonces begin at nothing, so that by nonce the old account's last one would seem the newest."""
    happened()
    people.pass_time()
    old = Sender.objects.create(address="0x" + "0" * 40, next_nonce=100)
    ChainTx.objects.update(sender=old, nonce=99)
    people.chain.switches.mining = False
    for _ in range(3):
        happened()
        followers.run_all()
    assert ChainTx.objects.filter(kind="anchor").count() == 2


def test_the_same_bytes_are_sent_again(people: Space) -> None:
    people.chain.switches.mining = False
    happened()
    followers.run_all()
    tx = ChainTx.objects.get()
    ChainTx.objects.update(sent_at=now().replace(year=2020))
    chainwork.follow()
    chainwork.follow()
    assert people.chain.state.sent == [tx.hash, tx.hash]
    assert ChainTx.objects.count() == 1


def test_a_chain_that_forgot_is_told_again(people: Space) -> None:
    happened()
    people.pass_time()
    tx = ChainTx.objects.get()
    assert tx.status == "final"
    people.chain.forget()
    happened()
    people.pass_time()
    assert set(ChainTx.objects.values_list("status", flat=True)) == {"final"}
    assert people.chain.state.sent.count(tx.hash) == 2


def test_a_reverted_anchor_is_tried_again_later_and_counts_for_nothing(people: Space) -> None:
    people.chain.switches.reverting = True
    happened()
    followers.run_all()
    followers.run_all()
    assert anchored_size() == 0
    assert ChainTx.objects.count() == 1
    people.chain.switches.reverting = False
    ChainTx.objects.update(created_at=now().replace(year=2020))
    followers.run_all()
    assert anchored_size() == 1


def test_nonces_have_no_gap(people: Space) -> None:
    people.admit("office", "maker", "rival")
    people.pass_time()
    nonces = list(ChainTx.objects.order_by("nonce").values_list("nonce", flat=True))
    assert nonces == list(range(len(nonces)))


def test_a_receipt_that_is_not_anchored_is_pending(people: Space) -> None:
    people.admit("office", "maker")
    people.pass_time()
    people.chain.switches.on = False
    with transaction.atomic():
        event = record(
            "participant.seen",
            subject_kind="participant",
            subject_id=people.actor("maker").organisation,
            actor=SYSTEM,
            now=now(),
            audience=[people.actor("maker").organisation],
        )
    with pytest.raises(PortalRefused) as refused:
        people.door("maker").get(f"/receipts/{event.id}")
    assert (refused.value.status, refused.value.code) == (409, "receipt.pending")


def test_a_note_that_names_an_anchor_is_of_one_moment(people: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leader whose lock went with its connection may still be at work, and the log grow between size and root."""
    happened(2)
    followers.run_all()
    people.chain.mine(3)
    chainwork.follow()
    happened(1)
    with transaction.atomic():
        recorder._sequence(now=now())
    sizes = iter((2, 3))
    monkeypatch.setattr("dataspace.provenance.guard.check", lambda: None)
    monkeypatch.setattr("dataspace.provenance.store.SqlStore.size", lambda store: next(sizes, 3))
    with CaptureQueriesContext(connection) as asked:
        recorder.name_anchor(now=now())
    note = Checkpoint.objects.exclude(names=None).get()
    assert note.root == log().root(note.size).hex()
    assert any("pg_advisory_xact_lock" in one["sql"] for one in asked), "and nobody sequences meanwhile"
