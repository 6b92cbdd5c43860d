"""What the SDK hands out: frozen values read from verified documents; they may not reach the network.

Each keeps the document it was read from (`document`), and its hash where other documents name it by hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Text:
    """A text in Chinese and English."""

    zh: str
    en: str

    @classmethod
    def of(cls, value: Mapping[str, str]) -> Text:
        return cls(zh=value["zh"], en=value["en"])

    def __str__(self) -> str:
        return f"{self.zh} / {self.en}" if self.zh != self.en else self.en


@dataclass(frozen=True)
class Price:
    """Integer minor units and an ISO 4217 currency: 12000 CNY is 120 yuan."""

    amount: int
    currency: str

    def __str__(self) -> str:
        return f"{self.amount // 100}.{self.amount % 100:02d} {self.currency}"


@dataclass(frozen=True)
class Column:
    """One column of a dataset's dictionary."""

    name: str
    label: Text
    kind: str
    unit: str | None
    min: str | None
    max: str | None
    step: str | None
    codes: tuple[str, ...] | None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Column:
        return cls(
            name=value["name"],
            label=Text.of(value["label"]),
            kind=value["kind"],
            unit=value["unit"],
            min=value["min"],
            max=value["max"],
            step=value["step"],
            codes=None if value["codes"] is None else tuple(value["codes"]),
        )


@dataclass(frozen=True)
class Dataset:
    """The description of data a provider keeps at home."""

    id: str
    provider: str
    name: str
    title: Text
    columns: tuple[Column, ...]
    rows_max: int
    hash: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, document: Mapping[str, Any], *, hash: str) -> Dataset:
        return cls(
            id=document["id"],
            provider=document["provider"],
            name=document["name"],
            title=Text.of(document["title"]),
            columns=tuple(Column.of(column) for column in document["columns"]),
            rows_max=document["rows_max"],
            hash=hash,
            document=document,
        )


@dataclass(frozen=True)
class Product:
    """A data product: computations over a fixed set of datasets, offered by its lead provider."""

    id: str
    state: str
    title: Text
    summary: Text
    lead: str
    datasets: tuple[str, ...]
    functions: tuple[str, ...]
    price: Price
    hash: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, document: Mapping[str, Any], *, state: str, hash: str) -> Product:
        return cls(
            id=document["id"],
            state=state,
            title=Text.of(document["title"]),
            summary=Text.of(document["summary"]),
            lead=document["lead"],
            datasets=tuple(dataset["id"] for dataset in document["datasets"]),
            functions=tuple(document["functions"]),
            price=Price(document["price"]["amount"], document["price"]["currency"]),
            hash=hash,
            document=document,
        )


@dataclass(frozen=True)
class Scenario:
    """A purpose of use that the regulator reviews."""

    id: str
    state: str
    title: Text
    purpose: str
    datasets: tuple[str, ...]
    floor: int
    hash: str
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, document: Mapping[str, Any], *, state: str, hash: str) -> Scenario:
        return cls(
            id=document["id"],
            state=state,
            title=Text.of(document["title"]),
            purpose=document["purpose"],
            datasets=tuple(dataset["id"] for dataset in document["datasets"]),
            floor=document["floor"],
            hash=hash,
            document=document,
        )


@dataclass(frozen=True)
class Grant:
    """Permission of the regulator and one custodian for one dataset in one scenario."""

    id: str
    state: str
    scenario: str
    dataset: str
    custodian: str
    functions: tuple[str, ...]
    floor: int
    uses: int
    max_uses: int
    not_before: str
    not_after: str
    terms_hash: str
    terms: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any], *, terms_hash: str) -> Grant:
        terms = answer["terms"]
        return cls(
            id=terms["id"],
            state=answer["state"],
            scenario=terms["scenario"],
            dataset=terms["dataset"],
            custodian=terms["custodian"],
            functions=tuple(f"{f['name']}@{f['version']}" for f in terms["functions"]),
            floor=terms["floor"],
            uses=answer.get("uses", 0),
            max_uses=terms["max_uses"],
            not_before=terms["not_before"],
            not_after=terms["not_after"],
            terms_hash=terms_hash,
            terms=terms,
        )


@dataclass(frozen=True)
class Progress:
    """Where a job stands, as `job.wait(progress=...)` hands it over each time that changes. Of a job whose hospitals
    are not online together also how many have contributed."""

    job: str
    state: str
    seconds: float
    event: str | None = None
    contributed: int | None = None
