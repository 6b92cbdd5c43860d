"""Receipts by the thousand, true and mutated, for trying one verifier against another.

Every kind that there is: with and without witnesses, chain legs whole and bare, QBFT seals, passkeys, entries about
jobs, single grants and nothing. Some mutations change bytes of the file; others change what it says and spell it
canonically again, some of these with the log's own signature put right, so that deeper checks are reached.
"""

from __future__ import annotations

import base64
import copy
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fixtures import build, state_trie
from ledger.anchor import log_id_of
from ledger.approval import approval_by_passkey, domain_of, terms_digest
from ledger.chainproof import block_hash, encode, read_header, root_slot
from ledger.checkpoint import AnchorSeen, cosign, sign_checkpoint
from ledger.documents import canonical, document_hash, from_b64, signed, to_b64
from ledger.ecdsa import keccak256
from ledger.entry import grants_named, leaf_hash, new_entry
from ledger.errors import LedgerError
from ledger.log import Log, MemoryStore
from ledger.passkey import Assertion
from ledger.receipt import chain_leg, make_receipt, pack, spelled, verify_receipt
from ledger.trust import Trust, load_trust
from tests.simulators.crooked_ed25519 import crooked
from tests.simulators.passkey import SoftKey

SEALERS = ("validator 0", "validator 1", "validator 2", "validator 3")
ACCOUNT = "0x" + "5a" * 20
PASSKEY = SoftKey.create()
AT = build.AT


@dataclass(frozen=True)
class Corpus:
    """Trust files as they are on disk, the same verified, and true receipts for each."""

    wires: tuple[bytes, ...]
    fingerprint: str
    trusts: tuple[Trust, ...]
    receipts: tuple[tuple[int, dict[str, Any]], ...]


def outcome(data: bytes, trust: Trust) -> str:
    """What Python says: the six levels, or that the file is none."""
    try:
        return ",".join(verify_receipt(data, trust).as_dict().values())
    except LedgerError:
        return "refused"


def corpus() -> Corpus:
    """All kinds of true receipts."""
    validators = [build.secp256k1(one).address for one in SEALERS]
    changes: list[dict[str, Any]] = [
        {}, {"witnesses": {"k": 0, "keys": []}}, {"chain": {"profile": "qbft", "validators": validators}},
        {"chain": {"profile": "qbft"}, "witnesses": {"k": 0, "keys": []}},
        {"regulator": {"approvers": [build.secp256k1("regulator").address, ACCOUNT],
                       "passkeys": [{"address": ACCOUNT, "keys": [PASSKEY.public]}]}}]
    wires = [_trust_wire(one) for one in changes]
    fingerprint = load_fingerprint(wires[0])
    trusts = [load_trust(one, fingerprint=fingerprint) for one in wires]
    receipts = [(number, one) for number, trust in enumerate(trusts) for one in _receipts(trust)]
    return Corpus(tuple(canonical(one) for one in wires), fingerprint, tuple(trusts), tuple(receipts))


def load_fingerprint(wire: Mapping[str, Any]) -> str:
    from ledger.trust import fingerprint_of_root

    return fingerprint_of_root(wire["document"]["root"])


def _trust_wire(changes: Mapping[str, Any]) -> dict[str, Any]:
    document = copy.deepcopy(build.trust_file()["document"])
    for name, value in changes.items():
        document[name] = {**document[name], **value}
    return signed(document, build.ed25519("root"))


def _receipts(trust: Trust) -> Iterator[dict[str, Any]]:
    terms = [build.grant_terms(trust, one) for one in build.HOSPITALS]
    named = [{"terms": one, "signatures": _signatures(trust, one, hospital)}
             for one, hospital in zip(terms, build.HOSPITALS, strict=True)]
    for kind, about in (("job.released", named), ("grant.registered", named[:1]), ("participant.admitted", []),
                        ("grant.consented", named[1:2])):
        body = {"grants": grants_named({one["terms"]["id"]: document_hash(one["terms"]) for one in about})}
        entry = new_entry(kind, subject=(kind.split(".")[0], build.name("subject")), participant=None, at=AT,
                          id=build.name(kind), salt=build.salt(kind),
                          body=body if about else {"note": "杏林 \U0001f333"})
        log, before = Log(MemoryStore()), len(kind)
        log.append([build.seed(f"leaf {number}") for number in range(before)])
        log.append([leaf_hash(entry)])
        log.append([build.seed(f"later {number}") for number in range(3 * len(about))])
        for leg in ("later", "own", "bare", "none"):
            note, chain = anchored(trust, log, leg, before)
            yield make_receipt(entry, space_id=trust.space_id, index=before, inclusion=log.inclusion(before),
                               checkpoint=note, approvals=about, chain=chain)


