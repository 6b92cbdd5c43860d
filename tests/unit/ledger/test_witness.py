"""A witness cosigns only what continues what it cosigned; two honest ones expose an operator with two histories."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import witness_service
from ledger.checkpoint import AnchorSeen, sign_checkpoint, verify_cosignatures
from ledger.documents import public_hex
from ledger.errors import ChainUnavailable, VerificationError
from ledger.log import Log, MemoryStore
from ledger.merkle import leaf_hash
from ledger.witness import MAX_REQUEST, Answer, Fork, prove_fork, write_submission
from ledger.witness_service import Witness, make_home

ORIGIN = "xinglin/0f0e0d0c-0b0a-4908-8706-050403020100"
KEY = Ed25519PrivateKey.generate()
BLOCK = AnchorSeen(4242, 3, 7, "0x" + "ab" * 32)
Make = Callable[..., Witness]


def history(*words: str) -> Log:
    log = Log(MemoryStore())
    log.append([leaf_hash(word.encode()) for word in words])
    return log


HONEST = history(*"abcdefgh")
OTHER = history(*"abcXefgh")


def note(log: Log, size: int, lines: Sequence[str] = (), *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN) -> str:
    return sign_checkpoint(origin, size, log.root(size), key, lines)


def submission(log: Log, old: int, size: int, lines: Sequence[str] = ()) -> bytes:
    return write_submission(old, log.consistency(old, size) if old else [], note(log, size, lines))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def witness(name: str = "w1", **how: object) -> Witness:
        make_home(tmp_path / name, f"test/{name}")
        key = witness_service._key(tmp_path / name)
        return Witness(tmp_path / name, f"test/{name}", key, {ORIGIN: public_hex(KEY)}, **how)  # type: ignore[arg-type]
    return witness


def test_it_works(make: Make) -> None:
    witness = make(now=lambda: 1_795_332_000.9)
    for old, size in ((0, 3), (3, 3), (3, 8)):
        answer = witness.add_checkpoint(submission(HONEST, old, size))
        assert answer.status == 200
        key = public_hex(witness.key)
        assert verify_cosignatures(note(HONEST, size) + answer.body, [key]) == {key: 1_795_332_000}
    assert make().seen[ORIGIN].size == 8, "what was seen is on the disk"


def status(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.body.strip()


def test_every_refusal_of_the_specification(make: Make) -> None:
    witness, stranger = make(), Ed25519PrivateKey.generate()
    witness.add_checkpoint(submission(HONEST, 0, 5))
    wrong_proof = write_submission(5, [bytes(32)], note(HONEST, 8))
    unknown = write_submission(0, [], note(HONEST, 3, origin="xinglin/other"))
    forged = write_submission(5, HONEST.consistency(5, 8), note(HONEST, 8, key=stranger))
    refused = {
        b"": 400, b"old 05\n\n" + note(HONEST, 5).encode(): 400, b"old 5\n" + note(HONEST, 5).encode(): 400,
        b"old 5\nAAAA\n\n" + note(HONEST, 8).encode(): 400, b"x" * (MAX_REQUEST + 1): 400, b"old 5\n\n\xff": 400,
        write_submission(5, [bytes(32)] * 64, note(HONEST, 8)): 400,
        submission(HONEST, 8, 8).replace(b"old 8", b"old 9"): 400, unknown: 404, forged: 403,
        submission(HONEST, 0, 8): 409, submission(HONEST, 3, 8): 409, wrong_proof: 422,
        write_submission(5, [], note(HONEST, 8)): 422, write_submission(5, [bytes(32)], note(HONEST, 5)): 422,
    }
    for request, code in refused.items():
        assert witness.add_checkpoint(request).status == code, request[:60]
    conflict = witness.add_checkpoint(submission(HONEST, 3, 8))
    assert (conflict.body, conflict.content_type) == ("5\n", "text/x.tlog.size")
    assert make().seen[ORIGIN].size == 5, "no refusal changes what was seen"


def test_a_rollback_is_refused(make: Make) -> None:
    """An old checkpoint, truly signed, does not bring a witness back."""
    witness = make()
    witness.add_checkpoint(submission(HONEST, 0, 8))
    assert status(witness.add_checkpoint(submission(HONEST, 3, 5))) == (409, "8")
    assert witness.add_checkpoint(submission(HONEST, 0, 5)).status == 409
    assert witness.add_checkpoint(write_submission(8, [], note(HONEST, 5))).status == 400
    assert witness.seen[ORIGIN].size == 8


def test_two_honest_witnesses_expose_a_split_view(make: Make) -> None:
    """The operator holds the log's key and shows two histories: only one gets 2 of 3, and the notes convict it."""
    witnesses = [make(name) for name in ("w1", "w2", "w3")]
    keys = [public_hex(one.key) for one in witnesses]
    shown = {}
    for log, order in ((HONEST, (0, 2)), (OTHER, (1, 2, 0))):
        signed = note(log, 5)
        for at in order:
            answer = witnesses[at].add_checkpoint(submission(log, 0, 5))
            signed += answer.body if answer.status == 200 else ""
        shown[log] = signed
    assert [len(verify_cosignatures(one, keys)) for one in shown.values()] == [2, 1]
    kept = [file.read_text() for file in (witnesses[2].home / "refused").iterdir()]
    assert kept == [note(OTHER, 5)]
    fork = prove_fork(witnesses[2].seen[ORIGIN].note, kept[0], origin=ORIGIN, key=public_hex(KEY))
    assert fork is not None
    assert (fork.size, fork.roots) == (5, (HONEST.root(5), OTHER.root(5)))


