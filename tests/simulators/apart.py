"""What nodes and the dealer's office hand in for a job whose parties are not online together, as the portal sees it:
true signatures, true ciphertexts, and nothing in them that means anything."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.documents import document_hash, new_document, signed, timestamp, to_b64
from mpc import ciphertext, paillier
from tests.simulators.portal_space import HOSPITALS, Space, Wire
from tests.simulators.worker_orders import secret

COUNT = 2


def asked(people: Space, agreement: Wire, *, hours: float = 1, **other: Any) -> Wire:
    """The spec of such a job."""
    now = datetime.now(UTC)
    contributions = {
        "by": timestamp(now + timedelta(hours=hours)),
        "minimum": 3,
        "ciphertexts": COUNT,
        "key": secret().public.document(),
    }
    deadline = timestamp(now + timedelta(hours=hours + 24))
    fields = {"engine": "paillier/1", "contributions": contributions, "deadline": deadline}
    return people.spec(agreement, **{**fields, **other})


def ciphertexts(count: int = COUNT) -> bytes:
    return ciphertext.to_bytes(secret().public, paillier.encrypt(secret().public, [7] * count))


def contribution(people: Space, spec: Wire, name: str, data: bytes, **other: Any) -> Wire:
    fields = {
        "job": spec["id"],
        "job_hash": document_hash(spec),
        "participant": people.id(name),
        "seat": people.seats(spec).index(name),
        "question": "ab" * 32,
        "dealer_key": people.keys["dealer"].sealing_public,
        "ciphertexts": ciphertext.hash_of(data),
        "seed": to_b64(secrets.token_bytes(80)),
        "engine": {"paillier": "test"},
    }
    return signed(new_document("contribution", **{**fields, **other}), people.keys[name].signing)


def contribute(people: Space, spec: Wire, name: str, **other: Any) -> Wire:
    """The body that was posted."""
    data = ciphertexts()
    body = {"contribution": contribution(people, spec, name, data, **other), "ciphertexts": to_b64(data)}
    people.door(name).post(f"/jobs/{spec['id']}/contributions", body)
    return body


def frozen(people: Space, spec: Wire, given: list[Wire], **other: Any) -> Wire:
    """The dealer's word on these contributions."""
    documents = [one["contribution"]["document"] for one in given]
    members = [{"seat": one["seat"], "participant": one["participant"], "contribution": document_hash(one)}
               for one in documents]  # fmt: skip
    fields = {
        "job": spec["id"],
        "job_hash": document_hash(spec),
        "participant": people.id("dealer"),
        "question": "ab" * 32,
        "members": sorted(members, key=lambda one: str(one["seat"])),
        "recipient": spec["recipient"]["participant"],
        "recipient_key": spec["recipient"]["sealing"],
        "masks": to_b64(secrets.token_bytes(80)),
    }
    return signed(new_document("frozen_set", **{**fields, **other}), people.keys["dealer"].signing)


def freeze(people: Space, spec: Wire, given: list[Wire], **other: Any) -> Wire:
    wire = frozen(people, spec, given, **other)
    people.door("dealer").post(f"/jobs/{spec['id']}/freeze", {"freeze": wire})
    return wire


def all_contribute(people: Space, spec: Wire) -> list[Wire]:
    return [contribute(people, spec, name) for name in HOSPITALS]