def _signatures(trust: Trust, terms: dict[str, Any], hospital: str) -> list[dict[str, Any]]:
    domain, given = domain_of(trust), []
    if ACCOUNT in trust.regulator.passkeys and hospital != build.HOSPITALS[2]:
        nonce = "0x" + build.salt(f"passkey {hospital}")
        value = terms_digest(domain, terms, role="regulator", decider=ACCOUNT, nonce=nonce, sign_by=build.SIGN_BY)
        signature, data, client = PASSKEY.answer(value)
        key = PASSKEY.public
        assertion = Assertion.from_browser(key["x"] + key["y"], signature=signature, authenticator_data=data,
                                           client_data=client)
        given = [approval_by_passkey(terms, ACCOUNT, assertion, role="regulator", nonce=nonce, sign_by=build.SIGN_BY)]
    else:
        given = [build.approve(terms, build.secp256k1("regulator"), domain=domain, sign_by=build.SIGN_BY,
                               nonce="0x" + build.salt(f"approval {hospital}"))]
    return [*given, build.consent(terms, build.secp256k1(hospital), domain=domain, sign_by=build.SIGN_BY,
                                  nonce="0x" + build.salt(f"consent {hospital}"),
                                  service=build.secp256k1(f"service {hospital}").address)]


def note_of(trust: Trust, size: int, root: bytes, lines: tuple[str, ...] = ()) -> str:
    note = sign_checkpoint(trust.log.origin, size, root, build.ed25519("log"), lines)
    for number, one in enumerate(build.WITNESSES[:trust.witnesses.k]):
        note = cosign(note, build.ed25519(f"witness {one}"), name=f"witness/{number}", now=build.BLOCK_TIME)
    return note


def anchored(trust: Trust, log: Log, leg: str, index: int) -> tuple[str, dict[str, Any] | None]:
    """A checkpoint and its chain leg, of one of four kinds: of an earlier anchor, of its own, without proof, none."""
    size = max(index + 1, log.size - 1) if leg == "later" else log.size
    root, path = log.root(size), log.inclusion(index, size)
    if leg in ("bare", "none"):
        return note_of(trust, size, root), chain_leg(trust, size=size, inclusion=path) if leg == "bare" else None
    anchor, slot = trust.chain.contracts["anchor"], root_slot(log_id_of(trust.log.origin), size)
    storage = {build.seed(f"slot {number}"): build.seed(f"value {number}") for number in range(9)} | {slot: root}
    address = bytes.fromhex(anchor.address[2:])
    state = {build.seed(f"account {number}")[:20]: state_trie.account({}, build.seed("code")) for number in range(9)}
    state[address] = state_trie.account(storage, bytes.fromhex(anchor.code_hash[2:]))
    raw = _header(trust, state_trie.trie_root(state))
    name = block_hash(read_header(raw), trust.chain.profile)
    named = note_of(trust, log.size, log.root(), (AnchorSeen(trust.chain.id, size, 77, name).line(),))
    return named, chain_leg(trust, size=size, inclusion=path, header=raw,
                            account_proof=state_trie.trie_proof(state, address),
                            storage_proof=state_trie.trie_proof(state_trie.slots(storage), slot))


def _header(trust: Trust, state_root: bytes) -> bytes:
    if trust.chain.profile != "qbft":
        return state_trie.header(state_root, 77, build.BLOCK_TIME, fields=21)
    keys = [build.secp256k1(one) for one in SEALERS]
    extra: list[Any] = [bytes(32), [bytes.fromhex(one.address[2:]) for one in keys], [], b"", []]
    bare = read_header(state_trie.header(state_root, 77, build.BLOCK_TIME, extra=encode(extra)))
    if not trust.chain.validators:
        return bare.raw
    seals = [one.sign_digest(keccak256(bare.raw)) for one in keys[:3]]
    return bare.with_extra(encode([*extra[:4], [one[:64] + bytes([one[64] - 27]) for one in seals]]))


# --- mutations

TIMES = ("0026-11-22T07:20:00Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-22T24:00:00Z",
         "2026-11-22T23:59:60Z", "2026-11-22T07:20:00z", "2024-02-29T00:00:00Z", "9999-12-31T23:59:59Z",
         "2026-11-22T07:20:00.0Z", "1969-12-31T23:59:59Z", "\uff12026-11-22T07:20:00Z")
NOTES = ("\u00a0", "\u0085", "\u001c", "\ufeff", "\u2028", "\U0001f333", "+", "\u200b")


def edges(whole: Corpus) -> Iterator[tuple[int, bytes]]:
    """Where two languages are known to read one text in two ways: times, blanks, letters beyond 16 bits."""
    number, receipt = whole.receipts[0][0], pack(whole.receipts[0][1])
    for when in TIMES:
        for name in ("at", "not_before", "not_after"):
            changed = copy.deepcopy(receipt)
            (changed["entry"] if name == "at" else changed["approvals"]["terms"])[name] = when
            yield number, canonical(changed)
    for blank in NOTES:
        for place in ("xinglin/", "witness/"):
            note = receipt["checkpoint"].replace(place, place + blank)
            yield number, canonical({**receipt, "checkpoint": note})
    for text in ("\U0001f333" * 100, "\U0001f333" * 101, "\u0000", "\r", "\t"):
        changed = copy.deepcopy(receipt)
        changed["entry"]["subject"]["id"] = text
        yield number, canonical(changed)
    data = canonical(receipt)
    one = b":1,"
    for wrong in (b"\xef\xbb\xbf" + data, data + b" ", data[:-1] + b',"version":1}', data.replace(one, b":1.0,", 1),
                  data.replace(one, b":1e0,", 1), data.replace(one, b":-0,", 1),
                  data.replace(b'"type"', b'"t\\u0079pe"', 1),
                  b"[" * 65 + b"]" * 65, b'{"a":' * 70 + b"1" + b"}" * 70, b"", b"null", b"\xff", b'"\\ud800"'):
        yield number, wrong


