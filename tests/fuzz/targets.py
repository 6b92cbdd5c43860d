"""Each parser of foreign bytes: how it is called, what it starts from, and which errors it has declared.

Anything else that escapes is a finding. A target takes bytes; one that takes parsed JSON gets what `load_json` makes of
them, for that is how it meets the world. No target touches a network; files are in a folder of the caller's.
"""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger import chainproof, checkpoint, documents, logdir, participant, passkey, receipt, tiles
from ledger.documents import load_json
from ledger.errors import LedgerError
from ledger.keys import KeyFile
from ledger.trust import load_trust
from mpc import ciphertext, filters, masked, paillier, token
from mpc.disclosure import Opening, told_of
from mpc.errors import MpcError
from mpc.node import config, data, inbox, policyfile, reach
from mpc.node.book import Book
from mpc.node.policy import DEFAULT_TEXT
from mpc.sharing import limbs
from mpc.transport.identity import Place, check_leaf
from mpc.transport.window import Frame, Window
from mpc.wire import parse
from tests.fuzz import answers, link_words, node_items
from tests.fuzz.answers import trust
from tests.fuzz.target import ROOT, Target, fresh_folder, golden, in_a_file, offend, promise
from tests.simulators import worker_orders
from tests.simulators.worker_orders import apart, party_line

__all__ = ["PARSERS", "Target", "offend"]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC: Ed25519PublicKey = KEY.public_key()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FILTERED = [{"name": name, "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": codes}
            for name, codes in (("sex", ["Female", "Male"]), ("pain", ["yes", "no"]))] + [
    {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}]


def item() -> dict[str, Any]:
    return node_items.node("judge").item


@cache
def book() -> Book:
    return Book(fresh_folder() / "node.sqlite3")


def signed_documents(body: bytes) -> None:
    """A document of any type: its form, its hash, and (what is signed) its signatures."""
    value = load_json(body)
    wire = value if isinstance(value, dict) and "document" in value else {"document": value, "signatures": []}
    inner = wire["document"]
    type = inner.get("type") if isinstance(inner, dict) else None
    documents.verify_signed(wire, type=type if isinstance(type, str) else "verdict", keys=["00" * 32])


def revocations(place: Path) -> None:
    """A file in the inbox: taken or set aside, never an error."""
    place.with_suffix(".json").write_bytes(place.read_bytes())
    inbox.take(place.parent, book())


def relay_frames(body: bytes) -> None:
    """Frames of a relay that lies, one after the other."""
    window = Window(0)
    window.put(b"x" * 100)
    window.next()
    for start in range(0, min(len(body), 4000), 40):
        window.take(Frame.read(body[start:start + 40]))


def the_way(body: bytes) -> object:
    known = config.Config(Path(), "p", "provider", "https://portal.example", "x", "x")
    return reach.way(load_json(body), known)


def assertion(body: bytes) -> None:
    """A passkey's signature as it stands in a document."""
    passkey.check_one_of(passkey.Assertion.decode(body), [], challenge=bytes(32))


def order_seed() -> list[bytes]:
    return [json.dumps(line).encode() for line in (party_line(), apart().line())]


def contributions(body: bytes) -> object:
    return masked.check_set(apart().question, apart().spec, [load_json(body)])


def ciphertexts(body: bytes) -> object:
    question = apart().question
    return ciphertext.from_bytes(question.public, body, count=question.ciphertexts)


def filter_seed() -> list[bytes]:
    age = {"op": "between", "column": "age", "low": "18", "high": "65"}
    women = {"op": "in", "column": "sex", "values": ["Female"]}
    return [json.dumps(one).encode() for one in (
        age, {"op": "and", "of": [age, {"op": "not", "of": women}, {"op": "missing", "column": "pain"}]},
        {"op": "or", "of": [{"op": "lt", "column": "age", "value": "1e2"}, women]})]


def token_seed() -> list[bytes]:
    return [token.mint(KEY, token.Claims("ab" * 32, "cd" * 32, 0, 4, 2_000_000_000, 1 << 20, "ef" * 32)).encode()]