def test_a_fork_of_two_sizes_needs_a_copy_of_the_log() -> None:
    small, large, key = note(HONEST, 5), note(OTHER, 8), public_hex(KEY)
    assert prove_fork(large, small, origin=ORIGIN, key=key) is None
    assert prove_fork(large, small, origin=ORIGIN, key=key, copy=HONEST) is None, "not the log of the larger note"
    fork = prove_fork(large, small, origin=ORIGIN, key=key, copy=OTHER)
    assert isinstance(fork, Fork)
    assert fork.as_dict()["roots"] == [HONEST.root(5).hex(), OTHER.root(5).hex()]
    assert prove_fork(small, note(HONEST, 8), origin=ORIGIN, key=key, copy=HONEST) is None
    assert prove_fork(small, small, origin=ORIGIN, key=key) is None
    with pytest.raises(VerificationError):
        prove_fork(small, note(OTHER, 5, key=Ed25519PrivateKey.generate()), origin=ORIGIN, key=key)


def test_a_witness_killed_between_store_and_answer_goes_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    witness = make()
    with monkeypatch.context() as killed:
        killed.setattr(witness_service, "cosignature", lambda *_, **__: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception):
            witness.add_checkpoint(submission(HONEST, 0, 5))
    again = make()
    assert status(again.add_checkpoint(submission(HONEST, 0, 5))) == (409, "5")
    assert again.add_checkpoint(submission(HONEST, 5, 5)).status == 200
    assert again.add_checkpoint(submission(OTHER, 5, 5)).status == 409


def test_a_witness_that_cannot_store_does_not_cosign(make: Make) -> None:
    witness = make()
    witness.home = witness.home / "gone"
    with pytest.raises(OSError, match="gone"):
        witness.add_checkpoint(submission(HONEST, 0, 5))
    assert witness.seen == {}


def junk(count: int, name: str = "x") -> str:
    """Signature lines that anybody can write under a public note."""
    return "".join(f"\u2014 {name}{number} {b64encode(bytes(72)).decode()}\n" for number in range(count))


@pytest.mark.parametrize("lines", [junk(100), junk(1, "\x01")])
def test_a_strangers_lines_under_a_note_are_not_remembered(make: Make, lines: str) -> None:
    witness = make()
    assert witness.add_checkpoint(submission(HONEST, 0, 3)).status == 200
    assert witness.add_checkpoint(submission(HONEST, 3, 3) + lines.encode()).status in (200, 400)
    assert make().seen[ORIGIN].note == note(HONEST, 3), "and it starts again"


def test_a_stranger_cannot_fill_the_drawer_of_evidence(make: Make) -> None:
    witness = make()
    witness.add_checkpoint(submission(HONEST, 0, 3))
    for number in range(5):
        wrong = write_submission(3, [bytes(32)], note(HONEST, 8) + junk(1, f"stranger{number}"))
        assert witness.add_checkpoint(wrong).status == 422
    assert [one.read_text() for one in (witness.home / "refused").iterdir()] == [note(HONEST, 8)]


def test_of_requests_at_once_none_rolls_another_back(make: Make) -> None:
    """The race of the specification: N and N + K checked, N + K stored, then N."""
    for turn in range(10):
        witness = make(f"w{turn}")
        requests = [submission(log, 0, size) for log in (HONEST, OTHER) for size in range(4, 9)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(witness.add_checkpoint, requests))
        assert sum(answer.status == 200 for answer in answers) == 1
        assert {int(one.body) for one in answers if one.status == 409} == {witness.seen[ORIGIN].size}


def test_a_named_anchor_is_vouched_for_only_if_the_own_chain_says_so(make: Make) -> None:
    asked = []

    def check(named: AnchorSeen, root: bytes) -> None:
        asked.append((named, root))
        if len(asked) == 1:
            raise ChainUnavailable("chain.unavailable", "away")
        if len(asked) == 2:
            raise VerificationError("chain.wrong", "another block")

    witness = make(check_anchor=check)
    assert witness.add_checkpoint(submission(HONEST, 0, 3)).status == 200
    answers = [witness.add_checkpoint(submission(HONEST, 3, 5, [BLOCK.line()])).status for _ in range(3)]
    assert answers == [503, 422, 200]
    assert asked == [(BLOCK, HONEST.root(3))] * 3
    unseen = AnchorSeen(4242, 4, 7, BLOCK.block_hash)
    assert witness.add_checkpoint(submission(HONEST, 5, 8, [unseen.line()])).status == 422
    assert witness.add_checkpoint(submission(HONEST, 5, 8)).status == 200


def test_a_witness_without_a_chain_vouches_for_no_block(make: Make) -> None:
    """Its cosignature would cover the line, and nobody could tell that it never asked."""
    blind = make()
    assert blind.add_checkpoint(submission(HONEST, 0, 5, [BLOCK.line()])).status == 422
    assert blind.seen == {}
    assert blind.add_checkpoint(submission(HONEST, 0, 5)).status == 200, "what it can judge it cosigns"
