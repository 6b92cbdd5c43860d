"""The documents of one job, verified on their own: signatures, hashes, and that each says what the others say.

Pure: bytes and `now` come in, a `Papers` or `Refused` comes out. Believes nothing that the portal says by itself: every
key follows from the trust file (the regulator's signature under each participant record), every hash is recomputed.
What chain, book, policy and files say is asked in `checks.py`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ledger.documents import canonical, chain_id_of, document_hash, parse_time, read_signed, sha256_hex, verify_signed
from ledger.errors import DocumentError, LedgerError, VerificationError
from ledger.participant import verify_wire
from ledger.trust import Trust
from mpc.catalog import CATALOG
from mpc.engines import budget
from mpc.errors import MpcError, SpecRefused
from mpc.filters import check_form, tabulated
from mpc.functions.registry import plan_for
from mpc.node.book import SeenJob, Shape
from mpc.node.errors import Refused, about
from mpc.node.grants import (
    Document,
    Grant,
    check_approvals,
    check_named,
    check_one_scenario,
    check_period,
    check_terms,
    read_grant,
)
from mpc.spec import (
    are_apart,
    check_engine,
    check_roster,
    common_columns,
    function_key,
    question_hash,
    rows_max_total,
)

SKEW = timedelta(seconds=60)


@dataclass(frozen=True)
class Me:
    """Who checks: a hospital with its own pinned addresses, or the dealer (`party` false)."""

    participant: str
    signing: str
    party: bool
    approver: str = ""
    service: str = ""


@dataclass(frozen=True)
class Papers:
    """A job whose documents hold together."""

    attempt: int
    job_hash: str
    spec: Document
    agreement: Document
    grants: tuple[Grant, ...]
    records: Mapping[str, Document]
    datasets: tuple[Document, ...]
    columns: Sequence[Document]
    rows_max_total: int
    floor: int
    seat: int
    own: Grant | None
    present: frozenset[str] | None = None
    """Of a set that is to be frozen: who has contributed. What became of the others' keys and grants says nothing."""

    @property
    def counted(self) -> tuple[tuple[int, Grant], ...]:
        """Seats and grants whose standing counts: all, or those that are present."""
        return tuple((seat, grant) for seat, grant in enumerate(self.grants)
                     if _counts(grant.terms["custodian"], self.present))

    @property
    def job(self) -> str:
        """The job's id."""
        return str(self.spec["id"])

    @property
    def consumer(self) -> str:
        """The grantee, who signed the spec."""
        return str(self.spec["recipient"]["participant"])

    @property
    def function(self) -> str:
        """`name@version`."""
        return function_key(self.spec["function"])

    @property
    def release_key(self) -> str:
        """The same for two jobs that would open the same thing under the same grants."""
        return question_hash(self.spec)

    @property
    def gated(self) -> tuple[str, ...]:
        """The grants under which this job's gate is counted here: a hospital's own, at the dealer's office all. Apart
        there is none: each hospital withholds by itself, and nobody hears of it."""
        if are_apart(self.spec):
            return ()
        return (self.own.id,) if self.own is not None else tuple(grant.id for grant in self.grants)

    @property
    def shape(self) -> Shape:
        """What this job's result depends on; its columns are all that its parameters name."""
        by_name = {column["name"]: column for column in self.columns}
        names = tabulated(self.spec["parameters"], self.columns)
        table = {name: self.spec[name] for name in ("function", "parameters", "filter")}
        codes = {name: by_name[name]["codes"] for name in names}
        asked = self.spec["filter"]
        return Shape(self.floor, sha256_hex(canonical({**table, "codes": codes})), names,
                     "" if asked is None else sha256_hex(canonical(asked)), self.release_key, are_apart(self.spec))

    @property
    def columns_named(self) -> frozenset[str]:
        """Every column that parameters or filter name anywhere: what the hospital's policy is asked about."""
        known = frozenset(column["name"] for column in self.columns)
        return known & frozenset(texts_in([self.spec["parameters"], self.spec["filter"]]))

    @property
    def seen(self) -> SeenJob:
        """This attempt, as the book would name it."""
        return SeenJob(self.job, self.job_hash, self.attempt, "", int(self.deadline.timestamp()))

    @property
    def deadline(self) -> datetime:
        """When the job is over, whatever happened."""
        return parse_time(self.spec["deadline"])


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield name
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def verify_papers(item: Mapping[str, Any], *, me: Me, trust: Trust, now: datetime,
                  passed: Callable[[str], None] = lambda step: None, of: Collection[str] | None = None) -> Papers:
    """Everything that follows from the documents and the trust file; raises `Refused` at the first thing wrong.
    `passed` hears the name of every step that held. `of` names the members whose records, signatures and periods
    count, where they are not all: who has contributed. Each of these has verified every one itself, and what the
    others' papers say is pinned by hashes in the consumer's spec."""
    spec, attempt = _spec(item)
    present = None if of is None else frozenset(of)
    records = participants(item["participants"], trust)
    consumer = records.get(spec["recipient"]["participant"])
    if present is not None:
        known = present | {spec["recipient"]["participant"], spec["dealer"]["participant"]}
        records = {id: record for id, record in records.items() if id in known}
    if consumer is None:
        raise Refused("participant.record_mismatch", "the consumer's record is not among the papers", "operator")
    try:
        verify_signed(item["spec"], type="job_spec", keys=[consumer["keys"]["signing"]])
    except VerificationError as error:
        raise Refused("spec.signature_invalid", "the consumer's signature on the spec is wrong") from error
    passed("signature")
    _fresh(spec, now)
    passed("freshness")
    _consumer(spec, consumer)
    _function_digest(spec)
    _filter_form(spec)
    passed("function")
    seat = _roster(spec, records, me, trust, present)
    passed("roster")
    grants = tuple(read_grant(papers) for papers in item["grants"])
    check_named(spec, grants)
    for at, grant in enumerate(grants):
        check_terms(grant, spec, consumer, trust)
        if _counts(grant.terms["custodian"], present):
            with about(at):
                check_approvals(grant, records, trust)
    check_one_scenario(grants)
    passed("grants")
    own = _own_grant(grants, me)
    passed("own_grant")
    datasets = _datasets(item["datasets"], spec, grants, records, present)
    passed("datasets")
    agreement = _agreement(item["agreement"], spec, records, present)
    passed("agreement")
    columns = _parameters(spec, datasets)
    passed("parameters")
    for at, grant in enumerate(grants):
        if _counts(grant.terms["custodian"], present):
            with about(at):
                check_period(grant, now)
    passed("period")
    return Papers(
        attempt=attempt, job_hash=document_hash(spec), spec=spec, agreement=agreement, grants=grants, records=records,
        datasets=datasets, columns=columns, rows_max_total=rows_max_total(datasets),
        floor=max(spec["disclosure"]["floor"], *(grant.terms["floor"] for grant in grants)), seat=seat, own=own,
        present=present,
    )