def leaf_seed() -> list[bytes]:
    from mpc.transport.identity import SessionIdentity

    made = SessionIdentity.fresh(KEY, Place("ab" * 32, 1, 0), now=NOW).certificate
    return [made, made.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")]  # a version that X.509 never had


def opening_seed() -> list[bytes]:
    return [Opening(0, 10, bytes(32), bytes(32), limbs([1, 0, 3]), told_of([(0, 1)])).to_bytes()]


def header_seed() -> list[bytes]:
    return [chainproof.encode([bytes([number]) * 32 for number in range(17)]), b"\xc0", b"\xf8\x38" + bytes(56)]


def exported_log(place: Path) -> None:
    """Files of a log that somebody hands over: first the checkpoint, and everything else from the same bytes."""
    held, body = logdir.LogDir(place.parent), place.read_bytes()
    for name in ("anchors.json", "tile/entries/000", "tile/0/000"):
        other = place.parent / name
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_bytes(body.partition(b"\n\n\n")[2])
    held.anchors()
    list(held.leaf_hashes())


def secret_key(body: bytes) -> None:
    """The buyer's own file: what is not a key that was made here is refused."""
    secret = paillier.Secret.from_text(body.decode("utf-8", "replace"))
    promise(secret.p > 3, "a key of nothing")


WRONG = (LedgerError,)
PARSERS: dict[str, Target] = {
    "documents": Target(signed_documents, WRONG, golden("job_spec.signed.json", "grant_terms.json", "trust.json")),
    "participant": Target(lambda body: participant.verify_wire(load_json(body), node_items.node("judge").world.trust),
                          WRONG, lambda: [json.dumps(item()["participants"][0]).encode()]),
    "receipt": Target(lambda body: receipt.verify_receipt(body, trust()), WRONG,
                      golden("receipt.json", "receipt.small.json")),
    "checkpoint": Target(lambda body: checkpoint.verify_cosignatures(body.decode("utf-8", "replace"), ["00" * 32]),
                         WRONG, golden("checkpoint.txt")),
    "chain header": Target(chainproof.read_header, WRONG, header_seed),
    "chain proof": Target(lambda body: chainproof.prove_account(body[:32].ljust(32), "0x" + "11" * 20, [body[32:]]),
                          WRONG, header_seed),
    "log tile": Target(tiles.read_bundle, WRONG, lambda: [tiles.bundle([bytes(32)] * 3)]),
    "policy": Target(lambda body: policyfile.load(body, key=bytes(32)), (policyfile.Malformed,),
                     lambda: [DEFAULT_TEXT.encode()]),
    "dictionary": Target(in_a_file("d.json", data.read_dictionary), (MpcError,),
                         lambda: [(ROOT / "fixtures/hospitals/uci-heart/dictionary.json").read_bytes()]),
    "table": Target(in_a_file("t.csv", data.draft), (MpcError,), lambda: [b"age,sex\n50,Male\n,Female\n"], dear=True),
    "node settings": Target(in_a_file("config.toml", lambda place: config.load(place.parent)), (MpcError,),
                            lambda: [b'participant = "p"\nrole = "provider"\nportal = "x"\n[name]\nzh = "x"\n']),
    "key file": Target(in_a_file("keys.json", KeyFile.load), WRONG, lambda: [b'{"version": 1, "participant": "x"}']),
    "trust file": Target(lambda body: load_trust(load_json(body) if body[:1] == b"{" else {}, fingerprint="00" * 32),
                         WRONG, golden("trust.json")),
    "inbox": Target(in_a_file("r.part", revocations), (), lambda: [b'{"type": "revocation", "version": 1}']),
    "worker's order": Target(parse, (MpcError,), order_seed),
    "relay token": Target(lambda body: token.read(body.decode("latin-1"), PUBLIC, now=0), (MpcError,), token_seed),
    "relay frames": Target(relay_frames, (MpcError,), lambda: [b"\0" * 80, b"\1\0\0\0" * 20]),
    "relay's address": Target(the_way, (LedgerError, MpcError),
                              lambda: [b'{"url": "wss://portal.example/", "token": ""}']),
    "session certificate": Target(lambda body: check_leaf(body, "00" * 32, Place("ab" * 32, 1, 0)), (MpcError,),
                                  leaf_seed),
    "filter": Target(lambda body: filters.validate_filter(load_json(body), FILTERED, tabulated=frozenset({"pain"})),
                     (LedgerError, MpcError), filter_seed),
    "Paillier key": Target(lambda body: ciphertext.PublicKey.read(load_json(body)), (LedgerError, MpcError),
                           lambda: [json.dumps(apart().question.public.document()).encode()]),
    "contributions": Target(contributions, (LedgerError, MpcError),
                            lambda: [json.dumps(apart().part(0)[0]).encode()]),
    "ciphertexts": Target(ciphertexts, (LedgerError, MpcError), lambda: [apart().part(0)[1]]),
    "Paillier secret": Target(secret_key, (MpcError, RecursionError), lambda: [
        worker_orders.secret().to_text().encode(), b'{"p": "7", "q": "b", "hs": "1"}'], dear=True),
    "exported log": Target(in_a_file("checkpoint", exported_log), (LedgerError, UnicodeDecodeError),
                           golden("checkpoint.txt")),
    "opening": Target(Opening.from_bytes, (MpcError,), opening_seed),
    "passkey assertion": Target(assertion, WRONG, lambda: [bytes(32 * 12)]),
}
PARSERS |= node_items.TARGETS | link_words.TARGETS | answers.TARGETS
