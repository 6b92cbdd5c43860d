"""One total of parties that are never online together: masked values under the consumer's Paillier key.

1. The consumer's signed spec names its public key, until when hospitals contribute, and how many are needed.
2. A hospital, whenever it is awake, applies the rule of what may be opened to its own table. In the place of every cell
   that it may not show it puts random numbers, and marks the cell with others. To every slot it adds a one-time mask,
   encrypts, and seals the masks' seed to the dealer's office. It signs hashes of both.
3. After that time the dealer freezes the contributors it is shown, once for a question and for ever, and seals the
   total of their masks to the consumer.
4. The consumer multiplies the frozen ciphertexts itself, opens the product and takes the masks' total away. A cell
   whose marks add up to nothing is the exact total over all frozen contributors; every other one is noise.

Portal and consumer together hold ciphertexts and the key: they see masked values, and one masks' total. The dealer's
office holds masks and no key: with the portal it learns nothing. Who spoilt a cell, or how many did, nobody sees.
What does not hold: dealer and consumer together. This file knows no network, no clock, no file and no book.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.documents import canonical, document_hash, from_b64, read_signed, verify_signed
from ledger.errors import LedgerError
from mpc import ciphertext, paillier
from mpc.ciphertext import PublicKey, Vector
from mpc.disclosure import SHARE_OF_TWO, Gate, Pattern
from mpc.encoding import Grid
from mpc.errors import NotOpenable, RangeExceeded, SetRefused, SpecRefused
from mpc.functions.plan import Counted, Plan, check_counted
from mpc.paillier import Layout, Pool, Secret
from mpc.sharing import open_sealed, seal

SEED = 32
SURE = 64  # bits of a cell's marks: one chance in 2^64 that noise adds up to nothing
Document = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked, as every party derives it from the signed spec and its own plan. Slots: the plan's values, then
    one mark of each cell, and so again until marks are `SURE`; `spans[c]` are the values that open with cell c."""

    space: str
    job_hash: str
    public: PublicKey
    layout: Layout
    spans: tuple[tuple[int, ...], ...]

    @cached_property
    def hash(self) -> str:
        layout = self.layout
        return sha256(canonical({
            "type": "xinglin/question", "version": 1, "space": self.space, "job_hash": self.job_hash,
            "layout": {"count": layout.count, "parties": layout.parties, "size": layout.size},
        })).hexdigest()

    @property
    def marks(self) -> int:
        """How many of them each cell has."""
        return _marks(self.layout)

    @property
    def ciphertexts(self) -> int:
        """How many of them one contribution has."""
        return self.layout.plaintexts(self.public.bits)


@dataclass(frozen=True)
class Parcel:
    """What leaves one hospital: ciphertexts, and the masks' seed sealed to the dealer's office."""

    ciphertexts: bytes
    seed: bytes


def layout_of(plan: Plan) -> Layout:
    """Slots in which whatever the rows hold fits, by dictionary and records alone."""
    reach = [Grid.of(column).reach for column in plan.used if column["kind"] == "number"]
    bound = plan.rows_max * max([1, *(one * one for one in reach)])
    narrow = Layout.holding(bound, count=1, parties=plan.parties)
    return replace(narrow, count=plan.width + len(plan.cells) * _marks(narrow))