def _counts(participant: str, present: frozenset[str] | None) -> bool:
    return present is None or participant in present


def participants(records: Iterable[object], trust: Trust) -> dict[str, Document]:
    """Records by id, each signed by every key in it and by the regulator's of the trust file."""
    found: dict[str, Document] = {}
    for wire in records:
        try:
            record = verify_wire(wire, trust)
        except LedgerError as error:
            raise Refused("participant.record_mismatch", "a participant's record is not admitted by the regulator",
                          ) from error
        if found.setdefault(record["id"], record) != record:
            raise Refused("participant.record_mismatch", "a participant came with two records")
    return found


def _spec(item: Mapping[str, Any]) -> tuple[Document, int]:
    try:
        spec = read_signed(item["spec"], "job_spec")
    except DocumentError as error:
        raise Refused("spec.malformed", error.message) from error
    attempt = item.get("attempt")
    if type(attempt) is not int or not 1 <= attempt < 2**31 or item.get("job") != spec["id"]:
        raise Refused("spec.malformed", "the work item does not fit its spec", "operator")
    return spec, attempt


def _fresh(spec: Document, now: datetime) -> None:
    if parse_time(spec["issued_at"]) > now + SKEW:
        raise Refused("spec.stale", "the spec is issued in the future of this node's clock")
    if parse_time(spec["deadline"]) <= now:
        raise Refused("spec.stale", "the spec's deadline is over")


def _consumer(spec: Document, consumer: Document) -> None:
    if "consumer" not in consumer["admitted_as"]:
        raise Refused("participant.record_mismatch", "the recipient is not admitted as a consumer")
    if spec["recipient"]["sealing"] != consumer["keys"]["sealing"]:
        raise Refused("participant.record_mismatch", "the recipient's sealing key is not that of its record")


def _roster(spec: Document, records: Mapping[str, Document], me: Me, trust: Trust,
            present: frozenset[str] | None = None) -> int:
    """The seats are the inputs' providers, distinct, with the keys of their records; returns our own seat."""
    try:
        check_engine(spec)
        check_roster(spec)
    except SpecRefused as error:
        raise Refused(error.code, error.text) from error
    dealer = spec["dealer"]
    if (dealer["participant"], dealer["signing"]) != (trust.dealer.participant, trust.dealer.signing):
        raise Refused("spec.roster_mismatch", "the dealer is not the one of the trust file")
    for member in spec["roster"]:
        if _counts(member["participant"], present):
            with about(member["seat"]):
                _member(member, records.get(member["participant"]))
    return _seat(spec, [member["participant"] for member in spec["roster"]], me)


def _member(member: Document, record: Document | None) -> None:
    if record is None or "provider" not in record["admitted_as"]:
        raise Refused("participant.record_mismatch", "a party has no record as provider")
    if member["record_hash"] != document_hash(record) or member["signing"] != record["keys"]["signing"]:
        raise Refused("participant.record_mismatch", "a party's key or record is not the one in the roster")


