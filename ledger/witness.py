"""What a witness answers: c2sp.org/tlog-witness as a function of a request, the logs' keys and what was seen before.

A witness cosigns a log's checkpoint only if it continues the last one it cosigned. Its memory is that one checkpoint a
log, and the roots of the sizes it saw lately, by which it judges anchors named in extension lines. Pure: storing the
new memory before answering, in one step with the judgement, is its caller's part, as are clock and network.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ledger.checkpoint import (
    AnchorSeen,
    Checkpoint,
    anchor_seen,
    exact_base64,
    parse_note,
    signed_alone,
    verify_checkpoint,
)
from ledger.errors import ChainUnavailable, DocumentError, VerificationError
from ledger.merkle import EMPTY_ROOT, HASH_SIZE, verify_consistency

MAX_PROOF = 63
MAX_REQUEST = 20_000
MEMORY = 512
OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
TEXT, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"
CheckAnchor = Callable[[AnchorSeen, bytes], None]
"""Takes what an extension line says and the root of the anchored size; raises unless the chain says so, too."""


@dataclass(frozen=True)
class Submission:
    """A request: the size that the log believes the witness to have, the proof from there, the note."""

    old: int
    proof: tuple[bytes, ...]
    note: str


@dataclass(frozen=True)
class Seen:
    """The last checkpoint cosigned for one log, and the (size, root) pairs seen up to there, newest last."""

    note: str
    size: int = 0
    root: bytes = EMPTY_ROOT
    roots: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A status, its body, and what must be stored before anybody is told; `origin` and `seen` only with 200.

    `evidence` is a note that the log signed and that does not continue what it signed before: perhaps a fork's proof.
    What is stored carries the log's signature alone: lines of others, whom nobody asked, could fill the disk.
    """

    status: int
    body: str = ""
    content_type: str = TEXT
    origin: str = ""
    seen: Seen | None = None
    evidence: str = ""


def read_submission(request: bytes) -> Submission:
    """The request's three parts; DocumentError if it has not this form."""
    if len(request) > MAX_REQUEST:
        raise DocumentError("witness.malformed", "the request is too long")
    try:
        head, blank, note = request.decode().partition("\n\n")
    except UnicodeDecodeError as trouble:
        raise DocumentError("witness.malformed", "the request is not UTF-8") from trouble
    first, *lines = head.split("\n")
    old = OLD.fullmatch(first)
    if old is None or not blank or len(lines) > MAX_PROOF:
        raise DocumentError("witness.malformed", "the request does not begin with an old size and a proof")
    proof = tuple(exact_base64(line) for line in lines)
    if any(len(one) != HASH_SIZE for one in proof):
        raise DocumentError("witness.malformed", "a hash of the proof has not 32 bytes")
    return Submission(int(old[1]), proof, note)


def write_submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The request that a log sends."""
    lines = [f"old {old}", *(b64encode(one).decode() for one in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


def judge(request: bytes, *, logs: Mapping[str, str], seen: Mapping[str, Seen],
          check_anchor: CheckAnchor | None = None) -> Answer:
    """What to answer; `logs` are the known logs' keys by origin, `seen` what was cosigned for them.

    With status 200 the body is still empty: the caller stores `seen`, then cosigns the note in it.
    """
    try:
        submission = read_submission(request)
        claimed = parse_note(submission.note).checkpoint
    except DocumentError as wrong:
        return Answer(400, f"{wrong.message}\n")
    key = logs.get(claimed.origin)
    if key is None:
        return Answer(404, "this log is not known here\n")
    try:
        verify_checkpoint(submission.note, origin=claimed.origin, key=key)
    except VerificationError as wrong:
        return Answer(403, f"{wrong.message}\n")
    if submission.old > claimed.size:
        return Answer(400, "the old size is beyond the checkpoint's\n")
    note, known = signed_alone(submission.note, claimed.origin), seen.get(claimed.origin, Seen(""))
    if claimed.size == known.size and claimed.root != known.root:
        return Answer(409, f"{known.size}\n", SIZE, evidence=note)
    if submission.old != known.size:
        return Answer(409, f"{known.size}\n", SIZE)
    try:
        verify_consistency(known.size, claimed.size, submission.proof, old_root=known.root, new_root=claimed.root)
    except VerificationError as wrong:
        return Answer(422, f"{wrong.message}\n", evidence=note)
    roots = (*known.roots, (claimed.size, claimed.root)) if claimed.size != known.size else known.roots
    return _judge_anchor(claimed, Seen(note, claimed.size, claimed.root, roots[-MEMORY:]), check_anchor)


def _judge_anchor(claimed: Checkpoint, seen: Seen, check_anchor: CheckAnchor | None) -> Answer:
    """A witness vouches for a named block only after asking a chain of its own: its cosignature covers the line."""
    try:
        named = anchor_seen(claimed)
        if named is not None:
            if check_anchor is None:
                return Answer(422, "this witness has no chain to ask, and vouches for no block\n")
            root = dict(seen.roots).get(named.size)
            if root is None:
                return Answer(422, "this witness has not seen the log at the anchored size\n")
            check_anchor(named, root)
    except ChainUnavailable:
        return Answer(503, "this witness cannot ask the chain now\n")
    except VerificationError as wrong:
        return Answer(422, f"{wrong.message}\n")
    return Answer(200, origin=claimed.origin, seen=seen)


class Roots(Protocol):
    """What is asked of a copy of a log: its root at a size."""

    def root(self, size: int) -> bytes: ...


@dataclass(frozen=True)
class Fork:
    """Two notes that the log's key signed and no one log can hold. Both are the evidence."""

    first: str
    second: str
    size: int
    roots: tuple[bytes, bytes]

    def as_dict(self) -> dict[str, Any]:
        return {"size": self.size, "roots": [one.hex() for one in self.roots], "notes": [self.first, self.second]}


def prove_fork(first: str, second: str, *, origin: str, key: str, copy: Roots | None = None) -> Fork | None:
    """The proof that the log forked, or None if these notes prove none.

    Two signed notes of one size with two roots are proof in themselves. Of two sizes, `copy` is needed: somebody's copy
    of the leaves under the larger note, whose root at the smaller size is then not the one that was signed.
    """
    one, other = (verify_checkpoint(note, origin=origin, key=key) for note in (first, second))
    if one.size > other.size:
        one, other, first, second = other, one, second, first
    if one.size == other.size:
        return Fork(first, second, one.size, (one.root, other.root)) if one.root != other.root else None
    if copy is None or copy.root(other.size) != other.root:
        return None
    held = copy.root(one.size)
    return Fork(first, second, one.size, (one.root, held)) if held != one.root else None
