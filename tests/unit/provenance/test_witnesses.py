"""Publishing needs k of n witnesses: real ones on real sockets, which go away, come back, are behind, or lie."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live
from django.test import Client

from dataspace.provenance import followers, guard, queries, witnesses
from dataspace.provenance.models import Anchor, Checkpoint, Cosignature, Leaf, WitnessSeen
from dataspace.provenance.store import log
from ledger.checkpoint import anchor_seen, cosignature, sign_checkpoint, verify_checkpoint, verify_cosignatures
from ledger.documents import signed
from ledger.log import Log, MemoryStore
from ledger.trust import load_trust
from ledger.witness import Answer, write_submission
from ledger.witness_service import Service, Witness, _key, make_home
from tests.simulators.portal_space import Space
from tests.unit.provenance.test_record_and_anchor import happened


class Offices:
    """Three witnesses; each can be stopped and started again from its home."""

    def __init__(self, folder: Path, people: Space) -> None:
        self.people = people
        self.homes = [folder / f"w{number}" for number in range(3)]
        self.keys = [make_home(home, f"test/{home.name}") for home in self.homes]
        self.running: dict[int, Service] = {}
        self.ports = [0, 0, 0]
        self.blind: set[int] = set()

    def witness(self, number: int) -> Witness:
        logs = {self.people.trust.log.origin: self.people.trust.log.key}
        check = None if number in self.blind else lambda *_: None
        return Witness(self.homes[number], f"test/w{number}", _key(self.homes[number]), logs, check)

    def start(self, number: int, witness: Witness | None = None) -> Service:
        service = Service(witness or self.witness(number), ("127.0.0.1", self.ports[number]))
        self.ports[number] = service.server_address[1]
        threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.running[number] = service
        witnesses.forget_pauses()
        return service

    def stop(self, number: int) -> None:
        service = self.running.pop(number)
        service.shutdown()
        service.server_close()
        witnesses._client.cache_clear()  # its kept connections are served by threads that live on
        witnesses.forget_pauses()

    def url(self, number: int) -> str:
        return f"http://127.0.0.1:{self.ports[number]}"


@contextmanager
def open_offices(folder: Path, people: Space, settings: Any, k: int) -> Iterator[Offices]:
    offices = Offices(folder, people)
    with ExitStack() as stack:
        for number in range(3):
            offices.start(number)
        stack.callback(lambda: [offices.stop(number) for number in list(offices.running)])
        document = {**people.wire["document"], "witnesses": {"k": k, "keys": offices.keys}}
        wire = signed(document, people.root)
        Path(live.XINGLIN_TRUST).write_text(json.dumps(wire))
        people.trust = load_trust(wire, fingerprint=people.fingerprint)
        settings.XINGLIN_WITNESSES = tuple(offices.url(number) for number in range(3))
        yield offices


@pytest.fixture
def offices(people: Space, settings: Any, tmp_path: Path) -> Iterator[Offices]:
    with open_offices(tmp_path, people, settings, 2) as opened:
        yield opened


def states() -> list[str]:
    return [one.state for one in queries.witnesses()]


def test_it_works(people: Space, offices: Offices) -> None:
    happened(3)
    followers.run_all()
    note = Client().get("/log/checkpoint").content.decode()
    assert verify_checkpoint(note, origin=people.trust.log.origin, key=people.trust.log.key).size == 3
    assert set(verify_cosignatures(note, offices.keys)) == set(offices.keys)
    assert queries.anchored_size() == 3
    assert states() == ["cosigning"] * 3
    happened(2)
    followers.run_all()
    assert queries.anchored_size() == 5
    assert {one.size for one in WitnessSeen.objects.all()} == {5}


def test_without_enough_witnesses_nothing_is_published_and_recording_goes_on(people: Space, offices: Offices) -> None:
    happened(1)
    followers.run_all()
    offices.stop(0)
    offices.stop(1)
    for count in (2, 3):
        happened(count)
        followers.run_all()
    newest = queries.published()
    assert newest is not None
    assert (Leaf.objects.count(), newest.size, queries.anchored_size()) == (6, 1, 1)
    assert sorted(states()) == ["away", "away", "cosigning"]
    assert people.door("maker").get_text("/log/checkpoint").split("\n")[1] == "1"
    offices.start(0)
    followers.run_all()
    newest = queries.published()
    assert newest is not None
    assert (newest.size, queries.anchored_size()) == (6, 6), "it catches up with one checkpoint over all of it"
    assert list(Anchor.objects.order_by("size").values_list("prev_size", "size")) == [(0, 1), (1, 6)]


def test_a_witness_that_missed_sizes_is_asked_again_with_its_own(people: Space, offices: Offices) -> None:
    offices.stop(2)
    happened(2)
    followers.run_all()
    happened(2)
    followers.run_all()
    offices.start(2)
    WitnessSeen.objects.filter(url=offices.url(2)).update(size=3)  # we do not remember rightly
    happened(1)
    followers.run_all()
    assert states() == ["cosigning"] * 3
    assert Cosignature.objects.filter(key=offices.keys[2]).count() == 1


def test_after_an_anchor_is_final_a_checkpoint_of_the_same_size_names_it(people: Space, offices: Offices) -> None:
    happened(4)
    people.pass_time(3)
    anchor = Anchor.objects.get()
    first, second = Checkpoint.objects.all()
    assert (first.size, second.size, second.names) == (4, 4, anchor)
    found = verify_checkpoint(second.cosigned, origin=people.trust.log.origin, key=people.trust.log.key)
    named = anchor_seen(found)
    assert named is not None
    assert (named.chain_id, named.size, named.block) == (people.trust.chain.id, 4, anchor.tx.block)
    assert len(verify_cosignatures(second.cosigned, offices.keys)) >= 2
    people.pass_time(3)
    assert Checkpoint.objects.count() == 2, "one for each anchor, and no more"
    assert queries.published() == second


def test_witnesses_without_a_chain_let_the_log_grow_and_no_block_be_named(people: Space, offices: Offices) -> None:
    """Two of three cannot ask a chain: what names a block waits for one of them, what grows does not."""
    for number in (1, 2):
        offices.stop(number)
        offices.blind.add(number)
        offices.start(number)
    happened(2)
    people.pass_time(3)
    naming = Checkpoint.objects.get(names__isnull=False)
    assert naming.published_at is None
    assert naming.cosignatures.count() == 1
    newest = queries.published()
    assert newest is not None
    assert (newest.size, queries.anchored_size(), states()) == (2, 2, ["cosigning"] * 3)
    happened(1)
    followers.run_all()
    assert (queries.anchored_size(), states()) == (3, ["cosigning"] * 3), "nobody was taken for refusing"
    offices.stop(1)
    offices.blind.discard(1)
    offices.start(1)
    people.pass_time(3)
    named = queries.published()
    assert named is not None
    assert (named.size, named.names is not None) == (3, True)


def test_witnesses_who_saw_another_history_let_nothing_be_published(people: Space, offices: Offices) -> None:
    """A restored database writes sizes that two witnesses have cosigned with another root."""
    happened(2)
    followers.run_all()
    other = Log(MemoryStore())
    other.append([*log().leaves(0, 2), bytes(32)])
    note = sign_checkpoint(people.trust.log.origin, 3, other.root(), people.log_key)
    for number in (0, 1):
        service = offices.running[number]
        assert service.witness.add_checkpoint(write_submission(2, other.consistency(2), note)).status == 200
    happened(1)
    followers.run_all()
    assert states() == ["refusing", "refusing", "cosigning"]
    newest = queries.published()
    assert newest is not None
    assert (newest.size, queries.anchored_size()) == (2, 2)


def liar(answer: Callable[[Witness, bytes], Answer]) -> type[Witness]:
    class Liar(Witness):
        def add_checkpoint(self, request: bytes) -> Answer:
            return answer(self, request)
    return Liar


LIES: list[tuple[Callable[[Witness, bytes], Answer], str]] = [
    (lambda liar, request: Answer(200, "yes\n"), "witness.malformed"),
    (lambda liar, request: Answer(200, ""), "witness.no_cosignature"),
    (lambda liar, request: Answer(200, cosignature(sign_checkpoint("xinglin/other", 1, bytes(32), liar.key), liar.key,
                                                   name="x", now=1)), "witness.no_cosignature"),
    (lambda liar, request: Answer(200, cosignature(
        request.decode().partition("\n\n")[2], liar.key, name="x", now=1_000_000_000)), "witness.clock"),
    (lambda liar, request: Answer(409, "999999\n"), "witness.ahead"),
    (lambda liar, request: Answer(409, "\u00b2\n"), "witness.refused_409"),
    (lambda liar, request: Answer(409, "9" * 19), "witness.refused_409"),
    (lambda liar, request: Answer(500, "x" * 20_000), "witness.unavailable"),
    (lambda liar, request: Answer(403, "no"), "witness.refused_403"),
]


def test_one_liar_changes_nothing(people: Space, offices: Offices) -> None:
    true = offices.witness(1)
    for size, (answer, code) in enumerate(LIES, 1):
        offices.stop(1)
        offices.start(1, liar(answer)(true.home, true.name, true.key, true.logs))
        happened(1)
        followers.run_all()
        assert WitnessSeen.objects.get(url=offices.url(1)).code == code
        assert (queries.anchored_size(), guard.state()) == (size, "ok")


def test_a_witness_that_said_a_size_too_large_once_is_asked_again(people: Space, offices: Offices) -> None:
    happened(2)
    followers.run_all()
    WitnessSeen.objects.filter(url=offices.url(1)).update(size=999_999, code="witness.ahead")
    happened(1)
    followers.run_all()
    assert states() == ["cosigning"] * 3
    assert WitnessSeen.objects.get(url=offices.url(1)).size == 3


def test_a_note_that_is_not_published_is_in_no_answer(people: Space, offices: Offices) -> None:
    guard.check()
    for number in range(3):
        offices.stop(number)
    happened(2)
    followers.run_all()
    assert Checkpoint.objects.get().published_at is None
    assert Client().get("/log/checkpoint").status_code == 404
    assert Client().get("/log/tile/0/000.p/2").status_code == 404
    assert Client().get("/api/v1/log/leaves?from=0&count=9").json()["hashes"] == []
    assert Client().get("/api/v1/log/consistency?from=1&to=2").status_code == 404
    assert not Anchor.objects.exists()
    assert queries.published() is None


def test_a_database_shorter_than_what_two_witnesses_saw_writes_nothing(people: Space, offices: Offices) -> None:
    """Chain and mark know less than they: as after a restore, on a development chain that began anew."""
    happened(2)
    followers.run_all()
    for number, size in ((0, 9), (1, 8)):
        WitnessSeen.objects.filter(url=offices.url(number)).update(size=size)
    happened(1)
    followers.run_all()
    assert guard.state() == "ledger.behind_witnesses"
    assert Leaf.objects.count() == 2
    WitnessSeen.objects.filter(url=offices.url(1)).update(size=2)
    followers.run_all()
    assert Leaf.objects.count() == 3, "one witness alone cannot stop the log"


def outgrown(people: Space, offices: Offices, numbers: tuple[int, ...]) -> None:
    """These witnesses cosign one leaf more, and then the portal's database and mark are what they were before."""
    larger = Log(MemoryStore())
    larger.append([*log().leaves(0, log().size), bytes(32)])
    note = sign_checkpoint(people.trust.log.origin, larger.size, larger.root(), people.log_key)
    for number in numbers:
        witness, old = offices.running[number].witness, larger.size - 1
        request = write_submission(old, larger.consistency(old) if old else [], note)
        assert witness.add_checkpoint(request).status == 200
    guard.forget()