def _marks(layout: Layout) -> int:
    return -(-SURE // layout.ring)


def width(plan: Plan, bits: int) -> int:
    """How many ciphertexts one contribution to this plan has, under a key of so many bits."""
    return layout_of(plan).plaintexts(bits)


def question_of(spec: Mapping[str, Any], plan: Plan, *, space: str) -> Question:
    """Raises SpecRefused where the spec does not say what the plan says."""
    asked = spec["contributions"]
    question = Question(space, document_hash(spec), PublicKey.read(asked["key"]), layout_of(plan), plan.spans)
    if question.ciphertexts != asked["ciphertexts"]:
        raise SpecRefused("the spec says another number of ciphertexts than the function has", code="spec.parameters")
    return question


# -- a hospital

def shown(gate: Gate, numbers: Sequence[int], floor: int) -> Pattern:
    """The rule of `mpc.disclosure` on one hospital's own table: which cells it may show. Who adds up only what each of
    them may show keeps the rule for any number of them left out."""
    part, whole = SHARE_OF_TWO
    held = [count >= floor for count in numbers[: gate.counts]]
    for at in range(gate.counts, gate.width, 3):
        held.append(whole * (numbers[at + 1] + numbers[at + 2]) <= part * numbers[at])
    return tuple(all(held[condition] for condition in needed) for needed in gate.needs)


def contribute(question: Question, plan: Plan, counted: Counted, floor: int, *, participant: str,
               dealer_key: str) -> Parcel:
    """Spoil what may not be shown, mask, encrypt. Takes as long, and makes as much, whatever was counted."""
    cells = len(plan.cells)
    check_counted(plan, counted)
    layout, pattern = question.layout, shown(plan.gate, counted.numbers, floor)
    spoilt, marks = [not one for one in pattern], question.marks
    closed = [0] * plan.width
    for one, span in zip(spoilt, plan.spans, strict=True):
        for index in span:
            closed[index] = int(one)
    top, size = (1 << layout.slot) - 1, layout.size
    spoilt *= marks
    chosen = int.from_bytes(b"".join((top * one).to_bytes(size, "little") for one in (*closed, *spoilt)), "little")
    noise = layout.random(secrets.token_bytes(layout.count * size))
    values = layout.join((*counted.values, *([0] * (cells * marks))))
    return send(question, (values & ~chosen) | (noise & chosen), participant=participant, dealer_key=dealer_key)


def send(question: Question, values: int, *, participant: str, dealer_key: str, pool: Pool | None = None) -> Parcel:
    """Joined slots, masked and encrypted."""
    layout, public, seed = question.layout, question.public, secrets.token_bytes(SEED)
    masked = layout.add(values, expand(seed, question, participant))
    vector = paillier.encrypt(public, layout.pack(masked, public.bits), pool=pool)
    sealed = seal(seed, recipient_key=dealer_key, info=_seed_info(question, participant))
    return Parcel(ciphertext.to_bytes(public, vector), sealed)


def expand(seed: bytes, question: Question, participant: str) -> int:
    """One mask for each slot, uniform over its ring: AES-256-CTR under a key bound to question and contributor."""
    info = f"xinglin/mask/v1|{question.hash}|{participant}".encode()
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(seed)
    layout = question.layout
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return layout.random(stream.update(bytes(layout.count * layout.size)))


# -- anybody

def check_set(question: Question, spec: Mapping[str, Any], wires: Sequence[object]) -> list[Document]:
    """The contributions of a set in order of seats: each of the roster, signed, to this question, once; enough."""
    found: dict[int, Document] = {}
    astray = []
    for wire in wires:
        try:
            seat = read_signed(wire, "contribution")["seat"]
            member = spec["roster"][seat]
            document = verify_signed(wire, type="contribution", keys=[member["signing"]])
        except (LedgerError, LookupError) as trouble:
            raise SetRefused("a contribution is not signed by its seat", code="paillier.malformed") from trouble
        told = (document["job"], document["job_hash"], document["question"], document["participant"])
        if told != (spec["id"], question.job_hash, question.hash, member["participant"]):
            astray.append(seat)
        if seat in found:
            raise SetRefused(f"the contribution of seat {seat} appears twice", code="paillier.malformed")
        found[seat] = document
    if astray:
        raise SetRefused(f"to another question: the contributions of seats {sorted(astray)}",
                         code="paillier.malformed", seats=astray)
    if len(found) < spec["contributions"]["minimum"]:
        raise SetRefused("too few have contributed", code="paillier.too_few")
    return [found[seat] for seat in sorted(found)]


def members_of(documents: Sequence[Mapping[str, Any]]) -> list[Document]:
    """How a set is named."""
    return [{"seat": one["seat"], "participant": one["participant"], "contribution": document_hash(one)}
            for one in documents]


# -- the dealer's office

def masks_total(question: Question, documents: Sequence[Mapping[str, Any]], *, sealing: X25519PrivateKey,
                recipient_key: str) -> bytes:
    """The total of a checked set's masks, sealed to the consumer."""
    layout, seeds, closed = question.layout, [], []
    for one in documents:
        try:
            seeds.append((one["participant"], open_seed(question, from_b64(one["seed"]), one["participant"],
                                                        sealing=sealing)))
        except SetRefused:
            closed.append(one)
    if closed:
        names = ", ".join(one["participant"] for one in closed)
        raise SetRefused(f"not sealed to this office, or no seed: that of {names}", code="paillier.malformed",
                         seats=[one["seat"] for one in closed])
    total = add_masks(question, seeds)
    plain = total.to_bytes(layout.count * layout.size, "little")
    return seal(plain, recipient_key=recipient_key, info=_masks_info(question, members_of(documents)))


def open_seed(question: Question, sealed: bytes, participant: str, *, sealing: X25519PrivateKey) -> bytes:
    try:
        seed = open_sealed(sealed, private=sealing, info=_seed_info(question, participant))
    except NotOpenable as trouble:
        raise SetRefused(f"the seed of {participant} is not sealed to this office", code="paillier.malformed"
                         ) from trouble
    if len(seed) != SEED:
        raise SetRefused(f"the seed of {participant} has not {SEED} bytes", code="paillier.malformed")
    return seed


def add_masks(question: Question, seeds: Iterable[tuple[str, bytes]]) -> int:
    """Slot by slot, over all contributors."""
    total = 0
    for participant, seed in seeds:
        total = question.layout.add(total, expand(seed, question, participant))
    return total


# -- the consumer

def open_total(question: Question, spec: Mapping[str, Any], parts: Sequence[tuple[object, bytes]], frozen: object, *,
               secret: Secret, sealing: X25519PrivateKey, threads: int = 1,
               given: bytes | None = None) -> tuple[Pattern, list[int]]:
    """Pattern and totals over the frozen contributors; zeros where a cell stays closed. `parts` are their signed
    contributions, each with its ciphertexts; `given` is the product as somebody else made it, which must be ours."""
    documents = check_set(question, spec, [wire for wire, _ in parts])
    masks = _masks(question, spec, documents, frozen, sealing)
    if secret.public != question.public:
        raise NotOpenable("the job was asked under another key")
    total = product(question, documents, [data for _, data in parts])
    if given is not None and given != ciphertext.to_bytes(question.public, total):
        raise NotOpenable("the product given is not that of the frozen contributions")
    try:
        slots = unmask(question, total, masks, secret=secret, threads=threads)
    except RangeExceeded as trouble:
        raise _overfull(question, documents, [data for _, data in parts], secret, threads) from trouble
    cells = len(question.spans)
    values = len(slots) - cells * question.marks
    pattern = tuple(not any(slots[values + at :: cells]) for at in range(cells))
    opened = [0] * values
    for shows, span in zip(pattern, question.spans, strict=True):
        for index in span:
            opened[index] = slots[index] if shows else 0
    return pattern, opened


def product(question: Question, documents: Sequence[Mapping[str, Any]], given: Sequence[bytes]) -> Vector:
    """The ciphertexts that these documents name, checked and multiplied."""
    by_hash = {ciphertext.hash_of(data): data for data in given}
    if any(one["ciphertexts"] not in by_hash for one in documents):
        raise NotOpenable("ciphertexts are missing, or are not those that were signed")
    return ciphertext.product(question.public, [
        ciphertext.from_bytes(question.public, by_hash[one["ciphertexts"]], count=question.ciphertexts)
        for one in documents])


def _overfull(question: Question, documents: Sequence[Mapping[str, Any]], given: Sequence[bytes], secret: Secret,
              threads: int) -> NotOpenable:
    """The total does not fit its slots: whose contribution does not? Each alone is masked, and so tells its own reader
    nothing that the key and the ciphertexts did not tell before."""
    for one in documents:
        plaintexts = secret.open(product(question, [one], given), threads=threads)
        if not question.layout.holds(plaintexts, question.public.bits):
            who = one["participant"]
            return NotOpenable(f"no total can be opened: the contribution of {who} is wider than its slots",
                               about_seat=one["seat"])
    return NotOpenable("the total is wider than its slots")


def unmask(question: Question, total: Vector, masks: int, *, secret: Secret, threads: int = 1) -> list[int]:
    """Every slot's signed total."""
    layout = question.layout
    sums = layout.unpack(secret.open(total, threads=threads), question.public.bits)
    return layout.split(layout.subtract(sums, masks))


def _masks(question: Question, spec: Mapping[str, Any], documents: Sequence[Mapping[str, Any]], frozen: object,
           sealing: X25519PrivateKey) -> int:
    """The masks' total that the dealer released for exactly this set."""
    try:
        word = verify_signed(frozen, type="frozen_set", keys=[spec["dealer"]["signing"]])
    except LedgerError as trouble:
        raise NotOpenable("the frozen set is not signed by the dealer") from trouble
    told = (word["job"], word["job_hash"], word["question"], word["participant"], word["recipient"])
    members, dealer, recipient = members_of(documents), spec["dealer"]["participant"], spec["recipient"]
    if told != (spec["id"], question.job_hash, question.hash, dealer, recipient["participant"]):
        raise NotOpenable("the frozen set is another question's")
    if word["members"] != members:
        raise NotOpenable("these are not the contributions that were frozen")
    plain = open_sealed(from_b64(word["masks"]), private=sealing, info=_masks_info(question, members))
    layout = question.layout
    if len(plain) != layout.count * layout.size:
        raise NotOpenable("the masks' total has another length than the function")
    return layout.random(plain)


def _seed_info(question: Question, participant: str) -> bytes:
    return canonical({"type": "xinglin/seed", "version": 1, "question": question.hash, "member": participant})


def _masks_info(question: Question, members: Sequence[Mapping[str, Any]]) -> bytes:
    return canonical({"type": "xinglin/masks", "version": 1, "question": question.hash, "members": list(members)})
