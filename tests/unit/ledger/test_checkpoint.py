"""Checkpoints: signed notes of the C2SP form, by one key, in one spelling."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.checkpoint import (
    AnchorSeen,
    anchor_seen,
    cosign,
    parse_note,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignatures,
)
from ledger.documents import public_hex
from ledger.errors import DocumentError, VerificationError

ORIGIN = "xinglin/0f0e0d0c-0b0a-4908-8706-050403020100"
KEY = Ed25519PrivateKey.generate()
ROOT = bytes(range(32))
NOTE = sign_checkpoint(ORIGIN, 42, ROOT, KEY)


def test_it_works() -> None:
    checkpoint = verify_checkpoint(NOTE, origin=ORIGIN, key=public_hex(KEY))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == (ORIGIN, 42, ROOT)


def test_the_reference_note_of_the_specification_is_read() -> None:
    """The form of c2sp.org/tlog-checkpoint's own example."""
    note = ("example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
            "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGz"
            "Gku9nTo+zyWE+xeMcTOAYQ8=\n")
    parsed = parse_note(note)
    assert parsed.checkpoint.size == 20852163
    assert parsed.checkpoint.body() + "\n" == note.partition("\u2014")[0]


@pytest.mark.parametrize("origin", ["xinglin/other", ORIGIN + "0"])
def test_another_log_is_refused(origin: str) -> None:
    with pytest.raises(VerificationError):
        verify_checkpoint(NOTE, origin=origin, key=public_hex(KEY))


def test_another_key_is_refused() -> None:
    with pytest.raises(VerificationError, match=r"checkpoint\.signature"):
        verify_checkpoint(NOTE, origin=ORIGIN, key=public_hex(Ed25519PrivateKey.generate()))


def test_another_size_or_root_under_the_same_signature_is_refused() -> None:
    other = sign_checkpoint(ORIGIN, 43, ROOT, KEY)
    mixed = NOTE.split("\n\n")[0] + "\n\n" + other.split("\n\n")[1]
    with pytest.raises(VerificationError, match=r"checkpoint\.signature"):
        verify_checkpoint(mixed, origin=ORIGIN, key=public_hex(KEY))


@pytest.mark.parametrize("change", [
    lambda note: note.replace("\n42\n", "\n042\n"), lambda note: note.replace("\n\n", "\n"),
    lambda note: note + "x", lambda note: note[:-1], lambda note: note.replace("\n\n", "\n \n\n"),
    lambda note: note.replace("\n\n", "\n" + "x\n" * 9 + "\n"), lambda note: note.replace("\n\n", "\nx\ty\n\n"),
    lambda note: note.replace("\u2014", "-"), lambda note: note + "\n", lambda note: "", lambda note: "\n\n",
])
def test_what_is_not_of_the_form_is_refused(change: object) -> None:
    with pytest.raises(DocumentError):
        verify_checkpoint(change(NOTE), origin=ORIGIN, key=public_hex(KEY))  # type: ignore[operator]


def test_base64_has_one_spelling() -> None:
    """The last letter before the padding carries bits that mean nothing; they must be zero."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    root_line = NOTE.split("\n")[2]
    sloppy = root_line[:-2] + letters[letters.index(root_line[-2]) + 1] + "="
    with pytest.raises(DocumentError):
        verify_checkpoint(NOTE.replace(root_line, sloppy), origin=ORIGIN, key=public_hex(KEY))


def test_two_signatures_of_the_log_are_refused() -> None:
    line = NOTE.split("\n\n")[1]
    with pytest.raises(VerificationError):
        verify_checkpoint(NOTE + line, origin=ORIGIN, key=public_hex(KEY))


def test_witnesses_are_counted_by_their_keys() -> None:
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    note = cosign(NOTE, first, name="witness.example/w1", now=1_795_332_000)
    assert verify_cosignatures(note, [public_hex(first), public_hex(second)]) == {public_hex(first): 1_795_332_000}
    assert verify_checkpoint(note, origin=ORIGIN, key=public_hex(KEY)).size == 42
    moved = note.split("\n\n")[1].split("\n")[1] + "\n"
    assert verify_cosignatures(sign_checkpoint(ORIGIN, 43, ROOT, KEY) + moved, [public_hex(first)]) == {}


def test_the_cosignature_is_made_as_the_specification_says() -> None:
    """c2sp.org/tlog-cosignature: key id, time, and what is signed, put together by hand."""
    witness, at = Ed25519PrivateKey.generate(), 1_679_315_147
    public = witness.public_key().public_bytes_raw()
    line = cosign(NOTE, witness, name="witness.example/w1", now=at).removeprefix(NOTE)
    raw = base64.b64decode(line.removeprefix("\u2014 witness.example/w1 "))
    assert raw[:4] == sha256(b"witness.example/w1\n\x04" + public).digest()[:4]
    assert raw[4:12] == at.to_bytes(8, "big")
    body = NOTE.split("\n\n")[0] + "\n"
    witness.public_key().verify(raw[12:], f"cosignature/v1\ntime {at}\n{body}".encode())


def test_extension_lines_are_signed_and_cosigned() -> None:
    anchor, witness = AnchorSeen(4242, 40, 7, "0x" + "ab" * 32), Ed25519PrivateKey.generate()
    note = cosign(sign_checkpoint(ORIGIN, 42, ROOT, KEY, [anchor.line()]), witness, name="w", now=1)
    checkpoint = verify_checkpoint(note, origin=ORIGIN, key=public_hex(KEY))
    assert checkpoint.extensions == (anchor.line(),)
    assert anchor_seen(checkpoint) == anchor
    assert anchor_seen(verify_checkpoint(NOTE, origin=ORIGIN, key=public_hex(KEY))) is None
    for changed in (note.replace(anchor.line() + "\n", ""), note.replace(" 7 0x", " 8 0x")):
        assert verify_cosignatures(changed, [public_hex(witness)]) == {}
        with pytest.raises(VerificationError, match=r"checkpoint\.signature"):
            verify_checkpoint(changed, origin=ORIGIN, key=public_hex(KEY))


@pytest.mark.parametrize("lines", [
    ["a\nb"], [""], ["xinglin-anchor/1 1 2 3"], ["xinglin-anchor/1 01 2 3 0x" + "00" * 32],
    ["xinglin-anchor/1 1 43 3 0x" + "00" * 32], ["xinglin-anchor/1 1 2 3 0x" + "00" * 32] * 2, ["x"] * 9, ["x" * 301],
])
def test_an_extension_that_says_nothing_clear_is_not_signed(lines: list[str]) -> None:
    with pytest.raises(DocumentError):
        sign_checkpoint(ORIGIN, 42, ROOT, KEY, lines)
