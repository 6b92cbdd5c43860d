"""Jobs of hospitals that are not online together: what the order says, and how the one total is opened.

Each hospital contributes when it is awake, until the order's own time. What the portal then passes on is believed only
so far:
1. the spec is the one we signed, its members and datasets are those of the record (`evidence.verify_papers`);
2. every contribution is signed by its seat, its ciphertexts have the hash it signed, each lies in the key's range;
3. exactly these contributions are named in the frozen set, signed by the dealer of the trust file;
4. the product is multiplied here again; the portal's must be the same.
A cell that any contributor withheld is closed. It may not reach the network.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ledger.documents import from_b64, timestamp
from ledger.errors import LedgerError
from ledger.keys import KeyFile
from marketplace.sdk.client import Portal, our_errors
from marketplace.sdk.errors import EnvelopeError, NotFound, Refused, SdkError
from marketplace.sdk.evidence import Evidence, Papers
from marketplace.sdk.fn import Call
from marketplace.sdk.keyring import Keyring
from marketplace.sdk.records import Document
from mpc.catalog import CATALOG
from mpc.ciphertext import PublicKey
from mpc.errors import MpcError
from mpc.spec import MIN_PARTIES, PAILLIER, are_apart, common_columns, rows_max_total

if TYPE_CHECKING:  # what plans and opens costs numpy: not before it is needed
    from mpc.disclosure import Pattern
    from mpc.functions.plan import Plan

KEY_BITS = 3072
LONGEST = timedelta(days=30)
FOR_THE_DEALER = timedelta(hours=24)
"""How long after the last moment to contribute the dealer's office may take."""


@dataclass(frozen=True)
class Apart:
    """Until when hospitals may contribute, and how many must; none of which the online engine knows."""

    until: datetime
    minimum: int | None
    bits: int


def asked(engine: str, until: datetime | timedelta | None, minimum: int | None, *, now: datetime) -> Apart | None:
    """What the arguments of `Space.buy` mean; None for the engine that needs everybody online."""
    if engine not in ("crypten", "paillier"):
        raise Refused(f"no engine {engine!r}; there are crypten and paillier", code="order.engine")
    if engine == "crypten":
        if until is not None or minimum is not None:
            raise Refused("contribute_until and minimum go with engine='paillier'", code="order.engine")
        return None
    if until is None:
        raise Refused("say until when hospitals may contribute: contribute_until=", code="order.engine")
    moment = now + until if isinstance(until, timedelta) else until
    if moment.tzinfo is None or not now < moment <= now + LONGEST:
        raise Refused("contribute_until is a timedelta or a time with its zone, within 30 days", code="order.engine")
    return Apart(moment, minimum, KEY_BITS)


def spec_fields(apart: Apart, call: Call, inputs: Sequence[Document], *, keyring: Keyring) -> dict[str, Any]:
    """What such an order says beside what every order says; makes its key."""
    from mpc import masked

    fewest = max(MIN_PARTIES, CATALOG[call.key].min_parties)
    minimum = fewest if apart.minimum is None else apart.minimum
    if not fewest <= minimum <= len(inputs):
        raise Refused(f"minimum: from {fewest} to {len(inputs)} hospitals of this product", code="order.minimum")
    with our_errors():
        count = masked.width(plan_of(call.key, call.parameters, inputs), apart.bits)
    key = keyring.create(apart.bits).public.document()
    contributions = {"by": timestamp(apart.until), "minimum": minimum, "ciphertexts": count, "key": key}
    return {"engine": PAILLIER, "contributions": contributions, "deadline": timestamp(apart.until + FOR_THE_DEALER)}


def plan_of(key: str, parameters: Mapping[str, Any], datasets: Sequence[Document]) -> Plan:
    """The same plan the members make: from the datasets' descriptions in the order of seats."""
    from mpc.functions.registry import function

    with our_errors():
        columns = common_columns([dataset["columns"] for dataset in datasets])
        return function(key).plan(parameters, columns, len(datasets), rows_max_total(datasets))


def forget_refused(spec: Document, *, portal: Portal, keyring: Keyring) -> None:
    """Drop the key of an order that was refused, but not where the portal knows the order all the same."""
    if not are_apart(spec):
        return
    try:
        portal.get(f"/jobs/{spec['id']}")
    except NotFound:
        keyring.forget(PublicKey.read(spec["contributions"]["key"]))
    except SdkError:
        return


def fetch(portal: Portal, job_id: str) -> dict[str, Any]:
    """What lies at the portal for such a job, unverified."""
    total = portal.get(f"/jobs/{job_id}/total")
    try:
        seats = [int(one["seat"]) for one in total["frozen"]["document"]["members"]]
        held = {"frozen": total["frozen"], "product": total["product"]}
    except (LookupError, TypeError, ValueError) as error:
        raise EnvelopeError("the portal shows no frozen set", code="envelope.invalid") from error
    return {**held, "parts": [portal.get(f"/jobs/{job_id}/contributions/{seat}") for seat in seats]}


def _read(held: Mapping[str, Any]) -> tuple[list[tuple[object, bytes]], bytes, Any]:
    try:
        parts = [(one["contribution"], from_b64(one["ciphertexts"], "/ciphertexts")) for one in held["parts"]]
        return parts, from_b64(held["product"], "/product"), held["frozen"]
    except (LookupError, TypeError, AttributeError, LedgerError) as error:
        raise EnvelopeError("the parts are not of the form that there is", code="envelope.invalid") from error


def open_total(evidence: Evidence, papers: Papers, plan: Plan, *, space: str, keys: KeyFile,
               keyring: Keyring) -> tuple[Pattern, list[int], list[str]]:
    """Pattern, totals, and who contributed, or an EnvelopeError; nothing is opened before all checks passed."""
    from mpc import masked

    parts, product, frozen = _read(evidence.apart or {})
    with our_errors():
        question = masked.question_of(papers.spec, plan, space=space)
        secret = keyring.load(PublicKey.read(papers.spec["contributions"]["key"]))
    try:
        pattern, totals = masked.open_total(
            question, papers.spec, parts, frozen, secret=secret, sealing=keys.sealing,
            threads=os.cpu_count() or 1, given=product)
    except MpcError as error:
        raise EnvelopeError(error.text, code="envelope.invalid") from error
    return pattern, totals, [one["participant"] for one in frozen["document"]["members"]]
