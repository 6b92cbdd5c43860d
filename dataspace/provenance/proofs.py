"""What the chain's state says of our anchors, kept for receipts: a block's header and the proofs of one storage slot.

Taken once an anchor is final, from any endpoint, for what is kept proves itself: the header has the hash of the
anchor's block and the proofs lead from its state to our root. A node that shows anything else is not believed.
"""

from __future__ import annotations

import logging
from typing import Any

from django.utils import timezone

from dataspace.provenance import queries, space, store
from dataspace.provenance.models import Anchor, AnchorProof, ChainTx, Checkpoint
from ledger import chainproof
from ledger.anchor import log_id_of
from ledger.errors import ChainUnavailable, LedgerError, VerificationError
from ledger.profiles import PROFILES
from ledger.receipt import chain_leg

log = logging.getLogger(__name__)

NEWEST = 3  # an older anchor without a proof is left alone: a receipt takes the next one that has one


def supported() -> bool:
    """Whether a chain of this kind can prove its state."""
    known = PROFILES.get(space.trust().chain.profile)
    return known is not None and known.proofs and space.chain().profile.proofs


def capture() -> None:
    """Fetch and check what the newest final anchors still lack."""
    final = queries.anchors().filter(tx__status=ChainTx.State.FINAL).order_by("-size")[:NEWEST]
    lacking = [one for one in final if not AnchorProof.objects.filter(anchor=one).exists()]
    if not lacking or not supported():
        return
    for anchor in lacking:
        try:
            _keep(anchor)
        except LedgerError as trouble:
            log.warning("no proof of the anchor at size %s yet: %s", anchor.size, trouble.code)


def _keep(anchor: Anchor) -> None:
    trust, slot = space.trust(), chainproof.root_slot(log_id_of(space.trust().log.origin), anchor.size)
    contract, trouble = trust.chain.contracts["anchor"], ChainUnavailable("chain.unavailable", "nobody answered")
    for block, proof in space.chain().state_proofs(contract.address, "0x" + slot.hex(), anchor.tx.block or 0):
        try:
            header = chainproof.header_of(block, profile=trust.chain.profile)
            account_proof, storage_proof = _nodes(proof["accountProof"]), _nodes(proof["storageProof"][0]["proof"])
            account = chainproof.prove_account(header.state_root, contract.address, account_proof)
            root = chainproof.prove_slot(account.storage_root, slot, storage_proof)
        except (VerificationError, KeyError, IndexError, TypeError, ValueError) as wrong:
            trouble = ChainUnavailable("chain.proof", f"an endpoint's proof does not hold: {type(wrong).__name__}")
            continue
        name = chainproof.block_hash(header, trust.chain.profile)
        if name != anchor.tx.block_hash.lower() or root.hex() != anchor.checkpoint.root:
            trouble = ChainUnavailable("chain.proof", "an endpoint proves another block or root")
            continue
        bare = chainproof.unsealed(header) if _drop_seals() else header
        AnchorProof.objects.get_or_create(anchor=anchor, defaults={
            "block_hash": name, "header": bare.raw, "account_proof": account_proof, "storage_proof": storage_proof,
            "at": timezone.now()})
        return
    raise trouble


def _drop_seals() -> bool:
    """Seals that no trust file lets anybody check have no place in a receipt."""
    chain = space.trust().chain
    return chain.profile == chainproof.QBFT and not chain.validators


def _nodes(values: list[object]) -> list[bytes]:
    return [bytes.fromhex(str(one).removeprefix("0x")) for one in values]


def held(index: int) -> tuple[Checkpoint, dict[str, Any]] | None:
    """For the leaf of this index: its first anchor that is proved and vouched for, as the checkpoint that names the
    anchor's block, and the chain leg.

    Where the chain cannot prove its state, the first anchored checkpoint. None while there is none.
    """
    rows = queries.anchors().filter(size__gt=index).order_by("size")
    if not supported():
        first = rows.first()
        return (first.checkpoint, _leg(index, first)) if first else None
    for anchor in rows.filter(proof__isnull=False).select_related("proof"):
        if anchor.proof.block_hash != anchor.tx.block_hash.lower():
            continue  # of a block that the chain took back
        later = Checkpoint.objects.filter(names=anchor, published_at__isnull=False).first()
        if later is None:
            continue
        leg = _leg(
            index,
            anchor,
            header=bytes(anchor.proof.header),
            account_proof=[bytes(one) for one in anchor.proof.account_proof],
            storage_proof=[bytes(one) for one in anchor.proof.storage_proof],
        )
        return later, leg
    return None


def _leg(index: int, anchor: Anchor, **proved: Any) -> dict[str, Any]:
    path = store.log().inclusion(index, anchor.size)
    return chain_leg(space.trust(), size=anchor.size, inclusion=path, **proved)
