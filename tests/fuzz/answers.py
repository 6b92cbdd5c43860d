"""Answers from outside: of chain endpoints, of the portal to nodes and buyers, and requests to a witness.

An answer's bytes are handed to the true client in the place of the network. Endpoints are asked several things in a
row, so their seed is one object: what is answered to which method.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger import endpoint
from ledger.chain import Chain
from ledger.documents import load_json
from ledger.door import Door
from ledger.errors import ChainUnavailable, LedgerError, PortalRefused, PortalUnavailable, VerificationError
from ledger.trust import load_trust
from ledger.witness_service import Witness, _Handler
from marketplace.sdk.errors import SdkError
from marketplace.sdk.evidence import Evidence, verify, verify_papers
from marketplace.sdk.receipt import Receipt
from tests.fuzz.target import GOLDEN, Target, fresh_folder, promise

NOW = 2_000_000_000.0
BLOCK = {"number": "0x7", "hash": "0x" + "00" * 32, "timestamp": hex(int(NOW) - 1)}
WORD = "0x" + "00" * 31 + "01"


@cache
def trust() -> Any:
    facts = json.loads((GOLDEN / "facts.json").read_text())
    return load_trust(GOLDEN / "trust.json", fingerprint=facts["trust_fingerprint"])


def _said(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _answers() -> dict[str, Any]:
    """Of an honest endpoint, as far as it can be honest about no contract."""
    chain = trust().chain
    return {"eth_chainId": hex(chain.id), "eth_getBlockByNumber": {**BLOCK, "hash": chain.genesis},
            "eth_getCode": "0x00", "eth_call": "0x" + WORD[2:] * 12, "web3_clientVersion": "anvil",
            "eth_getTransactionReceipt": None, "eth_gasPrice": "0x1", "eth_getTransactionCount": "0x1"}


def endpoint_answers(body: bytes) -> None:
    """The verifier's way to the chain. Its code's hash is taken as right, or nothing behind it would be reached."""
    said = _said(body)

    def post(url: str, asked: str, timeout: float) -> bytes:
        if not said:
            return body
        return json.dumps({"result": said.get(json.loads(asked)["method"])}).encode()

    with _in_place_of(endpoint, "_post", post):
        one = endpoint.Endpoints(trust(), ["http://127.0.0.1:1"], now=lambda: NOW)
        _each(lambda: one.final_hash(3), lambda: one.root_at("0x" + "00" * 32, 1),
              lambda: one.participant_record("0x" + "00" * 32))


def chain_answers(body: bytes) -> None:
    """What nodes and portal read of a chain."""
    said = _said(body)

    def post(url: str, asked: bytes) -> tuple[int, bytes]:
        if not said:
            return 200, body
        call = json.loads(asked)
        found = said.get(call["method"])
        if isinstance(found, dict) and "error" in found:
            return 200, json.dumps({"id": call["id"], **found}).encode()
        return 200, json.dumps({"id": call["id"], "result": found}).encode()

    one, zero = Chain.from_trust(trust(), rpc_urls=["http://127.0.0.1:1"]), "0x" + "00" * 32
    one.rpc._post, one.rpc._now = post, lambda: NOW
    try:
        _each(one.head, lambda: one.grant(zero), lambda: one.is_revoked(zero, ["0x" + "11" * 20]),
              lambda: one.used(zero, zero), lambda: one.participant_record(zero), lambda: one.root_at(zero, 1),
              lambda: one.anchor_head(zero), lambda: one.check_contracts(trust()), one.rpc.health,
              lambda: one.participant_proposal(zero), lambda: one.passkey_account("0x" + "11" * 20),
              lambda: one.owner_of(zero))
    finally:
        one.close()


def _each(*acts: Any) -> None:
    """All of them, though each may be refused."""
    for act in acts:
        try:
            act()
        except (ChainUnavailable, VerificationError):
            continue


@contextmanager
def _in_place_of(module: Any, name: str, other: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, before)


def portal_answer(body: bytes) -> None:
    """To a node or a buyer: a status in the first byte, a date in the first line, then the answer."""
    status = [200, 204, 301, 400, 401, 404, 409, 429, 500, 503][body[0] % 10] if body else 200
    line, _, rest = body[1:].partition(b"\n")
    date = line.decode("latin-1").replace("\r", " ").replace("\0", " ").strip()

    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"Date": date} if date.isascii() and date.isprintable() else {}
        return httpx.Response(status, content=rest, headers=headers)

    with Door("http://portal.example", "p", _key(),
              client=httpx.Client(transport=httpx.MockTransport(answer))) as door:
        door.get("/work")


@cache
def _key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


# -- requests to a witness ---------------------------------------------------------------------------------------------


@cache
def witness() -> Witness:
    home = fresh_folder()
    return Witness(home, "w.example/w", _key(), {trust().log.origin: trust().log.key}, now=lambda: NOW)


class _AtOnce(_Handler):
    """The service's own handler over bytes, without a socket."""

    def __init__(self, request: bytes) -> None:
        self.rfile, self.wfile = io.BytesIO(request), io.BytesIO()
        self.client_address, self.request_version = ("127.0.0.1", 1), "HTTP/1.1"
        self.server = type("Serving", (), {"witness": witness()})()
        self.handle()