def crooked_note(whole: Corpus) -> tuple[int, bytes]:
    """A receipt whose log signed so that some verifiers take its signature and others do not."""
    number, receipt = whole.receipts[0][0], pack(whole.receipts[0][1])
    body, _, rest = receipt["checkpoint"].partition("\n\n")
    name, line = rest.split("\n")[0].rsplit(" ", 1)
    signature = crooked(build.seed("log"), (body + "\n").encode())
    moved = base64.b64encode(base64.b64decode(line)[:4] + signature).decode()
    note = receipt["checkpoint"].replace(f"{name} {line}", f"{name} {moved}")
    return number, canonical({**receipt, "checkpoint": note})


def cases(whole: Corpus, count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """`count` files with the number of the trust file to judge each by: all true ones first, then mutated ones."""
    dice = random.Random(seed)
    for number, receipt in whole.receipts[:count]:
        yield number, spelled(receipt)
    for _ in range(count - len(whole.receipts)):
        number, receipt = dice.choice(whole.receipts)
        if dice.random() < 0.05:
            number = dice.randrange(len(whole.trusts))
        yield number, _mutated(receipt, whole, dice)


def _mutated(receipt: dict[str, Any], whole: Corpus, dice: random.Random) -> bytes:
    """One file changed in a bit, in a field, or written anew after the receipt in full was changed."""
    file = pack(receipt)
    if dice.random() < 0.3:
        return flipped(canonical(file), dice.randrange(8 * len(canonical(file))))
    in_full = dice.random() < 0.6
    for _ in range(10):  # not every lie has a spelling
        changed = copy.deepcopy(receipt if in_full else file)
        for _ in range(dice.choice((1, 1, 1, 2))):
            _change_somewhere(changed, whole, dice, in_full)
        try:
            return spelled(changed) if in_full else canonical(changed)
        except LedgerError:
            continue
    return canonical(file)[:-1]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _change_somewhere(document: dict[str, Any], whole: Corpus, dice: random.Random, in_full: bool) -> None:
    place, step = dice.choice(list(_places(document)))
    value = place[step]
    if dice.random() < 0.15:  # the same field of another receipt
        other = dice.choice(whole.receipts)[1] if in_full else pack(dice.choice(whole.receipts)[1])
        name = dice.choice(list(document))
        document[name] = copy.deepcopy(other[name])
    elif dice.random() < 0.05:
        place[step] = dice.choice([None, True, "", 0, -1, [], {}, "\u0000", "\U0001f333" * 300, 2**53 - 1, "x" * 9000])
    elif isinstance(value, bool) or value is None:
        place[step] = dice.choice([True, False, None, 0])
    elif isinstance(value, int):
        place[step] = value + dice.choice((-1, 1, 10, 2**40))
    elif isinstance(value, str):
        place[step] = _other_text(value, dice)
    elif isinstance(value, list) and value:
        _other_list(value, dice)
    elif isinstance(value, dict) and value:
        if dice.random() < 0.5:
            del value[dice.choice(list(value))]
        else:
            value[dice.choice(("more", "\uffff", "\U0001f333", "__proto__"))] = 1


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document where a value stands."""
    if isinstance(value, dict | list):
        for step in (value if isinstance(value, dict) else range(len(value))):
            yield value, step
            yield from _places(value[step])


def _other_text(text: str, dice: random.Random) -> str:
    if "\n" in text:
        return _other_note(text, dice)
    if len(text) > 20 and dice.random() < 0.6:  # bytes inside base64url or hexadecimal
        try:
            raw = bytearray(from_b64(text))
            raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
            return to_b64(bytes(raw))
        except LedgerError:
            pass
    at = dice.randrange(len(text) + 1)
    new = dice.choice("0123456789abcdefABCDEF -_:.TZ\u00e9\u001f\u2028")
    return dice.choice((text[:at] + new + text[at + 1:], text[:at] + new + text[at:], text[:at] + text[at + 1:]))


def _other_note(note: str, dice: random.Random) -> str:
    lines = note.split("\n")
    at = dice.randrange(len(lines))
    lines[at:at + 1] = dice.choice(([lines[at] + " "], [], [lines[at]] * 2, [lines[at][:-1]], [""], [lines[at], ""],
                                    ["\u00a0" + lines[at]], [lines[at].replace("A", "B", 1)]))
    return "\n".join(lines)


def _other_list(value: list[Any], dice: random.Random) -> None:
    how = dice.randrange(3)
    if how == 0:
        value.pop(dice.randrange(len(value)))
    elif how == 1:
        value.insert(dice.randrange(len(value) + 1), copy.deepcopy(dice.choice(value)))
    else:
        dice.shuffle(value)