def _seat(spec: Document, seats: Sequence[str], me: Me) -> int:
    if not me.party:
        if (me.participant, me.signing) != (spec["dealer"]["participant"], spec["dealer"]["signing"]):
            raise Refused("spec.roster_mismatch", "this office is not the dealer of the spec")
        return len(seats)
    if me.participant not in seats:
        raise Refused("spec.roster_mismatch", "this node is not in the roster")
    seat = seats.index(me.participant)
    if spec["roster"][seat]["signing"] != me.signing:
        raise Refused("participant.record_mismatch", "the roster names another key for this node")
    return seat


def _filter_form(spec: Document) -> None:
    try:
        check_form(spec["filter"])
    except MpcError as error:
        raise Refused("spec.parameters", "the filter is not of the form that there is") from error


def _function_digest(spec: Document) -> None:
    function = spec["function"]
    entry = CATALOG.get(function_key(function))
    if entry is not None and entry.digest != function["digest"]:
        raise Refused("spec.function_digest", "this node runs the function with another digest")


def _own_grant(grants: Sequence[Grant], me: Me) -> Grant | None:
    """Our own grant stands under our own pinned approver and service key, not under the portal's word for them."""
    if not me.party:
        return None
    own = next((grant for grant in grants if grant.terms["custodian"] == me.participant), None)
    if own is None:
        raise Refused("spec.roster_mismatch", "no grant is by this node")
    if own.terms["custodian_approver"] != me.approver.lower():
        raise Refused("grant.wrong_custodian", "our grant was not consented with the key pinned here")
    if str(own.consent.get("service") or "").lower() != me.service.lower():
        raise Refused("grant.wrong_custodian", "our grant names another service key than ours")
    return own


def _datasets(wires: Sequence[object], spec: Document, grants: Sequence[Grant], records: Mapping[str, Document],
              present: frozenset[str] | None = None) -> tuple[Document, ...]:
    """The dataset records in seat order, each signed by its provider and the one that was granted."""
    found: dict[str, Document] = {}
    for wire in wires:
        try:
            draft = read_signed(wire, "dataset")
            if _counts(draft["provider"], present):
                verify_signed(wire, type="dataset", keys=[records[draft["provider"]]["keys"]["signing"]])
            found[draft["id"]] = draft
        except (LedgerError, KeyError) as error:
            raise Refused("grant.wrong_dataset", "a dataset's record is not signed by its provider") from error
    ordered = []
    for grant, source in zip(grants, spec["inputs"], strict=True):
        record = found.get(source["dataset"])
        if record is None or document_hash(record) != source["dataset_hash"]:
            raise Refused("grant.wrong_dataset", "a dataset's record is not the one that was granted")
        if record["provider"] != source["provider"]:
            raise Refused("grant.wrong_custodian", "a dataset belongs to another provider than its grant says")
        if grant.terms["dataset_chain_id"] != chain_id_of(record["id"], record["id_salt"]):
            raise Refused("grant.wrong_dataset", "a grant's id of the dataset on chain is another dataset's")
        ordered.append(record)
    return tuple(ordered)


def _agreement(wire: Any, spec: Document, records: Mapping[str, Document],
               present: frozenset[str] | None = None) -> Document:
    try:
        draft = read_signed(wire, "agreement")
        sides = [draft["consumer"], *([draft["provider"]] if _counts(draft["provider"], present) else [])]
        keys = [records[side]["keys"]["signing"] for side in sides]
        agreement = verify_signed(wire, type="agreement", keys=keys)
    except (LedgerError, KeyError) as error:
        raise Refused("agreement.invalid", "the agreement is not signed by consumer and lead provider") from error
    if (agreement["id"], document_hash(agreement)) != (spec["agreement"], spec["agreement_hash"]):
        raise Refused("agreement.invalid", "the agreement is not the one of the spec")
    if agreement["consumer"] != spec["recipient"]["participant"] or agreement["grants"] != spec["grants"]:
        raise Refused("agreement.invalid", "the agreement is about other grants or another consumer")
    return agreement


def _parameters(spec: Document, datasets: Sequence[Document]) -> Sequence[Document]:
    key = function_key(spec["function"])
    entry = CATALOG.get(key)
    if entry is None:
        raise Refused("spec.parameters", f"this node does not know {key}")
    if len(datasets) < entry.min_parties:
        raise Refused("spec.roster_mismatch", f"{key} asks for more parties")
    try:
        plan = plan_for(key, spec["parameters"], spec["filter"], datasets)
        budget.check(plan.products, plan.uses)
        return common_columns([record["columns"] for record in datasets])
    except MpcError as error:
        raise Refused("spec.parameters", f"{key} cannot be asked this: {error.text}"[:500]) from error
