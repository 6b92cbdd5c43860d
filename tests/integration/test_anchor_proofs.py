"""The chain's proof of an anchor: taken from a real node, believed only if it proves itself, and whole in a receipt."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from dataspace.grants.queries import receipt_of
from dataspace.provenance import proofs, space, store
from dataspace.provenance.models import Anchor, AnchorProof, ChainTx, Checkpoint, Cosignature, Event, Leaf, Sender
from dataspace.provenance.queries import epoch
from ledger.anchor import log_id_of
from ledger.checkpoint import AnchorSeen, cosignature, sign_checkpoint
from ledger.documents import document_hash, new_id, public_hex
from ledger.entry import commitment, leaf_hash, new_entry
from ledger.log import Log, MemoryStore
from ledger.receipt import spelled, verify_receipt
from ledger.trust import Trust, fingerprint_of_root, load_trust, make_trust
from tests.integration.chain_space import ChainSpace

pytestmark = pytest.mark.django_db


@dataclass
class Anchored:
    trust: Trust
    anchor: Anchor
    event: Event
    chain: Any

    def name(self) -> Checkpoint:
        """The later checkpoint that names the anchor's block, cosigned by two."""
        held = self.anchor.checkpoint
        tx = self.anchor.tx
        seen = AnchorSeen(self.trust.chain.id, self.anchor.size, tx.block or 0, tx.block_hash)
        return write_checkpoint(self.trust, held.size, bytes.fromhex(held.root), [seen.line()], names=self.anchor)


LOG, WITNESSES = Ed25519PrivateKey.generate(), [Ed25519PrivateKey.generate() for _ in range(2)]


def write_checkpoint(trust: Trust, size: int, root: bytes, lines: list[str], names: Anchor | None = None) -> Checkpoint:
    note = sign_checkpoint(trust.log.origin, size, root, LOG, lines)
    now = timezone.now()
    row = Checkpoint.objects.create(size=size, root=root.hex(), note=note, at=now, names=names, published_at=now)
    for number, key in enumerate(WITNESSES):
        line = cosignature(note, key, name=f"witness-{number}", now=int(now.timestamp()))
        Cosignature.objects.create(checkpoint=row, key=public_hex(key), line=line, at=now)
    return row


def trust_of(found: ChainSpace) -> Trust:
    root, key = Ed25519PrivateKey.generate(), public_hex(Ed25519PrivateKey.generate())
    wire = make_trust(
        root, space_id=new_id(), name="t", log_key=public_hex(LOG), dealer={"participant": new_id(), "signing": key},
        chain={"id": found.chain.chain_id, "profile": "embedded", "genesis": found.chain.genesis_hash(),
               "rpc": list(found.chain.rpc.urls), "quorum": 1, "contracts": found.deployed},
        regulator={"participant": new_id(), "signing": key, "sealing": key, "approvers": [found.regulator.address]},
        witnesses={"k": 2, "keys": [public_hex(one) for one in WITNESSES]})
    return load_trust(wire, fingerprint=fingerprint_of_root(public_hex(root)))


@pytest.fixture
def anchored(chain_space: ChainSpace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Anchored]:
    """An event in a log of one leaf, anchored and final; everything but its proof."""
    trust, chain = trust_of(chain_space), copy.copy(chain_space.chain)
    monkeypatch.setattr(space, "trust", lambda: trust)
    monkeypatch.setattr(space, "chain", lambda: chain)
    entry = new_entry("participant.admitted", subject=("participant", new_id()), participant=None)
    event = Event.objects.create(
        kind=entry["kind"], subject_kind="participant", subject_id=UUID(entry["subject"]["id"]), at=timezone.now(),
        commitment=commitment(entry).hex(), entry=entry)
    assert document_hash(entry) == event.commitment
    log = Log(MemoryStore())
    log.append([leaf_hash(entry)])
    Leaf.objects.create(index=0, event=event, hash=leaf_hash(entry).hex())
    store.SqlStore().save(1, {(0, 0): leaf_hash(entry)})
    checkpoint = write_checkpoint(trust, 1, log.root(), [])
    nonce = chain_space.nonce(chain_space.operator)
    raw = chain.sign_anchor(chain_space.operator, nonce, log_id=log_id_of(trust.log.origin), prev_size=0, size=1,
                            root="0x" + log.root().hex(), proof=())
    mined = chain_space.send(raw, final=True)
    tx = ChainTx.objects.create(
        key=raw.hash, kind="anchor", sender=Sender.objects.create(address=raw.sender), nonce=nonce, raw=raw.raw,
        hash=raw.hash, status=ChainTx.State.FINAL, block=mined.block, block_hash=mined.block_hash,
        created_at=timezone.now())
    anchor = Anchor.objects.create(checkpoint=checkpoint, tx=tx, size=1, prev_size=0, epoch=epoch())
    yield Anchored(trust, anchor, event, chain)


def test_it_works(anchored: Anchored) -> None:
    proofs.capture()
    assert receipt_of(anchored.event, whole=True) is None  # nobody vouches for the block yet
    anchored.name()
    receipt = receipt_of(anchored.event, whole=True)
    assert receipt is not None
    levels = verify_receipt(spelled(receipt), anchored.trust)
    assert levels.as_dict() == {"inclusion": "valid", "log_signature": "valid", "witnesses": "valid",
                                "approvals": "not checked", "chain_proof": "valid", "chain_header": "valid"}
    assert receipt["chain"]["size"] == 1
    assert len(spelled(receipt)) <= 6000
    proofs.capture()
    assert AnchorProof.objects.count() == 1


@pytest.mark.parametrize("lie", ["header", "account", "slot", "nothing", "nonsense"])
def test_a_node_that_shows_something_else_is_not_believed(anchored: Anchored, lie: str) -> None:
    true = anchored.chain.state_proofs

    def lying(*asked: Any) -> Iterator[tuple[Any, Any]]:
        for block, proof in true(*asked):
            other = next(iter(true(asked[0], "0x" + "00" * 31 + "02", asked[2])))[1]
            yield {
                "header": ({**block, "stateRoot": "0x" + "11" * 32}, proof),
                "account": (block, {**proof, "accountProof": proof["accountProof"][:-1]}),
                "slot": (block, {**proof, "storageProof": other["storageProof"]}),
                "nothing": (block, {}),
                "nonsense": (block, {"accountProof": [7], "storageProof": "x"}),
            }[lie]
    anchored.chain.state_proofs = lying
    proofs.capture()
    assert not AnchorProof.objects.exists()
    anchored.name()
    assert receipt_of(anchored.event, whole=True) is None
    early = receipt_of(anchored.event)
    assert early is not None
    assert early["chain"] is None


def test_a_true_proof_of_another_block_is_not_kept(anchored: Anchored) -> None:
    true = anchored.chain.state_proofs
    anchored.chain.state_proofs = lambda address, slot, number: true(address, slot, number + 1)
    proofs.capture()
    assert not AnchorProof.objects.exists()
