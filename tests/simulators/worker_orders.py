"""The one line that a worker gets, as an agent writes it, and a question whose hospitals are not online together, with
one contribution to it. Keys are made at the first call, in no process that does not need them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.documents import document_hash, new_document, new_id, new_salt, public_hex, signed, to_b64
from mpc import ciphertext, masked, paillier
from mpc.functions.plan import Plan
from mpc.functions.registry import function
from mpc.transport.identity import Place, SessionIdentity

SEATS, FLOOR, ROWS = 4, 10, 2000
SEX = {"name": "sex", "kind": "category", "unit": None, "min": None, "max": None, "step": None, "codes": ["F", "M"]}
COLUMNS = [SEX, SEX | {"name": "grade", "codes": ["0", "1"]},
           {"name": "age", "kind": "number", "unit": None, "min": "0", "max": "120", "step": "1", "codes": None}]
Document = dict[str, Any]


@cache
def secret() -> paillier.Secret:
    """The consumer's key."""
    return paillier.generate(2048)


@cache
def another_secret() -> paillier.Secret:
    """Somebody else's."""
    return paillier.generate(2048)


@cache
def party_line() -> Document:
    """For one of three hospitals that are online together."""
    own = SessionIdentity.fresh(Ed25519PrivateKey.generate(), Place("11" * 32, 1, 1), now=datetime.now(UTC))
    return {
        "role": "party", "space": "s", "seat": 1, "parties": 3, "job_hash": "11" * 32, "attempt": 1,
        "session": "22" * 32,
        "peers": [{"seat": seat, "participant": f"p{seat}", "certificate": to_b64(own.certificate),
                   "exchange": own.exchange.hex()} for seat in range(4)],
        "own": {"certificate": to_b64(own.certificate), "private_key": to_b64(own.private_key),
                "exchange_private": own.exchange_private.hex()},
        "relay": {"url": "wss://relay.example", "token": "t", "proxy": None}, "deadline": 2_000_000_000,
        "function": "crosstab@1", "parameters": {"rows": "sex", "columns": "grade"}, "columns": COLUMNS,
        "rows_max_total": 100, "floor": FLOOR, "data": {"path": "a.csv", "kind": "csv", "fingerprint_check": None},
        "recipient": {"participant": "c", "sealing": "33" * 32}, "sender": "p1"}


class Apart:
    """One job of four hospitals that are not online together."""

    def __init__(self) -> None:
        self.keys = [Ed25519PrivateKey.generate() for _ in range(SEATS)]
        self.names = [new_id() for _ in self.keys]
        self.dealer, self.space = X25519PrivateKey.generate().public_key().public_bytes_raw().hex(), new_id()
        self.plan: Plan = function("describe@1").plan({"columns": ["age"], "by": "sex"}, COLUMNS, SEATS, ROWS)
        self.spec: Document = {
            "type": "job_spec", "version": 1, "agreement": new_id(), "agreement_hash": "00" * 32,
            "grants": [{"id": new_id(), "terms_hash": "00" * 32, "dataset": self.names[0]}],
            "function": {"name": "describe", "version": 1, "digest": "00" * 32}, "parameters": {}, "filter": None,
            "inputs": [{"dataset": self.names[0], "dataset_hash": "00" * 32, "provider": self.names[0]}],
            "roster": [{"seat": seat, "participant": name, "signing": public_hex(key), "record_hash": "00" * 32}
                       for seat, (name, key) in enumerate(zip(self.names, self.keys, strict=True))],
            "dealer": {"participant": new_id(), "signing": public_hex(self.keys[0])}, "engine": "paillier/1",
            "disclosure": {"floor": FLOOR}, "recipient": {"participant": new_id(), "sealing": self.dealer},
            "id": new_id(), "issued_at": "2026-11-22T07:00:00Z", "deadline": "2026-11-24T07:00:00Z",
            "nonce": new_salt(),
            "contributions": {"by": "2026-11-23T07:00:00Z", "minimum": 3, "key": secret().public.document(),
                              "ciphertexts": masked.width(self.plan, 2048)}}
        self.question = masked.question_of(self.spec, self.plan, space=self.space)

    def part(self, seat: int) -> tuple[Document, bytes]:
        """A signed contribution of nothing, with its ciphertexts."""
        parcel = masked.send(self.question, 0, participant=self.names[seat], dealer_key=self.dealer)
        document = new_document(
            "contribution", job=self.spec["id"], job_hash=document_hash(self.spec), participant=self.names[seat],
            seat=seat, question=self.question.hash, dealer_key=self.dealer,
            ciphertexts=ciphertext.hash_of(parcel.ciphertexts), seed=to_b64(parcel.seed), engine={})
        return signed(document, self.keys[seat]), parcel.ciphertexts

    def line(self) -> Document:
        """What the worker of the first of them gets."""
        return {"role": "contributor", "space": self.space, "spec": self.spec, "columns": [], "rows_max_total": ROWS,
                "floor": FLOOR, "data": {"path": "/x", "kind": "csv"}, "sender": self.names[0],
                "dealer_key": self.dealer, "deadline": 1.0}


@cache
def apart() -> Apart:
    """The same job for every caller."""
    return Apart()
