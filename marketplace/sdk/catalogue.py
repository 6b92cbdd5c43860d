"""Reads the space's catalogue and our permissions: participants, datasets, products, scenarios, grants.

Where the chain can be asked, a participant's record counts only as the one that the chain holds as current.
Whatever is returned was verified against keys in records that the regulator admitted. Records are kept in memory for
the life of this object, never across processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.documents import document_hash
from ledger.membership import RecordReader, check_current
from ledger.trust import Trust
from marketplace.sdk.client import Portal, our_errors, whole_answers
from marketplace.sdk.errors import VerificationError
from marketplace.sdk.records import Document, Signed, verified_document, verified_grant, verified_participant
from marketplace.sdk.types import Dataset, Grant, Product, Scenario

PATIENCE = 10.0
"""Seconds in which the chain may come up to a record that was admitted a moment ago."""


class Catalogue:
    """Verified reads of one space."""

    def __init__(self, portal: Portal, trust: Trust, *, chain: RecordReader | None = None) -> None:
        self._portal = portal
        self._trust = trust
        self._chain = chain
        self._participants: dict[str, tuple[Signed, Document]] = {}
        self._datasets: dict[str, Signed] = {}

    def participant(self, participant_id: str) -> Document:
        """The admitted record of one participant."""
        return self._known(participant_id)[1]

    def participant_wire(self, participant_id: str) -> Signed:
        """The same with its signatures, as evidence."""
        return self._known(participant_id)[0]

    @whole_answers()
    def _known(self, participant_id: str) -> tuple[Signed, Document]:
        if participant_id not in self._participants:
            wire = self._portal.get(f"/participants/{participant_id}")["record"]
            record = verified_participant(wire, trust=self._trust, expected=participant_id)
            if self._chain is not None:
                with our_errors():
                    check_current(record, self._chain, patience=PATIENCE)
            self._participants[participant_id] = (wire, record)
        return self._participants[participant_id]

    @whole_answers()
    def former_participant_wire(self, participant_id: str, hash: str) -> Signed:
        """The record of this hash with its signatures, whether or not it is still the current one."""
        kept = self._participants.get(participant_id)
        if kept is not None and document_hash(kept[1]) == hash:
            return kept[0]
        wire: Signed = self._portal.get(f"/participants/{participant_id}", hash=hash)["record"]
        return wire

    @whole_answers()
    def dataset_wire(self, dataset_id: str, hash: str | None = None) -> Signed:
        """The record with its signatures; one that was read before will do if it has the hash that is wanted."""
        kept = self._datasets.get(dataset_id)
        if kept is not None and hash is not None and document_hash(kept["document"]) == hash:
            return kept
        wire: Signed = self._portal.get(f"/datasets/{dataset_id}", **({"hash": hash} if hash else {}))["record"]
        self._datasets[dataset_id] = wire
        return wire

    def dataset(self, dataset_id: str) -> Dataset:
        return self._dataset(self.dataset_wire(dataset_id), dataset_id)

    @whole_answers()
    def datasets(self) -> list[Dataset]:
        return [self._dataset(row["record"], row["id"]) for row in rows_of(self._portal.get("/datasets"))]

    @whole_answers()
    def _dataset(self, wire: Signed, dataset_id: str) -> Dataset:
        provider = self.participant(wire["document"]["provider"])
        document = verified_document(wire, type="dataset", signers=[provider], id=dataset_id)
        return Dataset.of(document, hash=document_hash(document))

    def product(self, product_id: str) -> Product:
        return self._product(self._portal.get(f"/products/{product_id}"))

    @whole_answers()
    def products(self) -> list[Product]:
        return [self._product(row) for row in rows_of(self._portal.get("/products"))]

    @whole_answers()
    def _product(self, answer: Mapping[str, Any]) -> Product:
        wire = answer["document"]
        lead = self.participant(wire["document"]["lead"])
        document = verified_document(wire, type="product", signers=[lead], id=answer["id"])
        return Product.of(document, state=answer["state"], hash=document_hash(document))

    def product_inputs(self, product: Product) -> list[Dataset]:
        """The product's datasets, each with the hash the product names."""
        named = {item["id"]: item["hash"] for item in product.document["datasets"]}
        found = [self._dataset(self.dataset_wire(one, named[one]), one) for one in sorted(named)]
        for dataset in found:
            if dataset.hash != named[dataset.id]:
                raise VerificationError(f"dataset {dataset.id} changed since it was listed", code="dataset.changed")
        return found

    def scenario(self, scenario_id: str) -> Scenario:
        return self._scenario(self._portal.get(f"/scenarios/{scenario_id}"))

    @whole_answers()
    def scenarios(self) -> list[Scenario]:
        return [self._scenario(row) for row in rows_of(self._portal.get("/scenarios"))]

    @whole_answers()
    def _scenario(self, answer: Mapping[str, Any]) -> Scenario:
        wire = answer["document"]
        consumer = self.participant(wire["document"]["consumer"])
        document = verified_document(wire, type="scenario", signers=[consumer], id=answer["id"])
        return Scenario.of(document, state=answer["state"], hash=document_hash(document))

    @whole_answers()
    def grants(self, scenario_id: str | None = None) -> list[Grant]:
        """Grants we are party to, their approvals verified."""
        found = rows_of(self._portal.get("/grants", **({"scenario": scenario_id} if scenario_id else {})))
        return [
            self._grant(row) for row in found if scenario_id is None or row["terms"]["scenario"] == scenario_id
        ]

    @whole_answers()
    def _grant(self, answer: Mapping[str, Any]) -> Grant:
        custodian = self.participant(answer["terms"]["custodian"])
        return Grant.of(answer, terms_hash=verified_grant(answer, trust=self._trust, custodian=custodian))


def rows_of(answer: Any) -> Sequence[Mapping[str, Any]]:
    """The rows of a list answer, whether bare or under `items` or `results`."""
    if isinstance(answer, Mapping):
        for name in ("items", "results"):
            if name in answer:
                return list(answer[name])
    return list(answer)
