"""All that a released job leaves behind, verified offline before a single share is opened.

`Evidence` is what the portal passed on and what the cache keeps: the spec, the verdicts, the envelopes, the records of
participants and datasets. `verify` believes none of it without a signature:

1. the spec is the one we signed;
2. each member of its roster is a participant the regulator admitted, with the key the spec names;
3. each member and the dealer accepted this very spec in this attempt, over their own signature;
4. the session id follows from exactly these verdicts;
5. there is exactly one envelope of each member, signed by it, to our key, with that session and one gate hash.

It may not reach the network, and a bool is never returned: it raises, or the evidence holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.documents import document_hash, read_signed
from ledger.trust import Trust
from marketplace.sdk.client import our_errors, whole_answers
from marketplace.sdk.errors import EnvelopeError, VerificationError
from marketplace.sdk.records import Document, Signed, verified_document, verified_participant
from mpc.spec import check_roster, session_id


@dataclass(frozen=True)
class Evidence:
    """What was passed on, unverified; plain JSON values, so that it can be kept in a file."""

    job: str
    attempt: int
    spec: Signed
    verdicts: Sequence[Signed]
    envelopes: Sequence[Signed]
    participants: Sequence[Signed]
    datasets: Sequence[Signed]
    entry: str | None = None
    apart: Mapping[str, Any] | None = None
    """Of a job whose parties were not online together, in the place of verdicts and envelopes: `parts` (contributions
    with their ciphertexts), the dealer's `frozen` set, the portal's `product`."""

    def as_json(self) -> dict[str, Any]:
        return {
            "version": 1,
            "job": self.job,
            "attempt": self.attempt,
            "spec": self.spec,
            "verdicts": list(self.verdicts),
            "envelopes": list(self.envelopes),
            "participants": list(self.participants),
            "datasets": list(self.datasets),
            "entry": self.entry,
            "apart": self.apart,
        }

    @classmethod
    @whole_answers()
    def from_json(cls, value: Mapping[str, Any]) -> Evidence:
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name != "apart"},
                   apart=value.get("apart"))


@dataclass(frozen=True)
class Verified:
    """The same, after every check: documents without their signatures, envelopes in the order of seats."""

    spec: Document
    job_hash: str
    session: str
    gate_hash: str
    envelopes: tuple[Document, ...]
    datasets: tuple[Document, ...]


@dataclass(frozen=True)
class Papers:
    """What every job has, after every check: its spec, its members' records by seat, its datasets in that order."""

    spec: Document
    members: Mapping[int, Document]
    datasets: tuple[Document, ...]


@whole_answers()
def verify_papers(evidence: Evidence, *, trust: Trust, signing: str, sealing: str) -> Papers:
    """That the spec is ours, and who and what it names; says nothing of any result."""
    spec = _own_spec(evidence, trust=trust, signing=signing, sealing=sealing)
    members = _roster(evidence, spec, trust=trust)
    return Papers(spec, members, _datasets(evidence, spec, members))


@whole_answers()
def verify(evidence: Evidence, *, trust: Trust, signing: str, sealing: str) -> Verified:
    """Check everything; `signing` and `sealing` are the public keys of ours that must be in it."""
    papers = verify_papers(evidence, trust=trust, signing=signing, sealing=sealing)
    spec, members = papers.spec, papers.members
    job_hash = document_hash(spec)
    session = _session(evidence, spec, job_hash, members)
    envelopes = _envelopes(evidence, spec, job_hash, session, members)
    return Verified(
        spec=spec,
        job_hash=job_hash,
        session=session,
        gate_hash=envelopes[0]["gate_hash"],
        envelopes=envelopes,
        datasets=papers.datasets,
    )


def _own_spec(evidence: Evidence, *, trust: Trust, signing: str, sealing: str) -> Document:
    ours = {"keys": {"signing": signing}}
    spec = verified_document(evidence.spec, type="job_spec", signers=[ours], id=evidence.job)
    if spec["recipient"]["sealing"] != sealing:
        raise VerificationError("the job's result is sealed to another key than ours", code="spec.recipient")
    if spec["dealer"]["signing"] != trust.dealer.signing:
        raise VerificationError("the job's dealer is not the one of the trust file", code="spec.dealer")
    return spec


def _roster(evidence: Evidence, spec: Document, *, trust: Trust) -> dict[int, Document]:
    """The members' records by seat, each as the spec pins it."""
    with our_errors():
        check_roster(spec)
    admitted = [verified_participant(wire, trust=trust) for wire in evidence.participants]
    by_id = {record["id"]: record for record in admitted}
    members = {}
    for seat in spec["roster"]:
        if seat["participant"] not in by_id:
            raise VerificationError(f"no admitted record of {seat['participant']}", code="participant.missing")
        record = by_id[seat["participant"]]
        pinned = (seat["record_hash"], seat["signing"])
        if (document_hash(record), record["keys"]["signing"]) != pinned:
            raise VerificationError(
                f"the record of {record['id']} is not the one the job names", code="participant.record_mismatch"
            )
        members[seat["seat"]] = record
    return members


