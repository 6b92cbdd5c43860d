"""Reading participants and persons, actor first."""

import unicodedata
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from dataspace.actor import NOBODY, Actor
from dataspace.errors import NotFound
from dataspace.participants.models import FailedSignIn, Participant, Person, Renewal
from dataspace.participants.policies import FAILURES_COUNT_FOR
from dataspace.participants.states import State
from dataspace.provenance import space
from ledger.documents import document_hash


def actor_of(person: Person) -> Actor:
    """The actor behind a sign-in; only an admitted participant's admissions count."""
    participant = person.participant
    admitted: frozenset[str] = frozenset()
    if participant is not None and participant.state == State.ADMITTED:
        admitted = frozenset(participant.admitted_as)
    return Actor(
        participant_id=person.participant_id,
        person_id=person.pk,
        admitted_as=admitted,
        roles=frozenset(person.roles),
    )


def actor_for_key(participant_id: UUID, *, regulator_id: UUID) -> Actor:
    """The actor behind a signed request. The trust file's regulator acts before it has admitted itself."""
    row = Participant.objects.filter(pk=participant_id).first()
    if row is None:
        if participant_id == regulator_id:
            return Actor(participant_id=participant_id, admitted_as=frozenset({"regulator"}))
        return NOBODY
    admitted = set(row.admitted_as) if row.state == State.ADMITTED else set()
    if participant_id == regulator_id:
        admitted.add("regulator")
    suspended = row.state == State.SUSPENDED and participant_id != regulator_id
    return Actor(participant_id=participant_id, admitted_as=frozenset(admitted), suspended=suspended)


def open_renewal_of(participant: Participant) -> Renewal | None:
    """The record that is on its way to replace the participant's, if any."""
    return Renewal.objects.filter(participant=participant, outcome="").first()


def record_of(row: Participant, record_hash: str) -> dict[str, Any]:
    """The signed record of this hash: the current one, or one that the chain held before."""
    if row.record_hash == record_hash:
        return dict(row.record)
    for later in row.renewals.filter(outcome="stands"):
        if later.former is not None and document_hash(later.former["document"]) == record_hash:
            return dict(later.former)
    raise NotFound("no such record of the participant")


def signing_key_of(row: Participant) -> str:
    """The key a participant signs with; the regulator's and the dealer's come from the trust file alone."""
    trust = space.trust()
    roots = {trust.regulator.participant: trust.regulator.signing, trust.dealer.participant: trust.dealer.signing}
    return roots.get(str(row.pk), row.signing_key)


def signing_key_by_id(participant_id: UUID) -> str | None:
    """The same for a request's key id; None for nobody known."""
    trust = space.trust()
    if str(participant_id) == trust.regulator.participant:
        return trust.regulator.signing
    row = Participant.objects.filter(pk=participant_id).first()
    return None if row is None else signing_key_of(row)


def hash_of_name(name: str) -> str:
    """Under the portal's secret key; the same for the spellings that are one name."""
    normal = unicodedata.normalize("NFKC", name).casefold()
    return salted_hmac("dataspace.participants.sign_in", normal, algorithm="sha256").hexdigest()


def failed_sign_ins(name: str, *, now: datetime) -> int:
    """How often a password did not fit this name of late."""
    since = now - FAILURES_COUNT_FOR
    return FailedSignIn.objects.filter(name_hash=hash_of_name(name), at__gt=since).count()


def participants_for(actor: Actor) -> QuerySet[Participant]:
    """The admitted see the admitted; the regulator and the operator see all; anyone sees itself."""
    if actor.is_regulator or "operator" in actor.roles:
        return Participant.objects.prefetch_related("renewals")
    own = Participant.objects.prefetch_related("renewals").filter(pk=actor.organisation)
    if actor.is_admitted:
        return own | Participant.objects.prefetch_related("renewals").filter(state=State.ADMITTED)
    return own


def participant_for(actor: Actor, participant_id: UUID) -> Participant:
    row = participants_for(actor).filter(pk=participant_id).first()
    if row is None:
        raise NotFound("no such participant")
    return row
