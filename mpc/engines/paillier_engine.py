"""One total of parties that are never online together: masked values under the consumer's Paillier key.

1. The consumer signs a question: its public key, layout, granted roster, deadline, minimum of contributors.
2. A hospital, whenever it is awake, adds a one-time mask to each of its values (its own gate has already put 0 in the
   place of what may not leave), encrypts, and seals the masks' seed to the dealer's office. It signs hashes of both.
3. After the deadline the dealer freezes the contributors it is shown: at least the minimum, each once, each signed.
   It does so once for a question, for ever (`Book.claim`), and seals the total of those masks to the consumer.
4. The consumer multiplies the frozen ciphertexts itself, opens the product, and takes the masks' total away.

Portal and consumer together hold ciphertexts and the key: they see masked values, and one masks' total. The dealer's
office holds masks, and no key: with the portal it learns nothing. What does not hold: dealer and consumer together.
This file knows no network, no clock and no file; whoever calls it brings the book.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.documents import canonical
from mpc import ciphertext, paillier
from mpc.ciphertext import PublicKey
from mpc.errors import NotOpenable, ProtocolBroken, SetRefused, SpecRefused
from mpc.paillier import Layout, Secret
from mpc.sharing import open_sealed, seal

FEWEST = 2


@dataclass(frozen=True)
class Question:
    """What may be opened, once. `key` names it whatever job asks: grants, function, parameters, snapshots.

    Every party derives it from the signed spec itself, `key` included. `members`: signing keys (hex) of the granted
    roster; `deadline` in Unix seconds; `dealer` and `recipient` are sealing keys (hex).
    """

    key: str
    job_hash: str
    public: PublicKey
    layout: Layout
    members: tuple[str, ...]
    minimum: int
    deadline: int
    dealer: str
    dealer_signing: str
    recipient: str

    def __post_init__(self) -> None:
        if len(set(self.members)) != len(self.members) or not FEWEST <= self.minimum <= len(self.members):
            raise SpecRefused("a question names two members at least, each once", code="spec.roster_mismatch")
        if self.layout.parties < len(self.members):
            raise SpecRefused("the layout has no room for so many contributors", code="spec.parameters")

    @property
    def hash(self) -> str:
        body = {
            "type": "xinglin/question", "version": 1, "key": self.key, "job_hash": self.job_hash,
            "public": self.public.document(), "members": list(self.members), "minimum": self.minimum,
            "layout": {"count": self.layout.count, "parties": self.layout.parties, "limbs": self.layout.limbs},
            "deadline": self.deadline, "dealer": self.dealer, "dealer_signing": self.dealer_signing,
            "recipient": self.recipient,
        }
        return sha256(canonical(body)).hexdigest()


@dataclass(frozen=True)
class Contribution:
    """What one hospital hands in: ciphertexts, the mask's seed sealed to the dealer, and its signature over both."""

    member: str
    ciphertexts: bytes
    seed: bytes
    signature: bytes

    def line(self) -> dict[str, str]:
        return {"member": self.member, "ciphertexts": ciphertext.hash_of(self.ciphertexts),
                "seed": sha256(self.seed).hexdigest()}


@dataclass(frozen=True)
class Release:
    """The dealer's word: this set, and no other, with the masks' total sealed to the consumer."""

    frozen: tuple[Mapping[str, str], ...]
    masks: bytes
    signature: bytes


class Book(Protocol):
    """The dealer's durable memory of what it froze."""

    def claim(self, key: str, frozen: str) -> bool:
        """Atomically and durably: remember `frozen` for `key` if nothing stands there; whether it is what stands."""


def contribute(question: Question, values: Sequence[int], signing: Ed25519PrivateKey, *,
               processes: int = 1) -> Contribution:
    """Mask, encrypt, seal, sign. Values are whole numbers within the layout's limit, in the function's order."""
    member = signing.public_key().public_bytes_raw().hex()
    if member not in question.members:
        raise SpecRefused("we are not of this question's roster", code="spec.roster_mismatch")
    layout, public, seed = question.layout, question.public, secrets.token_bytes(32)
    modulus = 1 << layout.ring
    masks = expand(seed, question, member)
    masked = [(layout.residue(value) + mask) % modulus for value, mask in zip(values, masks, strict=True)]
    vector = paillier.encrypt(public, layout.pack(masked, public.bits), processes=processes)
    data = ciphertext.to_bytes(public, vector)
    sealed = seal(seed, recipient_key=question.dealer, info=_seed_info(question, member))
    unsigned = Contribution(member, data, sealed, b"")
    return Contribution(member, data, sealed, signing.sign(_statement(question, unsigned.line())))


def check_contribution(question: Question, contribution: Contribution) -> None:
    """Anybody may: of the roster, signed, and ciphertexts of this key in the right number."""
    if contribution.member not in question.members:
        raise ProtocolBroken("a contributor is not of the roster")
    _verify(contribution.member, contribution.signature, _statement(question, contribution.line()))
    ciphertext.from_bytes(question.public, contribution.ciphertexts, count=_width(question))


