"""Verbs about scenarios: draft, submit, return, reject, approve, close."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from dataspace.actor import Actor
from dataspace.datasets.models import Dataset
from dataspace.datasets.states import State as DatasetState
from dataspace.errors import Conflict, Invalid
from dataspace.moves import advance, begin
from dataspace.participants.models import Participant
from dataspace.participants.queries import signing_key_of
from dataspace.provenance import space
from dataspace.scenarios import policies
from dataspace.scenarios.models import Scenario, ScenarioDataset
from dataspace.scenarios.states import BEGIN, INITIAL, MOVES, Move
from ledger.documents import document_hash, parse_time, read_signed, verify_signed
from mpc.catalog import CATALOG

DECISIONS = {"approve": Move.APPROVE, "return": Move.RETURN, "reject": Move.REJECT}


def _datasets_of(references: list[dict[str, str]]) -> list[Dataset]:
    """The registered datasets that a document names, exactly as it names them."""
    rows = {str(row.pk): row for row in Dataset.objects.filter(pk__in=[one["id"] for one in references])}
    found = []
    for one in references:
        row = rows.get(one["id"])
        if row is None or row.state != DatasetState.REGISTERED:
            raise Invalid(f"dataset {one['id']} is not registered", code="dataset.unknown")
        if row.record_hash != one["hash"] or str(row.provider_id) != one["provider"]:
            raise Invalid(f"dataset {one['id']} is described otherwise", code="dataset.changed")
        found.append(row)
    return found


@transaction.atomic
def draft(wire: Mapping[str, Any], *, actor: Actor, now: datetime) -> Scenario:
    """Take in a consumer's signed application."""
    claimed = read_signed(wire, "scenario")
    consumer_id = UUID(claimed["consumer"])
    policies.check_may_draft(actor, consumer_id=consumer_id)
    consumer = Participant.objects.get(pk=consumer_id)
    document = verify_signed(wire, type="scenario", keys=[signing_key_of(consumer)])
    hashed = document_hash(document)
    known = Scenario.objects.filter(pk=document["id"]).first()
    if known is not None:
        if known.document_hash == hashed and known.consumer_id == consumer_id:
            return known
        raise Conflict("this scenario has another text", code="scenario.known")
    for function in document["functions"]:
        if f"{function['name']}@{function['version']}" not in CATALOG:
            raise Invalid(f"no function {function['name']}@{function['version']}", code="scenario.function")
    datasets = _datasets_of(document["datasets"])
    row = Scenario(
        id=UUID(document["id"]),
        consumer=consumer,
        title_zh=document["title"]["zh"],
        title_en=document["title"]["en"],
        purpose=document["purpose"],
        functions=[f"{one['name']}@{one['version']}" for one in document["functions"]],
        floor=document["floor"],
        by_institution=document["by_institution"],
        max_uses=document["max_uses"],
        not_before=parse_time(document["not_before"]),
        not_after=parse_time(document["not_after"]),
        document=dict(wire),
        document_hash=hashed,
        created_at=now,
    )
    begin(row, BEGIN, state=INITIAL, actor=actor, now=now, audience=[consumer_id], body={"scenario_hash": hashed})
    ScenarioDataset.objects.bulk_create(
        ScenarioDataset(scenario=row, dataset=dataset, seat=seat) for seat, dataset in enumerate(datasets)
    )
    return row


def audience_of(scenario: Scenario) -> list[UUID]:
    """Those who see what happens to a submitted scenario: consumer, providers, regulator."""
    providers = scenario.datasets.values_list("provider_id", flat=True)
    return [scenario.consumer_id, space.regulator_id(), *providers]


@transaction.atomic
def submit(scenario: Scenario, *, actor: Actor, now: datetime) -> None:
    """Hand the application to the regulator."""
    policies.check_is_consumer(actor, consumer_id=scenario.consumer_id)
    advance(
        scenario,
        Move.SUBMIT,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(scenario),
        body={"scenario_hash": scenario.document_hash},
        changes={"submitted_by": actor.person_id, "submitted_at": now},
    )


@transaction.atomic
def decide(scenario: Scenario, *, decision: Mapping[str, Any], actor: Actor, now: datetime) -> Move:
    """Write down the regulator's signed decision: approve, return or reject. Approving also needs the grants' terms,
    which `grants.services.approve_scenario` takes in the same transaction."""
    policies.check_may_decide(actor, consumer_id=scenario.consumer_id, submitted_by=scenario.submitted_by)
    document = verify_signed(decision, type="scenario_decision", keys=[space.trust().regulator.signing])
    named = (document["scenario"], document["scenario_hash"], document["participant"])
    if named != (str(scenario.pk), scenario.document_hash, str(actor.participant_id)):
        raise Invalid("the decision is about another scenario", code="scenario.decision_mismatch")
    move = DECISIONS[document["decision"]]
    advance(
        scenario,
        move,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(scenario),
        body={"scenario_hash": scenario.document_hash, "decision_hash": document_hash(document)},
        changes={"decision": dict(decision), "note": document["note"], "decided_at": now},
    )
    return move


@transaction.atomic
def close(scenario: Scenario, *, actor: Actor, now: datetime) -> None:
    """The consumer needs the scenario no more."""
    policies.check_is_consumer(actor, consumer_id=scenario.consumer_id)
    advance(
        scenario,
        Move.CLOSE,
        moves=MOVES,
        actor=actor,
        now=now,
        audience=audience_of(scenario),
        body={"scenario_hash": scenario.document_hash},
    )
