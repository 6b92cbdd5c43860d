"""Each parser of foreign bytes: how it is called, what it starts from, and which errors it has declared.

Anything else that escapes is a finding. A target takes bytes; one that takes parsed JSON gets what `load_json` makes of
them, for that is how it meets the world. No target touches a network; files are in a folder of the caller's.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger import chainproof, checkpoint, documents, participant, passkey, receipt, tiles
from ledger.documents import load_json
from ledger.errors import DocumentError, LedgerError
from ledger.keys import KeyFile
from ledger.trust import load_trust
from mpc import ciphertext, filters, masked, token
from mpc.disclosure import Opening, told_of
from mpc.errors import MpcError
from mpc.node import config, data, inbox, papers, policyfile, reach
from mpc.node.book import Book
from mpc.node.policy import DEFAULT_TEXT
from mpc.sharing import limbs
from mpc.transport.identity import Place, check_leaf
from mpc.transport.window import Frame, Window
from mpc.wire import parse

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "fixtures" / "golden"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC: Ed25519PublicKey = KEY.public_key()
NOW = datetime(2026, 11, 22, tzinfo=UTC)
FOLDER = Path(tempfile.gettempdir())
FILTERED = [{"name": name, "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": codes}
            for name, codes in (("sex", ["Female", "Male"]), ("pain", ["yes", "no"]))] + [
    {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}]


@dataclass(frozen=True)
class Target:
    """`run` may end in one of `declared`; `seeds` are what a mutation starts from."""

    run: Callable[[bytes], object]
    declared: tuple[type[Exception], ...]
    seeds: Callable[[], list[bytes]]


def golden(*names: str) -> Callable[[], list[bytes]]:
    return lambda: [(GOLDEN / name).read_bytes() for name in names]


@cache
def trust() -> Any:
    facts = json.loads((GOLDEN / "facts.json").read_text())
    return load_trust(GOLDEN / "trust.json", fingerprint=facts["trust_fingerprint"])


@cache
def world() -> Any:
    from tests.simulators.node_world import World

    return World(Path(tempfile.mkdtemp(dir=FOLDER)))


@cache
def item() -> dict[str, Any]:
    made: dict[str, Any] = world().item()
    return made


@cache
def book() -> Book:
    return Book(Path(tempfile.mkdtemp(dir=FOLDER)) / "node.sqlite3")


def signed_documents(body: bytes) -> None:
    """A document of any type: its form, its hash, and (what is signed) its signatures."""
    value = load_json(body)
    wire = value if isinstance(value, dict) and "document" in value else {"document": value, "signatures": []}
    inner = wire["document"]
    type = inner.get("type") if isinstance(inner, dict) else None
    documents.verify_signed(wire, type=type if isinstance(type, str) else "verdict", keys=["00" * 32])


def work_item(body: bytes) -> None:
    """The papers of a job, as the portal shows them; a lie or junk is refused, or is junk of a shape that the judge
    turns into a refusal (LookupError and its like, see `Judge.judge`)."""
    value = load_json(body)
    if not isinstance(value, dict):
        raise DocumentError("document.malformed", "/: is no object")
    papers.verify_papers(value, me=world().me("hospital_a"), trust=world().trust, now=datetime.now(UTC))


def in_a_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def run(body: bytes) -> object:
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            place = Path(folder) / name
            place.write_bytes(body)
            return read(place)
    return run


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
    from tests.unit.mpc.test_asynchronous_total import TestTheWorkersOrder
    from tests.unit.mpc.test_worker_order import order

    return [json.dumps(line).encode() for line in (order(), TestTheWorkersOrder.LINE)]


@cache
def asynchronous() -> Any:
    """A question whose hospitals are not online together, and one contribution to it."""
    from tests.unit.mpc import test_asynchronous_total as world

    return world.ASKED, world.SPEC, world.part(0)


def contributions(body: bytes) -> object:
    question, spec, _ = asynchronous()
    return masked.check_set(question, spec, [load_json(body)])


def ciphertexts(body: bytes) -> object:
    question = asynchronous()[0]
    return ciphertext.from_bytes(question.public, body, count=question.ciphertexts)


def filter_seed() -> list[bytes]:
    age = {"op": "between", "column": "age", "low": "18", "high": "65"}
    women = {"op": "in", "column": "sex", "values": ["Female"]}
    return [json.dumps(one).encode() for one in (
        age, {"op": "and", "of": [age, {"op": "not", "of": women}, {"op": "missing", "column": "pain"}]},
        {"op": "or", "of": [{"op": "lt", "column": "age", "value": "1e2"}, women]})]


def token_seed() -> list[bytes]:
    return [token.mint(KEY, token.Claims("ab" * 32, "cd" * 32, 0, 4, 2_000_000_000, 1 << 20)).encode()]


def leaf_seed() -> list[bytes]:
    from mpc.transport.identity import SessionIdentity

    made = SessionIdentity.fresh(KEY, Place("ab" * 32, 1, 0), now=NOW).certificate
    return [made, made.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")]  # a version that X.509 never had


def opening_seed() -> list[bytes]:
    return [Opening(0, 10, bytes(32), (True, False), limbs([1, 2, 3]), told_of(2)).to_bytes()]


def header_seed() -> list[bytes]:
    return [chainproof.encode([bytes([number]) * 32 for number in range(17)]), b"\xc0", b"\xf8\x38" + bytes(56)]


WRONG = (LedgerError,)
PARSERS: dict[str, Target] = {
    "documents": Target(signed_documents, WRONG, golden("job_spec.signed.json", "grant_terms.json", "trust.json")),
    "work item": Target(work_item, (LedgerError, MpcError, LookupError, TypeError, AttributeError, ValueError,
                                    ArithmeticError), lambda: [json.dumps(item()).encode()]),
    "participant": Target(lambda body: participant.verify_wire(load_json(body), world().trust), WRONG,
                          lambda: [json.dumps(item()["participants"][0]).encode()]),
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
    "table": Target(in_a_file("t.csv", data.draft), (MpcError,), lambda: [b"age,sex\n50,Male\n,Female\n"]),
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
                           lambda: [json.dumps(asynchronous()[0].public.document()).encode()]),
    "contributions": Target(contributions, (LedgerError, MpcError),
                            lambda: [json.dumps(asynchronous()[2][0]).encode()]),
    "ciphertexts": Target(ciphertexts, (LedgerError, MpcError), lambda: [asynchronous()[2][1]]),
    "opening": Target(Opening.from_bytes, (MpcError,), opening_seed),
}
if hasattr(passkey.Assertion, "decode"):
    PARSERS["passkey assertion"] = Target(assertion, WRONG, lambda: [bytes(32 * 12)])


def offend(target: Target, body: bytes) -> Exception | None:
    """What escaped although nobody declared it."""
    try:
        target.run(body)
    except target.declared:
        return None
    except Exception as error:  # the finding itself
        return error
    return None


