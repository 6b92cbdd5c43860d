"""How the chain does: its kind, what each endpoint last said, how old its head is, and alarms nobody has seen to.

For pages and health; names hosts, never whole addresses. Asks the endpoints at most every few seconds.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dataspace.errors import DataspaceError
from dataspace.provenance import space
from dataspace.provenance.models import ChainAlarm
from ledger.errors import LedgerError
from ledger.profiles import profile

if TYPE_CHECKING:
    from ledger.rpc import EndpointHealth

FRESH = 3.0


@dataclass(frozen=True)
class ChainHealth:
    """`label` is shown wherever the chain is spoken of: "development chain, one operator" for the embedded one."""

    profile: str
    label: str
    development: bool
    quorum: int
    endpoints: tuple["EndpointHealth", ...]
    alarms: tuple[str, ...]

    @property
    def answers(self) -> bool:
        return sum(one.answers for one in self.endpoints) >= self.quorum


_seen: list[tuple[float, tuple["EndpointHealth", ...]]] = []


def chain_health() -> ChainHealth:
    """Of the chain that the trust file names."""
    chain = space.trust().chain
    kind = profile(chain.profile)
    return ChainHealth(chain.profile, kind.label, kind.development, chain.quorum, _endpoints(), tuple(alarms()))


def alarms() -> list[str]:
    """Codes of what happened to the chain and was seen to by nobody, and of what is wrong with it now."""
    embedded = label() is not None and is_development()
    now = {"chain.port_open"} if embedded and any(one.port_open for one in _endpoints()) else set()
    return sorted(now | set(ChainAlarm.objects.filter(seen_at=None).values_list("code", flat=True)))


def label() -> dict[str, str] | None:
    """What kind of chain this portal writes to; None before it has a trust file."""
    try:
        name = space.trust().chain.profile
        return {"profile": name, "label": profile(name).label}
    except (LedgerError, DataspaceError):
        return None


def is_development() -> bool:
    """Whether to say so wherever the chain shows; a space without a trust file has no other chain either."""
    known = label()
    return known is None or profile(known["profile"]).development


def _endpoints() -> tuple["EndpointHealth", ...]:
    if not _seen or time.monotonic() - _seen[0][0] > FRESH:
        _seen[:] = [(time.monotonic(), tuple(space.chain().health()))]
    return _seen[0][1]
