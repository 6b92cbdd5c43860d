"""A chain that takes blocks back: the same bytes again, final once, and an alarm where what was final is not."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command

from dataspace.actor import SYSTEM
from dataspace.provenance import chainhealth, chainwatch, chainwork, followers, space
from dataspace.provenance.models import ChainAlarm, ChainTx, KnownBlock, Sender
from dataspace.provenance.record import record
from ledger.errors import ChainUnavailable
from tests.simulators.portal_space import Space, now


def happened() -> None:
    from uuid import uuid4

    record("grant.registered", subject_kind="grant", subject_id=uuid4(), actor=SYSTEM, now=now(), audience=[])


def pushed_through(people: Space) -> ChainTx:
    for _ in range(4):
        followers.run_all()
        people.chain.mine()
    return ChainTx.objects.get()


def test_it_works(people: Space) -> None:
    happened()
    tx = pushed_through(people)
    assert tx.status == "final"
    assert KnownBlock.objects.filter(height=tx.block, hash=tx.block_hash, final=True).exists()
    assert not ChainAlarm.objects.exists()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_reorganised_block_puts_its_transactions_back(people: Space, depth: int) -> None:
    happened()
    followers.run_all()
    tx = ChainTx.objects.get()
    assert tx.status == "mined"
    people.chain.mine(depth - 1)
    people.chain.switches.mining = False
    people.chain.reorganise(depth)
    chainwork.follow()
    tx.refresh_from_db()
    assert (tx.status, tx.block, people.chain.state.sent.count(tx.hash)) == ("sent", None, 2)  # the same bytes
    people.chain.switches.mining = True
    again = pushed_through(people)
    assert (again.status, again.hash) == ("final", tx.hash)
    assert not ChainAlarm.objects.exists()


def test_a_transaction_mined_in_another_block_keeps_that_block(people: Space) -> None:
    happened()
    followers.run_all()
    first = ChainTx.objects.get()
    people.chain.reorganise(1)
    people.chain.mine()
    again = pushed_through(people)
    assert again.status == "final"
    assert again.block_hash == people.chain.receipt(again.hash).block_hash != first.block_hash  # type: ignore[union-attr]


def test_a_final_block_that_changes_is_an_alarm_that_stays(people: Space) -> None:
    happened()
    tx = pushed_through(people)
    people.chain.reorganise(10)
    happened()
    pushed = [pushed_through_all(people) for _ in range(2)][-1]
    assert {one.status for one in pushed} == {"final"}
    assert people.chain.state.sent.count(tx.hash) == 2
    (alarm,) = ChainAlarm.objects.all()
    assert (alarm.code, alarm.seen_at) == ("chain.rewound", None)
    assert chainhealth.alarms() == ["chain.rewound"]
    ChainAlarm.objects.update(seen_at=now())
    assert chainhealth.alarms() == []


def pushed_through_all(people: Space) -> list[ChainTx]:
    for _ in range(4):
        followers.run_all()
        people.chain.mine()
    return list(ChainTx.objects.all())


def test_a_chain_that_forgot_all_is_an_alarm(people: Space) -> None:
    happened()
    tx = pushed_through(people)
    people.chain.forget()
    happened()
    assert {one.status for one in pushed_through_all(people)} == {"final"}
    assert people.chain.state.sent.count(tx.hash) == 2
    assert ChainAlarm.objects.get().code == "chain.rewound"


def test_an_endpoint_that_lags_is_no_alarm(people: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    happened()
    tx = pushed_through(people)
    newest = KnownBlock.objects.filter(final=True).order_by("-height")[0]
    lagging = people.chain.block(newest.height - 3)
    monkeypatch.setattr(people.chain, "head", lambda: lagging)
    with pytest.raises(ChainUnavailable) as caught:
        chainwatch.watch()
    assert caught.value.code == "chain.behind"
    tx.refresh_from_db()
    assert tx.status == "final"
    assert not ChainAlarm.objects.exists()


def test_a_nonce_that_went_elsewhere_is_said_and_passed(people: Space) -> None:
    """Somebody else signs with the operator's key, or the tables are old: the row fails, the next one finds its way."""
    happened()
    pushed_through(people)
    sender = Sender.objects.get()
    people.chain.state.nonces[sender.pk] = 3  # two of them are not ours
    happened()
    pushed_through_all(people)
    failed = ChainTx.objects.get(status="failed")
    assert (failed.nonce, failed.code) == (1, "chain.nonce_taken")
    assert ChainAlarm.objects.get().code == "chain.nonce_taken"
    ChainTx.objects.update(created_at=now().replace(year=2020))
    assert ChainTx.objects.get(pk=failed.pk).nonce == 1
    happened()
    newest = max(pushed_through_all(people), key=lambda row: row.nonce)
    assert (newest.nonce, newest.status) == (3, "final")


def test_a_lost_transaction_is_sent_again_before_later_ones(people: Space) -> None:
    people.chain.switches.mining = False
    happened()
    followers.run_all()
    people.chain.state.waiting.clear()  # the node forgot it
    ChainTx.objects.update(sent_at=now().replace(year=2020))
    people.chain.switches.mining = True
    assert pushed_through(people).status == "final"


def test_health_shows_the_chain_and_its_endpoints(people: Space) -> None:
    found = chainhealth.chain_health()
    assert (found.profile, found.label, found.development) == ("embedded", "development chain, one operator", True)
    (endpoint,) = found.endpoints
    assert (endpoint.name, endpoint.answers, endpoint.trouble) == ("http://127.0.0.1:1", False, "chain.unavailable")


def test_a_person_sees_to_an_alarm(people: Space) -> None:
    chainwatch.alarm("chain.rewound", 7)
    chainwatch.alarm("chain.rewound", 7)
    said = StringIO()
    call_command("chain", "--seen", stdout=said)
    assert [one["height"] for one in json.loads(said.getvalue())["alarms"]] == [7]
    assert chainhealth.alarms() == []


def test_production_refuses_the_development_chain(people: Space, settings: Any) -> None:
    space.refuse_development()
    settings.PRODUCTION = True
    with pytest.raises(ImproperlyConfigured):
        space.refuse_development()
