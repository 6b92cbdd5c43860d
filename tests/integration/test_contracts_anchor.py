"""Anchor on a real chain: history only grows, and only the operator adds to it."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

import pytest

from ledger.anchor import log_id_of, next_anchor
from ledger.errors import ChainRefused, VerificationError
from ledger.keys import EthKey
from ledger.log import Log, MemoryStore
from ledger.merkle import leaf_hash
from tests.integration.chain_space import ChainSpace

pytestmark = pytest.mark.stack


@pytest.fixture
def space(chain_space: ChainSpace) -> ChainSpace:
    return chain_space


def refused(code: str) -> pytest.RaisesExc[ChainRefused]:
    return pytest.RaisesExc(ChainRefused, check=lambda error: error.code == f"chain.refused.{code}")


def log_of(leaves: list[bytes]) -> Log:
    log = Log(MemoryStore())
    log.append([leaf_hash(leaf) for leaf in leaves])
    return log


LEAVES = [f"leaf {number}".encode() for number in range(40)]


def anchor(space: ChainSpace, log: Log, size: int, origin: str, *, key: EthKey | None = None,
           prev_size: int | None = None) -> None:
    """From what is anchored to `size`, or from the size given."""
    signer, log_id = key or space.operator, log_id_of(origin)
    before = space.chain.anchor_head(log_id).size if prev_size is None else prev_size
    proof = log.consistency(before, size) if 0 < before < size else []
    space.send(space.chain.sign_anchor(
        signer, space.nonce(signer), log_id=log_id, prev_size=before, size=size, root="0x" + log.root(size).hex(),
        proof=["0x" + step.hex() for step in proof]))


def test_it_works(space: ChainSpace) -> None:
    origin, log = f"xinglin/{secrets.token_hex(8)}", log_of(LEAVES)
    for count, size in enumerate((1, 2, 3, 7, 8, 9, 31, 32, 40), start=1):
        call = next_anchor(log, size, space.chain.anchor_head(log_id_of(origin)), origin=origin)
        assert call is not None
        space.send(space.chain.sign_anchor(
            space.operator, space.nonce(space.operator), log_id=call.log_id, prev_size=call.prev_size, size=call.size,
            root=call.root, proof=call.proof))
        head = space.chain.anchor_head(log_id_of(origin))
        assert (head.size, head.root, head.count) == (size, "0x" + log.root(size).hex(), count)
        assert space.chain.root_at(log_id_of(origin), size) == head.root
    assert next_anchor(log, 40, head, origin=origin) is None
    assert space.chain.root_at(log_id_of(origin), 5) is None


def test_every_step_between_two_sizes_is_proved(space: ChainSpace) -> None:
    log = log_of(LEAVES[:12])
    for old in range(1, 12):
        origin = f"xinglin/{secrets.token_hex(8)}"
        anchor(space, log, old, origin)
        anchor(space, log, 12, origin)


def test_a_rewritten_leaf_is_refused(space: ChainSpace) -> None:
    origin = f"xinglin/{secrets.token_hex(8)}"
    anchor(space, log_of(LEAVES), 10, origin)
    with refused("bad_consistency"):
        anchor(space, log_of([LEAVES[0], b"rewritten", *LEAVES[2:]]), 20, origin)


def test_another_root_at_a_known_size_is_refused(space: ChainSpace) -> None:
    origin = f"xinglin/{secrets.token_hex(8)}"
    anchor(space, log_of(LEAVES), 10, origin)
    with refused("equivocation"):
        anchor(space, log_of([*LEAVES[:9], b"another"]), 10, origin)


def test_a_stale_size_is_refused(space: ChainSpace) -> None:
    origin, log = f"xinglin/{secrets.token_hex(8)}", log_of(LEAVES)
    anchor(space, log, 10, origin)
    anchor(space, log, 20, origin)
    with refused("stale_size"):
        anchor(space, log, 30, origin, prev_size=10)
    with refused("stale_size"):
        anchor(space, log, 15, origin, prev_size=10)  # the chain never goes back


def test_a_retry_changes_nothing(space: ChainSpace) -> None:
    origin, log = f"xinglin/{secrets.token_hex(8)}", log_of(LEAVES)
    anchor(space, log, 10, origin)
    anchor(space, log, 20, origin)
    before = space.chain.anchor_head(log_id_of(origin))
    anchor(space, log, 20, origin, prev_size=10)
    anchor(space, log, 10, origin, prev_size=0)
    assert space.chain.anchor_head(log_id_of(origin)) == before


def test_only_the_operator_anchors(space: ChainSpace) -> None:
    origin, log = f"xinglin/{secrets.token_hex(8)}", log_of(LEAVES)
    for key in (space.deployer, space.regulator, space.stranger):
        with refused("access_control_unauthorized_account"):
            anchor(space, log, 10, origin, key=key)


def test_an_old_log_is_not_anchored_over(space: ChainSpace) -> None:
    origin, log = f"xinglin/{secrets.token_hex(8)}", log_of(LEAVES)
    anchor(space, log, 20, origin)
    head = space.chain.anchor_head(log_id_of(origin))
    with pytest.raises(VerificationError) as rewound:
        next_anchor(log_of(LEAVES[:10]), 10, head, origin=origin)
    assert rewound.value.code == "anchor.rewound"
    with pytest.raises(VerificationError) as forked:
        next_anchor(log_of([b"other", *LEAVES[1:]]), 40, head, origin=origin)
    assert forked.value.code == "anchor.forked"


def test_the_artifact_is_what_the_sources_compile_to(root: Path) -> None:
    done = subprocess.run(["node", "ledger/contracts/compile.js", "--check"], cwd=root, capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
