"""How the space is doing, as far as this portal's own tables tell."""

from dataclasses import dataclass
from datetime import datetime

from dataspace.errors import DataspaceError, Unavailable
from dataspace.participants.models import Participant
from dataspace.participants.states import State
from dataspace.provenance import space
from dataspace.provenance.chainhealth import ChainHealth, chain_health
from dataspace.provenance.models import Anchor, Checkpoint, Leaf
from dataspace.provenance.queries import anchored_size, anchors, published
from ledger.errors import LedgerError
from ledger.trust import Trust


@dataclass(frozen=True)
class Status:
    """Log, checkpoint, chain, members. `anchor` is the newest one that a block holds."""

    size: int
    anchored: int
    checkpoint: Checkpoint | None
    anchor: Anchor | None
    anchored_at: datetime | None
    members: int
    trust: Trust | None

    @property
    def is_anchored(self) -> bool:
        return self.anchored >= self.size

    @property
    def last(self) -> int:
        return self.size - 1

    @property
    def witnesses(self) -> int:
        return 0 if self.trust is None else self.trust.witnesses.k

    @property
    def is_development(self) -> bool:
        """Said wherever the chain shows; a space without a trust file has no other chain either."""
        return self.trust is None or self.trust.chain.profile == "embedded"


def now() -> Status:
    """Read it."""
    last = Leaf.objects.order_by("-index").first()
    anchor = anchors().order_by("-size").first()
    try:
        trust = space.trust()
    except Unavailable:
        trust = None
    return Status(
        size=0 if last is None else last.index + 1,
        anchored=anchored_size(),
        checkpoint=published(),
        anchor=anchor,
        anchored_at=anchor.tx.sent_at if anchor else None,
        members=Participant.objects.filter(state=State.ADMITTED).count(),
        trust=trust,
    )


def chain() -> ChainHealth | None:
    """How the chain's endpoints do; None where there is no chain to ask."""
    try:
        return chain_health()
    except (DataspaceError, LedgerError):
        return None
