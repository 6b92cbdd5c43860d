"""Checkpoints: origin, size and root of a log as a C2SP signed note, with the cosignatures of witnesses.

Formats: c2sp.org/signed-note, c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature (v1, Ed25519). Stricter than these
in two ways: base64 must be in its one spelling, and extension lines are few, short and printable. The one extension
line that means something here names the newest anchor. No clock: a cosignature's time is told, not judged.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.documents import public_hex
from ledger.errors import DocumentError, VerificationError

LOG_KEY, WITNESS_KEY = b"\x01", b"\x04"
LAST_TIME = 2**63 - 1
BODY = re.compile(
    r"([^\n\s+]{1,200})\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n((?:[!-~](?:[ -~]{0,298}[!-~])?\n){0,8})")
ANCHOR = "xinglin-anchor/1"
NUMBER = r"(0|[1-9][0-9]{0,18})"
ANCHOR_LINE = re.compile(rf"{re.escape(ANCHOR)} {NUMBER} {NUMBER} {NUMBER} (0x[0-9a-f]{{64}})")
LINE = re.compile(r"\u2014 ([^\n\s+]{1,200}) ([A-Za-z0-9+/]{1,400}={0,2})\n")


@dataclass(frozen=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def body(self) -> str:
        head = f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"
        return head + "".join(f"{line}\n" for line in self.extensions)


@dataclass(frozen=True)
class AnchorSeen:
    """What an extension line says: on this chain the log of `size` leaves is anchored, as of this block."""

    chain_id: int
    size: int
    block: int
    block_hash: str

    def line(self) -> str:
        return f"{ANCHOR} {self.chain_id} {self.size} {self.block} {self.block_hash}"


@dataclass(frozen=True)
class NoteSignature:
    """One line of a note: who says it is theirs, the hint at their key, and the signature."""

    name: str
    key_hash: bytes
    value: bytes


@dataclass(frozen=True)
class Note:
    """A parsed checkpoint. **Nothing in it is verified yet.**"""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def key_hash(name: str, kind: bytes, key: str) -> bytes:
    return sha256(name.encode() + b"\n" + kind + bytes.fromhex(key)).digest()[:4]


def _line(name: str, hint: bytes, value: bytes) -> str:
    return f"\u2014 {name} {base64.b64encode(hint + value).decode()}\n"


def exact_base64(value: str) -> bytes:
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as trouble:
        raise DocumentError("checkpoint.malformed", "not base64") from trouble
    if base64.b64encode(data).decode() != value:
        raise DocumentError("checkpoint.malformed", "base64 not in its one spelling")
    return data


def sign_checkpoint(origin: str, size: int, root: bytes, key: Ed25519PrivateKey,
                    extensions: Sequence[str] = ()) -> str:
    """The note, signed by the log."""
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    body = checkpoint.body()
    if BODY.fullmatch(body) is None or any("\n" in line for line in checkpoint.extensions):
        raise DocumentError("checkpoint.malformed", "origin, size, root or extension cannot stand in a checkpoint")
    anchor_seen(checkpoint)
    return body + "\n" + _line(origin, key_hash(origin, LOG_KEY, public_hex(key)), key.sign(body.encode()))


def anchor_seen(checkpoint: Checkpoint) -> AnchorSeen | None:
    """The anchor that the checkpoint names. Two of them, a malformed one or one beyond the log's size raise."""
    lines = [one for one in checkpoint.extensions if one.split(" ")[0] == ANCHOR]
    if not lines:
        return None
    found = ANCHOR_LINE.fullmatch(lines[0])
    if found is None or len(lines) != 1:
        raise DocumentError("checkpoint.malformed", "the checkpoint names its anchor in another form, or twice")
    seen = AnchorSeen(int(found[1]), int(found[2]), int(found[3]), found[4])
    if not 0 < seen.size <= checkpoint.size:
        raise DocumentError("checkpoint.malformed", "the checkpoint names an anchor of leaves that it does not hold")
    return seen


def cosignature(note: str, key: Ed25519PrivateKey, *, name: str, now: int) -> str:
    """A witness's signature line under the note, made at Unix time `now`."""
    if not 0 < now <= LAST_TIME:
        raise DocumentError("checkpoint.malformed", "this is no time of a cosignature")
    value = now.to_bytes(8) + key.sign(_cosigned(parse_note(note).checkpoint.body(), now))
    line = _line(name, key_hash(name, WITNESS_KEY, public_hex(key)), value)
    if LINE.fullmatch(line) is None:
        raise DocumentError("checkpoint.malformed", "this is no name of a witness")
    return line


def cosign(note: str, key: Ed25519PrivateKey, *, name: str, now: int) -> str:
    """The note with a witness's cosignature added."""
    return note + cosignature(note, key, name=name, now=now)


def _cosigned(body: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{body}".encode()


def parse_note(note: str) -> Note:
    body, blank, rest = note.partition("\n\n")
    found = BODY.fullmatch(body + "\n")
    if found is None or not blank:
        raise DocumentError("checkpoint.malformed", "this is not a checkpoint")
    signatures, end = list[NoteSignature](), 0
    for line in LINE.finditer(rest):
        if line.start() != end:
            break
        raw, end = exact_base64(line[2]), line.end()
        signatures.append(NoteSignature(line[1], raw[:4], raw[4:]))
    if end != len(rest) or not signatures:
        raise DocumentError("checkpoint.malformed", "a signature line of the checkpoint is malformed")
    extensions = tuple(found[4].split("\n")[:-1])
    return Note(Checkpoint(found[1], int(found[2]), exact_base64(found[3]), extensions), tuple(signatures))


def signed_alone(note: str, name: str) -> str:
    """The note with the signature lines of this name and no others: anybody can add lines."""
    parsed = parse_note(note)
    lines = (_line(one.name, one.key_hash, one.value) for one in parsed.signatures if one.name == name)
    return parsed.checkpoint.body() + "\n" + "".join(lines)


def verify_checkpoint(note: str, *, origin: str, key: str) -> Checkpoint:
    """The checkpoint, if it is of this log and signed by the log's key exactly once."""
    parsed = parse_note(note)
    if parsed.checkpoint.origin != origin:
        raise VerificationError("checkpoint.origin", "the checkpoint is of another log")
    hint = key_hash(origin, LOG_KEY, key)
    lines = [one for one in parsed.signatures if one.name == origin]
    if len(lines) != 1 or lines[0].key_hash != hint:
        raise VerificationError("checkpoint.signature", "the checkpoint is not signed by the log's key")
    if not _holds(key, lines[0].value, parsed.checkpoint.body().encode()):
        raise VerificationError("checkpoint.signature", "the log's signature on the checkpoint is wrong")
    return parsed.checkpoint


def verify_cosignatures(note: str, keys: Iterable[str]) -> dict[str, int]:
    """The witnesses among `keys` whose cosignature holds, with the time each one said (the last, if it said more)."""
    parsed = parse_note(note)
    body, found = parsed.checkpoint.body(), dict[str, int]()
    for key in keys:
        for line in parsed.signatures:
            if line.key_hash != key_hash(line.name, WITNESS_KEY, key) or len(line.value) != 72:
                continue
            at = int.from_bytes(line.value[:8])
            if 0 < at <= LAST_TIME and _holds(key, line.value[8:], _cosigned(body, at)):
                found[key] = max(at, found.get(key, 0))
    return found


def _holds(key: str, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