def witness_request(body: bytes) -> None:
    """A checkpoint, and whatever surrounds it in HTTP; its keys sign nothing that is not a checkpoint's."""
    answer = _AtOnce(body).wfile.getvalue()
    promise(b" 200 OK" not in answer or b"healthz" in body, "a witness cosigned what the log never signed")


def witness_checkpoint(body: bytes) -> None:
    promise(witness().add_checkpoint(body).status != 200, "a witness cosigned what the log never signed")


def witness_seed() -> list[bytes]:
    note = b"old 0\n\n" + (GOLDEN / "checkpoint.txt").read_bytes()
    head = b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(note)
    return [head + note, b"GET /healthz HTTP/1.0\r\n\r\n"]


# -- what a buyer reads ------------------------------------------------------------------------------------------------


@cache
def buyer() -> tuple[Any, str, bytes]:
    """A buyer with one released job, and the evidence of it."""
    from marketplace.sdk import fn
    from tests.unit.sdk.world import World

    world = World(fresh_folder())
    job = world.space().buy(world.product_id, fn.crosstab(rows="sex", columns="grade"))
    world.compute(job.id)
    job.wait(seconds=20)
    space = world.space()
    return space, job.id, space.cache.job(job.id).read_bytes()


def evidence(body: bytes) -> None:
    """What the portal passed on of a job, read again under the id that was asked for: verified, or refused."""
    space, job, _ = buyer()
    read = replace(Evidence.from_json(load_json(body)), job=job)
    held = verify_papers(read, trust=space.trust, signing=space.keys.signing_public, sealing=space.keys.sealing_public)
    promise(held.spec["id"] == job, "another job's papers")
    verify(read, trust=space.trust, signing=space.keys.signing_public, sealing=space.keys.sealing_public)


def catalogue(body: bytes) -> None:
    """Lists and rows as a portal shows them."""
    space, _, _ = buyer()
    value = load_json(body)
    portal = space.catalogue._portal

    def get(path: str, **params: Any) -> Any:
        return value if path.startswith(("/products", "/datasets", "/scenarios", "/grants")) else true(path, **params)

    true = portal.get
    portal.get = get
    try:
        for read in (space.catalogue.products, space.catalogue.datasets, space.catalogue.scenarios,
                     space.catalogue.grants):
            try:
                read()
            except SdkError:
                continue
    finally:
        del portal.get


def catalogue_seed() -> list[bytes]:
    space, _, _ = buyer()
    shown = [space.catalogue._portal.get(path) for path in ("/products", "/datasets", "/scenarios", "/grants")]
    return [json.dumps(one, ensure_ascii=False).encode() for one in shown]


def receipt(body: bytes) -> None:
    Receipt(body, trust=trust()).verify()


TARGETS: dict[str, Target] = {
    "an endpoint's answers": Target(endpoint_answers, (), lambda: [json.dumps(_answers()).encode()], dear=True),
    "a chain's answers": Target(chain_answers, (), lambda: [json.dumps(_answers()).encode()], dear=True),
    "the portal's answer": Target(portal_answer, (PortalRefused, PortalUnavailable), lambda: [
        b"\0\n{\"items\": []}", b"\4Sun, 22 Nov 2026 16:00:00 GMT\n{\"code\": \"http.signature\", \"detail\": \"x\"}"],
        dear=True),
    "a request to a witness": Target(witness_request, (), witness_seed, dear=True),
    "a checkpoint to a witness": Target(witness_checkpoint, (LedgerError,), lambda: [
        b"old 0\n\n" + (GOLDEN / "checkpoint.txt").read_bytes()]),
    "a buyer's evidence": Target(evidence, (SdkError, LedgerError), lambda: [buyer()[2]], dear=True),
    "a buyer's catalogue": Target(catalogue, (LedgerError,), catalogue_seed, dear=True),
    "a buyer's receipt": Target(receipt, (SdkError,), lambda: [(GOLDEN / "receipt.json").read_bytes()]),
}