@pytest.mark.parametrize("leaves", [0, 2])
def test_a_restored_database_signs_nothing_before_the_witnesses_were_asked(people: Space, offices: Offices,
                                                                          leaves: int) -> None:
    """What it remembers of them is as old as itself; chain and mark know no more, as on a chain that began anew."""
    if leaves:
        happened(leaves)
        followers.run_all()
    outgrown(people, offices, (0, 1))
    before = Checkpoint.objects.count()
    happened(1)
    followers.run_all()
    assert (Leaf.objects.count(), Checkpoint.objects.count()) == (leaves, before)
    assert guard.state() == "ledger.behind_witnesses"
    assert sorted(states())[1:] == ["refusing", "refusing"]


def test_after_a_start_one_witness_alone_stops_nothing(people: Space, offices: Offices) -> None:
    happened(2)
    followers.run_all()
    outgrown(people, offices, (0,))
    happened(1)
    followers.run_all()
    assert queries.anchored_size() == 3


def test_after_a_start_nothing_is_signed_while_too_few_can_be_asked(people: Space, offices: Offices) -> None:
    happened(2)
    followers.run_all()
    guard.forget()
    offices.stop(1)
    offices.stop(2)
    happened(1)
    followers.run_all()
    assert (Leaf.objects.count(), guard.state()) == (2, "ledger.unconfirmed")
    offices.start(2)
    guard.forget()
    followers.run_all()
    assert queries.anchored_size() == 3
