"""A stolen operator and the log: with chain key, log key and database, all at once, it rewrites the past.

On a real chain, with three honest witnesses that ask it. What it writes fits together perfectly: whoever has nothing
but the portal and the log's key believes it. Chain, witnesses and the receipts' readers do not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from dataspace.grants.queries import receipt_of
from dataspace.provenance import audit, followers, guard, proofs, queries, space, store, witnesses
from dataspace.provenance.models import Anchor, Checkpoint, Cosignature, Event, Leaf, Tile
from deploy.waiting import wait_until
from ledger.anchor import log_id_of
from ledger.checkpoint import AnchorSeen, anchor_seen, parse_note, sign_checkpoint, verify_cosignatures
from ledger.documents import signed
from ledger.entry import commitment, leaf_hash
from ledger.errors import ChainRefused, VerificationError
from ledger.log import Log, MemoryStore
from ledger.receipt import verify_receipt
from ledger.trust import load_trust
from ledger.witness import prove_fork, write_submission
from ledger.witness_service import Service, Witness, _key, anchor_checker, make_home
from tests.integration.chain_space import ChainSpace
from tests.integration.log_portal import anchored, happen, portal

__all__ = ["portal"]
pytestmark = [pytest.mark.stack, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def offices(portal: dict[str, Any], settings: Any, tmp_path: Path) -> Iterator[list[Witness]]:
    """Three witnesses of a log with five leaves, anchored and named; two must cosign."""
    homes = [tmp_path / f"w{number}" for number in range(3)]
    keys = [make_home(home, f"test/{home.name}") for home in homes]
    wire = signed({**portal["wire"]["document"], "witnesses": {"k": 2, "keys": keys}}, portal["root"])
    Path(settings.XINGLIN_TRUST).write_text(json.dumps(wire))
    trust = load_trust(wire, fingerprint=settings.XINGLIN_FINGERPRINT)
    check = anchor_checker(trust, trust.chain.rpc)
    found = [Witness(home, f"test/{home.name}", _key(home), {trust.log.origin: trust.log.key}, check) for home in homes]
    with ExitStack() as stack:
        urls = []
        for one in found:
            service = Service(one, ("127.0.0.1", 0))
            threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(service.server_close)
            stack.callback(service.shutdown)
            urls.append(f"http://127.0.0.1:{service.server_address[1]}")
        settings.XINGLIN_WITNESSES = tuple(urls)
        happen(5)
        assert anchored(5)

        def vouched() -> bool:
            followers.run_all()
            proofs.capture()
            newest = queries.published()
            return newest is not None and newest.names is not None

        assert wait_until(vouched, seconds=30)
        yield found
        witnesses._client.cache_clear()


def rewrite(index: int) -> Event:
    """One leaf says something else, and with it the tiles and every note, under the log's own key."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # the owner of the database stops its triggers
        event = Leaf.objects.get(index=index).event
        event.entry = {**event.entry, "kind": "grant.expired"}
        event.kind, event.commitment = event.entry["kind"], commitment(event.entry).hex()
        event.save(update_fields=["entry", "kind", "commitment"])
        Leaf.objects.filter(index=index).update(hash=leaf_hash(event.entry).hex())
        tile = Tile.objects.get(level=0, position=0)
        data = bytearray(bytes(tile.data))
        data[32 * index:32 * index + 32] = leaf_hash(event.entry)
        Tile.objects.filter(pk=tile.pk).update(data=bytes(data))
        for row in Checkpoint.objects.all():
            root, lines = store.log().root(row.size), parse_note(row.note).checkpoint.extensions
            note = sign_checkpoint(space.trust().log.origin, row.size, root, space.log_key(), lines)
            Checkpoint.objects.filter(pk=row.pk).update(root=root.hex(), note=note)
    return event


def submit(witness: Witness, log: Log, old: int, lines: list[str] | None = None) -> int:
    note = sign_checkpoint(space.trust().log.origin, log.size, log.root(), space.log_key(), lines or [])
    return witness.add_checkpoint(write_submission(old, log.consistency(old), note)).status


def anchor(found: ChainSpace, log: Log, prev: int) -> str:
    """The thief sends it with the operator's key: what the contract says."""
    chain, operator = space.chain(), found.operator
    tx = chain.sign_anchor(operator, found.nonce(operator), log_id=log_id_of(space.trust().log.origin), prev_size=prev,
                           size=log.size, root="0x" + log.root().hex(),
                           proof=["0x" + one.hex() for one in (log.consistency(prev) if prev else [])])
    try:
        chain.preflight(tx)
        chain.wait(chain.send_raw(tx.raw), seconds=20)
    except ChainRefused as refused:
        return refused.code
    return "anchored"


