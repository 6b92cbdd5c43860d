"""Reading events, actor first: those an event names as its audience, the regulator, and the operator. And reading what
is public: the published checkpoint, what is anchored, how the witnesses are.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from dataspace.actor import Actor
from dataspace.errors import NotFound, Unavailable
from dataspace.provenance import space
from dataspace.provenance.models import Anchor, ChainTx, Checkpoint, Event, Leaf, WitnessSeen


def events_for(actor: Actor) -> QuerySet[Event]:
    rows = Event.objects.select_related("leaf")
    if actor.is_regulator or "operator" in actor.roles:
        return rows
    if actor.participant_id is None:
        return rows.none()
    return rows.filter(audience__contains=[str(actor.participant_id)])


def event_for(actor: Actor, event_id: UUID) -> Event:
    row = events_for(actor).filter(id=event_id).first()
    if row is None:
        raise NotFound("no such entry")
    return row


def timeline_for(actor: Actor, subject_id: UUID) -> QuerySet[Event]:
    """What happened to one subject, oldest first."""
    return events_for(actor).filter(subject_id=subject_id).order_by("number")


def published(*, beyond: int = -1) -> Checkpoint | None:
    """The newest published checkpoint; or, with `beyond`, the first one that holds the leaf of this index."""
    rows = Checkpoint.objects.filter(published_at__isnull=False)
    return rows.filter(size__gt=beyond).order_by("size", "id").first() if beyond >= 0 else rows.last()


def log_size() -> int:
    """How many leaves there are."""
    last = Leaf.objects.order_by("-index").values_list("index", flat=True).first()
    return 0 if last is None else last + 1


def epoch() -> str:
    """The chain and contract that anchor now: of another one nothing counts as anchored."""
    chain = space.trust().chain
    return f"{chain.id}:{chain.contracts['anchor'].address.lower()}"


def anchors() -> QuerySet[Anchor]:
    """Anchors that stand: in a block, of this chain and contract, and not known to be lost."""
    rows = Anchor.objects.filter(lost_at=None, tx__status__in=[ChainTx.State.MINED, ChainTx.State.FINAL])
    try:
        return rows.filter(epoch=epoch()).select_related("tx", "checkpoint")
    except Unavailable:
        return rows.none()


def anchored_size() -> int:
    """The size of the largest checkpoint that a mined transaction holds."""
    row = anchors().order_by("-size").first()
    return 0 if row is None else row.size


@dataclass(frozen=True)
class WitnessHealth:
    """One witness as this portal last heard of it. `lag`: leaves that it has not cosigned yet.

    `state`: `cosigning`, `behind` (it answers, but has not cosigned the newest), `refusing` (it said no: `code`),
    `away` (it does not answer) or `new` (it was never asked).
    """

    url: str
    key: str
    state: str
    code: str
    cosigned_at: datetime | None
    lag: int


def witnesses() -> list[WitnessHealth]:
    """The configured witnesses, for health and pages."""
    size = log_size()
    seen = {one.url: one for one in WitnessSeen.objects.all()}
    found = []
    for url in settings.XINGLIN_WITNESSES:
        row = seen.get(url) or WitnessSeen(url=url)
        lag = max(0, size - row.size)
        if row.answered_at is None and not row.code:
            state = "new"
        elif row.code:
            state = "away" if row.code == "witness.unavailable" else "refusing"
        else:
            state = "behind" if lag else "cosigning"
        found.append(WitnessHealth(url, row.key, state, row.code, row.cosigned_at, lag))
    return found
