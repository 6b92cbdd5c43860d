"""Shapes on the wire: what a body must hold, and how a row is answered. Strict: an unknown field is refused."""

from collections.abc import Iterable
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from dataspace.datasets.models import Dataset
from dataspace.errors import Invalid
from dataspace.grants.models import Grant
from dataspace.participants.models import Participant
from dataspace.provenance.models import Event
from dataspace.scenarios.models import Scenario
from ledger.schemas import admission
from ledger.shapes import fields, hex0x, hexadecimal
from marketplace.agreements.models import Agreement
from marketplace.products.models import Product

__all__ = ["admission", "use"]

Json = dict[str, Any]

use = fields({"grant_chain_id": hex0x(32), "job_hash": hexadecimal(32), "signature": hex0x(65)})


class SignatureSchema(serializers.Serializer[Any]):
    """One Ed25519 signature."""

    key = serializers.CharField(min_length=64, max_length=64)
    value = serializers.CharField(min_length=86, max_length=86)


class SignedSchema(serializers.Serializer[Any]):
    """A document with its signatures; the ledger's own forms say what is in it."""

    document = serializers.DictField()
    signatures = SignatureSchema(many=True)


class ContributionSchema(serializers.Serializer[Any]):
    """A signed contribution, and the ciphertexts whose hash it names, in base64url."""

    contribution = SignedSchema()
    ciphertexts = serializers.CharField()


class WithdrawalSchema(serializers.Serializer[Any]):
    """A hospital's signed word that takes its part back."""

    withdrawal = SignedSchema()


class FrozenSchema(serializers.Serializer[Any]):
    """The dealer's signed frozen set."""

    freeze = SignedSchema()


class ProblemSchema(serializers.Serializer[Any]):
    """RFC 9457, with a stable code."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    request_id = serializers.CharField()
    who_must_act = serializers.CharField(required=False)


def body_of(request: Request, *names: str, optional: Iterable[str] = ()) -> list[Any]:
    """The named fields of a JSON object, each an object (or a list where said), and no others."""
    data = request.data
    if not isinstance(data, dict):
        raise Invalid("the body is a JSON object", code="body.malformed")
    extra = set(data) - set(names) - set(optional)
    missing = set(names) - set(data)
    if extra or missing:
        raise Invalid(f"unknown {sorted(extra)}, missing {sorted(missing)}", code="body.malformed")
    return [data.get(name) for name in (*names, *optional)]


def an_object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise Invalid("a JSON object is meant", code="body.malformed")
    return value


def a_text(value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid("a text is meant", code="body.malformed")
    return value


def participant(row: Participant) -> Json:
    coming = [one.record for one in row.renewals.all() if not one.outcome]
    return {"id": str(row.pk), "state": row.state, "record": row.record, "next": coming[0] if coming else None}


def dataset(row: Dataset) -> Json:
    return {"id": str(row.pk), "state": row.state, "record": row.record}


def product(row: Product) -> Json:
    confirmed = [str(one.participant_id) for one in row.confirmations.all()]
    return {
        "id": str(row.pk),
        "state": row.state,
        "document": row.document,
        "confirmed": confirmed,
        "listing": row.listing,
    }


def scenario(row: Scenario) -> Json:
    return {"id": str(row.pk), "state": row.state, "document": row.document, "decision": row.decision}


def papers(row: Grant) -> Json:
    """A grant's terms with both signatures."""
    return {"terms": row.terms, "approval": row.approval, "consent": row.consent}


def grant(row: Grant) -> Json:
    block = row.registered_block
    uses: int = getattr(row, "uses_count", -1)  # counted with the rows by grants_for
    return {
        "id": str(row.pk),
        "state": row.state,
        **papers(row),
        "uses": uses if uses >= 0 else row.uses.count(),
        "revocation": row.revocation,
        "registered": None if block is None else {"block": block},
        "problem": getattr(row, "trouble", None) or None,  # why the chain refused to register it
    }


def agreement(row: Agreement) -> Json:
    return {"id": str(row.pk), "state": row.state, "document": row.document}


def event(row: Event, *, anchored: int) -> Json:
    leaf = getattr(row, "leaf", None)
    index = leaf.index if leaf is not None else None
    return {
        "id": str(row.id),
        "kind": row.kind,
        "at": row.entry["at"],
        "index": index,
        "anchored": index is not None and index < anchored,
    }