def freeze(question: Question, contributions: Sequence[Contribution], *, sealing: X25519PrivateKey,
           signing: Ed25519PrivateKey, book: Book, now: float) -> Release:
    """The dealer's part. Asked again for the same set it answers the same; another set of the question never opens."""
    if now < question.deadline:
        raise SetRefused("contributions are still coming in", code="paillier.too_early")
    if len(contributions) < question.minimum:
        raise SetRefused("too few have contributed", code="paillier.too_few")
    for one in contributions:
        check_contribution(question, one)
    lines = _lines(contributions)
    seeds = [open_sealed(one.seed, private=sealing, info=_seed_info(question, one.member)) for one in contributions]
    if any(len(seed) != 32 for seed in seeds):
        raise ProtocolBroken("a mask's seed has 32 bytes")
    frozen = sha256(_set_statement(question, lines)).hexdigest()
    if not book.claim(question.key, frozen):
        raise SetRefused("another set was frozen for this question")
    modulus = 1 << question.layout.ring
    totals = [0] * question.layout.count
    for one, seed in zip(contributions, seeds, strict=True):
        masks = expand(seed, question, one.member)
        totals = [(total + mask) % modulus for total, mask in zip(totals, masks, strict=True)]
    plain = b"".join(total.to_bytes(question.layout.slot // 8, "big") for total in totals)
    sealed = seal(plain, recipient_key=question.recipient, info=_masks_info(question, frozen))
    return Release(lines, sealed, signing.sign(_set_statement(question, lines)))


def open_total(question: Question, contributions: Sequence[Contribution], release: Release, *, secret: Secret,
               sealing: X25519PrivateKey, threads: int = 1) -> list[int]:
    """The consumer's part: signed totals over the frozen contributors, in the function's order."""
    if _lines(contributions) != tuple(dict(line) for line in release.frozen):
        raise NotOpenable("these are not the contributions that were frozen")
    if len(contributions) < question.minimum or secret.public != question.public:
        raise NotOpenable("too few contributors, or another key's question")
    for one in contributions:
        check_contribution(question, one)
    statement = _set_statement(question, release.frozen)
    _verify(question.dealer_signing, release.signature, statement)
    plain = open_sealed(release.masks, private=sealing, info=_masks_info(question, sha256(statement).hexdigest()))
    layout, public = question.layout, question.public
    size, modulus = layout.slot // 8, 1 << layout.ring
    if len(plain) != layout.count * size:
        raise NotOpenable("the masks' total has another length than the function")
    vectors = [ciphertext.from_bytes(public, one.ciphertexts, count=_width(question)) for one in contributions]
    sums = layout.unpack(secret.open(ciphertext.product(public, vectors), threads=threads), public.bits)
    masks = [int.from_bytes(plain[at : at + size], "big") for at in range(0, len(plain), size)]
    return [layout.signed((total - mask) % modulus) for total, mask in zip(sums, masks, strict=True)]


def expand(seed: bytes, question: Question, member: str) -> list[int]:
    """One mask for each slot, uniform over its ring: AES-256-CTR under a key bound to question and member."""
    info = f"xinglin/mask/v1|{question.hash}|{member}".encode()
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(seed)
    size, mask = question.layout.slot // 8, (1 << question.layout.ring) - 1
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(question.layout.count * size))
    return [int.from_bytes(stream[at : at + size], "big") & mask for at in range(0, len(stream), size)]


def _width(question: Question) -> int:
    return question.layout.plaintexts(question.public.bits)


def _lines(contributions: Sequence[Contribution]) -> tuple[dict[str, str], ...]:
    lines = sorted((one.line() for one in contributions), key=lambda line: line["member"])
    if len({line["member"] for line in lines}) != len(lines):
        raise ProtocolBroken("a contributor appears twice")
    return tuple(lines)


def _statement(question: Question, line: Mapping[str, str]) -> bytes:
    return b"xinglin/contribution/v1\n" + canonical({"question": question.hash, **line})


def _set_statement(question: Question, lines: Sequence[Mapping[str, str]]) -> bytes:
    body: dict[str, Any] = {"question": question.hash, "frozen": [dict(line) for line in lines]}
    return b"xinglin/frozen/v1\n" + canonical(body)


def _seed_info(question: Question, member: str) -> bytes:
    return canonical({"type": "xinglin/seed", "version": 1, "question": question.hash, "member": member})


def _masks_info(question: Question, frozen: str) -> bytes:
    return canonical({"type": "xinglin/masks", "version": 1, "question": question.hash, "frozen": frozen})


def _verify(key: str, signature: bytes, statement: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, statement)
    except (InvalidSignature, ValueError) as trouble:
        raise ProtocolBroken("a signature is not over this, or not of that key") from trouble