def copy_of(log: Log, *more: bytes) -> Log:
    made = Log(MemoryStore())
    made.append([*log.leaves(0, log.size), *more])
    return made


def levels(event: Event) -> dict[str, str]:
    receipt = receipt_of(event, whole=True)
    assert receipt is not None
    return verify_receipt(receipt, space.trust()).as_dict()


def test_it_cannot_rewrite_a_leaf(offices: list[Witness], chain_space: ChainSpace) -> None:
    before, honest = Leaf.objects.get(index=2).event, levels(Leaf.objects.get(index=2).event)
    assert set(honest.values()) <= {"valid", "not checked"}
    assert (honest["witnesses"], honest["chain_header"]) == ("valid", "valid")
    event = rewrite(2)
    assert event.commitment != before.commitment
    guard.forget()
    guard.place().unlink()
    # what fits together in itself: leaves, tiles, roots, the log's signature; and no more
    assert {one.code for one in audit.fsck(chain=False).findings} <= {"checkpoint.witnesses", "ledger.behind_chain"}
    forged = levels(event)
    assert (forged["inclusion"], forged["log_signature"]) == ("valid", "valid")
    assert (forged["witnesses"], forged["chain_proof"]) == ("invalid", "invalid")
    assert forged["chain_header"] != "valid"
    # the chain: not the same size with another root, not a later one that grows out of it, not all of it anew
    log = store.log()
    assert anchor(chain_space, copy_of(log), 0) == "chain.refused.equivocation"
    later = copy_of(log, bytes(32))
    assert anchor(chain_space, later, 5) == "chain.refused.bad_consistency"
    assert anchor(chain_space, later, 0) == "chain.refused.stale_size"
    # the witnesses: neither as it is nor grown, with or without the anchor's true block
    true = anchor_seen(parse_note(Checkpoint.objects.exclude(names=None)[0].note).checkpoint)
    assert true is not None
    for witness in offices:
        assert (submit(witness, copy_of(log), 5), submit(witness, later, 5)) == (409, 422)
        assert (submit(witness, later, 5, [true.line()]), submit(witness, later, 0)) == (422, 409)
    # and the portal's own program, on these rows, writes nothing more
    with pytest.raises(VerificationError):
        guard.check()
    happen(1)
    followers.run_all()
    assert Leaf.objects.count() == 5


def test_it_cannot_fork_before_two_witnesses_unnoticed(offices: list[Witness], chain_space: ChainSpace) -> None:
    """Two true continuations of one past; each witness is shown the one it has not seen."""
    ours, theirs = copy_of(store.log(), b"a" * 32), copy_of(store.log(), b"b" * 32)
    keys, origin, key = space.trust().witnesses.keys, space.trust().log.origin, space.trust().log.key
    assert [submit(one, ours, 5) for one in offices[:2]] == [200, 200]
    assert submit(offices[2], theirs, 5) == 200
    assert [submit(one, theirs, 5) for one in offices[:2]] == [409, 409]
    assert [submit(one, theirs, 6) for one in offices[:2]] == [409, 409]
    assert submit(offices[2], ours, 6) == 409
    # so one of them gets two cosignatures, and the chain holds one of them
    assert anchor(chain_space, ours, 5) == "anchored"
    assert anchor(chain_space, theirs, 5) == "chain.refused.equivocation"
    # no block vouches for the other: the witness that saw it asks the chain for its root
    block = space.chain().finalized()
    names = AnchorSeen(space.trust().chain.id, 6, block.number, block.hash)
    assert submit(offices[2], theirs, 6, [names.line()]) == 422
    # and what a witness kept convicts the log's key, whichever was shown to whom
    kept = [file.read_text() for file in (offices[0].home / "refused").iterdir()]
    fork = prove_fork(offices[0].seen[origin].note, kept[0], origin=origin, key=key)
    assert fork is not None
    assert set(fork.roots) == {ours.root(), theirs.root()}
    assert verify_cosignatures(kept[0], keys) == {}
    assert not Cosignature.objects.filter(checkpoint__size=6).exists()
    assert Anchor.objects.filter(size=6).count() == 0