def _session(evidence: Evidence, spec: Document, job_hash: str, members: Mapping[int, Document]) -> str:
    """The session id, recomputed from exactly one accepting verdict of each member and of the dealer."""
    keys = {record["id"]: record["keys"]["signing"] for record in members.values()}
    keys[spec["dealer"]["participant"]] = spec["dealer"]["signing"]
    hashes: dict[str, str] = {}
    for wire in evidence.verdicts:
        with our_errors():
            seen = read_signed(wire, "verdict")
        if seen["attempt"] != evidence.attempt:
            continue
        sender = seen["participant"]
        if sender not in keys or sender in hashes:
            raise VerificationError(f"a verdict too many, by {sender}", code="verdict.invalid")
        verdict = verified_document(wire, type="verdict", signers=[{"keys": {"signing": keys[sender]}}])
        if verdict["decision"] != "accept" or (verdict["job"], verdict["job_hash"]) != (evidence.job, job_hash):
            raise VerificationError(f"{sender} did not accept this job", code="verdict.invalid")
        hashes[sender] = document_hash(verdict)
    absent = sorted(set(keys) - set(hashes))
    if absent:
        raise VerificationError(f"no verdict of {', '.join(absent)}", code="verdict.missing")
    dealer_hash = hashes.pop(spec["dealer"]["participant"])
    with our_errors():
        return session_id(job_hash, evidence.attempt, sorted(hashes.values()), dealer_hash)


def _envelopes(
    evidence: Evidence, spec: Document, job_hash: str, session: str, members: Mapping[int, Document]
) -> tuple[Document, ...]:
    by_seat: dict[int, Document] = {}
    seats = {record["id"]: seat for seat, record in members.items()}
    for wire in evidence.envelopes:
        envelope = _envelope(wire, members, seats)
        if envelope["seat"] in by_seat:
            raise EnvelopeError(f"two envelopes of seat {envelope['seat']}", code="envelope.invalid")
        if (envelope["recipient"], envelope["recipient_key"]) != (
            spec["recipient"]["participant"],
            spec["recipient"]["sealing"],
        ):
            raise EnvelopeError("an envelope to somebody else", code="envelope.invalid")
        found = (envelope["job"], envelope["job_hash"], envelope["attempt"], envelope["session"])
        if found != (evidence.job, job_hash, evidence.attempt, session):
            raise EnvelopeError(f"seat {envelope['seat']} sealed in another session", code="envelope.session")
        by_seat[envelope["seat"]] = envelope
    absent = sorted(set(members) - set(by_seat))
    if absent:
        names = ", ".join(members[seat]["id"] for seat in absent)
        raise EnvelopeError(f"no envelope of {names}; nothing was opened", code="envelope.missing")
    if len({envelope["gate_hash"] for envelope in by_seat.values()}) != 1:
        raise EnvelopeError("the envelopes saw different gates", code="envelope.session")
    return tuple(by_seat[seat] for seat in sorted(by_seat))


def _envelope(wire: Signed, members: Mapping[int, Document], seats: Mapping[str, int]) -> Document:
    """One envelope, signed by the member who sits in its seat."""
    try:
        with our_errors():
            seen = read_signed(wire, "result_envelope")
        if seats.get(seen["sender"]) != seen["seat"]:
            raise EnvelopeError(f"{seen['sender']} does not sit in seat {seen['seat']}")
        return verified_document(wire, type="result_envelope", signers=[members[seen["seat"]]])
    except EnvelopeError:
        raise
    except VerificationError as error:
        raise EnvelopeError(f"an envelope is not what its sender signed: {error.message}") from error


def _datasets(evidence: Evidence, spec: Document, members: Mapping[int, Document]) -> tuple[Document, ...]:
    """The datasets' descriptions in the order of seats, each with the hash the spec names and its provider's key."""
    providers = {record["id"]: record for record in members.values()}
    by_id = {}
    for wire in evidence.datasets:
        with our_errors():
            seen = read_signed(wire, "dataset")
        provider = providers.get(seen["provider"])
        if provider is not None:
            by_id[seen["id"]] = verified_document(wire, type="dataset", signers=[provider])
    ordered = []
    for given in spec["inputs"]:
        document = by_id.get(given["dataset"])
        if document is None or document_hash(document) != given["dataset_hash"]:
            raise VerificationError(f"dataset {given['dataset']} is not the one computed on", code="dataset.changed")
        ordered.append(document)
    return tuple(ordered)
